"""The core: every due window in order, nothing lost in silence, no prediction without a voice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.errors import SettingsError, SourceError
from realtime.features import Delta, FeatureSpec, Mel, Mfcc
from realtime.recognizer import Recognizer
from realtime.speaker import Adaptation
from realtime.types import Chunk, Event, Judgement, Prediction, Segment, Smoothing, State, Status

if TYPE_CHECKING:
    import numpy.typing as npt

    from realtime.speaker import Speaker

RATE, WINDOW, HOP = 16_000, 16_000, 4_000
SPEC = FeatureSpec(
    families=(Mfcc(n=13, pool=("mean",)), Delta(of="mfcc", n=13, pool=("std",)), Mel(n=20, pool=("mean",)))
)
LABELS = ("neutral", "happy", "sad")


class FakeModel:
    """Judges by the first features: deterministic, and different for different windows."""

    name = "fake"
    labels = LABELS
    spec = SPEC
    window = WINDOW
    hop = HOP
    smoothing = Smoothing(alpha=0.5)
    adaptation: Adaptation | None = None

    def __init__(self) -> None:
        self.n_judged = 0
        self.heard_s: list[float] = []

    def judge(
        self, features: npt.NDArray[np.float32], speaker: Speaker | None = None, *, new_s: float = 0.0
    ) -> Judgement:
        if speaker is not None:
            self.heard_s.append(new_s)
            features = speaker.hear(features, new_s)
        self.n_judged += 1
        powers = np.exp(features[:3] / 50 - np.max(features[:3] / 50))
        return Judgement(np.asarray(powers / powers.sum(), dtype=np.float32))


class Strong(FakeModel):
    """Also says how strong an emotion is: something else of every window."""

    def judge(
        self, features: npt.NDArray[np.float32], speaker: Speaker | None = None, *, new_s: float = 0.0
    ) -> Judgement:
        judgement = super().judge(features, speaker, new_s=new_s)
        return judgement._replace(intensity=self.n_judged % 10 / 10)


def voiced(seconds: float, seed: int = 0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    phase = 2 * np.pi * np.cumsum(150 + 30 * np.sin(np.arange(n) / 3000 + seed)) / RATE
    tone = np.sum([np.sin(k * phase) / k for k in range(1, 9)], axis=0)
    # Syllables: what neither rises nor falls is no voice.
    tone *= 1 + 0.8 * np.sin(2 * np.pi * 4 * np.arange(n) / RATE)
    return np.asarray(0.1 * tone + 0.001 * rng.standard_normal(n), dtype=np.float32)


def silence(seconds: float) -> npt.NDArray[np.float32]:
    return (1e-5 * np.random.default_rng(9).standard_normal(round(seconds * RATE))).astype(np.float32)


def fresh(**settings: object) -> Recognizer:
    return Recognizer(FakeModel(), **settings)  # type: ignore[arg-type]


def of(kind: type, events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def states(events: list[Event]) -> list[State]:
    return [event.state for event in events if isinstance(event, Status)]


def plain(events: list[Event]) -> list[Event]:
    """Events without what differs between two recognizers: the stream's date, and times."""
    return [replace(event, stream=None) for event in events]  # type: ignore[arg-type]


SPEECH = np.concatenate((voiced(2.1), silence(1.7), voiced(1.5, seed=4)))
WHOLE = fresh().push(SPEECH)


def test_predicts_every_due_window_in_order() -> None:
    events = fresh().push(voiced(3.0))
    predictions = [event for event in events if isinstance(event, Prediction)]
    assert [(p.seq, p.start, p.end) for p in predictions] == [
        (k, k * HOP, k * HOP + WINDOW) for k in range(9)
    ]
    for p in predictions:
        assert sum(p.probabilities) == pytest.approx(1, abs=1e-5)
        assert p.label == LABELS[int(np.argmax(p.smoothed))]
        assert p.probability == max(p.smoothed)
        assert -25 < p.level_dbfs < -10
    assert states(events) == [State.STARTING, State.LISTENING]


