from __future__ import annotations

import asyncio
import socket
import time
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from realtime import messages
from realtime.client import _delays, subscribe
from realtime.errors import SubscriptionError
from realtime.messages import to_message
from realtime.server.server import EventServer
from realtime.types import State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STREAM = Stream(
    "microphone", "tiny", ("neutral", "angry"), 22050, 66150, 11025, datetime(2026, 1, 1, tzinfo=UTC)
)
LISTENING = Status(STREAM, State.LISTENING, "", 0, 0, -30.0)
HELLO = messages.encode(messages.hello([STREAM])).decode()
DEADLINE_S = 20.0


async def following(stream: AsyncIterator[messages.Message]) -> messages.Message:
    return await asyncio.wait_for(anext(stream), DEADLINE_S)


def started(port: int = 0) -> EventServer:
    server = EventServer("127.0.0.1", port, [STREAM])
    server.start()
    return server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/events"


def test_yields_hello_and_then_events() -> None:
    async def check() -> None:
        server = started()
        async with aclosing(subscribe(server.url)) as stream:
            assert await following(stream) == messages.hello([STREAM])
            server.publish(LISTENING)
            assert await following(stream) == to_message(LISTENING)
        await asyncio.to_thread(server.close)

    asyncio.run(check())


def test_goes_on_when_the_server_starts_again() -> None:
    async def check() -> None:
        server = started()
        async with aclosing(subscribe(server.url)) as stream:
            for run in range(3):
                assert isinstance(await following(stream), messages.Hello)
                event = replace(LISTENING, detail=f"run {run}")
                server.publish(event)
                assert await following(stream) == to_message(event)
                await asyncio.to_thread(server.close)
                stopped = await following(stream)
                assert isinstance(stopped, messages.Status)
                assert stopped.state is State.STOPPED
                loss = await following(stream)
                assert isinstance(loss, messages.Error)
                assert (loss.code, loss.fatal) == ("disconnected", False)
                server = started(server.port)
        await asyncio.to_thread(server.close)

    asyncio.run(check())


def test_waits_for_a_server_that_is_not_there_yet() -> None:
    async def check() -> None:
        port = free_port()
        async with aclosing(subscribe(f"ws://127.0.0.1:{port}/events")) as stream:
            first = asyncio.create_task(following(stream))
            await asyncio.sleep(0.1)
            assert not first.done()
            server = started(port)
            assert await first == messages.hello([STREAM])
        await asyncio.to_thread(server.close)

    asyncio.run(check())


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/events",
        "127.0.0.1:8765",
        "",
        "ws://",
        "ws://127.0.0.1:99999/events",
        "ws://[::1/events",
    ],
)
def test_a_wrong_address_is_refused_at_once(url: str) -> None:
    async def check() -> None:
        with pytest.raises(SubscriptionError, match=r"wanted one like ws://127.0.0.1:8765/events"):
            await following(subscribe(url))

    asyncio.run(check())


def test_a_wrong_path_is_refused_at_once() -> None:
    async def check() -> None:
        server = started()
        with pytest.raises(SubscriptionError, match=r"HTTP status 404; .*is it ws://HOST:PORT/events"):
            await following(subscribe(server.url.replace("/events", "/")))
        await asyncio.to_thread(server.close)

    asyncio.run(check())


def test_what_is_no_web_server_is_refused_at_once() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await writer.drain()
        writer.close()

    async def check() -> None:
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(SubscriptionError, match="no web server"):
                await following(subscribe(f"ws://127.0.0.1:{port}/events"))

    asyncio.run(check())


def test_another_program_s_messages_are_refused() -> None:
    async def chat(connection: ServerConnection) -> None:
        await connection.send("hello there")

    async def check() -> None:
        async with serve(chat, "127.0.0.1", 0) as server:
            with pytest.raises(SubscriptionError, match="wanted a Tonewatch message"):
                await following(subscribe(url_of(server)))

    asyncio.run(check())


def test_tries_again_when_the_server_is_unwell_or_drops_the_connection() -> None:
    n_attempts = 0

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal n_attempts
        n_attempts += 1
        await reader.readuntil(b"\r\n\r\n")
        if n_attempts == 1:
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    async def check() -> None:
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            stream = subscribe(f"ws://127.0.0.1:{port}/events")
            waiting = asyncio.ensure_future(anext(stream))
            deadline_s = time.monotonic() + DEADLINE_S
            while n_attempts < 3:
                assert time.monotonic() < deadline_s
                assert not waiting.done()
                await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(check())


def test_a_server_that_closes_at_once_is_not_besieged() -> None:
    n_attempts = 0

    async def hang_up(connection: ServerConnection) -> None:
        nonlocal n_attempts
        n_attempts += 1
        await connection.send(HELLO)

    async def read_on(url: str) -> None:
        async for _ in subscribe(url):
            pass

    async def check() -> None:
        async with serve(hang_up, "127.0.0.1", 0) as server:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read_on(url_of(server)), 1.0)
        assert 1 <= n_attempts <= 5

    asyncio.run(check())


def test_an_attempt_that_hangs_is_given_up() -> None:
    async def check() -> None:
        # Accepts in the kernel, and never answers.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(DEADLINE_S)
            port = silent.getsockname()[1]
            stream = subscribe(f"ws://127.0.0.1:{port}/events", open_timeout_s=0.1)
            waiting = asyncio.ensure_future(anext(stream))
            for _ in range(2):
                connection, _address = await asyncio.to_thread(silent.accept)
                connection.close()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(check())


@pytest.mark.parametrize("how", ["aclose", "cancel"])
def test_the_server_is_told_when_nobody_reads_any_more(how: str) -> None:
    closed: list[int | None] = []

    async def greet(connection: ServerConnection) -> None:
        await connection.send(HELLO)
        await connection.wait_closed()
        closed.append(connection.close_code)

    async def check() -> None:
        async with serve(greet, "127.0.0.1", 0) as server:
            stream = subscribe(url_of(server))
            await following(stream)
            if how == "aclose":
                await stream.aclose()
            else:
                waiting = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
        assert closed == [1000]

    asyncio.run(check())


def test_delays_grow_to_half_a_minute_and_differ() -> None:
    delays, others = _delays(), _delays()
    first = [next(delays) for _ in range(20)]
    assert 0.25 <= first[0] <= 0.5
    assert all(15.0 <= delay <= 30.0 for delay in first[-5:])
    assert first != [next(others) for _ in range(20)]
