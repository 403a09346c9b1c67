"""What no client of ours would say, over real sockets; each time somebody else's session goes on unharmed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import socket
import ssl
import struct
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from realtime import messages
from realtime.messages import Error, Prediction, Start, Status, Stop
from realtime.server.access import Access, server_tls
from realtime.server.crowd import RUSH
from realtime.server.limits import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from realtime.server.server import EventServer
    from tests.conftest import MakeVoice
    from tests.realtime.server.conftest import Neighbour, Serve

RATE = 16_000
DEADLINE_S = 60.0
TOKEN = "correct-horse-battery"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
UPGRADE = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; status 0 where the connection ended without one."""

    status: int
    fields: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Heard:
    """What came over a WebSocket until its end, and how it ended: its close code, or None."""

    messages: list[messages.Message]
    code: int | None

    @property
    def error(self) -> Error | None:
        """The last error that ends the session."""
        return next((m for m in reversed(self.messages) if isinstance(m, Error) and m.fatal), None)

    def errors(self, code: str) -> list[Error]:
        return [message for message in self.messages if isinstance(message, Error) and message.code == code]

    @property
    def predictions(self) -> list[Prediction]:
        return [message for message in self.messages if isinstance(message, Prediction)]


def frame(
    payload: bytes = b"",
    opcode: int = TEXT,
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """Return a frame as clients send it; `length` is what its header says, whatever follows."""
    n = len(payload) if length is None else length
    first = bytes([fin << 7 | reserved << 4 | opcode])
    if n < 126:
        header = bytes([masked << 7 | n])
    elif n < 1 << 16:
        header = struct.pack("!BH", masked << 7 | 126, n)
    else:
        header = struct.pack("!BQ", masked << 7 | 127, n)
    # A mask of zeros leaves the payload as it is.
    return first + header + (bytes(4) if masked else b"") + payload


class Peer:
    """The other end of a connection, on which anything can be said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server: EventServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=tls, limit=1 << 20)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @classmethod
    @contextlib.asynccontextmanager
    async def shake(
        cls, server: EventServer, path: str = "/audio", *fields: tuple[str, str]
    ) -> AsyncIterator[Self]:
        """Open a WebSocket."""
        async with cls.open(server) as peer:
            answer = await peer.ask(request(path, ("Host", f"127.0.0.1:{server.port}"), *UPGRADE, *fields))
            assert answer.status == 101
            yield peer

    async def say(self, data: bytes) -> bool:
        """Send bytes; return whether the other side still took them."""
        try:
            self._writer.write(data)
            async with asyncio.timeout(DEADLINE_S):
                await self._writer.drain()
        except ConnectionError:
            return False
        return True

    async def answer(self) -> Answer:
        """Return the answer that comes to a request."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *rest = head[:-4].split("\r\n")
                fields = {name.lower(): value.strip() for name, _, value in (r.partition(":") for r in rest)}
                body = await self._reader.readexactly(int(fields.get("content-length", 0)))
        except TimeoutError:
            # One of OSError, but not of those meant here.
            raise
        except (asyncio.IncompleteReadError, OSError):
            return Answer(0, {})
        return Answer(int(line.split(" ")[1]), fields, body)

    async def ask(self, data: bytes) -> Answer:
        """Return the answer to a request."""
        await self.say(data)
        return await self.answer()

    async def ended(self) -> bytes:
        """Return what comes until the other side ends the connection; it has to."""
        found = b""
        async with asyncio.timeout(DEADLINE_S):
            with contextlib.suppress(ConnectionError):
                while data := await self._reader.read(1 << 16):
                    found += data
        return found

    async def heard(self) -> Heard:
        """Return what comes over a WebSocket until its end; its close frame is answered, as is proper."""
        found = list[messages.Message]()
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    opcode, payload = await self._frame()
                    if opcode == CLOSE:
                        await self.say(frame(payload, CLOSE))
                        return Heard(found, int.from_bytes(payload[:2], "big"))
                    if opcode == TEXT:
                        found.append(messages.decode(payload))
        except TimeoutError:
            raise
        except (asyncio.IncompleteReadError, OSError):
            return Heard(found, None)

    async def _frame(self) -> tuple[int, bytes]:
        first, n = await self._reader.readexactly(2)
        if n > 125:
            n = int.from_bytes(await self._reader.readexactly(2 if n == 126 else 8), "big")
        return first & 15, await self._reader.readexactly(n)


def request(
    path: str, *fields: tuple[str, str], method: str = "GET", version: str = "HTTP/1.1", end: str = "\r\n"
) -> bytes:
    lines = [f"{method} {path} {version}", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n" + end).encode("latin-1")


START = Start(sample_rate=RATE, channels=1, format="f32le", name="hostile", realtime=False, private=True)
FIELDS: dict[str, Any] = json.loads(messages.encode(START))
STARTED = frame(messages.encode(START))
STOPPED = frame(messages.encode(Stop()))


def start_with(**fields: object) -> str:
    return json.dumps(FIELDS | fields)


@pytest.fixture
def server(hostile_server: EventServer) -> EventServer:
    return hostile_server


def is_alive(server: EventServer) -> bool:
    assert server._thread is not None
    return server._thread.is_alive()


# Messages to /audio that end the session

MALFORMED: dict[str, str] = {
    "nothing": "",
    "blank": " \n ",
    "a word": "start",
    "cut off": '{"v":1,"type":"start"',
    "two": '{"v":1,"type":"stop"}{"v":1,"type":"stop"}',
    "null": "null",
    "a list": "[]",
    "a number": "1e400",
    "a text": '"start"',
    "nested": "[" * 100_000,
    "nested objects": '{"v":1,"type":"start","x":' + '{"a":' * 40_000,
    "a NUL": "\0",
    "NaN": '{"v":1,"type":"start","sample_rate":NaN,"channels":1,"format":"s16le"}',
    "a huge number": '{"v":1,"type":"start","sample_rate":1' + "0" * 5000 + ',"channels":1,"format":"s16le"}',
    "half a surrogate": '{"v":1,"type":"st\\ud800art"}',
    "no type": '{"v":1}',
    "no version": '{"type":"stop"}',
    "another version": '{"v":2,"type":"stop"}',
    "a version in words": '{"v":"1","type":"stop"}',
    "an unknown type": '{"v":1,"type":"sing"}',
    "a message of servers": '{"v":1,"type":"error","code":"x","message":"y","fatal":true,"dropped":0}',
    "stop first": '{"v":1,"type":"stop"}',
    "a bare start": '{"v":1,"type":"start"}',
    "a key that is no text": "{1:2}",
}
_WRONG_TYPES: dict[str, list[object]] = {
    "sample_rate": ["16000", 16000.5, True, None, [], {}],
    "channels": ["1", 1.5, None, False],
    "format": [16, None, ["s16le"]],
    "name": [1, ["a"], {}],
    "private": ["yes", 1, None],
    "realtime": ["yes", 0, None],
    "backlog_s": ["1", None],
    "hop_s": ["1", [1]],
    "smoothing": [1, {}],
    "min_probability": ["0.5", None],
}
WRONG_TYPES = {
    f"{name}={json.dumps(value)[:30]}": start_with(**{name: value})
    for name, values in _WRONG_TYPES.items()
    for value in values
}
_UNSUPPORTED: dict[str, list[object]] = {
    "sample_rate": [0, -1, 999, 384_001, 2**31, 2**63 - 1, 1e300],
    "channels": [0, -1, 9, 2**62],
    "format": ["", "mp3", "s16be", "f32le\0", "x" * 100_000],
    "name": ["", "x" * 65, "a\nb", "a\0b", "\x1b[2J", "a\u2028b", "\u202e"],
    "backlog_s": [-1, -1e-300],
    "hop_s": [0, -1, 1e-9, 1e-300, 0.0101, 1e9, 1e300],
    "smoothing": [
        "",
        "loud",
        "exponential:nan",
        "exponential:0",
        "majority:-1",
        "majority:1e9",
        "majority:" + "9" * 4000,
    ],
    "min_probability": [-0.1, 1.1, 1e300],
}
UNSUPPORTED = {
    f"{name}={json.dumps(value)[:30]}": start_with(**{name: value})
    for name, values in _UNSUPPORTED.items()
    for value in values
}


async def refused(server: EventServer, *frames: bytes) -> Heard:
    """Return what a session hears that ends by what it says."""
    async with Peer.shake(server) as peer:
        for data in frames:
            if not await peer.say(data):
                break
        return await peer.heard()


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_understood_ends_the_session_with_a_reason(
    server: EventServer, neighbour: Neighbour, text: str
) -> None:
    async def check() -> None:
        async with neighbour(server):
            heard = await refused(server, frame(text.encode()))
            assert heard.error is not None
            assert heard.error.code == "bad_message"
            assert len(heard.error.message) < 600
            assert heard.code == 1008
            assert len(heard.messages) == 1

    asyncio.run(check())


def test_wrong_types_end_the_session_with_a_reason(server: EventServer, neighbour: Neighbour) -> None:
    async def check() -> None:
        async with neighbour(server):
            for name, text in WRONG_TYPES.items():
                heard = await refused(server, frame(text.encode()))
                assert heard.error is not None, name
                assert (heard.error.code, heard.code) == ("bad_message", 1008), name
                assert len(heard.error.message) < 600, name

    asyncio.run(check())


def test_what_is_not_offered_ends_the_session_with_a_reason(
    server: EventServer, neighbour: Neighbour
) -> None:
    async def check() -> None:
        async with neighbour(server):
            for name, text in UNSUPPORTED.items():
                heard = await refused(server, frame(text.encode()))
                assert heard.error is not None, name
                assert heard.error.code in {"unsupported", "bad_message"}, name
                assert heard.code == 1008, name
                assert len(heard.error.message) < 600, name
                assert heard.error.message.isprintable(), name

    asyncio.run(check())


@pytest.mark.parametrize(
    "frames",
    [
        [frame(b"\0\0", BINARY)],
        [frame(b"", BINARY)],
        [frame(bytes(200_000), BINARY), STARTED],
        [STOPPED],
        [STARTED, STARTED],
        [STARTED, frame(b"\0\0\0\0", BINARY), STARTED],
        [STARTED, frame(b"{}")],
        [STARTED, frame(b"\0\0\0\0", BINARY), frame(b"stop")],
    ],
    ids=[
        "binary",
        "empty binary",
        "much binary",
        "stop",
        "start twice",
        "start later",
        "garbage",
        "garbage later",
    ],
)
def test_what_is_out_of_turn_ends_the_session_with_a_reason(
    server: EventServer, neighbour: Neighbour, frames: list[bytes]
) -> None:
    async def check() -> None:
        async with neighbour(server):
            heard = await refused(server, *frames)
            assert heard.error is not None
            assert (heard.error.code, heard.code) == ("bad_message", 1008)
            assert heard.messages[-1] is heard.error

    asyncio.run(check())


def test_what_follows_stop_is_not_listened_to(server: EventServer, neighbour: Neighbour) -> None:
    async def check() -> None:
        async with neighbour(server):
            heard = await refused(
                server, STARTED + STOPPED + STARTED + frame(bytes(999), BINARY) + frame(b"x")
            )
            assert heard.code == 1000
            assert heard.error is None

    asyncio.run(check())


# Samples


def test_odd_byte_counts_lose_nothing(
    server: EventServer, neighbour: Neighbour, make_voice: MakeVoice
) -> None:
    data = make_voice(4).tobytes()

    async def check() -> None:
        async with neighbour(server):
            whole = await refused(server, STARTED, frame(data, BINARY), STOPPED)
            cuts = [data[at : at + 4_099] for at in range(0, len(data), 4_099)]
            odd = await refused(server, STARTED, *(frame(cut, BINARY) for cut in cuts), STOPPED)
            one_left = await refused(server, STARTED, frame(data, BINARY), frame(b"\0", BINARY), STOPPED)
            bytewise = b"".join(frame(data[at : at + 1], BINARY) for at in range(20_001))
            n_odd = await refused(server, STARTED, bytewise, frame(data[20_001:], BINARY), STOPPED)
        assert len(whole.predictions) > 1
        for heard in (odd, one_left, n_odd):
            assert heard.code == 1000
            assert values(heard) == values(whole)
        assert not whole.errors("leftover") + odd.errors("leftover") + n_odd.errors("leftover")
        (told,) = one_left.errors("leftover")
        assert (told.fatal, told.dropped) == (False, 1)
        assert "1 byte" in told.message

    asyncio.run(check())


def values(heard: Heard) -> list[tuple[object, ...]]:
    return [(p.seq, p.end_s, p.probabilities, p.smoothed, p.level_dbfs) for p in heard.predictions]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -1e30, 1e-45])