@given(st.lists(st.integers(0, 20_000), max_size=30))
@settings(max_examples=30)
def test_any_chunking_gives_the_same_events(lengths: list[int]) -> None:
    recognizer = fresh()
    events: list[Event] = []
    rest = SPEECH
    for length in [*lengths, len(rest)]:
        events += recognizer.push(rest[:length])
        rest = rest[length:]
    assert plain(events) == plain(WHOLE)


def test_reset_makes_it_new_and_its_absence_shows() -> None:
    recognizer = fresh()
    recognizer.push(voiced(1.3, seed=2))
    recognizer.reset()
    assert plain(recognizer.push(SPEECH)) == plain(WHOLE)
    recognizer = fresh()
    recognizer.push(voiced(1.3, seed=2))
    assert plain(recognizer.push(SPEECH)) != plain(WHOLE)


def test_silence_gives_a_status_not_an_emotion_and_is_told_again() -> None:
    events = fresh().push(silence(12))
    assert states(events) == [State.STARTING, State.SILENT, State.SILENT, State.SILENT]
    assert not of(Prediction, events)
    silent = [event for event in events if isinstance(event, Status)][1]
    reminders = [event for event in events if isinstance(event, Status) and event.state is State.SILENT]
    assert [event.since for event in reminders] == [WINDOW] * 3
    assert [event.at for event in reminders] == [WINDOW + k * 5 * RATE for k in range(3)]
    assert silent.level_dbfs == pytest.approx(-100, abs=1)


@pytest.mark.parametrize("kind", ["white", "pink", "impulses"])
def test_noise_gives_a_status_not_an_emotion(kind: str) -> None:
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(4 * RATE)
    if kind == "pink":
        noise = np.cumsum(noise) * 0.02
        noise -= np.convolve(noise, np.ones(400) / 400, "same")
    if kind == "impulses":
        noise = 1e-4 * noise
        noise[:: RATE // 2] = 0.9
    events = fresh().push((0.1 * noise).astype(np.float32))
    assert not of(Prediction, events)
    assert states(events)[-1] is State.SILENT


@pytest.mark.parametrize("kind", ["hum", "whistle", "buzz"])
def test_a_steady_tone_gives_a_status_not_an_emotion(kind: str) -> None:
    time = np.arange(4 * RATE) / RATE
    tone = {
        "hum": np.sin(2 * np.pi * 50 * time) + 0.5 * np.sin(2 * np.pi * 150 * time),
        "whistle": np.sin(2 * np.pi * 1000 * time),
        "buzz": np.sign(np.sin(2 * np.pi * 150 * time)),
    }[kind]
    events = fresh().push((0.1 * tone).astype(np.float32))
    assert not of(Prediction, events)
    assert states(events) == [State.STARTING, State.SILENT]


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_a_dead_input_is_no_signal(value: float) -> None:
    assert states(fresh().push(np.full(2 * RATE, value, dtype=np.float32))) == [
        State.STARTING,
        State.NO_SIGNAL,
    ]


def test_a_distorted_voice_is_predicted_on_but_told() -> None:
    events = fresh().push(np.clip(8 * voiced(2.0), -1, 1))
    assert states(events) == [State.STARTING, State.CLIPPING]
    assert len(of(Prediction, events)) == 5


@pytest.mark.parametrize("n_samples", [32_000, 1_000, 333])
def test_what_was_clipped_before_channels_were_mixed_is_told(n_samples: int) -> None:
    samples = 0.4 * voiced(2.0)
    samples[7] = np.nan
    clipped = np.zeros(32_000, dtype=np.bool_)
    # One more than half a percent of the window that begins at 8,008, and of no window before.
    clipped[20_008 : 20_008 + 81] = True
    recognizer, events = fresh(), list[Event]()
    for begin in range(0, 32_000, n_samples):
        piece = slice(begin, begin + n_samples)
        events += recognizer.push(Chunk(samples[piece], clipped=clipped[piece]))
    assert states(events) == [State.STARTING, State.RECOVERING, State.LISTENING, State.CLIPPING]
    (told,) = (e for e in events if isinstance(e, Status) and e.state is State.CLIPPING)
    assert told.since == 24_008


def test_what_is_clipped_is_told_of_every_sample() -> None:
    chunk = Chunk(np.zeros(5, dtype=np.float32), clipped=np.zeros(4, dtype=np.bool_))
    with pytest.raises(SourceError, match=r"clipped has the shape \(4,\); wanted \(5,\)"):
        fresh().push(chunk)


def test_samples_that_are_said_not_to_be_heard_are_refused() -> None:
    recognizer = fresh()
    for state in (State.NO_SIGNAL, State.RECOVERING, State.SILENT):
        with pytest.raises(SourceError, match=f"a chunk of state {state.value} has 7 samples; wanted none"):
            recognizer.push(Chunk(np.zeros(7, dtype=np.float32), dropped=3, state=state))
    # Nothing has happened: it goes on as if new.
    assert plain(recognizer.push(SPEECH)) == plain(WHOLE)


def test_a_window_that_spans_a_gap_is_never_predicted_on() -> None:
    recognizer = fresh()
    events = recognizer.push(voiced(1.3))
    gap = recognizer.push(Chunk(voiced(1.2, seed=1), dropped=500))
    n_before = round(1.3 * RATE)
    # Window 1 ended at 20 000; the 800 samples behind it are in no window, so they count as lost too.
    lost = n_before - 20_000 + 500
    assert [type(event) for event in gap[:1]] == [Status] or isinstance(gap[0], Segment)
    statuses = [event for event in gap if isinstance(event, Status)]
    assert [s.state for s in statuses] == [State.RECOVERING, State.LISTENING]
    assert statuses[0].dropped == lost
    assert statuses[0].detail == "the source lost samples"
    begin = n_before + 500
    predictions = [event for event in gap if isinstance(event, Prediction)]
    assert predictions[0].start == begin
    for p in predictions:
        assert not p.start < begin < p.end
    assert [p.seq for p in predictions] == [len(of(Prediction, events))]


samples_or_gaps = st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 3000)), min_size=1, max_size=12)


