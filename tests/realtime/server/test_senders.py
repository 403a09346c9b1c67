"""Senders on real sockets; the server runs in its own thread, and its engine in another."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
import urllib.request
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from realtime import classifier, messages
from realtime.analysis import analyze
from realtime.messages import Error, Hello, Prediction, Start, Status, Stop, to_message
from realtime.server.engine import SharedModel
from realtime.server.limits import Limits
from realtime.server.server import EventServer
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from realtime.recognizer import Model
    from tests.conftest import MakeVoice

RATE = 16_000
START = Start(sample_rate=RATE, channels=1, format="f32le", name="voice", realtime=False)
LIVE = Start(sample_rate=RATE, channels=1, format="f32le", name="voice")
DEADLINE_S = 20.0


class Serve(Protocol):
    def __call__(self, limits: Limits | None = None, model: Model | None = None) -> EventServer: ...


@pytest.fixture
def model(tiny_model: Path) -> SharedModel:
    return SharedModel(classifier.load(tiny_model))


@pytest.fixture
def serve(model: SharedModel) -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def start(limits: Limits | None = None, model: Model | None = model) -> EventServer:
            server = EventServer("127.0.0.1", 0, model=model, limits=limits or Limits())
            server.start()
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def server(serve: Serve) -> EventServer:
    return serve()


def audio_url(server: EventServer) -> str:
    return server.url.replace("/events", "/audio")


async def say(connection: ClientConnection, message: messages.ClientMessage) -> None:
    await connection.send(messages.encode(message), text=True)


async def read(connection: ClientConnection) -> messages.Message:
    return messages.decode(await asyncio.wait_for(connection.recv(), DEADLINE_S))


async def read_all(connection: ClientConnection) -> list[messages.Message]:
    """Return what comes until the connection is closed."""
    found = list[messages.Message]()
    with contextlib.suppress(ConnectionClosed):
        while True:
            found.append(await read(connection))
    return found


async def read_until(connection: ClientConnection, state: State, detail: str = "") -> Status:
    while True:
        message = await read(connection)
        if isinstance(message, Status) and message.state is state and detail in message.detail:
            return message


@contextlib.asynccontextmanager
async def begin(server: EventServer, start: Start = START) -> AsyncIterator[ClientConnection]:
    """Connect, and say `start`; the answer is read."""
    async with connect(audio_url(server), max_queue=None) as connection:
        await say(connection, start)
        hello = await read(connection)
        assert isinstance(hello, Hello)
        yield connection


async def send(connection: ClientConnection, data: bytes, n_bytes: int) -> None:
    for at in range(0, len(data), n_bytes):
        await connection.send(data[at : at + n_bytes])


async def send_all(connection: ClientConnection, data: bytes, n_bytes: int) -> None:
    await send(connection, data, n_bytes)
    await say(connection, Stop())


def n_predictions(server: EventServer) -> int:
    """Return how many predictions a server has made."""
    with urllib.request.urlopen(f"{server.page_url}metrics", timeout=DEADLINE_S) as answer:
        counted = re.search(
            rb"^tonewatch_prediction_latency_seconds_count ([0-9.]+)$", answer.read(), re.MULTILINE
        )
    assert counted is not None
    return round(float(counted[1]))


def predictions(found: list[messages.Message]) -> list[Prediction]:
    return [message for message in found if isinstance(message, Prediction)]


def facts(found: list[Prediction]) -> list[tuple[object, ...]]:
    return [(p.seq, p.start_s, p.end_s, p.probabilities, p.smoothed, p.level_dbfs) for p in found]


def dropped(found: list[messages.Message]) -> int:
    return sum(message.dropped for message in found if isinstance(message, Prediction | Status))


def test_hello_answers_start_and_stop_ends_in_order(
    server: EventServer, model: SharedModel, make_voice: MakeVoice
) -> None:
    async def check() -> None:
        async with connect(audio_url(server)) as connection:
            await say(connection, START)
            hello = await read(connection)
            assert isinstance(hello, Hello)
            assert hello.streams == ("voice",)
            assert (hello.model, hello.labels) == (model.name, model.labels)
            assert (hello.max_message_bytes, hello.formats) == (262_144, ("s16le", "f32le"))
            first = await read(connection)
            assert isinstance(first, Status)
            assert first.state is State.STARTING
            await send_all(connection, make_voice(4).tobytes(), 100_000)
            found = await read_all(connection)
            assert connection.close_code == 1000
            last = found[-1]
            assert isinstance(last, Status)
            assert (last.state, last.at_s) == (State.STOPPED, 4.0)
            assert predictions(found)
            dates = [message.sent for message in (hello, first, *found) if message.sent is not None]
            assert len(dates) == len(found) + 2
            assert dates == sorted(set(dates))

    asyncio.run(check())


@pytest.mark.parametrize("cut", [(44_100, 4_097), (16_000, 262_144), (8_000, 2)])
def test_a_file_gives_bitwise_what_its_analysis_gives(
    server: EventServer, model: SharedModel, make_voice: MakeVoice, tmp_path: Path, cut: tuple[int, int]
) -> None:
    """One sample per message too."""
    rate, n_bytes = cut
    path = tmp_path / "voice.wav"
    soundfile.write(path, make_voice(4 if n_bytes == 2 else 12, rate=rate), rate, subtype="PCM_16")
    data = soundfile.read(path, dtype="int16")[0].tobytes()
    expected = facts(predictions([to_message(event) for event in analyze(path, model).events]))

    async def check() -> None:
        start = Start(sample_rate=rate, channels=1, format="s16le", name="file", realtime=False)
        async with connect(server.url + "?types=prediction") as other, begin(server, start) as connection:
            sending = asyncio.create_task(send_all(connection, data, n_bytes))
            found = await read_all(connection)
            await sending
            assert facts(predictions(found)) == expected != []
            assert dropped(found) == 0
            seen = list[Prediction]()
            while len(seen) < len(expected):
                seen += predictions([await read(other)])
            # The very same messages, dates included.
            assert seen == predictions(found)

    asyncio.run(check())


def test_what_is_private_is_between_two(server: EventServer, make_voice: MakeVoice) -> None:
    async def check() -> None:
        async with connect(server.url + "?since=600") as other:
            assert isinstance(await read(other), Hello)
            secret = Start(sample_rate=RATE, channels=1, format="f32le", name="voice", private=True)
            # Two of one name: nobody else ever hears of either.
            async with begin(server, secret) as one, begin(server, secret) as two:
                for connection in (one, two):
                    await send_all(connection, make_voice(4).tobytes(), 100_000)
                    assert predictions(await read_all(connection))
            async with begin(server, START):
                hello = await read(other)
                assert isinstance(hello, Hello)
                assert hello.streams == ("voice",)

    asyncio.run(check())


TEXT_START = messages.encode(START).decode()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (["{"], "bad_message"),
        (["[]"], "bad_message"),
        (['{"v":1,"type":"weather"}'], "bad_message"),
        (["\0"], "bad_message"),
        ([b"\0\0"], "bad_message"),
        ([messages.encode(Stop()).decode()], "bad_message"),
        ([TEXT_START, TEXT_START], "bad_message"),
        ([TEXT_START, "{}"], "bad_message"),
        ([json.dumps(json.loads(TEXT_START) | {"format": "mp3"})], "unsupported"),
        ([json.dumps(json.loads(TEXT_START) | {"hop_s": 100})], "unsupported"),
        ([json.dumps(json.loads(TEXT_START) | {"smoothing": "loud"})], "unsupported"),
    ],
)
def test_who_is_not_understood_is_told_and_closed_alone(
    server: EventServer, make_voice: MakeVoice, said: list[str | bytes], code: str
) -> None:
    async def check() -> None:
        other = Start(sample_rate=RATE, channels=1, format="f32le", name="other", realtime=False)
        async with begin(server, other) as good, connect(audio_url(server)) as bad:
            for data in said:
                await bad.send(data)
            *_, error = await read_all(bad)
            assert isinstance(error, Error)
            assert (error.code, error.fatal) == (code, True)
            assert "wanted" in error.message
            assert (bad.close_code, bad.close_reason) == (1008, code)
            await send_all(good, make_voice(4).tobytes(), 100_000)
            assert predictions(await read_all(good))

    asyncio.run(check())


def test_a_message_that_is_too_long_is_not_even_read(serve: Serve) -> None:
    server = serve(Limits(n_message_bytes=1000))

    async def check() -> None:
        async with begin(server) as connection:
            await connection.send(bytes(1000))
            with contextlib.suppress(ConnectionClosed):
                await connection.send(bytes(1001))
            await read_all(connection)
            assert connection.close_code == 1009

    asyncio.run(check())


def test_a_name_has_one_sender_and_the_default_one_is_numbered(server: EventServer) -> None:
    async def check() -> None:
        async with begin(server), connect(audio_url(server)) as other:
            await say(other, START)
            (error,) = await read_all(other)
            assert isinstance(error, Error)
            assert (error.code, error.fatal) == ("name_taken", True)
            nameless = Start(sample_rate=RATE, channels=1, format="s16le")
            async with begin(server, nameless), connect(audio_url(server)) as third:
                await say(third, nameless)
                hello = await read(third)
                assert isinstance(hello, Hello)
                assert hello.streams == ("stream-2",)

    asyncio.run(check())


def test_without_a_name_nobody_goes_on_as_who_is_gone(server: EventServer, make_voice: MakeVoice) -> None:
    nameless = Start(sample_rate=RATE, channels=1, format="s16le")

    async def check() -> None:
        async with connect(server.url + "?stream=stream&types=status") as watcher:
            async with begin(server, nameless) as connection:
                await send(connection, make_voice(1).tobytes(), 50_000)
                await read_until(connection, State.STARTING)
                connection.transport.abort()
            await read_until(watcher, State.RECOVERING)
            async with connect(audio_url(server)) as other:
                await say(other, nameless)
                hello = await read(other)
                assert isinstance(hello, Hello)
                assert hello.streams == ("stream-2",)
            # By the name that the server gave him, the first one does.
            async with begin(server, msgspec.structs.replace(nameless, name="stream")) as connection:
                await read_until(connection, State.RECOVERING, "is back")

    asyncio.run(check())


@pytest.mark.parametrize("said", [[], [LIVE]])
def test_who_says_nothing_is_told_and_closed(serve: Serve, said: list[Start]) -> None:
    server = serve(Limits(stall_s=0.2))

    async def check() -> None:
        async with connect(audio_url(server)) as connection:
            for message in said:
                await say(connection, message)
                # No samples are no sign of life.
                await connection.send(b"")
            *before, error = await read_all(connection)
            assert isinstance(error, Error)
            assert (error.code, error.fatal) == ("stalled", True)
            assert [m.state for m in before if isinstance(m, Status)][-1:] == [State.STOPPED] * len(said)
        async with connect(server.url) as watcher:
            hello = await read(watcher)
            assert isinstance(hello, Hello)
            assert hello.streams == ()

    asyncio.run(check())


def test_a_file_may_take_its_time(serve: Serve, make_voice: MakeVoice) -> None:
    server = serve(Limits(stall_s=0.1))

    async def check() -> None:
        async with begin(server) as connection:
            await asyncio.sleep(0.4)
            await send_all(connection, make_voice(4).tobytes(), 100_000)
            assert predictions(await read_all(connection))
            assert connection.close_code == 1000

    asyncio.run(check())


def test_who_comes_back_goes_on_as_the_same_stream_behind_a_gap(
    server: EventServer, make_voice: MakeVoice
) -> None:
    async def check() -> None:
        async with connect(server.url + "?stream=voice&types=status,prediction") as watcher:
            async with begin(server, LIVE) as connection:
                await send(connection, make_voice(5).tobytes(), 50_000)
                await read_until(connection, State.LISTENING)
                connection.transport.abort()
            gone = await read_until(watcher, State.RECOVERING)
            assert gone.detail == "the sender is gone: waiting for it"
            await asyncio.sleep(0.3)
            async with begin(server, LIVE) as connection:
                back = await read_until(connection, State.RECOVERING, "is back")
                assert back.dropped or back.at_s > gone.at_s
                await send_all(connection, make_voice(5).tobytes(), 50_000)
                found = await read_all(connection)
            gap = dropped([back, *found])
            assert 0.3 * RATE <= gap <= DEADLINE_S * RATE
            last = found[-1]
            assert isinstance(last, Status)
            assert last.at_s == pytest.approx(10, abs=DEADLINE_S)
            assert last.at_s >= 10.3
            assert predictions(found)[0].seq > 0
            assert predictions(found)[0].start_s >= 5.3

    asyncio.run(check())


def test_what_was_kept_meanwhile_is_not_lost(server: EventServer, make_voice: MakeVoice) -> None:
    async def check() -> None:
        async with begin(server, LIVE) as connection:
            await send(connection, make_voice(5).tobytes(), 50_000)
            await read_until(connection, State.LISTENING)
            connection.transport.abort()
        await asyncio.sleep(0.2)
        kept = Start(sample_rate=RATE, channels=1, format="f32le", name="voice", backlog_s=60)
        async with begin(server, kept) as connection:
            await send_all(connection, make_voice(5).tobytes(), 50_000)
            found = await read_all(connection)
            assert dropped(found) == 0
            last = found[-1]
            assert isinstance(last, Status)
            assert last.at_s == 10

    asyncio.run(check())


def test_another_stream_of_the_name_begins_anew(server: EventServer, make_voice: MakeVoice) -> None:
    async def check() -> None:
        async with begin(server, LIVE) as connection:
            await send(connection, make_voice(5).tobytes(), 50_000)
            await read_until(connection, State.LISTENING)
            connection.transport.abort()
        other = Start(sample_rate=8_000, channels=1, format="f32le", name="voice")
        async with begin(server, other) as connection:
            await send_all(connection, make_voice(4, rate=8_000).tobytes(), 50_000)
            found = await read_all(connection)
            assert predictions(found)[0].seq == 0
            last = found[-1]
            assert isinstance(last, Status)
            assert last.at_s == 4

    asyncio.run(check())


def test_who_does_not_come_back_is_forgotten(serve: Serve, make_voice: MakeVoice) -> None:
    server = serve(Limits(resume_s=0.2))

    async def check() -> None:
        async with connect(server.url) as watcher:
            async with begin(server, LIVE) as connection:
                await send(connection, make_voice(4).tobytes(), 50_000)
                connection.transport.abort()
            await read_until(watcher, State.RECOVERING)
            await read_until(watcher, State.STOPPED)
            hello = await read(watcher)
            assert isinstance(hello, Hello)
            assert hello.streams == ()

    asyncio.run(check())


def test_a_newcomer_takes_over_from_who_only_seems_to_be_there(
    serve: Serve, make_voice: MakeVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.server.senders._SILENT_S", 0.1)
    server = serve()

    async def check() -> None:
        async with begin(server, LIVE) as old:
            await send(old, make_voice(4).tobytes(), 50_000)
            await read_until(old, State.LISTENING)
            await asyncio.sleep(0.3)
            async with begin(server, LIVE) as new:
                await read_until(new, State.RECOVERING, "is back")
                *_, error = await read_all(old)
                assert isinstance(error, Error)
                assert error.code == "name_taken"
                await send_all(new, make_voice(4).tobytes(), 50_000)
                assert predictions(await read_all(new))[0].seq > 0
                assert new.close_code == 1000

    asyncio.run(check())


def test_who_is_too_fast_is_told_once_and_loses_nothing(serve: Serve, make_voice: MakeVoice) -> None:
    server = serve(Limits(speed=20.0, burst_s=2.0))

    async def check() -> None:
        async with begin(server) as connection:
            started_s = time.monotonic()
            sending = asyncio.create_task(send_all(connection, make_voice(20).tobytes(), 16_000))
            found = await read_all(connection)
            await sending
            assert time.monotonic() - started_s > 0.8
        (error,) = (message for message in found if isinstance(message, Error))
        assert (error.code, error.fatal) == ("rate_limited", False)
        assert dropped(found) == 0
        last = found[-1]
        assert isinstance(last, Status)
        assert last.at_s == 20

    asyncio.run(check())


def test_at_capacity_a_sender_is_told_why(serve: Serve, make_voice: MakeVoice) -> None:
    server = serve(Limits(n_senders=1))

    async def check() -> None:
        async with begin(server) as running:
            async with connect(audio_url(server)) as other:
                await other.send(messages.encode(LIVE).decode())
                (error,) = await read_all(other)
                assert isinstance(error, Error)
                assert (error.code, error.fatal) == ("at_capacity", True)
                assert other.close_code == 1013
            await send_all(running, make_voice(4).tobytes(), 100_000)
            assert predictions(await read_all(running))

    asyncio.run(check())


def test_who_says_nothing_keeps_nobody_out(serve: Serve, make_voice: MakeVoice) -> None:
    server = serve(Limits(n_senders=1, handshake_s=0.5))

    async def check() -> None:
        async with connect(audio_url(server)) as mute, begin(server) as running:
            await send_all(running, make_voice(4).tobytes(), 100_000)
            assert predictions(await read_all(running))
            (error,) = await read_all(mute)
            assert isinstance(error, Error)
            assert (error.code, error.fatal) == ("stalled", True)
            assert "0.5 s; wanted `start`" in error.message

    asyncio.run(check())


def test_those_waited_for_make_room_for_those_who_are_there(serve: Serve, make_voice: MakeVoice) -> None:
    server = serve(Limits(n_senders=1))

    async def check() -> None:
        async with connect(server.url) as watcher:
            async with begin(server, LIVE) as connection:
                await send(connection, make_voice(4).tobytes(), 50_000)
                connection.transport.abort()
            await read_until(watcher, State.RECOVERING)
            other = Start(sample_rate=RATE, channels=1, format="f32le", name="other")
            async with begin(server, other) as connection:
                stopped = await read_until(watcher, State.STOPPED)
                assert stopped.stream == "voice"
                await send_all(connection, make_voice(4).tobytes(), 100_000)
                assert predictions(await read_all(connection))

    asyncio.run(check())


def test_a_recording_waits_for_who_does_not_read_its_events(serve: Serve, make_voice: MakeVoice) -> None:
    server = serve(Limits(n_queued=4, burst_s=1e6))

    async def check() -> None:
        # A system that keeps megabytes of events for whoever does not read would make a reader of them.
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", server.port))
        narrow.setblocking(False)
        async with connect(audio_url(server), max_queue=1, sock=narrow) as connection:
            await say(connection, START)
            data = np.tile(make_voice(10), 60).tobytes()
            sending = asyncio.create_task(send_all(connection, data, 64_000))
            # Whether all is sent by then says nothing: a system may keep tens of megabytes on their way.
            before, n_judged = -1, 0
            while n_judged > before or not n_judged:
                await asyncio.sleep(0.5)
                before, n_judged = n_judged, n_predictions(server)
            assert n_judged < 600
            found = await read_all(connection)
            await sending
            assert not [message for message in found if isinstance(message, Error)]
            seqs = [one.seq for one in predictions(found)]
            assert seqs == list(range(len(seqs)))
            assert len(seqs) == n_predictions(server) > 2 * n_judged
            last = found[-1]
            assert isinstance(last, Status)
            assert last.at_s == 600

    asyncio.run(check())


def test_closing_says_stopped_to_everyone_in_time(server: EventServer, make_voice: MakeVoice) -> None:
    async def check() -> None:
        other = Start(sample_rate=RATE, channels=1, format="f32le", name="other")
        secret = Start(sample_rate=RATE, channels=1, format="f32le", name="secret", private=True)
        async with (
            connect(server.url) as watcher,
            begin(server) as flooding,
            begin(server, other) as idle,
            begin(server, secret) as hidden,
            connect(audio_url(server)) as silent,
        ):
            data = np.tile(make_voice(10), 100).tobytes()
            sending = asyncio.create_task(send_all(flooding, data, 200_000))
            await read_until(watcher, State.LISTENING)
            started_s = time.monotonic()
            closing = asyncio.create_task(asyncio.to_thread(server.close))
            for connection in (flooding, idle, hidden, watcher, silent):
                found = await read_all(connection)
                assert connection.close_code == 1001, found[-3:]
                told = {m.stream: m.state for m in found if isinstance(m, Status)}
                assert set(told.values()) <= {State.STOPPED}
                assert connection is silent or isinstance(found[-1], Status)
                assert len(told) == {watcher: 2, silent: 0}.get(connection, 1)
            await closing
            assert time.monotonic() - started_s < 2
            with contextlib.suppress(ConnectionClosed):
                await sending

    asyncio.run(check())


class Broken:
    """A model that fails after a few windows."""

    def __init__(self, model: SharedModel) -> None:
        self.name, self.labels, self.spec = model.name, model.labels, model.spec
        self.window, self.hop, self.smoothing = model.window, model.hop, model.smoothing
        self.adaptation = None

    def judge(self, *_: object, **__: object) -> object:
        raise RuntimeError("as planned")


def test_a_stream_that_fails_ends_alone(serve: Serve, model: SharedModel, make_voice: MakeVoice) -> None:
    server = serve(model=Broken(model))  # type: ignore[arg-type]

    async def check() -> None:
        async with connect(server.url) as watcher, begin(server) as connection:
            await send(connection, make_voice(4).tobytes(), 50_000)
            await read_all(connection)
            assert connection.close_code == 1011
            stopped = await read_until(watcher, State.STOPPED)
            assert stopped.detail == "the stream failed"
            async with begin(server) as again:
                await send_all(again, bytes(4 * RATE), 10_000)
                last = (await read_all(again))[-1]
                assert isinstance(last, Status)
                assert last.state is State.STOPPED

    asyncio.run(check())


def test_without_a_model_no_audio_is_taken(serve: Serve) -> None:
    with pytest.raises(ValueError, match="no stream"):
        serve(model=None)


def test_a_server_of_events_alone_has_no_place_for_audio(model: SharedModel) -> None:
    from realtime.recognizer import Recognizer

    server = EventServer("127.0.0.1", 0, [Recognizer(model).stream])
    server.start()

    async def check() -> None:
        with pytest.raises(InvalidStatus) as caught:
            await connect(audio_url(server))
        assert caught.value.response.status_code == 404
        async with connect(server.url) as connection:
            hello = await read(connection)
            assert isinstance(hello, Hello)
            assert (hello.max_message_bytes, hello.formats) == (None, ())

    try:
        asyncio.run(check())
    finally:
        server.close()
