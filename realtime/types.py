"""What passes between the parts: chunks in, events out, and the protocols at both ends.

Everything here is frozen. The only clock is the sample index since the stream began; a `Stream` turns
indices into seconds and dates for messages and screens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

FloatArray: TypeAlias = npt.NDArray[np.float32]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""Every emotion a model may know, in the order used everywhere."""

UNKNOWN = "unknown"
"""The label of a prediction on which the model abstains; never a class."""


class State(StrEnum):
    """What a stream is doing, as users see it."""

    STARTING = "starting"
    """Collecting the first window."""
    LISTENING = "listening"
    """A voice is heard and predicted on."""
    SILENT = "silent"
    """Sound arrives, but no voice in it: no prediction is made."""
    NO_SIGNAL = "no_signal"
    """The input is dead: nothing arrives, or one constant value."""
    CLIPPING = "clipping"
    """A voice is heard and predicted on, but so loud that the input distorts."""
    RECOVERING = "recovering"
    """Samples were lost, or the device is gone; collecting a whole window again."""
    STOPPED = "stopped"
    """The stream has ended."""


PREDICTING = frozenset({State.LISTENING, State.CLIPPING})
"""The states in which windows are predicted on; any other is a reason why there are no predictions."""

REMIND_S = 5.0
"""While there is nothing to predict on, the state is told again this often, in seconds of audio."""

SILENCE_DBFS = -120.0
"""The level that digital silence is given, since its logarithm has no end, and JSON no infinity."""

CLIPPED_FROM = 0.99
"""Samples of this magnitude and more count as clipped."""

AROUND_VOICE_S = 0.2
"""What is this near to a voice counts as part of it, in seconds: consonants without a pitch, and ends that
are too soft to tell."""

LONGEST_VOTE = 10_000
"""Windows that may vote together at the most: more than an hour of them, all counted at every hop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothing:
    """How successive windows' probabilities are combined.

    Parameters
    ----------
    method
        ``exponential``: a running mean that forgets; ``majority``: the label that most of the last `n`
        windows chose, with their mean probabilities; ``none``.
    alpha
        Weight of the newest window (exponential), above 0 up to 1.
    n
        Number of windows that vote (majority), up to `LONGEST_VOTE`.
    """

    method: Literal["exponential", "majority", "none"] = "exponential"
    alpha: float = 0.5
    n: int = 3


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of audio and the model that listens to it.

    Parameters
    ----------
    name
        Names the stream in messages.
    model
        Name of the artifact.
    labels
        The model's classes, in the order of its probabilities.
    sample_rate
        Samples per second of everything indexed by sample, in Hz.
    window, hop
        Length of a window, and its step, in samples.
    started
        Date of sample 0, as it was known when the stream began: no other stream of that name has it. It is
        local where it has no time zone.
    redated
        The same as it is known by now, where that is another. Streams that differ in this alone are equal.
    """

    name: str
    model: str
    labels: tuple[str, ...]
    sample_rate: int
    window: int
    hop: int
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    redated: datetime | None = field(default=None, compare=False)

    def seconds(self, index: int) -> float:
        """Return the seconds from the stream's beginning to sample `index`."""
        return index / self.sample_rate

    def date(self, index: int) -> datetime:
        """Return the date (UTC) of sample `index`."""
        return (self.redated or self.started).astimezone(UTC) + timedelta(seconds=self.seconds(index))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples as they arrive from a source.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), dtype=float32]
        Mono, at the model's sample rate, full scale ±1; any length, none included.
    dropped
        Samples that were lost between the previous chunk and this one, at the model's sample rate.
    queued_s
        How long the oldest of these samples waited before the chunk was handed over, in seconds.
    state
        What the source says of itself: `LISTENING` as a rule; `NO_SIGNAL` when its device delivers
        nothing; `RECOVERING` while it tries to open the device again.
    detail
        Why `state` is not `LISTENING`, or what lost samples or those that are no audio mean, for people.
    started
        Date of the stream's first sample, as it is known by now; None where the source does not tell.
    clipped : np.ndarray [shape=(n,), dtype=bool] or None
        Which of the samples were clipped in a channel before channels were mixed, after which nobody can
        tell; None where there is nothing to know but the samples themselves.
    last
        Whether nothing follows. What such a chunk without samples tells as lost is the end of the audio: what
        came before is then judged as if it had ended there.
    """

    samples: FloatArray
    dropped: int = 0
    queued_s: float = 0.0
    state: State = State.LISTENING
    detail: str = ""
    started: datetime | None = None
    clipped: BoolArray | None = None
    last: bool = False


@dataclass(frozen=True, slots=True)
class Latency:
    """Where the time between a window's last sample and its prediction went, in milliseconds."""

    queue_ms: float = 0.0
    features_ms: float = 0.0
    inference_ms: float = 0.0


