from __future__ import annotations

import asyncio
import itertools
import socket
import time
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from realtime import connection, messages
from realtime.client import Place, subscribe
from realtime.errors import SubscriptionError
from realtime.messages import to_message
from realtime.server.server import EventServer
from realtime.types import State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from websockets.http11 import Request, Response

STREAM = Stream(
    "microphone", "tiny", ("neutral", "angry"), 22050, 66150, 11025, datetime(2026, 1, 1, tzinfo=UTC)
)
LISTENING = Status(STREAM, State.LISTENING, "", 0, 0, -30.0)
HELLO = messages.encode(messages.hello([STREAM])).decode()
DEADLINE_S = 20.0


async def following(stream: AsyncIterator[messages.Message]) -> messages.Message:
    return await asyncio.wait_for(anext(stream), DEADLINE_S)


def undated(message: messages.Message) -> messages.Message:
    """Return a message as it was before a server published it."""
    return msgspec.structs.replace(message, sent=None)


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
            assert isinstance(await following(stream), messages.Hello)
            server.publish(LISTENING)
            assert undated(await following(stream)) == to_message(LISTENING)
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
                assert undated(await following(stream)) == to_message(event)
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
            told = await following(stream)
            assert isinstance(told, messages.Error)
            assert told.message == f"ws://127.0.0.1:{port}/events: no server is there: trying again"
            server = started(port)
            # Told once, however often it was tried.
            assert isinstance(await following(stream), messages.Hello)
        await asyncio.to_thread(server.close)

    asyncio.run(check())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/events",
        "ws://someone:secret@127.0.0.1",
        "ws://127.0.0.1:0",
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
        with pytest.raises(SubscriptionError, match=r"HTTP status 404 .*is it ws://HOST:PORT/events"):
            await following(subscribe(server.url.replace("/events", "/nothing")))
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
            told = await following(stream)
            assert isinstance(told, messages.Error)
            assert "HTTP status 503" in told.message
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


def full(n: int = 0) -> str:
    """Return what a server says that has no room, so many microseconds after Wednesday noon."""
    error = messages.Error(code="at_capacity", message="try again later", fatal=True, dropped=0)
    sent = datetime(2026, 1, 7, 12, tzinfo=UTC) + timedelta(microseconds=n)
    return messages.encode(msgspec.structs.replace(error, sent=sent)).decode()


def test_a_server_that_is_full_is_not_besieged_and_says_so_once() -> None:
    n_attempts = 0
    told = list[messages.Message]()

    async def turn_away(connection: ServerConnection) -> None:
        nonlocal n_attempts
        n_attempts += 1
        await connection.send(full())
        await connection.close(1013)

    async def collect(url: str) -> None:
        async for message in subscribe(url):
            told.append(message)

    async def check() -> None:
        async with serve(turn_away, "127.0.0.1", 0) as server:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(collect(url_of(server)), 2.0)

    asyncio.run(check())
    assert n_attempts == 1
    assert [(m.code, m.fatal) for m in told if isinstance(m, messages.Error)] == [
        ("at_capacity", False),
        ("disconnected", False),
    ]
    assert isinstance(told[-1], messages.Error)
    assert "try again later: trying again" in told[-1].message


def test_only_hello_makes_it_hopeful_again(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = list[dict[str, list[str]]]()
    began = list[float]()

    def delays(first_s: float = 0.5) -> Iterator[float]:
        began.append(first_s)
        return itertools.repeat(0.01)

    async def greet(connection: ServerConnection) -> None:
        queries.append(query_of(connection))
        if len(queries) in {1, 6}:
            await connection.send(HELLO)
            await connection.send(messages.encode(dated(len(queries))).decode())
        else:
            # Later than what is missed meanwhile, which must not be passed over for it.
            await connection.send(full(1_000))

    async def check() -> list[str]:
        async with (
            serve(greet, "127.0.0.1", 0) as server,
            aclosing(subscribe(url_of(server))) as stream,
        ):
            told = [await following(stream) for _ in range(8)]
        return [message.code if isinstance(message, messages.Error) else "" for message in told]

    monkeypatch.setattr(connection, "delays", delays)
    told = asyncio.run(check())
    # It is known to be lost when it turns out to be full; both are told again after the next `hello`.
    assert told == ["", "", "disconnected", "at_capacity"] * 2
    assert began[:4] == [0.5, 0.5, 5.0, 0.5]
    assert {query["since"][0] for query in queries[1:6]} == {"2026-01-07T12:00:00.000001Z"}


def test_an_attempt_that_hangs_is_given_up() -> None:
    async def check() -> None:
        # Accepts in the kernel, and never answers.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(DEADLINE_S)
            port = silent.getsockname()[1]
            stream = subscribe(f"ws://127.0.0.1:{port}/events", open_timeout_s=0.1)
            told = await following(stream)
            assert isinstance(told, messages.Error)
            assert "does not answer" in told.message
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


# --- what is asked for -------------------------------------------------------------------------------------

WEDNESDAY = datetime(2026, 1, 7, 12, tzinfo=UTC)


def dated(n: int) -> messages.Status:
    """Return the n-th message, sent so many microseconds after noon."""
    status = to_message(replace(LISTENING, detail=f"{n}"))
    assert isinstance(status, messages.Status)
    return msgspec.structs.replace(status, sent=WEDNESDAY + timedelta(microseconds=n))


def query_of(connection: ServerConnection) -> dict[str, list[str]]:
    assert connection.request is not None
    return parse_qs(urlsplit(connection.request.path).query)


async def ask(*arguments: Any, **options: Any) -> tuple[dict[str, list[str]], Request]:
    """Return the query, and the request, of one subscription."""
    found: list[Request] = []

    async def greet(connection: ServerConnection) -> None:
        assert connection.request is not None
        found.append(connection.request)
        await connection.send(HELLO)
        await connection.wait_closed()

    async with (
        serve(greet, "127.0.0.1", 0) as server,
        aclosing(subscribe(url_of(server) + "".join(arguments), **options)) as stream,
    ):
        await following(stream)
    return parse_qs(urlsplit(found[0].path).query), found[0]


def test_filters_go_to_the_server() -> None:
    query, _ = asyncio.run(ask(streams=["a b", "ü"], types=["status", "segment"], min_probability=0.25))
    assert query == {"stream": ["a b", "ü"], "types": ["status,segment"], "min_probability": ["0.25"]}
    assert asyncio.run(ask())[0] == {}
    assert asyncio.run(ask("?stream=a", streams=["b"]))[0] == {"stream": ["a", "b"]}


def test_a_past_can_be_asked_for() -> None:
    assert asyncio.run(ask(since=600))[0] == {"since": ["600.000"]}
    # To the microsecond, and in UTC: dates are compared.
    berlin = timezone(timedelta(hours=2))
    query, _ = asyncio.run(ask(since=datetime(2026, 7, 1, 12, tzinfo=berlin)))
    assert query == {"since": ["2026-07-01T10:00:00.000000Z"]}
    query, _ = asyncio.run(ask(since="2026-07-01T10:00:00.000123Z"))
    assert query == {"since": ["2026-07-01T10:00:00.000123Z"]}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"types": ["predictions"]}, "types has 'predictions'; wanted some of prediction, segment, status"),
        ({"types": "status"}, "types is the text 'status'; wanted a list"),
        ({"streams": "kitchen"}, "streams is the text 'kitchen'; wanted a list"),
        ({"min_probability": 1.5}, "min_probability is 1.5"),
        ({"since": -1}, "since is -1"),
        ({"since": "yesterday"}, "since is 'yesterday'; wanted a date"),
        ({"since": float("nan")}, "since is nan"),
        ({"since": datetime(2026, 1, 1)}, "without a time zone"),  # noqa: DTZ001 - that is the mistake
        ({"token": "two\nlines"}, "a token with characters that no token has"),
    ],
)
def test_what_no_server_could_understand_is_refused(options: dict[str, Any], wanted: str) -> None:
    async def check() -> None:
        with pytest.raises(SubscriptionError, match=wanted):
            await following(subscribe("ws://127.0.0.1:9", **options))

    asyncio.run(check())