@pytest.mark.parametrize("n_bad", [1, 500, None], ids=["one", "some", "all"])
def test_samples_that_are_no_audio_never_become_predictions(
    server: EventServer, neighbour: Neighbour, make_voice: MakeVoice, bad: float, n_bad: int | None
) -> None:
    samples = make_voice(5).copy()
    samples[40_000 : None if n_bad is None else 40_000 + n_bad] = bad
    if n_bad is None:
        samples[:] = bad

    async def check() -> None:
        async with neighbour(server):
            heard = await refused(
                server,
                STARTED,
                frame(samples[:50_000].tobytes(), BINARY),
                frame(samples[50_000:].tobytes(), BINARY),
                STOPPED,
            )
        assert heard.code == 1000
        assert heard.error is None
        for message in heard.predictions:
            assert all(0 <= p <= 1 for p in message.smoothed.values())
            assert abs(sum(message.probabilities.values()) - 1) < 1e-3
            assert -120 <= message.level_dbfs < 10
        if abs(bad) > 1e20 or np.isnan(bad):
            told = heard.errors("bad_samples")
            assert sum(one.dropped for one in told) == (n_bad or len(samples))
            lost = sum(m.dropped for m in heard.messages if isinstance(m, Prediction | Status))
            assert lost >= (n_bad or len(samples))
        if n_bad is None:
            assert not heard.predictions

    asyncio.run(check())


