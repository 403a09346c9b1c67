from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from realtime import classifier, messages
from realtime.analysis import analyze
from realtime.dating import Dating
from realtime.errors import ProtocolError
from realtime.messages import Start, Stop
from realtime.server.audio import Allowance, AudioSession, AudioStream, Output
from realtime.types import Prediction, State, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from realtime.loaded import LoadedModel
    from tests.conftest import MakeVoice

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
START = Start(sample_rate=16_000, channels=1, format="f32le")
RATE = 16_000


@pytest.fixture
def model(tiny_model: Path) -> LoadedModel:
    return classifier.load(tiny_model)


def stream_of(model: LoadedModel, start: Start = START) -> AudioStream:
    return AudioStream(start, model, name="voice", started=STARTED)


def cut(data: bytes, lengths: Iterator[int]) -> Iterator[bytes]:
    while data:
        n = next(lengths)
        yield data[:n]
        data = data[n:]


def facts(outputs: list[Output]) -> list[tuple[object, ...]]:
    return [
        (event.seq, event.start, event.end, event.probabilities, event.smoothed, event.level_dbfs)
        for event in outputs
        if isinstance(event, Prediction)
    ]


def states(outputs: list[Output]) -> list[State]:
    return [event.state for event in outputs if isinstance(event, Status)]


def dropped(outputs: list[Output]) -> int:
    return sum(event.dropped for event in outputs if isinstance(event, Prediction | Status))


@pytest.mark.parametrize(
    "start",
    [
        Start(sample_rate=16_000, channels=1, format="s16le"),
        Start(sample_rate=44_100, channels=2, format="s16le"),
        Start(sample_rate=8_000, channels=1, format="f32le"),
        Start(sample_rate=48_000, channels=3, format="f32le"),
        Start(sample_rate=22_050, channels=1, format="f32le"),
    ],
)
@pytest.mark.parametrize("lengths", [(1_000_000,), (4_097,), (1, 7, 3_001, 2, 50_000)])
def test_a_file_gives_bitwise_the_same_however_it_is_cut(
    model: LoadedModel,
    make_voice: MakeVoice,
    tmp_path: Path,
    start: Start,
    lengths: tuple[int, ...],
) -> None:
    voices = [make_voice(6, rate=start.sample_rate) * gain for gain in (1.0, 0.7, 0.4)[: start.channels]]
    path = tmp_path / "voice.wav"
    subtype, dtype = ("PCM_16", "int16") if start.format == "s16le" else ("FLOAT", "float32")
    soundfile.write(path, np.stack(voices, axis=1), start.sample_rate, subtype=subtype)
    expected = analyze(path, model).events
    data = soundfile.read(path, dtype=dtype, always_2d=True)[0].tobytes()
    stream = stream_of(model, start)
    outputs = stream.begin()
    for part in cut(data, itertools.cycle(lengths)):
        outputs += stream.push(part)
    outputs += stream.finish()
    assert facts(outputs) == facts(list(expected))
    assert len(facts(outputs)) > 5
    assert states(outputs) == states(list(expected))
    assert dropped(outputs) == 0


def test_clipping_in_one_channel_is_told(model: LoadedModel, make_voice: MakeVoice) -> None:
    left = np.clip(20 * make_voice(4.0), -1, 1).astype(np.float32)
    stereo = np.stack((left, np.zeros_like(left)), axis=1)
    stream = stream_of(model, Start(sample_rate=RATE, channels=2, format="f32le"))
    assert State.CLIPPING in states(stream.push(stereo.tobytes()))


def test_one_sample_at_a_time(model: LoadedModel, make_voice: MakeVoice) -> None:
    data = make_voice(3.6).tobytes()
    whole, single = stream_of(model), stream_of(model)
    expected = whole.push(data) + whole.finish()
    outputs: list[Output] = []
    for part in cut(data, itertools.repeat(4)):
        outputs += single.push(part)
    outputs += single.finish()
    assert facts(outputs) == facts(expected) != []