@given(samples_or_gaps, st.booleans())
@settings(max_examples=40)
def test_every_sample_is_in_a_window_or_counted(pieces: list[tuple[int, int]], to_the_end: bool) -> None:  # noqa: FBT001
    model = FakeModel()
    seen: list[tuple[int, int]] = []
    recognizer = Recognizer(model)
    extractor = recognizer._extractor
    push = extractor.push

    def recording(samples: npt.NDArray[np.float32]) -> list[object]:
        windows = push(samples)
        origin = recognizer._position.origin
        seen.extend((origin + w.start, origin + w.end) for w in windows)
        return windows  # type: ignore[return-value]

    extractor.push = recording  # type: ignore[method-assign, assignment]
    events: list[Event] = []
    total = 0
    source = voiced(23)
    for n, dropped in pieces:
        events += recognizer.push(Chunk(source[total % 1000 : total % 1000 + n], dropped=dropped))
        total += n + dropped
    events += recognizer.finish() if to_the_end else recognizer.stop()
    covered = np.zeros(total, dtype=bool)
    for start, end in seen:
        covered[start:end] = True
    counted = sum(event.dropped for event in events if isinstance(event, Prediction | Status))
    assert counted == total - np.count_nonzero(covered)


def test_samples_that_are_no_audio_are_counted_as_lost() -> None:
    samples = voiced(3.0)
    samples[20_000] = np.nan
    samples[20_001] = -np.inf
    samples[20_002] = 1e20
    events = fresh().push(samples)
    assert states(events) == [State.STARTING, State.LISTENING, State.RECOVERING, State.LISTENING]
    assert sum(e.dropped for e in events if isinstance(e, Status)) == 3
    for p in (e for e in events if isinstance(e, Prediction)):
        assert not p.start <= 20_001 < p.end
        assert np.isfinite(p.probabilities).all()


