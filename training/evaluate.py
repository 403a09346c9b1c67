"""How well predictions agree with labels: by clip, and by window as live listening shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from realtime.artifact import Scores
from realtime.decision import Smoother

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.types import FloatArray, Smoothing

N_CONFIDENCE_BINS = 10
_N_DIGITS = 4


def score(
    probabilities: FloatArray, truth: npt.NDArray[np.int64], unheard: npt.NDArray[np.int64], n_labels: int
) -> Scores:
    """Return the scores of predictions.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, n_labels)]
        Of everything that was predicted on.
    truth : np.ndarray [shape=(n,), dtype=int64]
        Its classes.
    unheard : np.ndarray [shape=(n_unheard,), dtype=int64]
        Classes of what was not predicted on, since no voice was heard: missed, so wrong.
    n_labels
        Number of classes.

    Notes
    -----
    Recall and F1 are averaged over the classes that occur: song, for one, knows no disgust. The
    calibration error is that of the predictions there are; the confusion matrix holds these too.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017 (expected calibration error).
    """
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((n_labels, n_labels), dtype=np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    n_true = confusion.sum(axis=1) + np.bincount(unheard, minlength=n_labels)
    right = np.diag(confusion)
    present = n_true > 0
    n = int(n_true.sum())
    recall = right[present] / n_true[present]
    # 2 TP / (2 TP + FP + FN): what is predicted plus what is true counts right ones twice.
    f1 = 2 * right[present] / (n_true[present] + confusion.sum(axis=0)[present])
    return Scores(
        n=n,
        n_unheard=len(unheard),
        accuracy=_rounded(right.sum() / n if n else 0.0),
        uar=_rounded(recall.mean() if n else 0.0),
        macro_f1=_rounded(f1.mean() if n else 0.0),
        ece=_rounded(expected_calibration_error(probabilities, truth)),
        confusion=confusion.tolist(),
    )


def expected_calibration_error(probabilities: FloatArray, truth: npt.NDArray[np.int64]) -> float:
    """Return how far confidence and accuracy lie apart on average, 0 to 1, over ten bins of confidence."""
    if not len(truth):
        return 0.0
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    bins = np.clip(np.ceil(confidence * N_CONFIDENCE_BINS).astype(np.int64) - 1, 0, N_CONFIDENCE_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=N_CONFIDENCE_BINS)
    return float(np.abs(gaps).sum() / len(truth))


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


def _rounded(value: float) -> float:
    return round(float(value), _N_DIGITS)