def test_what_is_left_of_a_frame_counts_as_one_and_is_told(model: LoadedModel, make_voice: MakeVoice) -> None:
    stream, whole = stream_of(model), stream_of(model)
    data = make_voice(4.2).tobytes()
    outputs = stream.push(data + b"\0\0\0") + stream.finish()
    assert facts(outputs) == facts(whole.push(data) + whole.finish())
    (error,) = (output for output in outputs if isinstance(output, messages.Error))
    assert (error.code, error.fatal, error.dropped) == ("leftover", False, 1)
    assert "3 bytes left over" in error.message
    assert dropped(outputs) == 1
    stopped = outputs[-1]
    assert isinstance(stopped, Status)
    assert (stopped.state, stopped.at) == (State.STOPPED, round(4.2 * RATE) + 1)


def test_samples_that_are_no_audio_are_told_once_in_a_while_and_at_the_end(
    model: LoadedModel, make_voice: MakeVoice
) -> None:
    voice = make_voice(12)
    voice[RATE // 2 :: RATE] = np.nan
    voice[RATE] = np.inf
    stream = stream_of(model)
    outputs: list[Output] = []
    with np.errstate(all="raise"):
        for part in cut(voice.tobytes(), itertools.repeat(RATE)):
            outputs += stream.push(part)
        outputs += stream.finish()
    errors = [output for output in outputs if isinstance(output, messages.Error)]
    assert {error.code for error in errors} == {"bad_samples"}
    assert not any(error.fatal for error in errors)
    assert 2 <= len(errors) <= 4
    assert sum(error.dropped for error in errors) == 13
    # A device that was lost there, to those who listen here.
    gaps = [output for output in outputs if isinstance(output, Status) and output.state is State.RECOVERING]
    assert gaps
    assert all(gap.detail.startswith("the sender has lost samples, or sent what is no audio") for gap in gaps)
    assert dropped(outputs) >= 13


def test_a_lost_connection_is_a_state_and_what_follows_is_behind_a_gap(
    model: LoadedModel, make_voice: MakeVoice
) -> None:
    stream, voice = stream_of(model), make_voice(5)
    outputs = stream.push(voice.tobytes() + b"\0")
    gone = stream.break_off()
    (status,) = (output for output in gone if isinstance(output, Status))
    assert (status.state, status.detail) == (State.RECOVERING, "the sender is gone: waiting for it")
    assert status.dropped == 1
    back = stream.go_on(2.0)
    (status,) = (output for output in back if isinstance(output, Status))
    assert "is back after 2.0 s" in status.detail
    outputs += gone + back + stream.push(make_voice(5).tobytes()) + stream.finish()
    predictions = [output for output in outputs if isinstance(output, Prediction)]
    behind = [one for one in predictions if one.start >= 7 * RATE]
    before = [one for one in predictions if one.end <= 5 * RATE]
    assert behind
    assert len(behind) + len(before) == len(predictions)
    assert [one.seq for one in predictions] == list(range(len(predictions)))
    assert dropped(outputs) >= 2 * RATE
    stopped = outputs[-1]
    assert isinstance(stopped, Status)
    assert stopped.at == 12 * RATE + 1


def test_a_gap_of_nothing_loses_nothing(model: LoadedModel, make_voice: MakeVoice) -> None:
    stream, voice = stream_of(model), make_voice(6)
    outputs = stream.push(voice[: 2 * RATE].tobytes()) + stream.break_off() + stream.go_on(0.0)
    assert states(outputs)[-2:] == [State.RECOVERING, State.RECOVERING]
    outputs += stream.push(voice[2 * RATE :].tobytes()) + stream.finish()
    assert dropped(outputs) == 0
    assert facts(outputs)


def test_what_was_not_heard_is_counted_when_a_stream_is_broken_off(
    model: LoadedModel, make_voice: MakeVoice
) -> None:
    stream = stream_of(model)
    outputs = stream.push(make_voice(5).tobytes()) + stream.abandon(4 * 777)
    assert states(outputs)[-1] is State.STOPPED
    assert dropped(outputs) >= 777


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"hop_s": 99.0}, "hop is 99"),
        ({"hop_s": -1.0}, "hop is -1"),
        ({"hop_s": 1e-9}, "hop is 1e-09"),
        ({"smoothing": "loud"}, "smoothing is 'loud'"),
        ({"smoothing": "majority:1000000"}, "1 to 10000"),
        ({"smoothing": "majority:99999999999999999999999"}, "1 to 10000"),
        ({"smoothing": "exponential:nan"}, "smoothing is"),
    ],
)
def test_options_that_do_not_fit_the_model_are_unsupported(
    model: LoadedModel, changes: dict[str, object], found: str
) -> None:
    start = Start(sample_rate=RATE, channels=1, format="s16le", **changes)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match=found) as caught:
        stream_of(model, start)
    assert caught.value.code == "unsupported"


