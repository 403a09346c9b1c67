"""What a server bears: many subscribers, many senders in real time, and two that hardly read.

``python tests/benchmarks/server.py [--subscribers N] [--senders M] [--seconds T]`` runs the server, the
subscribers and the senders in processes of their own, all subscribers on the first sender's stream, and
prints the predictions lost, how long it took from a hop's last sample to its message at the subscriber, and
the server's memory at the beginning and the end. Ends with exit code 1 where a prediction was lost.

The clocks are one: all processes run on one machine. They share its processors with the server, so on a
small machine the times are those of all of them together.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import multiprocessing
import os
import socket
import struct
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from realtime.artifact import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from multiprocessing.connection import Connection
    from multiprocessing.managers import ValueProxy
    from queue import Queue

CHUNK_S = 0.1
WATCHED = "sender-0"
SETTLE_S = 5.0
"""Nothing counts before: the connections are just made, and the first windows not full."""


@dataclass(frozen=True)
class Load:
    """What is asked of the server."""

    port: int
    n_subscribers: int
    n_senders: int
    seconds: float
    ready: Queue[None]
    """Gets one thing from each process whose connections are made."""
    begin: ValueProxy[float]
    """When the senders begin, by the wall clock; 0 until everybody is ready."""

    async def wait_for_begin(self) -> float:
        """Say that all connections are made; return when the senders begin."""
        self.ready.put(None)
        while not self.begin.value:  # noqa: ASYNC110 - set by another process
            await asyncio.sleep(0.1)
        return self.begin.value


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--subscribers", type=int, default=2000)
    parser.add_argument("--senders", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--processes", type=int, default=2, help="that the subscribers are spread over")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    server = context.Process(target=serve, args=(arguments.model, other))
    server.start()
    port, pid = pipe.recv()
    share, rest = divmod(arguments.subscribers, arguments.processes)
    counts = [share + (number < rest) for number in range(arguments.processes)]
    with context.Manager() as shared, context.Pool(arguments.processes + 2) as pool:
        load = Load(
            port,
            arguments.subscribers,
            arguments.senders,
            arguments.seconds,
            shared.Queue(),
            shared.Value("d", 0.0),
        )
        subscribing = [pool.apply_async(run_subscribers, (load, count)) for count in counts]
        sending = pool.apply_async(run_senders, (load,))
        slow = pool.apply_async(run_slow, (load,))
        for _ in range(arguments.processes + 2):
            load.ready.get(timeout=120)
        begin_s = load.begin.value = time.time() + 1
        sleep_until(begin_s + SETTLE_S)
        memory, cpu_s = [memory_mib(pid)], cpu_time_s(pid)
        steps = np.linspace(begin_s + SETTLE_S, begin_s + load.seconds, 6)[1:]
        for step in steps:
            sleep_until(step)
            memory.append(memory_mib(pid))
        cpu_s = cpu_time_s(pid) - cpu_s
        found = [result.get() for result in subscribing]
        n_late, n_sent = sending.get()
        n_bytes = slow.get()
    print_report(load, found, n_bytes)
    print(f"senders            {n_sent} pieces of {CHUNK_S:g} s, {n_late} of them more than one late")
    print("server's memory    " + " -> ".join(f"{mib:.0f}" for mib in memory) + " MiB")
    print(f"server's processor {100 * cpu_s / (load.seconds - SETTLE_S):.0f} % of one")
    print(f"inside the server  {1e3 * mean_latency_s(port):.1f} ms from last sample to prediction, mean")
    before = time.monotonic()
    pipe.send("end")
    server.join()
    print(f"server closed in   {time.monotonic() - before:.2f} s")
    if any(result["n_lost"] for result in found):
        sys.exit(1)


def print_report(load: Load, found: list[dict[str, Any]], n_bytes: tuple[int, int]) -> None:
    """Print what subscribers saw."""
    latencies_ms = np.concatenate([np.asarray(result["latencies_ms"], np.float32) for result in found])
    n_lost = sum(result["n_lost"] for result in found)
    n_errors = sum(result["n_errors"] for result in found)
    print(
        f"load               {load.n_subscribers} subscribers, {load.n_senders} senders, {load.seconds:g} s"
    )
    print(f"predictions        {len(latencies_ms)} received, {n_lost} lost, {n_errors} errors told")
    print(f"predictions each   {sorted({n for result in found for n in result['counts']})}")
    if len(latencies_ms):
        p50, p95, p99 = np.percentile(latencies_ms, [50, 95, 99])
        print(
            f"sample to message  p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms, "
            f"most {latencies_ms.max():.1f} ms"
        )
    print(f"slow readers       never reads: connected; a byte a second: {n_bytes[1]} bytes read")


# --- the server -------------------------------------------------------------------------------------------


def serve(model: str, pipe: Connection) -> None:
    """Serve until told to end."""
    import realtime
    from realtime.server.engine import SharedModel
    from realtime.server.limits import Limits
    from realtime.server.server import EventServer

    server = EventServer(
        "127.0.0.1", 0, model=SharedModel(realtime.load(model)), limits=Limits(n_senders=1000)
    )
    server.start()
    pipe.send((server.port, os.getpid()))
    pipe.recv()
    server.close()


def mean_latency_s(port: int) -> float:
    """Return what the server itself measured, as a mean in seconds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    name = "tonewatch_prediction_latency_seconds"
    return float(values[f"{name}_sum"]) / max(1.0, float(values[f"{name}_count"]))


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_time_s(pid: int) -> float:
    """Return the processor time that a process took, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sleep_until(date_s: float) -> None:
    """Sleep until the wall clock says so."""
    time.sleep(max(0.0, date_s - time.time()))


# --- senders ----------------------------------------------------------------------------------------------


def run_senders(load: Load) -> tuple[int, int]:
    """Send a voice from many senders in real time; return the pieces that were late, and all."""
    return asyncio.run(_senders(load))


async def _senders(load: Load) -> tuple[int, int]:
    from realtime import messages
    from realtime.live import DEMO
    from realtime.sources import FileSource

    rate = 16_000
    with FileSource(DEMO, rate, fast=True) as source:
        voice = np.concatenate([chunk.samples for chunk in source])
    pcm = (np.clip(voice, -1, 1) * 32767).astype("<i2").tobytes()
    n_chunk_bytes = 2 * int(rate * CHUNK_S)
    chunks = [pcm[at : at + n_chunk_bytes] for at in range(0, len(pcm) - n_chunk_bytes, n_chunk_bytes)]
    start = messages.Start(sample_rate=rate, channels=1, format="s16le")
    n_late = n_sent = 0
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for number in range(load.n_senders):
            client = await stack.enter_async_context(RawClient.open(load.port, "/audio"))
            named = msgspec.structs.replace(start, name=f"sender-{number}")
            client.send(1, messages.encode(named))
            clients.append(client)
        readers = [asyncio.create_task(client.discard()) for client in clients]
        begin_s = await load.wait_for_begin()
        for step in range(int(load.seconds / CHUNK_S)):
            # Each at a phase of its own, as strangers are; a piece leaves when its last sample is there.
            for number, client in enumerate(clients):
                due_s = begin_s + (step + 1 + phase(number, load.n_senders)) * CHUNK_S
                if (early_s := due_s - time.time()) > 0:
                    await asyncio.sleep(early_s)
                n_late += early_s < -CHUNK_S
                n_sent += 1
                client.send(2, chunks[(step + 7 * number) % len(chunks)])
        for client in clients:
            client.send(1, messages.encode(messages.Stop()))
        await asyncio.wait(readers, timeout=10)
    return n_late, n_sent


def phase(number: int, n: int) -> float:
    """Return when within a chunk's time a sender sends, 0 to 1."""
    return number / n