# Frames


@pytest.mark.parametrize("path", ["/audio", "/events"])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("length", [1 << 30, 1 << 40, (1 << 63) - 1])
def test_a_huge_message_is_refused_by_its_header(
    server: EventServer, neighbour: Neighbour, path: str, opcode: int, length: int
) -> None:
    async def check() -> None:
        async with neighbour(server), Peer.shake(server, path) as peer:
            if path == "/audio":
                await peer.say(STARTED)
            await peer.say(frame(bytes(1000), opcode, length=length))
            assert (await peer.heard()).code == 1009

    asyncio.run(check())


@pytest.mark.parametrize("path", ["/audio", "/events"])
def test_a_huge_message_in_pieces_is_refused_once_it_is_too_long(
    server: EventServer, neighbour: Neighbour, path: str
) -> None:
    n_piece, n_said = (1 << 15, 0) if path == "/audio" else (300, 0)
    most = Limits().n_message_bytes if path == "/audio" else Limits().n_request_bytes

    async def check() -> None:
        nonlocal n_said
        async with neighbour(server), Peer.shake(server, path) as peer:
            if path == "/audio":
                await peer.say(STARTED)
            await peer.say(frame(bytes(n_piece), BINARY, fin=False))
            for _ in range(2 * most // n_piece):
                n_said += n_piece
                if not await peer.say(frame(bytes(n_piece), CONTINUATION, fin=False)):
                    break
            assert (await peer.heard()).code in {1009, None}

    asyncio.run(check())


@pytest.mark.parametrize(("path", "size"), [("/audio", 0), ("/events", 1)])
def test_a_message_in_endless_tiny_pieces_is_refused(
    server: EventServer, neighbour: Neighbour, path: str, size: int
) -> None:
    pieces = frame(bytes(size), CONTINUATION, fin=False) * 1000

    async def check() -> None:
        async with neighbour(server), Peer.shake(server, path) as peer:
            await peer.say(frame(b"x", TEXT, fin=False))
            for _ in range(5):
                if not await peer.say(pieces):
                    break
            assert (await peer.heard()).code in {1009, None}

    asyncio.run(check())


BROKEN: dict[str, tuple[bytes, set[int]]] = {
    "not masked": (frame(b"{}", masked=False), {1002}),
    "continues nothing": (frame(b"{}", CONTINUATION), {1002}),
    "a frame inside a message": (frame(b"{", fin=False) + frame(b"}"), {1002}),
    "reserved opcode 3": (frame(b"", 3), {1002}),
    "reserved opcode 15": (frame(b"", 15), {1002}),
    "compressed": (frame(b"\xaa\x56\x4a\x2d\x4e\x2d\x52\xb2\x02\x00", reserved=4), {1002}),
    "reserved bit 2": (frame(b"{}", reserved=2), {1002}),
    "reserved bit 3": (frame(b"{}", reserved=1), {1002}),
    "a long ping": (frame(bytes(126), PING), {1002}),
    "a ping in pieces": (frame(b"", PING, fin=False), {1002}),
    "a close of one byte": (frame(b"\x03", CLOSE), {1002}),
    "a close with a code that is none": (frame(b"\x00\x01", CLOSE), {1002}),
    "a close with broken text": (frame(b"\x03\xe8\xff", CLOSE), {1007, 1002}),
    "broken text": (frame(b'{"v":1,"type":"\xff\xfe"}'), {1007}),
    "a wordy length": (b"\x81\xfe\x00\x05\0\0\0\0hello", {1002, 1008}),
    "a negative length": (b"\x82\xff" + b"\xff" * 8 + bytes(4), {1002, 1009}),
    "http": (request("/", ("Host", "localhost")), {1002}),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), {1002}),
    "noise": (bytes(range(256)) * 10, {1002}),
}


