"""Real sockets, real subscribers; the loop of each test reads, the server runs in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from realtime import messages
from realtime.errors import AddressError, SettingsError, SinkError
from realtime.messages import to_message
from realtime.server.access import Access
from realtime.server.crowd import RUSH
from realtime.server.limits import Limits
from realtime.server.server import EventServer, _explain
from realtime.types import Prediction, State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.typing import Subprotocol

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
    server = EventServer("127.0.0.1", 0, [STREAM], limits=Limits(n_queued=N_QUEUED))
    server.start()
    yield server
    server.close()


async def read(connection: ClientConnection) -> messages.Message:
    """Return the next message, without its dates."""
    message = messages.decode(await asyncio.wait_for(connection.recv(), DEADLINE_S))
    return msgspec.structs.replace(message, sent=None, clock=None)


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
            assert await read(connection) == msgspec.structs.replace(
                messages.hello([STREAM]), history_s=600.0
            )
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


@pytest.mark.parametrize("origin", ["https://example.org", "null", "http://localhost", "", "http://[::1]:80"])
def test_a_foreign_page_cannot_listen_in(server: EventServer, origin: str) -> None:
    async def check() -> None:
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url, additional_headers={"Origin": origin})
        assert caught.value.response.status_code == 403

    asyncio.run(check())


def test_programs_and_its_own_page_can_listen(server: EventServer) -> None:
    async def check() -> None:
        own = Origin(server.page_url.removesuffix("/"))
        for origin in (None, own):
            async with connect(server.url, origin=origin) as connection:
                assert isinstance(await read(connection), messages.Hello)

    asyncio.run(check())


@pytest.mark.parametrize("path", ["/event", "/events/more", "/audio", "//events", "/../events"])
def test_other_paths_are_not_found(server: EventServer, path: str) -> None:
    async def check() -> None:
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url.removesuffix("/events") + path)
        assert caught.value.response.status_code == 404
        assert b"/events" in caught.value.response.body

    asyncio.run(check())


@pytest.mark.parametrize("query", ["types=weather", "min_probability=2", "since=yesterday", "strem=a", "x"])
def test_a_query_that_is_not_understood_is_refused(server: EventServer, query: str) -> None:
    async def check() -> None:
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{server.url}?{query}")
        assert caught.value.response.status_code == 400
        assert caught.value.response.body.count(b"\n") == 1

    asyncio.run(check())


def test_page_and_health_are_on_the_same_port(server: EventServer) -> None:
    status, page = http_get(server.page_url)
    assert (status, page[:15]) == (200, "<!doctype html>")
    server.publish(LISTENING)
    status, text = http_get(f"{server.page_url}health")
    health = json.loads(text)
    assert (status, health["listening"]) == (200, True)
    assert [(one["name"], one["state"]) for one in health["streams"]] == [("microphone", "listening")]
    assert http_get(f"{server.page_url}favicon.ico")[0] == 404
    assert http_get(f"{server.page_url}events")[0] == 426


def test_what_is_counted_is_shown(server: EventServer) -> None:
    async def check() -> None:
        async with connect(server.url) as connection:
            await read(connection)
            server.publish(replace(prediction(0), dropped=7))
            await read(connection)
            metrics = (await asyncio.to_thread(http_get, f"{server.page_url}metrics"))[1].splitlines()
            assert "tonewatch_subscribers 1.0" in metrics
            assert "tonewatch_dropped_samples_total 7.0" in metrics
            assert "tonewatch_prediction_latency_seconds_count 1.0" in metrics

    asyncio.run(check())


def test_subscribers_get_what_they_ask_for(server: EventServer) -> None:
    async def check() -> None:
        query = "?stream=second&stream=third&types=prediction&min_probability=0.5"
        async with connect(server.url + query) as connection:
            assert isinstance(await read(connection), messages.Hello)
            second = replace(STREAM, name="second")
            server.publish(prediction(0))
            server.publish(replace(LISTENING, stream=second))
            server.publish(replace(prediction(1), stream=second, probability=0.4))
            server.publish(replace(prediction(2), stream=second))
            assert isinstance(await read(connection), messages.Hello)
            assert await read(connection) == to_message(replace(prediction(2), stream=second))

    asyncio.run(check())


def test_who_comes_late_gets_the_past_and_what_follows_without_a_gap(server: EventServer) -> None:
    async def check() -> None:
        for seq in range(5):
            server.publish(prediction(seq))
        async with connect(f"{server.url}?since=60") as connection:
            assert isinstance(await read(connection), messages.Hello)
            server.publish(prediction(5))
            assert await read_seqs(connection, 5) == [0, 1, 2, 3, 4, 5]

    asyncio.run(check())


def test_who_comes_back_goes_on_behind_its_newest_message(server: EventServer) -> None:
    async def check() -> None:
        since, seqs = None, list[int]()
        for round_ in range(4):
            query = "" if since is None else f"?since={since.isoformat()}"
            async with connect(server.url + query) as connection:
                while len(seqs) < 3 * (round_ + 1):
                    message = messages.decode(await asyncio.wait_for(connection.recv(), DEADLINE_S))
                    assert message.sent is not None
                    since = message.sent
                    if isinstance(message, messages.Prediction):
                        seqs.append(message.seq)
                    elif round_ == 0:
                        for seq in range(12):
                            server.publish(prediction(seq))
        assert seqs == list(range(12))

    asyncio.run(check())


def test_at_capacity_a_subscriber_is_told_why() -> None:
    server = EventServer("127.0.0.1", 0, [STREAM], limits=Limits(n_subscribers=1))
    server.start()

    async def check() -> None:
        async with connect(server.url) as one:
            await read(one)
            async with connect(server.url) as other:
                error = await read(other)
                assert isinstance(error, messages.Error)
                assert (error.code, error.fatal) == ("at_capacity", True)
                with pytest.raises(ConnectionClosed):
                    await read(other)
                assert other.close_code == 1013
            server.publish(prediction(0))
            assert await read(one) == to_message(prediction(0))

    try:
        asyncio.run(check())
    finally:
        server.close()


def test_of_too_many_half_open_connections_the_oldest_gives_way() -> None:
    server = EventServer("127.0.0.1", 0, [STREAM], limits=Limits(n_handshakes=8))
    server.start()

    async def check() -> None:
        async with connect(server.url) as connection:
            await read(connection)
            with contextlib.ExitStack() as stack:
                idle = [
                    stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                    for _ in range(50)
                ]
                async with connect(server.url) as newcomer:
                    await read(newcomer)
                idle[0].settimeout(DEADLINE_S)
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.to_thread(idle[0].recv, 1) == b""
                assert server._sessions is not None
                half_open = server._sessions._half_open
                assert len(half_open) <= RUSH * 8
                until = time.monotonic() + DEADLINE_S
                while len(half_open) > 8:
                    assert time.monotonic() < until
                    await asyncio.sleep(0.05)
                # No more of them than has to be.
                assert len(half_open) == 8
            server.publish(prediction(0))
            assert await read(connection) == to_message(prediction(0))

    try:
        asyncio.run(check())
    finally:
        server.close()


def test_many_at_one_moment_are_all_answered(server: EventServer) -> None:
    n = 400

    async def get() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /live.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = await asyncio.wait_for(reader.read(), DEADLINE_S)
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()
        return answer[:15]

    async def check() -> list[bytes]:
        # So that they are all there, requests and all, when the server looks.
        assert server._loop is not None
        server._loop.call_soon_threadsafe(time.sleep, 1.5)
        return await asyncio.gather(*(get() for _ in range(n)))

    assert server._limits.n_handshakes < n
    assert asyncio.run(check()) == [b"HTTP/1.1 200 OK"] * n


def test_a_handshake_that_takes_too_long_is_cut_off() -> None:
    server = EventServer("127.0.0.1", 0, [STREAM], limits=Limits(handshake_s=0.2))
    server.start()
    try:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(HANDSHAKE[:40])
            slow.settimeout(DEADLINE_S)
            with contextlib.suppress(ConnectionResetError):
                assert slow.recv(1) == b""
    finally:
        server.close()


def test_the_subprotocol_is_chosen_where_it_is_offered(server: EventServer) -> None:
    async def check() -> None:
        for offered, chosen in (
            (["tonewatch.v1"], "tonewatch.v1"),
            (["tonewatch.token.eA", "tonewatch.v1"], "tonewatch.v1"),
            (["chat"], None),
            (None, None),
        ):
            async with connect(
                server.url, subprotocols=cast("list[Subprotocol] | None", offered)
            ) as connection:
                assert connection.subprotocol == chosen

    asyncio.run(check())


def test_a_server_needs_a_stream_or_a_model() -> None:
    with pytest.raises(ValueError, match="no stream"):
        EventServer("127.0.0.1", 0)


def test_the_network_is_not_served_without_a_token() -> None:
    with pytest.raises(SettingsError, match="without a token"):
        EventServer("0.0.0.0", 0, [STREAM])


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
            assert server._publisher is not None
            assert len(server._publisher.subscribers) == 1
        deadline_s = time.monotonic() + DEADLINE_S
        while server._sessions._tasks or server._sessions._connections or server._sessions._links:
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
    server = EventServer(host, port, [STREAM], access=Access(insecure=True))
    with pytest.raises(AddressError, match=advice):
        server.start()


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "127.0.0.1"])
def test_port_0_is_one_port_whatever_the_host(host: str) -> None:
    server = EventServer(host, 0, [STREAM], access=Access(insecure=True))
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


def test_connections_are_bounded_in_all() -> None:
    limits = Limits(n_subscribers=2, n_senders=2, n_handshakes=4)
    server = EventServer("127.0.0.1", 0, [STREAM], limits=limits)
    server.start()
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(60):
                flood = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                flood.sendall(HANDSHAKE)
            flood.settimeout(DEADLINE_S)
            with contextlib.suppress(ConnectionResetError):
                while flood.recv(4096):
                    pass
            sessions = server._sessions
            assert sessions is not None
            assert len(sessions._connections) <= 2 + 2 + 2 * RUSH * 4 < 60
            # Those that were let in have a query until they are served, those that were cut off none.
            until = time.monotonic() + DEADLINE_S
            while sessions._queries and time.monotonic() < until:
                time.sleep(0.01)
            assert not sessions._queries
    finally:
        server.close()
