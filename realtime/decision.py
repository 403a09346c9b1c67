"""From windows' probabilities to decisions: smoothing, abstaining, segments."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from realtime.errors import SettingsError
from realtime.types import AROUND_VOICE_S, LONGEST_VOTE, UNKNOWN, FloatArray, Segment, Smoothing

if TYPE_CHECKING:
    from realtime.types import Prediction, Stream


class Smoother:
    """Combines the probabilities of successive windows.

    Parameters
    ----------
    smoothing
        How.
    n_labels
        Number of probabilities of a window.

    Raises
    ------
    SettingsError
        Where `alpha` or `n` is out of range.
    """

    def __init__(self, smoothing: Smoothing, n_labels: int) -> None:
        if not isinstance(smoothing, Smoothing):
            raise SettingsError(
                f"smoothing is {smoothing!r}; wanted a Smoothing, such as Smoothing(method='majority', n=5)"
            )
        if smoothing.method not in {"exponential", "majority", "none"}:
            raise SettingsError(f"smoothing is {smoothing.method!r}; wanted exponential, majority or none")
        if not 0 < smoothing.alpha <= 1:
            raise SettingsError(f"smoothing: alpha is {smoothing.alpha}; wanted a number above 0 up to 1")
        if not 1 <= smoothing.n <= LONGEST_VOTE:
            raise SettingsError(f"smoothing: n is {smoothing.n} windows; wanted 1 to {LONGEST_VOTE}")
        self._smoothing = smoothing
        self._n_labels = n_labels
        self.reset()

    def reset(self) -> None:
        """Forget the windows so far."""
        self._mean: FloatArray | None = None
        self._recent: deque[FloatArray] = deque(maxlen=self._smoothing.n)

    def push(self, probabilities: FloatArray) -> FloatArray:
        """Return the smoothed probabilities [shape=(n_labels,)] after one more window's."""
        if self._smoothing.method == "none":
            return probabilities
        if self._smoothing.method == "exponential":
            before = probabilities if self._mean is None else self._mean
            alpha = np.float32(self._smoothing.alpha)
            self._mean = alpha * probabilities + (1 - alpha) * before
            return self._mean
        self._recent.append(probabilities)
        votes = np.array([recent.argmax() for recent in self._recent])
        counts = np.bincount(votes, minlength=self._n_labels)
        # Where several labels lead, the one voted for last.
        winner = next(vote for vote in votes[::-1] if counts[vote] == counts.max())
        voters = [recent for recent, vote in zip(self._recent, votes, strict=True) if vote == winner]
        return np.asarray(np.mean(voters, axis=0), dtype=np.float32)


def at_pace(smoothing: Smoothing, hops: float) -> Smoothing:
    """Return a smoothing as steady in time as one that is meant for another hop.

    Parameters
    ----------
    smoothing
        How windows of that other hop are combined.
    hops
        The step between windows now, in such hops.
    """
    if hops == 1:
        return smoothing
    n = min(LONGEST_VOTE, max(1, round(smoothing.n / hops)))
    return replace(smoothing, alpha=1 - (1 - smoothing.alpha) ** hops, n=n)


def decide(smoothed: FloatArray, labels: tuple[str, ...], min_probability: float) -> tuple[str, float]:
    """Return label and probability: the likeliest class, or `unknown` where it is not likely enough.

    Parameters
    ----------
    smoothed : np.ndarray [shape=(n_labels,)]
        Smoothed probabilities.
    labels
        Their labels.
    min_probability
        Below this the decision is `unknown`; 0 never abstains.
    """
    best = int(smoothed.argmax())
    probability = float(smoothed[best])
    return (labels[best] if probability >= min_probability else UNKNOWN), probability


@dataclass(frozen=True, slots=True)
class _Run:
    """Windows of one label."""

    label: str
    start: int
    end: int
    """Where the label was last carried."""
    n_windows: int = 0
    total: float = 0.0
    """Sum of the windows' probabilities."""


class SegmentTracker:
    """Joins windows of one label into segments.

    A window adds what it hears of a voice behind what was heard before it. A label makes a segment once
    `n_stable` windows in a row carry it and add more than what counts as voice around one, and loses it once
    as many in a row do not carry it, whether these agree on another or not: a single odd window does not end
    it. A segment begins with what the first window of its label adds, and ends with what the last one does,
    or with the voice.

    Where the voice is over, windows that still hold some of it add nothing. A label that comes up with them
    makes a segment only of what belongs to none yet, as where a word was too short for a label to be stable
    before its end.

    Parameters
    ----------
    stream
        The stream that the segments belong to.
    n_stable
        Number of windows in a row that make a label stable.
    """

    def __init__(self, stream: Stream, n_stable: int = 2) -> None:
        self.stream = stream
        self._n_stable = n_stable
        # What is no longer than that holds no voice.
        self._n_around = round(2 * AROUND_VOICE_S * stream.sample_rate)
        self.reset()

    def reset(self) -> None:
        """Forget everything, open segments too."""
        self._open: _Run | None = None
        self._candidate: _Run | None = None
        self._n_other = 0
        """Number of the newest windows that carry another label than the open segment's."""
        self._heard: int | None = None
        """Where the voice ends that is heard in one window after the other; None where there is none."""
        self._told = 0
        """Where the last segment ended."""

    def push(self, prediction: Prediction) -> list[Segment]:
        """Return the segments that end and begin with a window: none as a rule, up to two."""
        label, probability = prediction.label, prediction.probability
        heard_start, heard_end = prediction.heard
        # A pause that no window hears across.
        ended = self.close() if self._heard is not None and self._heard < heard_start else []
        start = max(self._told, heard_start) if self._heard is None else self._heard
        self._heard = end = max(start, heard_end)
        if self._open is not None and label == self._open.label:
            self._open = _extended(self._open, probability, end)
            self._candidate = None
            self._n_other = 0
            return ended
        candidate = self._candidate
        if candidate is None or candidate.label != label:
            candidate = _Run(label, start, end)
        self._candidate = candidate = _extended(candidate, probability, end)
        self._n_other += 1
        if self._open is not None and self._n_other >= self._n_stable:
            ended += self._end(self._open, self._open.end)
            self._open = None
        if candidate.n_windows < self._n_stable:
            return ended
        if start == end and end - candidate.start <= self._n_around:
            candidate = replace(candidate, start=max(self._told, heard_start))
        if end - candidate.start <= self._n_around:
            return ended
        self._open, self._candidate = candidate, None
        self._n_other = 0
        return [*ended, self._segment(candidate, None)]

    def close(self) -> list[Segment]:
        """Return the open segment, ended with the voice; none if none is open."""
        ended = []
        if self._open is not None and self._heard is not None:
            ended = self._end(self._open, self._heard)
        self._open = self._candidate = self._heard = None
        self._n_other = 0
        return ended

    def _end(self, run: _Run, end: int) -> list[Segment]:
        self._told = end
        return [self._segment(run, end)]

    def _segment(self, run: _Run, end: int | None) -> Segment:
        return Segment(self.stream, run.label, run.start, end, run.total / run.n_windows)


def _extended(run: _Run, probability: float, end: int) -> _Run:
    return _Run(run.label, run.start, end, run.n_windows + 1, run.total + probability)