def test_a_stream_of_nothing_but_nonsense_does_not_flood() -> None:
    samples = voiced(2.0)
    samples[::2] = np.nan
    events = fresh().push(samples)
    assert states(events) == [State.STARTING, State.RECOVERING]
    # One sample before each, in no window, is lost with it; what came last is still pending.
    assert sum(e.dropped for e in fresh().push(samples) if isinstance(e, Status)) <= len(samples)


def test_the_sources_own_state_is_passed_on_once() -> None:
    recognizer = fresh()
    nothing = np.empty(0, dtype=np.float32)
    recognizer.push(voiced(1.5))
    gone = Chunk(nothing, dropped=8000, state=State.NO_SIGNAL, detail="no samples for 2 s")
    first, again = recognizer.push(gone), recognizer.push(gone)
    assert states(first) == [State.NO_SIGNAL]
    assert states(again) == []
    back = recognizer.push(Chunk(voiced(1.0), dropped=100))
    assert states(back) == [State.RECOVERING, State.LISTENING]
    assert sum(e.dropped for e in back if isinstance(e, Status)) == 8100
    many = [state for _ in range(20) for state in states(recognizer.push(gone))]
    assert 2 <= len(many) <= 3, "told again every five seconds"


def test_what_was_only_held_up_goes_on_where_it_was() -> None:
    recognizer, samples = fresh(smoothing=Smoothing(method="none")), voiced(3.1)
    events = recognizer.push(samples[:27_000])
    events += recognizer.push(Chunk(samples[:0], state=State.NO_SIGNAL, detail="nothing comes"))
    events += recognizer.push(samples[27_000:])
    assert states(events) == [State.STARTING, State.LISTENING, State.NO_SIGNAL, State.LISTENING]
    expected = fresh(smoothing=Smoothing(method="none")).push(samples)
    assert plain([*predictions(events)]) == plain([*predictions(expected)])


def test_a_stream_that_is_broken_off_says_what_is_in_no_window() -> None:
    recognizer = fresh()
    recognizer.push(voiced(0.7))
    *_, stopped = recognizer.stop()
    assert isinstance(stopped, Status)
    assert (stopped.state, stopped.dropped) == (State.STOPPED, round(0.7 * RATE))
    assert stopped.detail == "broken off: the last 0.7 s are in no window"


