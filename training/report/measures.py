"""The numbers that pictures show and their captions say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from training.metrics import N_CONFIDENCE_BINS, confidence_bins, expected_calibration_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.report.data import Judged

_INDEX = re.compile(r"_\d+$")


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How well one class is recognised.

    Parameters
    ----------
    label
        The class.
    n_true, n_predicted
        Number of rows that are of it, and that were said to be.
    precision, recall, f1
        0 to 1; nan where there is nothing to divide by.
    """

    label: str
    n_true: int
    n_predicted: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How confidence and accuracy agree.

    Parameters
    ----------
    n : np.ndarray [shape=(10,), dtype=int64]
        Predictions in each bin of confidence; bin `i` holds those above ``i / 10`` up to ``(i + 1) / 10``.
    confidence, accuracy : np.ndarray [shape=(10,), dtype=float64]
        Mean of each bin, 0 to 1; nan where it is empty.
    ece
        Expected calibration error: their mean distance, weighed by the bins' counts.
    mean_confidence, mean_accuracy
        Over all predictions.
    """

    n: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    ece: float
    mean_confidence: float
    mean_accuracy: float


@dataclass(frozen=True, slots=True)
class FamilySum:
    """How much a family of features matters.

    Parameters
    ----------
    family
        Its name.
    n
        Number of its features among the selected.
    importance
        The sum of theirs.
    """

    family: str
    n: int
    importance: float


def confusion(judged: Judged, n_labels: int) -> npt.NDArray[np.int64]:
    """Return how often each class (rows) was said to be each class (columns)."""
    counts = np.zeros((n_labels, n_labels), dtype=np.int64)
    np.add.at(counts, (judged.truth, judged.probabilities.argmax(axis=1)), 1)
    return counts


def score_classes(counts: npt.NDArray[np.int64], labels: Sequence[str]) -> tuple[ClassScores, ...]:
    """Return each class's scores.

    Parameters
    ----------
    counts : np.ndarray [shape=(n_labels, n_labels), dtype=int64]
        A confusion matrix, rows true.
    labels
        Names of the classes.
    """
    n_true, n_predicted, right = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    return tuple(
        ClassScores(
            label,
            int(n_true[i]),
            int(n_predicted[i]),
            precision=_share(right[i], n_predicted[i]),
            recall=_share(right[i], n_true[i]),
            f1=_share(2 * right[i], n_true[i] + n_predicted[i]),
        )
        for i, label in enumerate(labels)
    )


def calibrate(judged: Judged) -> Calibration:
    """Return how confidence and accuracy agree, over ten bins of confidence of equal width.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017 (expected calibration error).
    """
    confidence = judged.probabilities.max(axis=1).astype(np.float64)
    right = judged.probabilities.argmax(axis=1) == judged.truth
    bins = confidence_bins(confidence)
    n = np.bincount(bins, minlength=N_CONFIDENCE_BINS)
    total = np.bincount(bins, weights=confidence, minlength=N_CONFIDENCE_BINS)
    n_right = np.bincount(bins, weights=right, minlength=N_CONFIDENCE_BINS)
    some = np.where(n > 0, n, np.nan)
    return Calibration(
        n=n,
        confidence=total / some,
        accuracy=n_right / some,
        ece=expected_calibration_error(judged.probabilities, judged.truth),
        mean_confidence=float(confidence.mean()),
        mean_accuracy=float(right.mean()),
    )


def separations(
    inputs: npt.NDArray[np.floating[Any]], label: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the share of each feature's variance that lies between the classes (eta squared), 0 to 1.

    Parameters
    ----------
    inputs : np.ndarray [shape=(n, n_features), dtype=floating]
        Values.
    label : np.ndarray [shape=(n,), dtype=int64]
        Their classes.
    """
    values = inputs.astype(np.float64)
    centred = values - values.mean(axis=0)
    total = (centred**2).sum(axis=0)
    between = np.zeros(values.shape[1])
    for own in np.unique(label):
        rows = label == own
        between += rows.sum() * centred[rows].mean(axis=0) ** 2
    return np.divide(between, total, out=np.zeros_like(between), where=total > 0)


def family_of(name: str) -> str:
    """Return the family of a feature: ``mfcc_delta`` of ``mfcc_delta_07.std@voiced``."""
    return _INDEX.sub("", name.split(".", 1)[0])


def sum_families(names: Sequence[str], importances: npt.NDArray[np.floating[Any]]) -> tuple[FamilySum, ...]:
    """Return the sums of each family's importances, the largest first."""
    families = np.asarray([family_of(name) for name in names])
    sums = [
        FamilySum(str(family), int(own.sum()), float(importances[own].astype(np.float64).sum()))
        for family in np.unique(families)
        for own in [families == family]
    ]
    return tuple(sorted(sums, key=lambda entry: (-entry.importance, entry.family)))


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")
