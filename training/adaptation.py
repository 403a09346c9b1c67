"""Speakers' statistics at training: of some of each speaker's other windows, as live listening finds them.

See `realtime.speaker`: a model that will have a speaker's running statistics taken from its inputs must be
trained on such inputs, after seconds as after minutes of somebody, and when they have just begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from realtime.speaker import Speaker, blend, measure_moments

if TYPE_CHECKING:
    from realtime.types import FloatArray
    from training.recipes.schema import Speakers


@dataclass(frozen=True, slots=True)
class Voices:
    """Whose windows there are to train on.

    Parameters
    ----------
    moments : np.ndarray [shape=(n, 2, n_selected), dtype=float32]
        Of each window's inputs.
    speakers : np.ndarray [shape=(n,), dtype=int64]
        Of each window.
    settings
        How much is heard of a speaker before.
    window_s
        Length of a window, in seconds.
    """

    moments: FloatArray
    speakers: npt.NDArray[np.int64]
    settings: Speakers
    window_s: float

    def draw(self, inputs: FloatArray, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
        """Return rows of the inputs, less the statistics of as much of their speaker as chance would have it.

        Parameters
        ----------
        inputs : np.ndarray [shape=(n, ..., n_selected), dtype=float32]
            Of all windows.
        rows : np.ndarray [shape=(n_rows,), dtype=int64]
            Which of them.
        rng
            Draws everything.
        """
        of_speaker = {one: np.flatnonzero(self.speakers == one) for one in np.unique(self.speakers)}
        # Evenly on a scale of ratios: the first windows change statistics more than later ones do.
        n_heard = np.round(np.exp(rng.uniform(0, np.log(self.settings.n_windows), len(rows)))).astype(int)
        n_heard[rng.random(len(rows)) < self.settings.strangers] = 0
        heard = np.empty((len(rows), *self.moments.shape[1:]), dtype=np.float32)
        for place, (row, n) in enumerate(zip(rows, n_heard, strict=True)):
            # With the window itself, which the running statistics hold too.
            others = rng.choice(of_speaker[self.speakers[row]], n)
            heard[place] = (self.moments[row] + self.moments[others].sum(axis=0)) / (n + 1)
        heard_s = np.minimum((n_heard + 1) * self.window_s, self.settings.memory_s)
        shares = (heard_s / (self.settings.prior_s + heard_s)).astype(np.float32)[:, np.newaxis]
        shifts, scales = blend(heard, shares, deviation=self.settings.deviation)
        middle = (1,) * (inputs.ndim - 2)
        drawn: FloatArray = inputs[rows]
        drawn -= shifts.reshape(len(rows), *middle, -1)
        if scales is not None:
            drawn /= scales.reshape(len(rows), *middle, -1)
        return drawn


def window_moments(inputs: FloatArray) -> FloatArray:
    """Return mean and mean square of each window's inputs [shape=(n, 2, n_selected), dtype=float32].

    Parameters
    ----------
    inputs : np.ndarray [shape=(n, n_selected) or (n, n_frames, n_selected), dtype=float32]
        Selected and scaled.
    """
    moments = np.empty((len(inputs), 2, inputs.shape[-1]), dtype=np.float32)
    for place, window in enumerate(inputs):
        moments[place] = measure_moments(window)
    return moments


def follow_clips(
    inputs: FloatArray,
    clip: npt.NDArray[np.int64],
    position: npt.NDArray[np.int64],
    settings: Speakers,
    *,
    window_s: float,
    hop_s: float,
    speaker: npt.NDArray[np.int64] | None = None,
) -> FloatArray:
    """Return each clip's windows less the running statistics, as the recognizer has it.

    Parameters
    ----------
    inputs : np.ndarray [shape=(n, ..., n_selected), dtype=float32]
        Of voiced windows, in order of time within each clip.
    clip : np.ndarray [shape=(n,), dtype=int64]
        The clip of each.
    position : np.ndarray [shape=(n,), dtype=int64]
        Number of each window among all windows.
    settings
        How fast they move.
    window_s, hop_s
        Length of a window and the step to the next, in seconds.
    speaker : np.ndarray [shape=(n,), dtype=int64]
        Of each window; where they are given, a clip begins with the statistics of its speaker's other
        clips instead of those of nobody.
    """
    moments = window_moments(inputs)
    begins, new_s = _news(clip, position, window_s=window_s, hop_s=hop_s)
    found = np.empty_like(inputs)
    heard = Speaker(settings.adaptation)
    for row in range(len(inputs)):
        if begins[row]:
            heard.reset()
            if speaker is not None:
                others = (speaker == speaker[row]) & (clip != clip[row])
                if others.any():
                    weights = new_s[others]
                    heard.know(np.average(moments[others], axis=0, weights=weights), float(weights.sum()))
        found[row] = heard.hear(inputs[row], float(new_s[row]))
    return found


def follow_labels(
    probabilities: FloatArray,
    clip: npt.NDArray[np.int64],
    position: npt.NDArray[np.int64],
    settings: Speakers,
    *,
    window_s: float,
    hop_s: float,
    speaker: npt.NDArray[np.int64] | None = None,
) -> FloatArray:
    """Return each clip's probabilities less what is usual for its speaker, as the recognizer has it.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, n_labels), dtype=float32]
        Of voiced windows, in order of time within each clip.
    clip, position, settings, window_s, hop_s, speaker
        As for `follow_clips`.
    """
    if not settings.logit_adjustment:
        return probabilities
    begins, new_s = _news(clip, position, window_s=window_s, hop_s=hop_s)
    found = np.empty_like(probabilities)
    heard = Speaker(settings.adaptation)
    for row in range(len(probabilities)):
        if begins[row]:
            heard.reset()
            if speaker is not None:
                others = (speaker == speaker[row]) & (clip != clip[row])
                if others.any():
                    weights = new_s[others]
                    usual = np.average(probabilities[others], axis=0, weights=weights)
                    heard.know_labels(usual, float(weights.sum()))
        found[row] = heard.adjust(probabilities[row], float(new_s[row]))
    return found


def _news(
    clip: npt.NDArray[np.int64], position: npt.NDArray[np.int64], *, window_s: float, hop_s: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Return which windows begin a clip, and how much of each is in no window before, in seconds."""
    begins = np.diff(clip, prepend=clip[:1] - 1) != 0
    steps = np.diff(position, prepend=position[:1])
    return begins, np.where(begins, window_s, np.minimum(window_s, hop_s * steps))