def test_what_a_signal_keeps_from_the_features_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = fresh()
    recognizer.push(voiced(0.7))

    def interrupted(_: object) -> list[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(recognizer._extractor, "push", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recognizer.push(voiced(0.2))
    *_, stopped = recognizer.stop()
    assert isinstance(stopped, Status)
    assert stopped.since == stopped.dropped == round(0.9 * RATE)


def test_finish_pads_the_last_window_and_says_stopped() -> None:
    recognizer = fresh()
    recognizer.push(voiced(0.7))
    events = recognizer.finish()
    (prediction,) = (e for e in events if isinstance(e, Prediction))
    assert (prediction.start, prediction.end) == (0, round(0.7 * RATE))
    assert isinstance(events[-1], Status)
    assert events[-1].state is State.STOPPED
    assert events[-1].since == round(0.7 * RATE)
    assert events[-1].dropped == 0
    assert all(event.since <= round(0.7 * RATE) for event in events if isinstance(event, Status))


def test_chunks_may_tell_when_the_stream_began() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    later = noon + timedelta(seconds=3)
    earlier = noon - timedelta(hours=1)
    recognizer = fresh(started=noon)
    n_events = 0
    for told, known in ((None, noon), (later, later), (later, later), (None, later), (earlier, earlier)):
        for event in recognizer.push(Chunk(voiced(1.0), started=told)):
            n_events += 1
            assert event.stream.date(RATE) == known + timedelta(seconds=1)
            # The same stream, whatever its date.
            assert event.stream == recognizer.stream
            assert event.stream.started == noon
    assert n_events > 5
    assert {event.stream.date(0) for event in recognizer.finish()} == {earlier}


@pytest.mark.parametrize("seconds", [0.7, 1.0, 2.1])
def test_what_is_lost_at_the_end_takes_nothing_else_with_it(seconds: float) -> None:
    samples, end = voiced(seconds), round(seconds * RATE)
    whole, damaged = fresh(), fresh()
    expected = predictions(whole.push(samples) + whole.finish())
    events = damaged.push(samples)
    events += damaged.push(Chunk(samples[:0], 500, detail="the rest is damaged", last=True))
    events += damaged.finish()
    assert plain([*predictions(events)]) == plain([*expected])
    assert expected[-1].end == end
    *_, lost, stopped = (event for event in events if isinstance(event, Status))
    assert (lost.state, lost.dropped, lost.detail) == (State.RECOVERING, 500, "the rest is damaged")
    assert (stopped.state, stopped.dropped, stopped.since) == (State.STOPPED, 0, end + 500)


def test_what_is_lost_before_the_last_samples_is_a_gap() -> None:
    recognizer = fresh()
    events = recognizer.push(voiced(1.2)) + recognizer.push(Chunk(voiced(0.7, seed=1), 500, last=True))
    events += recognizer.finish()
    (lost,) = (event for event in events if isinstance(event, Status) and event.dropped)
    assert lost.dropped == round(0.2 * RATE) + 500
    assert [(p.start, p.end) for p in predictions(events)] == [(0, RATE), (19_700, 19_700 + 11_200)]


def test_stop_counts_what_was_in_no_window() -> None:
    recognizer = fresh()
    recognizer.push(voiced(1.1))
    (*_, stopped) = recognizer.stop()
    assert isinstance(stopped, Status)
    assert stopped.dropped == round(1.1 * RATE) - WINDOW


def test_hop_and_smoothing_are_settings() -> None:
    events = fresh(hop_s=0.1, smoothing=Smoothing(method="none")).push(voiced(2.0))
    predictions = [event for event in events if isinstance(event, Prediction)]
    assert [p.start for p in predictions] == [k * 1600 for k in range(11)]
    assert all(p.smoothed == p.probabilities for p in predictions)
    with pytest.raises(SettingsError, match=r"hop is 0.11 s; wanted a multiple of .* 0.025 s, such as 0.1 s"):
        fresh(hop_s=0.11)
    with pytest.raises(SettingsError, match=r"hop is 1.5 s; wanted at most the model's window, 1 s"):
        fresh(hop_s=1.5)
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(SettingsError, match="hop is"):
            fresh(hop_s=bad)
    with pytest.raises(SettingsError, match=r"min_probability is 1.5"):
        fresh(min_probability=1.5)


class Doubtful(FakeModel):
    """Says something else after so many windows of each."""

    def __init__(self, *lengths: int) -> None:
        super().__init__()
        self.lengths = lengths

    def judge(
        self, features: npt.NDArray[np.float32], speaker: Speaker | None = None, *, new_s: float = 0.0
    ) -> Judgement:
        super().judge(features, speaker, new_s=new_s)
        k = int(np.searchsorted(np.cumsum(self.lengths), self.n_judged))
        return Judgement(np.eye(3, dtype=np.float32)[k % 3], 0.0 if k == 0 else 1.0)


def test_another_hop_is_as_steady_in_time() -> None:
    # Of a quarter of a second, the model's own, and of a fifth of that.
    samples = voiced(6.0)
    usual = Recognizer(Doubtful(4, 99)).push(samples)
    finer = Recognizer(Doubtful(20, 999), hop_s=0.05).push(samples)
    # One of the model's hops, and then two, after the first windows that say something else.
    expected, found = predictions(usual)[4:6], [predictions(finer)[k] for k in (24, 29)]
    for one, other in zip(expected, found, strict=True):
        assert other.smoothed == pytest.approx(one.smoothed, abs=1e-5)
        assert other.intensity == pytest.approx(one.intensity, abs=1e-5)
    assert expected[0].smoothed == pytest.approx((0.5, 0.5, 0))
    # What was asked for is taken as it is.
    asked = predictions(
        Recognizer(Doubtful(20, 999), hop_s=0.05, smoothing=Smoothing(alpha=0.5)).push(samples)
    )
    assert asked[20].smoothed == pytest.approx((0.5, 0.5, 0))


@pytest.mark.parametrize(
    ("hop_s", "n_stable"), [(None, 2), (0.25, 2), (0.05, 10), (0.1, 5), (0.5, 2), (1.0, 2)]
)
def test_a_label_is_stable_after_the_same_time(hop_s: float | None, n_stable: int) -> None:
    lengths = (n_stable, n_stable - 1, n_stable, 99)
    recognizer = Recognizer(Doubtful(*lengths), hop_s=hop_s, smoothing=Smoothing(method="none"))
    events = recognizer.push(voiced(12.0))
    segments = [(event.label, event.end is None) for event in events if isinstance(event, Segment)]
    # Of the second label there was one window too few.
    assert segments[:2] == [("neutral", True), ("neutral", False)]
    assert segments[2][0] == "sad"
    n_told = next(i for i, event in enumerate(events) if isinstance(event, Segment))
    assert len(predictions(events[:n_told])) == n_stable


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        (np.zeros(10, dtype=np.int16), r"int16 of shape \(10,\)"),
        (np.zeros((10, 1), dtype=np.float32), r"float32 of shape \(10, 1\)"),
        (np.zeros(10, dtype=np.complex64), "complex64"),
        ([0.0, 0.1], "list"),
        (None, "NoneType"),
    ],
)
def test_what_only_looks_like_audio_is_refused(samples: object, found: str) -> None:
    recognizer = fresh()
    with pytest.raises(SourceError, match=f"samples are {found}.*; wanted a NumPy array"):
        recognizer.push(samples)  # type: ignore[arg-type]
    # Nothing has happened: it goes on as if new.
    assert plain(recognizer.push(SPEECH)) == plain(WHOLE)