def test_the_token_goes_into_a_header_and_into_no_address() -> None:
    _, request = asyncio.run(ask(token="s3cret-s3cret-s3cret"))
    assert request.headers["Authorization"] == "Bearer s3cret-s3cret-s3cret"
    assert "s3cret" not in request.path
    assert request.headers["Sec-WebSocket-Protocol"] == "tonewatch.v1"


@pytest.mark.parametrize(
    ("token", "wanted"),
    [
        (None, r"HTTP status 401 \(no token; wanted one\); wanted its token: --token-file"),
        ("x" * 16, "another"),
    ],
)
def test_a_refusal_says_what_the_server_said(token: str | None, wanted: str) -> None:
    def refuse(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(HTTPStatus.UNAUTHORIZED, "no token; wanted one\n")

    async def greet(_: ServerConnection) -> None: ...

    async def check() -> None:
        async with serve(greet, "127.0.0.1", 0, process_request=refuse) as server:
            with pytest.raises(SubscriptionError, match=wanted) as caught:
                await following(subscribe(url_of(server), token=token))
            assert "x" * 16 not in str(caught.value)

    asyncio.run(check())


# --- where it goes on -------------------------------------------------------------------------------------


def test_what_was_missed_is_asked_for_and_nothing_twice() -> None:
    queries = []
    sent = [dated(n) for n in range(6)]

    async def greet(connection: ServerConnection) -> None:
        queries.append(query_of(connection))
        n_seen = 2 * (len(queries) - 1)
        # As servers do: the state of now is undated, the history is dated.
        await connection.send(HELLO)
        await connection.send(messages.encode(to_message(LISTENING)).decode())
        for message in sent[n_seen : n_seen + 2]:
            await connection.send(messages.encode(message).decode())

    async def check() -> None:
        told: list[messages.Message] = []
        async with (
            serve(greet, "127.0.0.1", 0) as server,
            aclosing(subscribe(url_of(server), streams=["microphone"], since=60)) as stream,
        ):
            while len(told) < 6:
                message = await following(stream)
                if isinstance(message, messages.Status) and message.sent is not None:
                    told.append(message)
        assert told == sent
        assert queries == [
            {"stream": ["microphone"], "since": ["60.000"]},
            {"stream": ["microphone"], "since": ["2026-01-07T12:00:00.000001Z"]},
            {"stream": ["microphone"], "since": ["2026-01-07T12:00:00.000003Z"]},
        ]

    asyncio.run(check())


def test_before_the_first_dated_message_the_time_since_the_beginning_counts() -> None:
    now_s = 100.0
    place = Place(clock=lambda: now_s)
    assert place.query() == []
    # Nor is being turned away a beginning.
    place.note(messages.Error(code="at_capacity", message="", fatal=False, dropped=0))
    assert place.query() == []
    place.note(messages.hello([STREAM]))
    now_s = 107.5
    assert place.query() == [("since", "7.500")]
    place = Place(60, clock=lambda: now_s)
    place.note(messages.hello([STREAM]))
    now_s = 110.0
    assert place.query() == [("since", "62.500")]


def test_a_server_whose_clock_was_set_back_is_followed() -> None:
    place = Place()
    for n in (5, 9, 2):
        place.note(dated(n))
    assert place.query() == [("since", "2026-01-07T12:00:00.000002Z")]