@pytest.mark.parametrize("path", ["/audio", "/events"])
def test_broken_frames_end_their_own_connection(server: EventServer, neighbour: Neighbour, path: str) -> None:
    async def check() -> None:
        async with neighbour(server):
            for name, (data, codes) in BROKEN.items():
                async with Peer.shake(server, path) as peer:
                    await peer.say(data)
                    if path == "/events" and name == "a wordy length":
                        continue
                    heard = await peer.heard()
                    assert heard.code in codes, (name, heard)

    asyncio.run(check())


def bomb(n_bytes: int) -> bytes:
    """Return a message of so many zeros, compressed as permessage-deflate does."""
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(bytes(n_bytes)) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("path", ["/audio", "/events"])
@pytest.mark.parametrize(
    "offer", ["permessage-deflate", "permessage-deflate; client_max_window_bits", "x-webkit-deflate-frame"]
)
def test_compression_is_not_agreed_on_and_a_bomb_is_not_unpacked(
    server: EventServer, neighbour: Neighbour, path: str, offer: str
) -> None:
    limits = Limits()
    packed = bomb(200_000_000 if path == "/audio" else 500_000)
    assert len(packed) < (limits.n_message_bytes if path == "/audio" else limits.n_request_bytes)

    async def check() -> None:
        async with neighbour(server), Peer.open(server) as peer:
            fields = (("Host", f"127.0.0.1:{server.port}"), *UPGRADE, ("Sec-WebSocket-Extensions", offer))
            answer = await peer.ask(request(path, *fields))
            assert answer.status == 101
            assert "sec-websocket-extensions" not in answer.fields
            await peer.say(frame(packed, BINARY, reserved=4))
            assert (await peer.heard()).code == 1002

    asyncio.run(check())