def test_double_precision_is_as_good() -> None:
    assert plain(fresh().push(SPEECH.astype(np.float64))) == plain(WHOLE)


def test_unlikely_windows_are_unknown() -> None:
    events = fresh(min_probability=1.0).push(voiced(2.0))
    assert {event.label for event in events if isinstance(event, Prediction)} == {"unknown"}


def test_latency_is_measured_with_the_timer_alone() -> None:
    ticks = iter(range(1_000_000))
    recognizer = Recognizer(FakeModel(), timer=lambda: float(next(ticks)))
    events = recognizer.push(Chunk(voiced(1.0), queued_s=0.25))
    (prediction,) = (e for e in events if isinstance(e, Prediction))
    assert prediction.latency.queue_ms == 250
    assert prediction.latency.features_ms == 1000
    assert prediction.latency.inference_ms == 1000
    assert all(e.latency.inference_ms == 0 for e in WHOLE if isinstance(e, Prediction))


def test_segments_follow_the_voice() -> None:
    segments = [event for event in WHOLE if isinstance(event, Segment)]
    assert segments
    for segment in segments:
        assert segment.label in LABELS
        assert segment.end is None or segment.start < segment.end <= len(SPEECH)
    closed = [s for s in segments if s.end is not None]
    assert closed, "the silence closes what was open"


def test_segments_and_predictions_tell_where_the_voice_is() -> None:
    word = np.concatenate((silence(2.3), voiced(1.1), silence(4), voiced(1.4, seed=4), silence(2)))
    # Samples that were lost before count too.
    recognizer = fresh()
    events = [*recognizer.push(Chunk(word, dropped=1_000)), *recognizer.finish()]
    begin = {start_s: 1_000 + round(start_s * RATE) for start_s in (2.3, 3.4, 7.4, 8.8)}
    for p in predictions(events):
        assert p.voice_start is not None
        assert p.voice_end is not None
        assert p.start <= p.voice_start < p.voice_end <= p.end
        (first, last) = (2.3, 3.4) if p.start < begin[3.4] else (7.4, 8.8)
        assert p.voice_start == pytest.approx(max(p.start, begin[first]), abs=0.07 * RATE)
        assert p.voice_end == pytest.approx(min(p.end, begin[last]), abs=0.15 * RATE)
    closed = [s for s in events if isinstance(s, Segment) and s.end is not None]
    assert closed[0].start == pytest.approx(begin[2.3] - 0.2 * RATE, abs=0.07 * RATE)
    assert closed[-1].end == pytest.approx(begin[8.8] + 0.2 * RATE, abs=0.1 * RATE)
    for segment in closed:
        assert segment.end is not None
        assert not segment.start < 5 * RATE < segment.end, "the pause is in none"


