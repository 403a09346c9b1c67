"""The pure core: samples in, events out. No input or output, no clock, no threads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from realtime import activity, decision
from realtime.errors import SettingsError
from realtime.features import WindowExtractor
from realtime.samples import check, split_valid
from realtime.speaker import Speaker
from realtime.types import PREDICTING, REMIND_S, Chunk, Latency, Prediction, State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from realtime.activity import Signal
    from realtime.features import FeatureSpec, FeatureWindow
    from realtime.speaker import Adaptation, Voice
    from realtime.types import BoolArray, Event, FloatArray, Judgement, Smoothing

STABLE_HOPS = 2
"""A label that lasts for so many hops is stable; hops are meant that are as long as the model's own."""


class Model(Protocol):
    """What the recognizer needs of a classifier."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def spec(self) -> FeatureSpec: ...  # noqa: D102

    @property
    def window(self) -> int: ...  # noqa: D102

    @property
    def hop(self) -> int: ...  # noqa: D102

    @property
    def smoothing(self) -> Smoothing: ...  # noqa: D102

    @property
    def adaptation(self) -> Adaptation | None: ...  # noqa: D102

    def judge(self, features: FloatArray, speaker: Speaker | None = None, *, new_s: float = 0.0) -> Judgement:
        """Return the probability of each label for the features of one window, and how strong they are."""
        ...


class Recognizer:
    """Turns a stream of samples into events: predictions, segments, changes of state.

    Every due window is judged, in order, however the stream is cut into chunks. A window that spans lost
    samples is never predicted on; a window without a voice gives a status instead.

    Parameters
    ----------
    model
        What judges windows: `realtime.load` gives one.
    hop_s
        Step between windows, in seconds; the model's own by default.
    smoothing
        How successive windows are combined; by default as the model has it, at the pace of its own hop
        whatever the hop is.
    min_probability
        Below this the label is `unknown`; 0 never abstains.
    adapt
        Whether the model may get used to the speaker, if it was trained to.
    voice
        Who speaks, where this model heard them before: another's `voice`; nobody in particular by default.
    name
        Names the stream in its events.
    started
        Date of the first sample; now by default. Chunks that tell another are believed.
    timer
        A monotonic clock in seconds, which times features and inference; None leaves latencies at 0.

    Raises
    ------
    SettingsError
        Where a value is out of range, or the hop is no whole number of frames.

    Examples
    --------
    >>> import numpy as np
    >>> import realtime
    >>> recognizer = realtime.Recognizer(realtime.load())
    >>> [event.state for event in recognizer.push(np.zeros(48_000, dtype=np.float32))]
    [<State.STARTING: 'starting'>, <State.NO_SIGNAL: 'no_signal'>]
    """

    def __init__(
        self,
        model: Model,
        *,
        hop_s: float | None = None,
        smoothing: Smoothing | None = None,
        min_probability: float = 0.0,
        adapt: bool = True,
        voice: Voice | None = None,
        name: str = "stream",
        started: datetime | None = None,
        timer: Callable[[], float] | None = None,
    ) -> None:
        if not 0 <= min_probability <= 1:
            raise SettingsError(f"min_probability is {min_probability}; wanted a number from 0 to 1")
        hop = model.hop if hop_s is None else _whole_frames(hop_s, model)
        dates = {} if started is None else {"started": started}
        self.stream = Stream(
            name, model.name, model.labels, model.spec.sample_rate, model.window, hop, **dates
        )
        self._model = model
        self._min_probability = min_probability
        self._now = timer or (lambda: 0.0)
        self._extractor = WindowExtractor(model.spec, window=model.window, hop=hop)
        self._meter = activity.SignalMeter(model.window, model.spec.frame_hop)
        # More windows in the same time are no reason for answers to change more often.
        smoothing = smoothing or decision.at_pace(model.smoothing, hop / model.hop)
        self._smoother = decision.Smoother(smoothing, len(model.labels))
        # Of one value a majority is all of them: it is their mean.
        self._intensity = decision.Smoother(smoothing, 1)
        # Of a single window nobody could say that it is not an odd one.
        n_stable = max(2, round(STABLE_HOPS * model.hop / hop))
        self._segments = decision.SegmentTracker(self.stream, n_stable)
        self._speaker = None if model.adaptation is None or not adapt else Speaker(model.adaptation, voice)
        self.reset()

    @property
    def voice(self) -> Voice | None:
        """What the model got used to so far; None where that is nothing, or it gets used to nobody."""
        return None if self._speaker is None else self._speaker.voice

    def reset(self) -> None:
        """Forget everything but what it was made with: the next sample is the stream's first."""
        self._position = _Position()
        self._forget_audio()
        self._segments.reset()
        if self._speaker is not None:
            self._speaker.reset()

    def push(self, chunk: Chunk | FloatArray) -> list[Event]:
        """Return the events that became due, in order.

        Parameters
        ----------
        chunk
            A `Chunk`, or its samples alone [shape=(n,), dtype=float32], mono, at the model's sample rate.

        Raises
        ------
        SourceError
            Where the samples are no floating-point numbers, or have more than one dimension, or as many
            are not told to be clipped or not; or where there are any, but the chunk's state says that
            nothing is heard.
        """
        if not isinstance(chunk, Chunk):
            chunk = Chunk(chunk)
        check(chunk)
        if chunk.started is not None and chunk.started != self.stream.date(0):
            self.stream = self._segments.stream = replace(self.stream, redated=chunk.started)
        events: list[Event] = []
        if self._position.state is None:
            events.append(self._enter(State.STARTING, "collecting the first window"))
        if chunk.dropped:
            if chunk.last and not len(chunk.samples):
                events += self._fill_up()
            events += self._lose(chunk.dropped, chunk.detail or "the source lost samples", chunk.state)
        if chunk.state not in PREDICTING:
            return events + self._tell(chunk.state, chunk.detail)
        begin = 0
        for samples, n_lost in split_valid(chunk.samples):
            clipped = None if chunk.clipped is None else chunk.clipped[begin : begin + len(samples)]
            events += self._feed(samples, chunk.queued_s, clipped)
            begin += len(samples) + n_lost
            if n_lost:
                no_audio = "samples that are no audio: not a number, infinite, or huge"
                events += self._lose(n_lost, chunk.detail or no_audio)
        return events

    def finish(self) -> list[Event]:
        """Return the last events of a stream that has ended: its last windows, and `stopped`.

        The last window is filled up with silence, so that every sample is in one. Afterwards only
        `reset` makes sense.
        """
        return self._fill_up() + self.stop()

    def stop(self) -> list[Event]:
        """Return the last events of a stream that is broken off: samples in no window are counted as lost."""
        position, extractor = self._position, self._extractor
        # What a signal kept from the extractor is in no window either. (Padding is the other way round.)
        n_kept_back = max(0, position.index - position.origin - extractor.n_samples)
        n_rest = extractor.n_unseen + n_kept_back
        position.dropped += n_rest
        extractor.reset()
        rest_s = n_rest / self.stream.sample_rate
        detail = f"broken off: the last {rest_s:.2g} s are in no window" if n_rest else "the stream has ended"
        return [*self._segments.close(), self._enter(State.STOPPED, detail)]

    def _fill_up(self) -> list[Event]:
        """Return the events of a last window, filled up with silence where samples are in none yet."""
        if not self._extractor.n_unseen:
            return []
        padding = np.zeros(self._extractor.n_until_due, dtype=np.float32)
        # No time passes: the stream's end stays where it is.
        self._position.index -= len(padding)
        return self._feed(padding, 0.0)

    def _feed(self, samples: FloatArray, queued_s: float, clipped: BoolArray | None = None) -> list[Event]:
        events: list[Event] = []
        while len(samples):
            # Up to the next window and no further, so that the meter has measured just that window.
            part = samples[: max(1, self._extractor.n_until_due)]
            samples = samples[len(part) :]
            self._position.index += len(part)
            self._meter.push(part, None if clipped is None else clipped[: len(part)])
            clipped = None if clipped is None else clipped[len(part) :]
            before = self._now()
            windows = self._extractor.push(part)
            self._position.features_s += self._now() - before
            for window in windows:
                events += self._judge(window, queued_s)
        return events

    def _judge(self, window: FeatureWindow, queued_s: float) -> list[Event]:
        signal = self._meter.read()
        voice = activity.find_voice(window.voice_rms, window.harmonicity, self._model.spec)
        state = activity.assess(signal, has_voice=voice is not None)
        events = self._tell(state, _DETAILS[state], signal)
        if state in PREDICTING and voice is not None:
            events += self._predict(window, voice, signal, queued_s)
        self._position.features_s = 0.0
        return events

    def _predict(
        self, window: FeatureWindow, voice: tuple[int, int], signal: Signal, queued_s: float
    ) -> list[Event]:
        position, spec = self._position, self._model.spec
        # What the last prediction did not see: less than a window where they overlap.
        new = min(self.stream.window, window.start - position.predicted)
        position.predicted = window.start
        before = self._now()
        probabilities, intensity = self._model.judge(
            window.features, self._speaker, new_s=new / self.stream.sample_rate
        )
        inference_s = self._now() - before
        if intensity is not None:
            intensity = float(self._intensity.push(np.asarray([intensity], dtype=np.float32))[0])
        smoothed = self._smoother.push(probabilities)
        label, probability = decision.decide(smoothed, self.stream.labels, self._min_probability)
        # The last window of a recording is filled up behind its end.
        end = min(position.origin + window.end, position.index)
        start = position.origin + window.start
        first, stop = voice
        prediction = Prediction(
            stream=self.stream,
            seq=position.seq,
            start=start,
            end=end,
            label=label,
            probability=probability,
            probabilities=tuple(probabilities.tolist()),
            smoothed=tuple(smoothed.tolist()),
            level_dbfs=signal.level_dbfs,
            dropped=position.take_dropped(),
            latency=Latency(1e3 * queued_s, 1e3 * position.features_s, 1e3 * inference_s),
            intensity=intensity,
            voice_start=start + first * spec.frame_hop,
            voice_end=min(end, start + (stop - 1) * spec.frame_hop + spec.frame_length),
        )
        position.seq += 1
        return [prediction, *self._segments.push(prediction)]

    def _lose(self, n_samples: int, reason: str, state: State = State.RECOVERING) -> list[Event]:
        """Account for lost samples, and begin anew behind them."""
        position = self._position
        position.dropped += n_samples + self._extractor.n_unseen
        position.index += n_samples
        self._forget_audio()
        if state in PREDICTING:
            state = State.RECOVERING
        return self._tell(state, reason)

    def _tell(self, state: State, detail: str, signal: Signal | None = None) -> list[Event]:
        """Return the events of a state: when it is new, and again now and then while nothing is predicted."""
        position = self._position
        events: list[Event] = []
        if state not in PREDICTING:
            self._forget_decisions()
            events += self._segments.close()
        overdue = position.index - position.told >= REMIND_S * self.stream.sample_rate
        if state is not position.state or (state not in PREDICTING and overdue):
            events.append(self._enter(state, detail, signal))
        return events

    def _forget_audio(self) -> None:
        self._extractor.reset()
        self._meter.reset()
        self._forget_decisions()
        self._position.origin = self._position.index
        self._position.predicted = -self.stream.window
        self._position.features_s = 0.0

    def _forget_decisions(self) -> None:
        self._smoother.reset()
        self._intensity.reset()

    def _enter(self, state: State, detail: str, signal: Signal | None = None) -> Status:
        position = self._position
        if state is not position.state:
            position.since = position.index
        position.state = state
        position.told = position.index
        level_dbfs = None if signal is None else signal.level_dbfs
        return Status(
            self.stream, state, detail, position.since, position.index, level_dbfs, position.take_dropped()
        )


