from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from realtime import classifier
from realtime.messages import Start
from realtime.server.audio import AudioStream
from realtime.server.engine import Engine, SharedModel, Turn
from realtime.types import Judgement, State, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from realtime.speaker import Speaker
    from realtime.types import FloatArray
    from tests.conftest import MakeVoice

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
RATE = 16_000


class Turns:
    """Collects turns, and lets the engine wait in them while a gate is closed."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, turn: Turn) -> None:
        self.turns.append(turn)
        assert self.gate.wait(30)


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
def engine(turns: Turns) -> Iterator[Engine]:
    engine = Engine(turns)
    yield engine
    turns.gate.set()
    engine.close()
    engine.join(30)
    assert not engine._thread.is_alive()


@pytest.fixture
def make_stream(tiny_model: Path) -> Callable[[str], AudioStream]:
    model = SharedModel(classifier.load(tiny_model))
    start = Start(sample_rate=RATE, channels=1, format="f32le")
    return lambda name: AudioStream(start, model, name=name, started=STARTED)


def run(engine: Engine) -> None:
    """Do all that is queued."""
    engine.start()
    engine.close()
    engine.join(60)


def names(turns: Turns) -> list[str]:
    return [turn.channel.stream.stream.name for turn in turns.turns]


def test_turns_are_fair_and_a_hop_long(
    engine: Engine, turns: Turns, make_stream: Callable[[str], AudioStream], make_voice: MakeVoice
) -> None:
    a, b, c = (engine.open(make_stream(name)) for name in "abc")
    a.put(make_voice(30).tobytes())
    b.put(make_voice(1).tobytes())
    c.put(make_voice(1).tobytes())
    hop_s = a.stream.stream.hop / RATE
    run(engine)
    n = round(1 / hop_s)
    assert names(turns)[: 3 * n] == ["a", "b", "c"] * n
    assert names(turns)[3 * n :] == ["a"] * (round(30 / hop_s) - n)
    assert all(turn.audio_s == pytest.approx(hop_s) for turn in turns.turns)
    assert sum(turn.audio_s for turn in turns.turns) == pytest.approx(32)
    assert a.queued_s == b.queued_s == 0


def test_many_small_messages_share_a_turn(
    engine: Engine, turns: Turns, make_stream: Callable[[str], AudioStream], make_voice: MakeVoice
) -> None:
    channel, data = engine.open(make_stream("a")), make_voice(4).tobytes()
    for begin in range(0, len(data), 6):
        channel.put(data[begin : begin + 6])
    channel.put(AudioStream.finish)
    assert channel.queued_s == pytest.approx(4)
    run(engine)
    assert len(turns.turns) <= 4 * RATE / channel.stream.stream.hop + 2
    alone = make_stream("b")
    expected = alone.push(data) + alone.finish()
    outputs = [output for turn in turns.turns for output in turn.outputs]
    assert [type(output) for output in outputs] == [type(output) for output in expected]


def test_abandoned_audio_is_not_heard_but_counted(
    engine: Engine, turns: Turns, make_stream: Callable[[str], AudioStream], make_voice: MakeVoice
) -> None:
    channel = engine.open(make_stream("a"))
    channel.put(make_voice(60).tobytes())
    channel.abandon()
    assert channel.queued_s == 0
    run(engine)
    (turn,) = turns.turns
    losses = [output.dropped for output in turn.outputs if isinstance(output, Status)]
    assert sum(losses) == 60 * RATE
    assert isinstance(turn.outputs[-1], Status)
    assert turn.outputs[-1].state is State.STOPPED


def test_a_stream_that_fails_does_so_alone(
    engine: Engine, turns: Turns, make_stream: Callable[[str], AudioStream], make_voice: MakeVoice
) -> None:
    def fail(_: AudioStream) -> list[object]:
        raise RuntimeError("as planned")

    bad, good = engine.open(make_stream("bad")), engine.open(make_stream("good"))
    bad.put(fail)  # type: ignore[arg-type]
    good.put(make_voice(1).tobytes())
    run(engine)
    assert isinstance(turns.turns[0].failure, RuntimeError)
    assert names(turns)[1:] == ["good"] * (len(turns.turns) - 1)
    assert len(turns.turns) > 1


def test_how_long_audio_waited_is_measured(
    turns: Turns, make_stream: Callable[[str], AudioStream], make_voice: MakeVoice
) -> None:
    times = iter([10.0, 12.5])
    engine = Engine(turns, now=lambda: next(times, 12.5))
    stream = make_stream("a")
    waited: list[float] = []
    push = stream.push
    stream.push = lambda data, queued_s=0.0: waited.append(queued_s) or push(data)  # type: ignore[method-assign, func-returns-value]
    engine.open(stream).put(make_voice(0.1).tobytes())
    run(engine)
    assert waited == [2.5]


def test_a_shared_model_is_asked_by_one_at_a_time(tiny_model: Path) -> None:
    loaded = classifier.load(tiny_model)
    busy, n_at_once = threading.Lock(), 0

    class Slow:
        name, labels, spec = loaded.name, loaded.labels, loaded.spec
        window, hop, smoothing = loaded.window, loaded.hop, loaded.smoothing
        adaptation = None

        def judge(
            self, features: FloatArray, _speaker: Speaker | None = None, *, new_s: float = 0.0
        ) -> Judgement:
            assert new_s == 0.5
            nonlocal n_at_once
            assert busy.acquire(blocking=False)
            time.sleep(0.002)
            n_at_once += 1
            busy.release()
            return Judgement(features)

    model = SharedModel(Slow())
    assert (model.name, model.labels, model.hop) == (loaded.name, loaded.labels, loaded.hop)
    features = np.zeros(3, dtype=np.float32)
    threads = [
        threading.Thread(target=model.judge, args=(features,), kwargs={"new_s": 0.5}) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert n_at_once == 8
