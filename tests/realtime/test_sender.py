"""Senders: what goes to the server, what comes back, and on through lost connections."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

import realtime
from realtime import messages
from realtime.errors import SettingsError, SourceError, SubscriptionError
from realtime.sender import stream_audio
from realtime.server.engine import SharedModel
from realtime.server.limits import Limits
from realtime.server.server import EventServer
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

    from realtime.recognizer import Model
    from tests.conftest import MakeVoice

DEADLINE_S = 20.0
RATE = 16_000
NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)


def told_at(at_s: float, state: State = State.STARTING, dropped: int = 0) -> str:
    return messages.encode(
        messages.Status(
            stream="s", state=state, detail="", since_s=at_s, at_s=at_s, time=NOON, level_dbfs=None,
            dropped=dropped,
        )
    ).decode()  # fmt: skip


def hello(name: str = "s") -> str:
    return messages.encode(
        messages.Hello(
            model="m", labels=("calm",), sample_rate=8000, window_s=3.0, hop_s=0.5, streams=(name,),
            server="1",
        )
    ).decode()  # fmt: skip


def error(code: str) -> str:
    return messages.encode(
        messages.Error(code=code, message=f"what {code} means", fatal=True, dropped=0)
    ).decode()


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def start_of(connection: ServerConnection) -> messages.Start:
    start = messages.decode_client(await connection.recv(decode=False))
    assert isinstance(start, messages.Start)
    return start


async def following(stream: AsyncIterator[messages.Message]) -> messages.Message:
    return await asyncio.wait_for(anext(stream), DEADLINE_S)


async def rest(stream: AsyncIterator[messages.Message]) -> list[messages.Message]:
    async with asyncio.timeout(DEADLINE_S):
        return [message async for message in stream]


class Live:
    """Audio that comes when the test says so."""

    def __init__(self) -> None:
        self._blocks: asyncio.Queue[bytes | None] = asyncio.Queue()

    def say(self, block: bytes) -> None:
        self._blocks.put_nowait(block)

    def end(self) -> None:
        self._blocks.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (block := await self._blocks.get()) is not None:
            yield block


def run(check: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(check())


# --- with the real server ---------------------------------------------------------------------------------


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return SharedModel(realtime.load(tiny_model))


@pytest.fixture
def server(model: Model) -> Iterator[EventServer]:
    server = EventServer("127.0.0.1", 0, model=model)
    server.start()
    yield server
    server.close()


def heard_here(model: Model, samples: np.ndarray[Any, Any]) -> list[messages.Prediction]:
    recognizer = realtime.Recognizer(model)
    events = [*recognizer.push(samples), *recognizer.finish()]
    told = [messages.to_message(event) for event in events]
    return [message for message in told if isinstance(message, messages.Prediction)]


@pytest.mark.parametrize("form", ["bytes", "numbers", "asynchronous", "integers", "whole", "whole bytes"])
def test_the_server_hears_what_a_recognizer_here_hears(
    form: str, server: EventServer, model: Model, make_voice: MakeVoice
) -> None:
    samples = make_voice(6.3)
    blocks: Any = np.array_split(samples, 17)
    sample_format: Any = "f32le"
    if form == "bytes":
        blocks = [block.tobytes() for block in blocks]
    elif form == "whole":
        blocks = samples
    elif form == "whole bytes":
        blocks = samples.tobytes()
    elif form == "integers":
        sample_format = "s16le"
        samples = (np.rint(samples * 32_768) / 32_768).astype(np.float32)

    async def slowly() -> AsyncIterator[Any]:
        for block in blocks:
            await asyncio.sleep(0)
            yield block

    async def check() -> None:
        audio = slowly() if form == "asynchronous" else blocks
        told = await rest(
            stream_audio(
                server.page_url, audio, sample_rate=RATE, format=sample_format, name="me", realtime=False
            )
        )
        first, *_, last = told
        assert isinstance(first, messages.Hello)
        assert first.streams == ("me",)
        assert isinstance(last, messages.Status)
        assert last.state is State.STOPPED
        found = [message for message in told if isinstance(message, messages.Prediction)]
        wanted = heard_here(model, samples)
        assert len(wanted) == 8
        assert [(p.end_s, p.probabilities, p.dropped) for p in found] == [
            (p.end_s, p.probabilities, p.dropped) for p in wanted
        ]

    run(check)


def test_what_is_told_how_to_judge_is_heeded(server: EventServer, make_voice: MakeVoice) -> None:
    async def check() -> None:
        told = await rest(
            stream_audio(
                server.url, [make_voice(5)], sample_rate=RATE, private=True, realtime=False,
                hop_s=1.0, smoothing="none", min_probability=1.0,
            )
        )  # fmt: skip
        found = [message for message in told if isinstance(message, messages.Prediction)]
        assert [p.end_s for p in found] == [3.0, 4.0, 5.0]
        assert all(p.label == "unknown" and p.smoothed == p.probabilities for p in found)

    run(check)


def test_a_server_that_is_full_refuses(model: Model) -> None:
    server = EventServer("127.0.0.1", 0, model=model, limits=Limits(n_senders=1))
    server.start()

    async def check() -> None:
        live = Live()
        async with aclosing(stream_audio(server.url, live, sample_rate=RATE, name="one")) as one:
            assert isinstance(await following(one), messages.Hello)
            with pytest.raises(SubscriptionError, match="/audio: "):
                await rest(stream_audio(server.url, Live(), sample_rate=RATE, name="two"))

    try:
        run(check)
    finally:
        server.close()


def test_who_goes_early_leaves_nothing_behind(server: EventServer, make_voice: MakeVoice) -> None:
    async def check() -> None:
        watching = realtime.subscribe(server.url)
        async with aclosing(watching):
            assert isinstance(await following(watching), messages.Hello)
            live = Live()
            live.say((make_voice(1) * 32_768).astype("<i2").tobytes())
            async with aclosing(stream_audio(server.url, live, sample_rate=RATE, name="me")) as stream:
                await following(stream)
            # Stopped, and not waited for as for one whose connection was lost.
            states: list[State] = []
            while State.STOPPED not in states:
                message = await following(watching)
                if isinstance(message, messages.Status):
                    states.append(message.state)
            assert State.RECOVERING not in states

    run(check)


# --- lost connections -------------------------------------------------------------------------------------


def test_the_first_message_says_what_comes_and_the_last_that_it_was_all() -> None:
    heard: list[bytes | str] = []

    async def greet(connection: ServerConnection) -> None:
        async for data in connection:
            heard.append(data)
            if isinstance(data, str) and '"stop"' in data:
                await connection.close()

    async def check() -> None:
        async with serve(greet, "127.0.0.1", 0) as server:
            blocks = [b"\x01\x02", b"\x03", b"\x04"]
            assert await rest(
                stream_audio(url_of(server), blocks, sample_rate=8000, name="Küche", private=True)
            ) == []  # fmt: skip
        start, *data, stop = heard
        assert messages.decode_client(str(start).encode()) == messages.Start(
            sample_rate=8000, channels=1, format="s16le", name="Küche", private=True
        )
        assert b"".join(bytes(part) for part in data if isinstance(part, bytes)) == b"".join(blocks)
        assert messages.decode_client(str(stop).encode()) == messages.Stop()

    run(check)


def test_goes_on_under_its_name_and_says_what_it_kept() -> None:
    starts: list[messages.Start] = []
    live = Live()

    async def greet(connection: ServerConnection) -> None:
        starts.append(await start_of(connection))
        # The name that was given, not the one that was asked for.
        await connection.send(hello("stream-2"))
        await connection.send(told_at(len(starts) - 1.0))
        if len(starts) == 1:
            await connection.recv()
            connection.transport.abort()
            return
        async for data in connection:
            if isinstance(data, str):
                await connection.close()

    async def check() -> None:
        async with (
            serve(greet, "127.0.0.1", 0) as server,
            aclosing(stream_audio(url_of(server), live, sample_rate=1000)) as stream,
        ):
            assert [type(await following(stream)) for _ in range(2)] == [messages.Hello, messages.Status]
            live.say(bytes(200))
            loss = await following(stream)
            assert isinstance(loss, messages.Error)
            assert (loss.code, loss.fatal, loss.dropped) == ("disconnected", False, 0)
            live.say(bytes(500))
            assert isinstance(await following(stream), messages.Hello)
            # Further than before: the server knows it again, and counts what is missing itself.
            assert isinstance(await following(stream), messages.Status)
            live.end()
            assert await rest(stream) == []
        assert [start.name for start in starts] == [None, "stream-2"]
        assert [start.backlog_s for start in starts] == [0.0, 0.25]

    run(check)


def test_what_a_server_that_began_anew_cannot_know_of_is_told() -> None:
    live = Live()
    n_connections = 0

    async def greet(connection: ServerConnection) -> None:
        nonlocal n_connections
        n_connections += 1
        await start_of(connection)
        await connection.send(hello())
        await connection.send(told_at(0.0))
        if n_connections == 1:
            await connection.recv()
            await connection.send(told_at(5.0))
            await connection.recv()
            connection.transport.abort()
            return
        async for data in connection:
            if isinstance(data, str):
                await connection.close()

    async def check() -> None:
        async with (
            serve(greet, "127.0.0.1", 0) as server,
            aclosing(stream_audio(url_of(server), live, sample_rate=1000)) as stream,
        ):
            for _ in range(2):
                await following(stream)
            live.say(bytes(2000))
            assert isinstance(await following(stream), messages.Status)
            # Heard by nobody: a quarter of a second, 250 samples here and 2000 at the model's rate.
            live.say(bytes(500))
            assert isinstance(await following(stream), messages.Error)
            assert isinstance(await following(stream), messages.Hello)
            loss = await following(stream)
            assert isinstance(loss, messages.Error)
            assert (loss.code, loss.fatal, loss.dropped) == ("disconnected", False, 2000)
            assert "0.25 s of audio are lost" in loss.message
            assert isinstance(await following(stream), messages.Status)
            live.end()
            assert await rest(stream) == []

    run(check)


@pytest.mark.parametrize("code", ["unsupported", "bad_message", "too_large", "name_taken", "at_capacity"])
def test_a_refusal_is_told_at_once(code: str) -> None:
    async def greet(connection: ServerConnection) -> None:
        await start_of(connection)
        await connection.send(error(code))

    async def check() -> None:
        async with serve(greet, "127.0.0.1", 0) as server:
            with pytest.raises(SubscriptionError, match=f"/audio: what {code} means"):
                await rest(stream_audio(url_of(server), Live(), sample_rate=1000))

    run(check)


@pytest.mark.parametrize("code", ["name_taken", "at_capacity", "stalled"])
def test_who_was_there_before_comes_back(code: str) -> None:
    live = Live()
    n_connections = 0

    async def greet(connection: ServerConnection) -> None:
        nonlocal n_connections
        n_connections += 1
        await start_of(connection)
        if n_connections != 2:
            await connection.send(hello())
        if n_connections == 1 and code != "stalled":
            return
        if n_connections <= 2:
            await connection.send(error(code))
            return
        async for data in connection:
            if isinstance(data, str):
                await connection.close()

    async def check() -> None:
        async with (
            serve(greet, "127.0.0.1", 0) as server,
            aclosing(stream_audio(url_of(server), live, sample_rate=1000)) as stream,
        ):
            assert isinstance(await following(stream), messages.Hello)
            live.say(bytes(2))
            told = await following(stream)
            while not isinstance(told, messages.Hello):
                assert isinstance(told, messages.Error)
                assert not told.fatal
                live.say(bytes(2))
                told = await following(stream)
            live.end()
            assert await rest(stream) == []

    run(check)


def test_live_audio_that_the_server_does_not_take_is_broken_off() -> None:
    n_connections = 0
    again = asyncio.Event

    async def check() -> None:
        nonlocal n_connections
        came_back = again()

        async def greet(connection: ServerConnection) -> None:
            nonlocal n_connections
            n_connections += 1
            await start_of(connection)
            await connection.send(hello())
            if n_connections == 1:
                # Reads nothing more: the network fills up.
                await came_back.wait()
            came_back.set()
            async for data in connection:
                if isinstance(data, str):
                    await connection.close()

        async def endless() -> AsyncIterator[bytes]:
            # A rate at which time passes faster than the test: a second of it takes a second of samples.
            while not came_back.is_set():
                yield bytes(400_000)
                await asyncio.sleep(0.002)

        async with serve(greet, "127.0.0.1", 0, max_queue=1, ping_interval=None) as server:
            told = await rest(
                stream_audio(url_of(server), endless(), sample_rate=384_000, channels=8, buffer_s=0.1)
            )
        reasons = [message.message for message in told if isinstance(message, messages.Error)]
        assert any("takes the audio more slowly than it comes" in reason for reason in reasons)

    run(check)


# --- the audio --------------------------------------------------------------------------------------------


def test_audio_that_fails_is_told_when_the_rest_is_judged(server: EventServer, make_voice: MakeVoice) -> None:
    def broken() -> Iterator[Any]:
        yield make_voice(3.2)
        raise OSError("the pipe broke")

    async def check() -> None:
        told: list[messages.Message] = []

        async def listen() -> None:
            async for message in stream_audio(server.url, broken(), sample_rate=RATE):
                told.append(message)  # noqa: PERF401 - what came before the error counts

        with pytest.raises(OSError, match="the pipe broke"):
            await listen()
        assert isinstance(told[-1], messages.Status)
        assert told[-1].state is State.STOPPED

    run(check)


def test_audio_that_cannot_be_iterated_over_is_told(server: EventServer) -> None:
    def uncalled() -> Iterator[bytes]:
        yield b""

    async def check() -> None:
        audio: Any = uncalled
        with pytest.raises(TypeError, match="'function' object is not iterable"):
            await rest(stream_audio(server.url, audio, sample_rate=RATE))

    run(check)


def test_audio_that_blocks_holds_nobody_up(server: EventServer) -> None:
    blocked = threading.Event()

    def silent() -> Iterator[bytes]:
        blocked.wait()
        yield b""

    async def check() -> None:
        async with aclosing(stream_audio(server.url, silent(), sample_rate=RATE)) as stream:
            assert isinstance(await following(stream), messages.Hello)

    try:
        run(check)
    finally:
        blocked.set()


@pytest.mark.parametrize(
    ("samples", "wanted"),
    [
        (np.zeros(10, dtype=np.int16), "an array of int16 of shape"),
        (np.zeros((10, 3), dtype=np.float32), r"of shape \(n,\) or \(n, 2\)"),
        ("text", "samples are str; wanted bytes"),
    ],
)
def test_what_is_no_audio_is_refused(samples: Any, wanted: str, server: EventServer) -> None:
    async def check() -> None:
        with pytest.raises(SourceError, match=wanted):
            await rest(stream_audio(server.url, [samples], sample_rate=RATE, channels=2))

    run(check)


@pytest.mark.parametrize(
    "options",
    [{"sample_rate": 10}, {"channels": 9}, {"format": "u8"}, {"name": ""}, {"name": "x" * 65},
     {"buffer_s": -1}],
)  # fmt: skip
def test_what_no_server_takes_is_refused(options: dict[str, Any]) -> None:
    async def check() -> None:
        with pytest.raises(SettingsError):
            await rest(stream_audio("ws://127.0.0.1:9", [], **{"sample_rate": RATE, **options}))

    run(check)