def test_the_voice_of_the_last_window_ends_with_the_recording() -> None:
    recognizer = fresh()
    recognizer.push(voiced(1.13))
    *_, last = predictions(recognizer.finish())
    assert last.end == last.voice_end == round(1.13 * RATE)
    assert last.heard == (last.start, last.end)


def predictions(events: list[Event]) -> list[Prediction]:
    return [event for event in events if isinstance(event, Prediction)]


def test_a_speaker_is_heard_once_and_forgotten_by_reset() -> None:
    model = FakeModel()
    model.adaptation = Adaptation(prior_s=3.0, memory_s=60.0)
    recognizer = Recognizer(model)
    sound = voiced(6)
    before = predictions(recognizer.push(sound))
    window_s, hop_s = WINDOW / RATE, HOP / RATE
    assert model.heard_s == pytest.approx([window_s, *[hop_s] * (len(before) - 1)])
    # A gap breaks a window off, not the acquaintance: but all of the next window is new.
    model.heard_s.clear()
    recognizer.push(Chunk(sound, dropped=100))
    assert model.heard_s[0] == pytest.approx(window_s)
    recognizer.reset()
    again = predictions(recognizer.push(sound))
    assert [p.probabilities for p in again] == [p.probabilities for p in before]


def test_nobody_is_got_used_to_where_that_is_not_wanted() -> None:
    model = FakeModel()
    sound = voiced(6)
    plain = predictions(Recognizer(model).push(sound))
    model.adaptation = Adaptation(prior_s=3.0, memory_s=60.0)
    used = predictions(Recognizer(model).push(sound))
    alone = predictions(Recognizer(model, adapt=False).push(sound))
    assert [p.probabilities for p in alone] == [p.probabilities for p in plain]
    assert [p.probabilities for p in used] != [p.probabilities for p in plain]


def test_who_was_heard_before_is_known_at_once() -> None:
    model = FakeModel()
    sound = voiced(6)
    assert Recognizer(model).voice is None
    model.adaptation = Adaptation(prior_s=3.0, memory_s=60.0)
    first = Recognizer(model)
    new = predictions(first.push(sound))
    voice = first.voice
    assert voice is not None
    assert voice.heard_s == pytest.approx(6)
    second = Recognizer(model, voice=voice)
    assert second.voice is not None
    known = predictions(second.push(sound))
    assert known[0].probabilities != new[0].probabilities
    second.reset()
    assert [p.probabilities for p in predictions(second.push(sound))] == [p.probabilities for p in known]
    assert Recognizer(model, adapt=False, voice=voice).voice is None


@pytest.mark.parametrize(
    ("smoothing", "expected"),
    [
        (Smoothing(method="none"), [0.1, 0.2, 0.3]),
        (Smoothing(alpha=0.5), [0.1, 0.15, 0.225]),
        (Smoothing(method="majority", n=2), [0.1, 0.15, 0.25]),
    ],
)
def test_intensity_is_smoothed_as_probabilities_are(smoothing: Smoothing, expected: list[float]) -> None:
    recognizer = Recognizer(Strong(), smoothing=smoothing)

    def intensities(seconds: float) -> list[float | None]:
        events = recognizer.push(voiced(seconds))
        return [event.intensity for event in events if isinstance(event, Prediction)]

    assert intensities(4.0)[:3] == pytest.approx(expected)
    # Nothing of it is left after a silence.
    recognizer.push(silence(4.0))
    n = recognizer._model.n_judged  # type: ignore[attr-defined]
    assert intensities(4.0)[0] == pytest.approx((n + 1) % 10 / 10)


def test_a_model_without_intensity_tells_none() -> None:
    events = Recognizer(FakeModel()).push(voiced(4.0))
    assert {event.intensity for event in events if isinstance(event, Prediction)} == {None}