class Judgement(NamedTuple):
    """What a model says of one window."""

    probabilities: FloatArray
    """Of each label [shape=(n_labels,), dtype=float32]."""
    intensity: float | None = None
    """Strength of the emotion, 0 to 1, where the model tells it."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The emotion of one window.

    Parameters
    ----------
    stream
        The stream it belongs to.
    seq
        Number of the prediction within the stream, from 0.
    start, end
        The window's first sample, and the one after its last.
    label
        One of `stream.labels`, or `unknown`.
    probability
        The smoothed probability of the likeliest class.
    probabilities, smoothed
        One value per label of `stream.labels`: of this window alone, and after smoothing.
    level_dbfs
        Root mean square of the window, in dB relative to full scale.
    dropped
        Samples lost since the previous event.
    latency
        Where the time went.
    intensity
        Strength of the emotion, 0 to 1, smoothed; None where the model does not tell it.
    voice_start, voice_end
        The first sample of the window at which a voice is heard, and the one after the last; None where that
        is not known, as of servers that do not tell.
    """

    stream: Stream
    seq: int
    start: int
    end: int
    label: str
    probability: float
    probabilities: tuple[float, ...]
    smoothed: tuple[float, ...]
    level_dbfs: float
    dropped: int = 0
    latency: Latency = Latency()
    intensity: float | None = None
    voice_start: int | None = None
    voice_end: int | None = None

    @property
    def heard(self) -> tuple[int, int]:
        """Where there is a voice: from its first sample to the one after its last, both within the window.

        That is from `AROUND_VOICE_S` before what is heard until as long after it; all of the window where
        that is not known.
        """
        if self.voice_start is None or self.voice_end is None:
            return self.start, self.end
        around = round(AROUND_VOICE_S * self.stream.sample_rate)
        return max(self.start, self.voice_start - around), min(self.end, self.voice_end + around)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a voice with one stable label.

    Parameters
    ----------
    stream
        The stream it belongs to.
    label
        One of `stream.labels`, or `unknown`.
    start
        Its first sample.
    end
        The sample after its last; None while it goes on.
    probability
        Mean smoothed probability of the label so far.
    """

    stream: Stream
    label: str
    start: int
    end: int | None
    probability: float


@dataclass(frozen=True, slots=True)
class Status:
    """What a stream does from now on; sent when that changes, and again while it is not predicting.

    Parameters
    ----------
    stream
        The stream it belongs to.
    state
        What it does.
    detail
        Why, for people; may be empty.
    since
        The sample at which the state began.
    at
        The sample at which this is told: later than `since` where it is told again.
    level_dbfs
        Root mean square of the newest window, in dB relative to full scale; None before there is one.
    dropped
        Samples lost since the previous event.
    """

    stream: Stream
    state: State
    detail: str
    since: int
    at: int
    level_dbfs: float | None = None
    dropped: int = 0


Event: TypeAlias = Prediction | Segment | Status


class Source(Protocol):
    """Where audio comes from: a context manager that yields chunks until it ends.

    Entering opens the device or file and raises `SourceError` where that fails; leaving closes it.
    Iterating yields chunks at the sample rate that the source was built for.
    """

    name: str

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __iter__(self) -> Iterator[Chunk]: ...


class Sink(Protocol):
    """Where events go.

    `emit` may raise anything; the loop then reports the sink, closes it and goes on without it.
    """

    name: str

    def emit(self, event: Event) -> None:
        """Take one event."""
        ...

    def close(self) -> None:
        """Finish what is pending and let go of files and sockets; may be called twice."""
        ...