@pytest.mark.parametrize("path", ["/audio", "/events"])
def test_a_flood_of_pings_is_answered_or_cut_off_but_never_hoarded(
    server: EventServer, neighbour: Neighbour, path: str
) -> None:
    """Each ping is answered; whoever does not read the answers makes them pile up."""
    flood = frame(bytes(125), PING) * 500
    most = 0

    async def check() -> None:
        nonlocal most
        assert server._sessions is not None
        async with neighbour(server), Peer.shake(server, path) as peer:
            for _ in range(400):
                if not await peer.say(flood):
                    break
                connections = tuple(server._sessions._connections)
                most = max(most, *(one.transport.get_write_buffer_size() for one in connections), 0)
        assert most < 4 << 20, f"{most} bytes for one peer"

    asyncio.run(check())


# Requests

HOST = ("Host", "localhost")


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/%2e%2e/server.py",
        "/..%2f..%2fetc/passwd",
        "/..%5cserver.py",
        "/%c0%ae%c0%ae/x",
        "//etc/passwd",
        "/index.html%00",
        "/./index.html",
        "/%2e",
        "/dashboard/../../x",
        "/.",
        "http://localhost/index.html",
        "*",
        "/\\..\\x",
        "/a" * 2000,
    ],
)
def test_there_is_no_way_out_of_the_page(server: EventServer, path: str) -> None:
    async def check() -> None:
        async with Peer.open(server) as peer:
            answer = await peer.ask(request(path, HOST))
            assert answer.status == 404
            assert len(answer.body) < 300
            assert answer.fields["connection"] == "close"
            assert await peer.ended() == b""

    asyncio.run(check())