# --- subscribers ------------------------------------------------------------------------------------------


def run_subscribers(load: Load, count: int) -> dict[str, Any]:
    """Subscribe many times; return what was received and what was missing."""
    return asyncio.run(_subscribers(load, count))


async def _subscribers(load: Load, count: int) -> dict[str, Any]:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 256), hard))
    async with contextlib.AsyncExitStack() as stack:
        path = f"/events?stream={WATCHED}&types=prediction"
        clients = [await stack.enter_async_context(RawClient.open(load.port, path)) for _ in range(count)]
        gc.freeze()
        readers = [asyncio.create_task(client.collect()) for client in clients]
        begin_s = await load.wait_for_begin()
        await asyncio.sleep(begin_s + load.seconds + 4 - time.time())
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    # Behind the first piece, `end_s` of a window is when its last sample left its sender.
    origin_s = begin_s + phase(0, load.n_senders) * CHUNK_S
    latencies_ms, n_lost, n_errors, counts = [], 0, 0, []
    newest = max((client.seqs[-1] for client in clients if client.seqs), default=-1)
    for client in clients:
        # Everybody was there before the first one.
        n_lost += newest + 1 - len(set(client.seqs)) if newest >= 0 else 1
        n_errors += client.n_errors
        counts.append(len(client.seqs))
        for end_s, came_s in client.times:
            due_s = np.ceil(end_s / CHUNK_S - 1e-6) * CHUNK_S
            if due_s > SETTLE_S:
                latencies_ms.append(1e3 * (came_s - origin_s - due_s))
    return {"latencies_ms": latencies_ms, "n_lost": n_lost, "n_errors": n_errors, "counts": set(counts)}