def test_options_are_heeded(model: LoadedModel, make_voice: MakeVoice) -> None:
    start = Start(
        sample_rate=RATE, channels=1, format="f32le", hop_s=1.0, smoothing="none", min_probability=1.0
    )
    stream = stream_of(model, start)
    outputs = stream.push(make_voice(6).tobytes())
    predictions = [output for output in outputs if isinstance(output, Prediction)]
    assert np.diff([one.start for one in predictions]).tolist() == [RATE] * (len(predictions) - 1)
    assert {one.label for one in predictions} == {"unknown"}
    assert all(one.probabilities == one.smoothed for one in predictions)


def test_a_turn_is_a_hop_of_whole_frames(model: LoadedModel) -> None:
    stream = stream_of(model, Start(sample_rate=48_000, channels=2, format="s16le", hop_s=1.0))
    assert stream.n_turn_bytes == 4 * 48_000
    assert stream.seconds(stream.n_turn_bytes) == 1.0


def test_start_comes_first_and_once() -> None:
    session, start, stop = AudioSession(), messages.encode(START).decode(), messages.encode(Stop()).decode()
    for too_early in (b"\0\0", stop):
        with pytest.raises(ProtocolError, match="before `start`") as caught:
            session.receive(too_early)
        assert caught.value.code == "bad_message"
    assert session.receive(start) == session.start == START
    with pytest.raises(ProtocolError, match="a second `start`"):
        session.receive(start)
    assert session.receive(b"\0\0") == b"\0\0"
    assert not session.is_ended
    assert session.receive(stop) == Stop()
    assert session.is_ended


def test_an_allowance_is_a_burst_and_a_speed() -> None:
    allowance = Allowance(speed=10, burst_s=60)
    assert allowance.take(60, 0.0) == 0
    assert allowance.take(5, 0.0) == pytest.approx(0.5)
    assert allowance.should_tell()
    assert not allowance.should_tell()
    assert allowance.take(5, 0.5) == pytest.approx(0.5)
    # As fast as it may: never more than one message ahead.
    now_s = 1.0
    for _ in range(1000):
        now_s += allowance.take(1, now_s)
    assert now_s == pytest.approx(101, abs=0.5)
    assert not allowance.should_tell()
    # Rested: it may again, and would be told again.
    assert allowance.take(1, now_s + 100) == 0
    assert allowance.should_tell()


def test_who_sends_in_real_time_never_waits() -> None:
    allowance = Allowance(speed=1.0, burst_s=1.0)
    assert all(allowance.take(0.1, 0.1 * number) == 0 for number in range(10_000))


def test_samples_that_come_later_than_they_are_dated_for_are_dated_anew(model: LoadedModel) -> None:
    now_s = 0.0
    dating = Dating(
        model.spec.sample_rate,
        now=lambda: STARTED + timedelta(seconds=now_s),
        clock=lambda: now_s,
        started=STARTED,
    )
    stream = AudioStream(START, model, name="voice", started=STARTED, dating=dating)
    second = np.zeros(RATE, dtype=np.float32).tobytes()

    def begins() -> float:
        """Return when the first sample was heard, as far as is known, in seconds from the start."""
        nonlocal now_s
        found = []
        for _ in range(6):
            now_s += 1
            found += stream.push(second)
        events = [event for event in found if isinstance(event, Prediction | Status)]
        assert all(event.stream == stream.stream for event in events)
        return (events[-1].stream.date(0) - STARTED).total_seconds()

    # Within two seconds, as networks and pieces of a second have it, nothing is wrong.
    now_s += 1
    assert begins() == 0
    # A page that is asleep sends nothing, and nobody counts it.
    now_s += 60
    for _ in range(3):
        later = begins()
    assert later == pytest.approx(61, abs=1e-3)