MALFORMED_REQUESTS: dict[str, tuple[bytes, set[int]]] = {
    # 0: the connection ends without an answer.
    "no host": (request("/"), {400}),
    "two hosts": (request("/", HOST, ("Host", "example.org")), {400}),
    "HTTP/1.0 without a host": (request("/", version="HTTP/1.0"), {400}),
    "HTTP/1.0": (request("/", HOST, version="HTTP/1.0"), {200}),
    "HTTP/1.0 upgrade": (request("/events", HOST, *UPGRADE, version="HTTP/1.0"), {400, 426, 505}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {0, 400}),
    "HTTP/0.9": (b"GET /\r\n\r\n", {0, 400}),
    "no method": (b" / HTTP/1.1\r\nHost: localhost\r\n\r\n", {0, 400, 405}),
    "POST": (request("/", HOST, method="POST"), {405}),
    "POST audio": (request("/audio", HOST, *UPGRADE, method="POST"), {405}),
    "POST of something": (
        request("/", HOST, ("Content-Length", "5"), method="POST") + b"hello",
        {0, 400, 405},
    ),
    "PUT": (request("/index.html", HOST, method="PUT"), {405}),
    "PUT of something": (
        request("/x", HOST, ("Content-Length", "5"), method="PUT") + b"hello",
        {0, 400, 405},
    ),
    "DELETE": (request("/index.html", HOST, method="DELETE"), {405}),
    "OPTIONS": (request("*", HOST, method="OPTIONS"), {405}),
    "TRACE": (request("/", HOST, method="TRACE"), {405}),
    "CONNECT": (request("localhost:80", HOST, method="CONNECT"), {405}),
    "HEAD": (request("/", HOST, method="HEAD"), {405}),
    "chunks": (
        request("/", HOST, ("Transfer-Encoding", "chunked")) + b"5\r\nhello\r\n0\r\n\r\n",
        {0, 400, 501},
    ),
    "a body": (request("/", HOST, ("Content-Length", "999999999999")), {0, 400, 413}),
    "a negative body": (request("/", HOST, ("Content-Length", "-1")), {0, 400}),
    "a space in a name": (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", {0, 400}),
    "a folded header": (b"GET / HTTP/1.1\r\nHost: localhost\r\n x: y\r\n\r\n", {0, 400}),
    "a NUL in a header": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n", {0, 400}),
    "a path that is not ASCII": ("GET /\xe4 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), {0, 400, 404}),
    "a long line": (request("/" + "a" * 9_000, HOST), {0, 400, 414, 431}),
    "an endless line": (b"GET /" + b"a" * 2_000_000, {0, 400, 414, 431}),
    "a long header": (request("/", HOST, ("X", "a" * 9_000)), {0, 400, 431}),
    "an endless header": (b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000_000, {0, 400, 431}),
    "many headers": (request("/", HOST, *[("X", "y")] * 200), {0, 400, 431}),
    "endless headers": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 300_000, {0, 400, 431}),
    "noise": (bytes(range(256)) * 100, {0, 400}),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\n", {0, 400}),
    "no key": (request("/events", HOST, *UPGRADE[:2], UPGRADE[3]), {400}),
    "a wrong key": (request("/events", HOST, *UPGRADE[:2], UPGRADE[3], ("Sec-WebSocket-Key", "x")), {400}),
    "two keys": (request("/events", HOST, *UPGRADE, UPGRADE[2]), {400}),
    "another version": (request("/events", HOST, *UPGRADE[:3], ("Sec-WebSocket-Version", "7")), {400, 426}),
    "no connection": (request("/events", HOST, UPGRADE[0], *UPGRADE[2:]), {400, 426}),
    "an unknown upgrade": (request("/events", HOST, ("Upgrade", "h2c"), UPGRADE[1]), {426}),
    "a wrong protocol header": (
        request("/events", HOST, *UPGRADE, ("Sec-WebSocket-Protocol", ",\t(")),
        {101, 400},
    ),
    "a bad query": (request("/events?since=yesterday", HOST, *UPGRADE), {400}),
    "an unknown query": (request("/events?color=red", HOST, *UPGRADE), {400}),
    "a broken query": (request("/events?%ff&&==;=%", HOST, *UPGRADE), {400}),
    "a long query": (request("/events?" + "stream=a&" * 800, HOST, *UPGRADE), {101, 400}),
}


def test_malformed_requests_end_their_own_connection(server: EventServer, neighbour: Neighbour) -> None:
    async def check() -> None:
        async with neighbour(server):
            for name, (data, statuses) in MALFORMED_REQUESTS.items():
                async with Peer.open(server) as peer:
                    answer = await peer.ask(data)
                    assert answer.status in statuses, (name, answer)
                    if answer.status >= 400:
                        assert b"Traceback" not in answer.body, name
                        assert len(answer.body) < 1000, name

    asyncio.run(check())


def test_a_refused_handshake_leaves_nothing_behind(server: EventServer) -> None:
    async def check() -> None:
        for _ in range(50):
            async with Peer.open(server) as peer:
                answer = await peer.ask(request("/events", HOST, *UPGRADE[:2], UPGRADE[3]))
                assert answer.status == 400

    asyncio.run(check())
    # The fixture waits until there is nothing left of any connection.


def test_a_second_request_on_a_connection_is_not_answered(server: EventServer) -> None:
    async def check() -> None:
        async with Peer.open(server) as peer:
            await peer.say(request("/health", HOST) + request("/metrics", HOST))
            # Neither may be: the second is no proper farewell.
            answers = await peer.ended()
            assert answers.count(b"HTTP/1.1 ") <= 1
            assert b"tonewatch_" not in answers

    asyncio.run(check())


def test_a_foreign_page_is_turned_away(server: EventServer) -> None:
    async def check() -> None:
        for path in ("/events", "/audio"):
            for origin in ("https://example.org", "null", "", f"http://localhost:{server.port}"):
                async with Peer.open(server) as peer:
                    fields = (("Host", f"127.0.0.1:{server.port}"), *UPGRADE, ("Origin", origin))
                    answer = await peer.ask(request(path, *fields))
                    assert answer.status == 403, origin
                    assert b"found a page of" in answer.body
            async with Peer.shake(server, path, ("Origin", f"http://127.0.0.1:{server.port}")):
                pass

    asyncio.run(check())


def test_a_name_that_was_made_to_point_here_is_turned_away(server: EventServer) -> None:
    async def check() -> None:
        name = f"evil.example:{server.port}"
        for path in ("/", "/events", "/audio", "/health", "/metrics", "/schema.json", "/absent"):
            async with Peer.open(server) as peer:
                fields = (("Host", name), *UPGRADE, ("Origin", f"http://{name}"))
                assert (await peer.ask(request(path, *fields))).status == 403, path

    asyncio.run(check())


def test_without_the_token_nobody_gets_in_and_it_is_never_logged(
    serve_hostile: Serve,
    neighbour: Neighbour,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Our own side of the connections, which is in this process too, may say what it likes.
    caplog.set_level(logging.WARNING, "websockets.client")
    caplog.set_level(logging.DEBUG)
    server = serve_hostile(access=Access(token=TOKEN))
    named = base64.urlsafe_b64encode(TOKEN.encode()).rstrip(b"=").decode()
    protocols = ("Sec-WebSocket-Protocol", f"tonewatch.v1, tonewatch.token.{named}")

    async def status(path: str, *fields: tuple[str, str]) -> Answer:
        async with Peer.open(server) as peer:
            return await peer.ask(request(path, HOST, *UPGRADE, *fields))

    async def check() -> None:
        async with neighbour(server):
            for path in ("/events", "/audio", "/metrics"):
                assert (await status(path)).status == 401
                assert (await status(path, ("Authorization", f"Bearer {TOKEN}x"))).status == 401
                assert (await status(path, ("Sec-WebSocket-Protocol", "tonewatch.token.eA"))).status == 401
                for query in (f"token={TOKEN}", f"since=1&token={TOKEN}"):
                    assert (await status(f"{path}?{query}")).status in {400, 401}
                    answer = await status(f"{path}?{query}", ("Authorization", f"Bearer {TOKEN}"))
                    assert answer.status == 400
                    assert TOKEN.encode() not in answer.body
            for path in ("/events", "/audio"):
                assert (await status(path, ("Authorization", f"Bearer {TOKEN}"))).status == 101
                answer = await status(path, protocols)
                assert answer.status == 101
                # The token is no protocol, so it does not come back either.
                assert answer.fields["sec-websocket-protocol"] == "tonewatch.v1"
            assert (await status("/metrics", ("Authorization", f"Bearer {TOKEN}"))).status == 200
            assert json.loads((await status("/health")).body) == {"status": "ok"}

    asyncio.run(check())
    out, err = capfd.readouterr()
    assert "realtime.server" in caplog.text
    for text in (caplog.text, out, err):
        assert TOKEN not in text
        assert named not in text


# Those who take their time


def test_a_thousand_half_open_handshakes_keep_nobody_out(serve_hostile: Serve, neighbour: Neighbour) -> None:
    limits = Limits(handshake_s=3.0, n_handshakes=100)
    server = serve_hostile(limits)
    sessions = server._sessions
    assert sessions is not None
    n = 1000
    assert n > RUSH * limits.n_handshakes
    beginnings = [b"", b"G", b"GET /events HTTP/1.1\r\n", request("/audio", HOST, *UPGRADE, end="")]

    async def check() -> None:
        idle = list[socket.socket]()
        try:
            async with neighbour(server):
                for number in range(n):
                    one = socket.create_connection(("127.0.0.1", server.port))
                    one.sendall(beginnings[number % len(beginnings)])
                    idle.append(one)
                    assert len(sessions._half_open) <= RUSH * limits.n_handshakes
                began_s = time.monotonic()
                for path in ("/audio", "/events"):
                    async with Peer.shake(server, path):
                        pass
                async with Peer.open(server) as peer:
                    assert (await peer.ask(request("/health", HOST))).status == 200
                assert time.monotonic() - began_s < limits.handshake_s
            # And those who are left are not waited for.
            for one in idle:
                one.settimeout(DEADLINE_S)
                with contextlib.suppress(OSError):
                    assert len(await asyncio.to_thread(one.recv, 4096)) < 4096
        finally:
            for one in idle:
                one.close()

    asyncio.run(check())


def test_a_request_that_never_ends_is_cut_off(serve_hostile: Serve, neighbour: Neighbour) -> None:
    server = serve_hostile(Limits(handshake_s=1.5))

    async def check() -> None:
        async with neighbour(server), Peer.open(server) as peer:
            began_s = time.monotonic()
            await peer.say(b"GET /events HTTP/1.1\r\nHost: localhost\r\n")
            while await peer.say(b"X: y\r\n"):
                await asyncio.sleep(0.1)
                assert time.monotonic() - began_s < 15

    asyncio.run(check())


def test_those_who_are_turned_away_and_stay_are_bounded_too(
    serve_hostile: Serve, neighbour: Neighbour
) -> None:
    limits = Limits(n_handshakes=20)
    server = serve_hostile(limits)
    sessions = server._sessions
    assert sessions is not None

    async def check() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(200):
                peer = await stack.enter_async_context(Peer.open(server))
                await peer.say(request("/absent", HOST))
            # Sooner than the time they are given to leave by themselves.
            deadline_s = time.monotonic() + 2.5
            while len(sessions._connections) > limits.n_handshakes:
                assert time.monotonic() < deadline_s
                await asyncio.sleep(0.01)
            async with neighbour(server):
                pass

    asyncio.run(check())


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key, made by the openssl command."""
    folder = tmp_path_factory.mktemp("pem")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    subprocess.run([*command.split(), *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def test_tls_is_spoken_and_nothing_else(serve_hostile: Serve, pem: tuple[Path, Path]) -> None:
    server = serve_hostile(Limits(handshake_s=2.0), tls=server_tls(*pem))
    trusting = ssl.create_default_context(cafile=pem[0])

    async def check() -> None:
        assert server.url.startswith("wss://127.0.0.1:")
        assert server.page_url.startswith("https://127.0.0.1:")
        began_s = time.monotonic()
        async with contextlib.AsyncExitStack() as stack:
            # Neither those who say nothing nor those who say something else keep others out, or stay.
            idle = [await stack.enter_async_context(Peer.open(server)) for _ in range(50)]
            await idle[0].say(request("/", HOST))
            await idle[1].say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            async with connect(server.url, ssl=trusting, origin=server.page_url[:-1]) as connection:  # type: ignore[arg-type]
                assert isinstance(messages.decode(await connection.recv()), messages.Hello)
            with pytest.raises(InvalidStatus):
                await connect(server.url, ssl=trusting, origin=server.page_url[:-1].replace("https", "http"))  # type: ignore[arg-type]
            async with Peer.open(server, trusting) as peer:
                answer = await peer.ask(request("/health", ("Host", f"localhost:{server.port}")))
                assert answer.status == 200
            for one in idle:
                await one.ended()
        assert time.monotonic() - began_s < 20

    asyncio.run(check())


def test_senders_who_never_start_keep_nobody_out(serve_hostile: Serve, neighbour: Neighbour) -> None:
    server = serve_hostile(Limits(n_senders=2))

    async def check() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(Peer.shake(server))
            async with neighbour(server):
                pass

    asyncio.run(check())


def test_a_sender_who_reads_nothing_harms_nobody(
    server: EventServer, neighbour: Neighbour, make_voice: MakeVoice
) -> None:
    data = frame(make_voice(4).tobytes()[:250_000], BINARY)

    async def check() -> None:
        async with neighbour(server), Peer.shake(server) as peer:
            await peer.say(STARTED)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3):
                    for _ in range(100):
                        await peer.say(data)

    asyncio.run(check())


def test_whoever_breaks_off_anywhere_harms_nobody(server: EventServer, neighbour: Neighbour) -> None:
    said = request("/audio", HOST, *UPGRADE) + STARTED + frame(bytes(64_000), BINARY) + STOPPED

    async def check() -> None:
        async with neighbour(server):
            for n in (0, 1, 50, 150, 230, 300, 400, 5_000, 64_000, len(said) - 3, len(said)):
                async with Peer.open(server) as peer:
                    await peer.say(said[:n])

    asyncio.run(check())


def test_the_server_still_runs_after_all_of_it(server: EventServer, neighbour: Neighbour) -> None:
    async def check() -> None:
        async with neighbour(server):
            assert is_alive(server)

    asyncio.run(check())
