"""Real sockets, real subscribers; the loop of each test reads, the server runs in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from realtime import messages
from realtime.errors import AddressError, SinkError
from realtime.messages import to_message
from realtime.server.server import EventServer, _explain
from realtime.types import Prediction, State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.typing import Origin

STREAM = Stream(
    "microphone", "tiny", ("neutral", "angry"), 22050, 66150, 11025, datetime(2026, 1, 1, tzinfo=UTC)
)
LISTENING = Status(STREAM, State.LISTENING, "", 66150, 66150, -30.0, dropped=9)
N_QUEUED = 16
DEADLINE_S = 20.0


def prediction(seq: int) -> Prediction:
    return Prediction(STREAM, seq, 0, 66150 + seq, "angry", 0.75, (0.5, 0.5), (0.25, 0.75), -23.4)


@pytest.fixture
def server() -> Iterator[EventServer]:
    server = EventServer("127.0.0.1", 0, [STREAM], n_queued=N_QUEUED)
    server.start()
    yield server
    server.close()


async def read(connection: ClientConnection) -> messages.Message:
    return messages.decode(await asyncio.wait_for(connection.recv(), DEADLINE_S))


async def read_seqs(connection: ClientConnection, last: int) -> list[int]:
    """Return the numbers of the predictions up to `last`."""
    seqs = list[int]()
    while not seqs or seqs[-1] < last:
        message = await read(connection)
        assert isinstance(message, messages.Prediction)
        seqs.append(message.seq)
    return seqs


def http_get(url: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=DEADLINE_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_hello_comes_first_then_the_state_then_events(server: EventServer) -> None:
    async def check() -> None:
        server.publish(replace(LISTENING, state=State.STARTING))
        server.publish(LISTENING)
        async with connect(server.url) as connection:
            assert await read(connection) == messages.hello([STREAM])
            assert await read(connection) == to_message(replace(LISTENING, dropped=0))
            server.publish(prediction(0))
            assert await read(connection) == to_message(prediction(0))

    asyncio.run(check())


def test_two_subscribers_get_the_same(server: EventServer) -> None:
    async def check() -> None:
        async with connect(server.url) as one, connect(server.url) as other:
            for connection in (one, other):
                assert isinstance(await read(connection), messages.Hello)
            for seq in range(N_QUEUED):
                server.publish(prediction(seq))
            expected = list(range(N_QUEUED))
            assert await read_seqs(one, N_QUEUED - 1) == await read_seqs(other, N_QUEUED - 1) == expected

    asyncio.run(check())


def test_a_message_is_one_line_of_text(server: EventServer) -> None:
    async def check() -> None:
        async with connect(server.url) as connection:
            data = await connection.recv()
            assert isinstance(data, str)
            assert "\n" not in data

    asyncio.run(check())


def test_a_slow_subscriber_loses_its_own_oldest_and_is_told_and_a_fast_one_gets_all(
    server: EventServer,
) -> None:
    n_events = 4000

    async def check() -> None:
        narrow = socket.create_connection(("127.0.0.1", server.port))
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.setblocking(False)
        async with (
            connect(server.url, sock=narrow, max_queue=1, compression=None) as slow,
            connect(server.url) as fast,
        ):
            assert isinstance(await read(fast), messages.Hello)
            for first in range(0, n_events, N_QUEUED):
                for seq in range(first, first + N_QUEUED):
                    server.publish(prediction(seq))
                # Only once the fast one has them all comes more, so that it never has reason to lose any.
                assert await read_seqs(fast, seq) == list(range(first, first + N_QUEUED))
            assert isinstance(await read(slow), messages.Hello)
            expected, n_dropped = 0, 0
            while expected < n_events:
                message = await read(slow)
                if isinstance(message, messages.Error):
                    assert (message.code, message.fatal) == ("slow_subscriber", False)
                    n_dropped += message.dropped
                    expected += message.dropped
                else:
                    assert isinstance(message, messages.Prediction)
                    assert message.seq == expected
                    expected += 1
            assert n_dropped > n_events / 2
            assert message == to_message(prediction(n_events - 1))

    asyncio.run(check())


def test_publishing_never_waits_for_who_does_not_read(server: EventServer) -> None:
    async def check() -> None:
        async with connect(server.url, max_queue=1) as connection:
            started_s = time.monotonic()
            for seq in range(5000):
                server.publish(prediction(seq))
            assert time.monotonic() - started_s < DEADLINE_S / 4
            connection.transport.abort()

    asyncio.run(check())


def test_a_new_stream_is_introduced_to_those_who_listen(server: EventServer) -> None:
    async def check() -> None:
        second = replace(STREAM, name="second")
        async with connect(server.url) as connection:
            await read(connection)
            server.publish(replace(prediction(0), stream=second))
            hello = await read(connection)
            assert isinstance(hello, messages.Hello)
            assert hello.streams == ("microphone", "second")
            assert await read(connection) == to_message(replace(prediction(0), stream=second))

    asyncio.run(check())


def test_an_event_of_another_model_is_refused(server: EventServer) -> None:
    with pytest.raises(SinkError, match="'other'; wanted 'tiny'"):
        server.publish(replace(LISTENING, stream=replace(STREAM, model="other")))


@pytest.mark.parametrize("garbage", ["", "{}", '{"type":"stop"}', b"\x00\xff" * 99, "x" * 1000])
def test_what_a_subscriber_says_changes_nothing(server: EventServer, garbage: str | bytes) -> None:
    async def check() -> None:
        async with connect(server.url) as talker, connect(server.url) as other:
            for connection in (talker, other):
                await read(connection)
            for _ in range(100):
                await talker.send(garbage)
            # Its pings are still answered: what it says is read, not left in the buffer.
            await asyncio.wait_for(await talker.ping(), DEADLINE_S)
            server.publish(prediction(0))
            for connection in (talker, other):
                assert await read(connection) == to_message(prediction(0))

    asyncio.run(check())


def test_who_sends_too_much_at_once_is_closed_alone(server: EventServer) -> None:
    async def check() -> None:
        async with connect(server.url) as talker, connect(server.url) as other:
            await read(other)
            await talker.send("x" * 100_000)
            assert isinstance(await read(talker), messages.Hello)
            with pytest.raises(ConnectionClosed, match="1009"):
                await read(talker)
            server.publish(prediction(0))
            assert await read(other) == to_message(prediction(0))

    asyncio.run(check())


@pytest.mark.parametrize(
    "origin",
    ["https://example.org", "null", "http://localhost.example.org", "http://127.0.0.1.example.org:80", ""],
)
def test_a_foreign_page_cannot_listen_in(server: EventServer, origin: str) -> None:
    async def check() -> None:
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url, additional_headers={"Origin": origin})
        assert caught.value.response.status_code == 403

    asyncio.run(check())


@pytest.mark.parametrize(
    "origin", [None, "http://localhost", "http://localhost:3000", "https://127.0.0.1:8765", "http://[::1]:80"]
)
def test_programs_and_pages_of_this_machine_can_listen(server: EventServer, origin: Origin | None) -> None:
    async def check() -> None:
        async with connect(server.url, origin=origin) as connection:
            assert isinstance(await read(connection), messages.Hello)

    asyncio.run(check())


@pytest.mark.parametrize("path", ["/event", "/events/more", "/audio", "//events", "/"])
def test_other_paths_are_not_found(server: EventServer, path: str) -> None:
    async def check() -> None:
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url.removesuffix("/events") + path)
        assert caught.value.response.status_code == 404
        assert b"wanted /events" in caught.value.response.body

    asyncio.run(check())


def test_a_query_does_not_matter(server: EventServer) -> None:
    async def check() -> None:
        async with connect(f"{server.url}?since=0") as connection:
            assert isinstance(await read(connection), messages.Hello)

    asyncio.run(check())


def test_a_browser_is_told_where_the_events_are(server: EventServer) -> None:
    base = f"http://127.0.0.1:{server.port}"
    assert http_get(f"{base}/") == (200, f"Tonewatch sends its events over WebSocket at {server.url}\n")
    assert http_get(f"{base}/favicon.ico")[0] == 404
    assert http_get(f"{base}/events")[0] == 426


def test_close_says_stopped_and_going_away(server: EventServer) -> None:
    async def check() -> None:
        server.publish(LISTENING)
        async with connect(server.url) as connection:
            await read(connection)
            await read(connection)
            server.publish(prediction(0))
            closing = asyncio.create_task(asyncio.to_thread(server.close))
            assert await read(connection) == to_message(prediction(0))
            status = await read(connection)
            assert isinstance(status, messages.Status)
            assert (status.stream, status.state, status.since_s) == ("microphone", State.STOPPED, 3.0)
            with pytest.raises(ConnectionClosed):
                await read(connection)
            assert connection.close_code == 1001
            await closing

    asyncio.run(check())


def test_a_stream_that_stopped_by_itself_is_not_stopped_twice(server: EventServer) -> None:
    async def check() -> None:
        async with connect(server.url) as connection:
            await read(connection)
            server.publish(replace(LISTENING, state=State.STOPPED, detail="end of file"))
            closing = asyncio.create_task(asyncio.to_thread(server.close))
            status = await read(connection)
            assert isinstance(status, messages.Status)
            assert status.detail == "end of file"
            with pytest.raises(ConnectionClosed):
                await read(connection)
            await closing

    asyncio.run(check())


def test_close_waits_for_nobody(server: EventServer) -> None:
    """Neither for who never reads, nor for who never finishes, or begins, its handshake."""
    with contextlib.ExitStack() as stack:
        for request in (b"", b"GET /events HTTP/1.1\r\n", HANDSHAKE):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            idle.sendall(request)
        idle.settimeout(DEADLINE_S)
        assert idle.recv(12) == b"HTTP/1.1 101"
        for seq in range(3000):
            server.publish(prediction(seq))
            if seq % N_QUEUED == 0:
                time.sleep(0.001)
        started_s = time.monotonic()
        server.close()
        assert time.monotonic() - started_s < 2.0
        assert "tonewatch-server" not in {thread.name for thread in threading.enumerate()}


HANDSHAKE = (
    b"GET /events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def test_close_can_be_called_again_and_before_start() -> None:
    server = EventServer("127.0.0.1", 0, [STREAM])
    server.close()
    with pytest.raises(SinkError, match="not started"):
        server.publish(LISTENING)
    server.start()
    server.close()
    server.close()
    with pytest.raises(SinkError, match="has ended"):
        server.publish(LISTENING)


def test_who_leaves_is_forgotten(server: EventServer) -> None:
    async def check() -> None:
        assert server._sessions is not None
        async with connect(server.url) as connection:
            await read(connection)
            assert len(server._sessions._subscribers) == 1
        deadline_s = time.monotonic() + DEADLINE_S
        while server._sessions._tasks or server._sessions._connections or len(server._sessions._subscribers):
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.01)

    asyncio.run(check())


def test_a_port_in_use_is_refused_with_advice(server: EventServer) -> None:
    second = EventServer("127.0.0.1", server.port, [STREAM])
    with pytest.raises(AddressError, match=f"127.0.0.1:{server.port}: .*choose another one, or 0 for any"):
        second.start()
    second.close()


@pytest.mark.parametrize(
    ("host", "port", "advice"),
    [
        ("192.0.2.1", 0, "no address of this machine"),
        ("a" * 64, 0, "no address of this machine"),
        ("a" * 64, 8765, "no address of this machine"),
        ("127.0.0.1", 70000, "from 0 to 65535"),
    ],
)
def test_an_address_that_cannot_be_served_on_is_refused(host: str, port: int, advice: str) -> None:
    server = EventServer(host, port, [STREAM])
    with pytest.raises(AddressError, match=advice):
        server.start()


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "127.0.0.1"])
def test_port_0_is_one_port_whatever_the_host(host: str) -> None:
    server = EventServer(host, 0, [STREAM])
    server.start()
    try:
        assert server.port != 0

        async def check() -> None:
            async with connect(server.url) as connection:
                assert isinstance(await read(connection), messages.Hello)

        asyncio.run(check())
    finally:
        server.close()


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (socket.gaierror(-2, "Name or service not known"), "no address of this machine"),
        (PermissionError(errno.EACCES, "Permission denied"), "wanted one above 1023"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    ],
)
def test_what_is_wrong_with_an_address_is_explained(error: OSError, advice: str) -> None:
    assert advice in _explain("example", 80, error)