_DETAILS = {
    State.LISTENING: "",
    State.CLIPPING: "the input is so loud that it distorts: turn it down",
    State.SILENT: "no voice in the last window",
    State.NO_SIGNAL: "the input delivers one constant value: is it muted or unplugged?",
}


@dataclass(slots=True)
class _Position:
    """Where a stream stands."""

    index: int = 0
    """Number of samples so far, lost ones included."""
    origin: int = 0
    """The sample from which windows are counted: behind the last loss."""
    predicted: int = 0
    """Where the last window began that was predicted on, counted as windows are."""
    seq: int = 0
    dropped: int = 0
    state: State | None = None
    since: int = 0
    told: int = 0
    """Where the state was last told."""
    features_s: float = 0.0
    """Time spent on features since the last window."""

    def take_dropped(self) -> int:
        """Return the number of samples lost since the last event, which now travels with this one."""
        dropped, self.dropped = self.dropped, 0
        return dropped


def _whole_frames(hop_s: float, model: Model) -> int:
    """Return a hop in samples.

    Raises
    ------
    SettingsError
        Where it is no whole number of frames, or so long that samples would fall between windows.
    """
    spec = model.spec
    window_s = model.window / spec.sample_rate
    if hop_s > window_s:
        raise SettingsError(f"hop is {hop_s:g} s; wanted at most the model's window, {window_s:g} s")
    frame_s = spec.frame_hop / spec.sample_rate
    n_frames = round(hop_s / frame_s) if np.isfinite(hop_s) else 0
    if n_frames < 1 or abs(n_frames * frame_s - hop_s) > 1e-6:  # noqa: PLR2004 - rounding of decimals
        near = max(1, n_frames) * frame_s
        raise SettingsError(
            f"hop is {hop_s} s; wanted a multiple of the model's frame step, {frame_s:g} s, "
            f"such as {near:g} s"
        )
    return n_frames * spec.frame_hop
