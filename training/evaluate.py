"""From windows' probabilities to what is scored: clips, windows as live listening shows them, thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from realtime.decision import Smoother

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.types import FloatArray, Smoothing


def by_clip(
    probabilities: FloatArray, clip: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the clips that were heard, ascending, and the mean probabilities of each one's windows.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, n_labels)]
        Of voiced windows.
    clip : np.ndarray [shape=(n,), dtype=int64]
        The clip of each.
    """
    heard, place = np.unique(clip, return_inverse=True)
    total = np.zeros((len(heard), probabilities.shape[1]))
    np.add.at(total, place, probabilities)
    return heard, (total / np.bincount(place, minlength=len(heard))[:, np.newaxis]).astype(np.float32)


def smooth(
    probabilities: FloatArray,
    clip: npt.NDArray[np.int64],
    position: npt.NDArray[np.int64],
    smoothing: Smoothing,
) -> FloatArray:
    """Return each window's probabilities smoothed over its clip, as the recognizer does it.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, n_labels)]
        Of voiced windows, in order of time within each clip.
    clip : np.ndarray [shape=(n,), dtype=int64]
        The clip of each.
    position : np.ndarray [shape=(n,), dtype=int64]
        Number of each window among all windows: where one without a voice lies between two, smoothing
        begins anew.
    smoothing
        How.
    """
    smoother = Smoother(smoothing, probabilities.shape[1])
    smoothed = np.empty_like(probabilities)
    for row in range(len(probabilities)):
        if row == 0 or clip[row] != clip[row - 1] or position[row] != position[row - 1] + 1:
            smoother.reset()
        smoothed[row] = smoother.push(probabilities[row])
    return smoothed


def thresholds(
    confidence: FloatArray,
    right: npt.NDArray[np.bool_],
    precisions: Sequence[float],
    *,
    n_least: int,
) -> dict[str, float]:
    """Return, by precision, the lowest confidence from which on so large a share of decisions is right.

    Parameters
    ----------
    confidence : np.ndarray [shape=(n,)]
        Of each decision.
    right : np.ndarray [shape=(n,)]
        Whether it is.
    precisions
        The shares asked for; those never reached are left out.
    n_least
        Decisions that a threshold must leave.
    """
    order = np.argsort(-confidence, kind="stable")
    surest = confidence[order]
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # A threshold takes all decisions of equal confidence or none of them.
    ends = np.append(surest[1:] < surest[:-1], True)
    found = {}
    for wanted in precisions:
        fit = np.flatnonzero(ends & (precision >= wanted))
        if len(fit) and fit[-1] + 1 >= n_least:
            # Rounded down, so that the decisions it was measured on stay above it.
            found[f"{wanted:g}"] = float(np.floor(surest[fit[-1]] * 1e4) / 1e4)
    return found