def run_slow(load: Load) -> tuple[int, int]:
    """Subscribe twice to everything; never read from the one, and a byte a second from the other."""
    request = handshake("/events?since=600")
    with contextlib.ExitStack() as stack:
        never, rarely = (
            stack.enter_context(socket.create_connection(("127.0.0.1", load.port))) for _ in range(2)
        )
        for connection in (never, rarely):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(request)
        begin_s = asyncio.run(load.wait_for_begin())
        n_bytes = 0
        while time.time() < begin_s + load.seconds:
            try:
                n_bytes += len(rarely.recv(1))
            except ConnectionError:
                break
            time.sleep(1)
    return 0, n_bytes


# --- a client that costs little ---------------------------------------------------------------------------


def handshake(path: str) -> bytes:
    """Return the request that opens a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Seen(msgspec.Struct):
    """What is looked at of a message."""

    type: str
    seq: int = -1
    end_s: float = 0.0
    code: str = ""


class RawClient:
    """A WebSocket client that does what this needs and no more: the server is measured, not the client."""

    _decode = msgspec.json.Decoder(Seen).decode

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.seqs: list[int] = []
        self.times: list[tuple[float, float]] = []
        self.n_errors = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port: int, path: str) -> AsyncIterator[RawClient]:
        """Connect, and close in the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake(path))
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in answer:
            raise ConnectionError(answer.decode())
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    def send(self, opcode: int, payload: bytes) -> None:
        """Send one frame; its mask of zeros leaves the payload as it is."""
        if self._writer.is_closing():
            return
        n = len(payload)
        length = struct.pack("!B", 0x80 | n) if n < 126 else struct.pack("!BH", 0x80 | 126, n)
        self._writer.write(bytes([0x80 | opcode]) + length + bytes(4) + payload)

    async def read(self) -> tuple[int, bytes]:
        """Return the next frame: its opcode and payload; answers pings."""
        first, second = await self._reader.readexactly(2)
        n = second & 0x7F
        if n == 126:
            (n,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif n == 127:
            (n,) = struct.unpack("!Q", await self._reader.readexactly(8))
        payload = await self._reader.readexactly(n)
        opcode = first & 0x0F
        if opcode == 9:
            self.send(10, payload)
        return opcode, payload

    async def collect(self) -> None:
        """Read predictions, and when they came."""
        while True:
            opcode, payload = await self.read()
            if opcode != 1:
                continue
            came_s = time.time()
            seen = RawClient._decode(payload)
            if seen.type == "prediction":
                self.seqs.append(seen.seq)
                self.times.append((seen.end_s, came_s))
            elif seen.type == "error":
                self.n_errors += 1

    async def discard(self) -> None:
        """Read until the end, and look at errors alone."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                opcode, payload = await self.read()
                if opcode == 1 and b'"type":"error"' in payload:
                    print("a sender was told:", json.loads(payload)["message"], file=sys.stderr)
                if opcode == 8:
                    return


if __name__ == "__main__":
    main()
