"""How well predictions agree with labels, and how sure that figure is: scores with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from realtime.artifact import ClassScores, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.types import FloatArray

N_CONFIDENCE_BINS = 10
N_REPLICATES = 2000
"""Of the bootstrap."""
_SEED = 0
_N_DIGITS = 4
_FIGURES = ("accuracy", "uar", "macro_f1", "ece")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Predictions and truth, of one seed's models.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, n_labels)]
        Of everything that was predicted on.
    truth : np.ndarray [shape=(n,), dtype=int64]
        Its classes.
    speaker : np.ndarray [shape=(n,), dtype=int64]
        Number of each one's speaker.
    unheard : np.ndarray [shape=(n_unheard,), dtype=int64]
        Classes of what was not predicted on, since no voice was heard: missed, so wrong.
    unheard_speaker : np.ndarray [shape=(n_unheard,), dtype=int64]
        Number of each one's speaker.
    """

    probabilities: FloatArray
    truth: npt.NDArray[np.int64]
    speaker: npt.NDArray[np.int64]
    unheard: npt.NDArray[np.int64]
    unheard_speaker: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Counts:
    """What the figures are computed from; sums over speakers, so that these can be drawn again.

    Parameters
    ----------
    confusion : np.ndarray [shape=(..., n_labels, n_labels)]
        Rows: truth; columns: prediction.
    unheard : np.ndarray [shape=(..., n_labels)]
        By truth.
    gaps : np.ndarray [shape=(..., N_CONFIDENCE_BINS)]
        Confidence less correctness, summed within each bin of confidence.
    """

    confusion: npt.NDArray[np.float64]
    unheard: npt.NDArray[np.float64]
    gaps: npt.NDArray[np.float64]

    def figures(self) -> npt.NDArray[np.float64]:
        """Return accuracy, UAR, macro F1 and calibration error [shape=(..., 4)]."""
        n_true = self.confusion.sum(axis=-1) + self.unheard
        right = np.diagonal(self.confusion, axis1=-2, axis2=-1)
        n_predicted = self.confusion.sum(axis=-2)
        present = n_true > 0
        n_present = np.maximum(present.sum(axis=-1), 1)
        recall = right / np.maximum(n_true, 1)
        # 2 TP / (2 TP + FP + FN): what is predicted plus what is true counts right ones twice.
        f1 = np.where(present, 2 * right / np.maximum(n_true + n_predicted, 1), 0)
        n = np.maximum(n_true.sum(axis=-1), 1)
        n_judged = np.maximum(self.confusion.sum(axis=(-2, -1)), 1)
        return np.stack(
            (
                right.sum(axis=-1) / n,
                recall.sum(axis=-1) / n_present,
                f1.sum(axis=-1) / n_present,
                np.abs(self.gaps).sum(axis=-1) / n_judged,
            ),
            axis=-1,
        )


def score(outcomes: Sequence[Outcome], labels: Sequence[str]) -> Scores:
    """Return the scores of predictions: means over seeds, with intervals over speakers.

    Parameters
    ----------
    outcomes
        One for each seed, of the same clips or windows.
    labels
        The classes, in the order of the probabilities.

    Notes
    -----
    Recall and F1 are averaged over the classes that occur: song, for one, knows no disgust. The
    calibration error is that of the predictions there are; the confusion matrix holds these too, of all
    seeds together. The intervals are percentiles of figures of as many speakers, drawn again and again with
    replacement: a speaker's clips resemble each other, so that drawing clips would make them too narrow.
    Those of the calibration error lean upwards, as does the error itself of few: differences count, whatever
    their sign. Of several seeds, their ends are means over seeds as well: they tell of a model, which has
    one.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017 (expected calibration error).
    Efron & Tibshirani, "An introduction to the bootstrap", 1993; Davison & Hinkley, "Bootstrap methods and
    their application", 1997, section 3.8 (resampling of groups).
    """
    return combine([_score_seed(outcome, labels) for outcome in outcomes], labels)


def combine(scores: Sequence[Scores], labels: Sequence[str]) -> Scores:
    """Return the scores of all seeds behind several scores of the same clips or windows.

    Parameters
    ----------
    scores
        Each of one seed or more.
    labels
        The classes, in the order of the confusion matrices.

    Raises
    ------
    ValueError
        Where they are not of as many clips or windows.

    References
    ----------
    Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979
    (the deviation over all seeds).
    """
    first = scores[0]
    sizes = sorted({(one.n, one.n_unheard) for one in scores})
    if len(sizes) > 1:
        raise ValueError(f"scores of {sizes} clips or windows, and unheard ones; wanted as many in each")
    weights = np.asarray([one.n_seeds for one in scores], dtype=np.float64)
    n_seeds = int(weights.sum())
    means, deviations, intervals = {}, {}, {}
    for name in _FIGURES:
        values = np.asarray([getattr(one, name) for one in scores])
        mean = float(weights @ values) / n_seeds
        means[name] = _rounded(mean)
        own = np.asarray([one.sd.get(name, 0.0) for one in scores])
        if n_seeds > 1:
            squares = (weights - 1) @ own**2 + weights @ (values - mean) ** 2
            deviations[name] = _rounded(np.sqrt(squares / (n_seeds - 1)))
        if all(name in one.ci95 for one in scores):
            low, high = weights @ np.asarray([one.ci95[name] for one in scores]) / n_seeds
            intervals[name] = (_rounded(low), _rounded(high))
    confusion = np.sum([one.confusion for one in scores], axis=0)
    return Scores(
        n=first.n,
        n_unheard=first.n_unheard,
        **means,
        n_seeds=n_seeds,
        sd=deviations,
        ci95=intervals,
        classes=_by_class(confusion, {label: one.n for label, one in first.classes.items()}, labels, n_seeds),
        confusion=confusion.tolist(),
    )


def _score_seed(outcome: Outcome, labels: Sequence[str]) -> Scores:
    """Return one seed's scores, not rounded yet."""
    n_speakers = 1 + int(max(outcome.speaker.max(initial=0), outcome.unheard_speaker.max(initial=0)))
    counts = _count(outcome, len(labels), n_speakers)
    figures = _draw(counts, np.ones((1, n_speakers))).figures()[0]
    confusion = counts.confusion.sum(axis=0).astype(np.int64)
    n_true = confusion.sum(axis=1) + counts.unheard.sum(axis=0).astype(np.int64)
    occurring = {label: int(n) for label, n in zip(labels, n_true, strict=True) if n}
    return Scores(
        n=len(outcome.truth) + len(outcome.unheard),
        n_unheard=len(outcome.unheard),
        **dict(zip(_FIGURES, figures.tolist(), strict=True)),
        ci95=_intervals(counts, outcome),
        classes=_by_class(confusion, occurring, labels, 1),
        confusion=confusion.tolist(),
    )


def expected_calibration_error(probabilities: FloatArray, truth: npt.NDArray[np.int64]) -> float:
    """Return how far confidence and accuracy lie apart on average, 0 to 1, over ten bins of confidence."""
    nobody = np.zeros(0, dtype=np.int64)
    outcome = Outcome(probabilities, truth, np.zeros(len(truth), dtype=np.int64), nobody, nobody)
    return float(_count(outcome, probabilities.shape[1], 1).figures()[0, 3])


def confidence_bins(confidence: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
    """Return each confidence's bin [shape=(n,)]: `i` holds those above ``i / 10`` up to ``(i + 1) / 10``."""
    bins = np.ceil(confidence * N_CONFIDENCE_BINS).astype(np.int64) - 1
    return np.asarray(np.clip(bins, 0, N_CONFIDENCE_BINS - 1))


def _count(outcome: Outcome, n_labels: int, n_speakers: int) -> _Counts:
    """Return the counts of each speaker."""
    predicted = outcome.probabilities.argmax(axis=1)
    confidence = outcome.probabilities.max(axis=1).astype(np.float64)
    bins = confidence_bins(confidence)
    confusion = np.zeros((n_speakers, n_labels, n_labels))
    np.add.at(confusion, (outcome.speaker, outcome.truth, predicted), 1)
    unheard = np.zeros((n_speakers, n_labels))
    np.add.at(unheard, (outcome.unheard_speaker, outcome.unheard), 1)
    gaps = np.zeros((n_speakers, N_CONFIDENCE_BINS))
    np.add.at(gaps, (outcome.speaker, bins), confidence - (predicted == outcome.truth))
    return _Counts(confusion, unheard, gaps)


def _draw(counts: _Counts, times: npt.NDArray[np.float64]) -> _Counts:
    """Return the counts of several draws, given how often each speaker is drawn [shape=(n, n_speakers)]."""
    n_speakers, n_labels = counts.unheard.shape
    confusion = times @ counts.confusion.reshape(n_speakers, -1)
    return _Counts(confusion.reshape(-1, n_labels, n_labels), times @ counts.unheard, times @ counts.gaps)


def _intervals(counts: _Counts, outcome: Outcome) -> dict[str, tuple[float, float]]:
    """Return the 95% interval of each figure; none where there are fewer than two speakers."""
    speakers = np.unique(np.concatenate((outcome.speaker, outcome.unheard_speaker)))
    few = 2
    if len(speakers) < few:
        return {}
    rng = np.random.default_rng(_SEED)
    times = np.zeros((N_REPLICATES, len(counts.unheard)))
    times[:, speakers] = rng.multinomial(
        len(speakers), np.full(len(speakers), 1 / len(speakers)), size=N_REPLICATES
    )
    ends = np.percentile(_draw(counts, times).figures(), _levels(len(speakers)), axis=0)
    return {name: (low, high) for name, (low, high) in zip(_FIGURES, ends.T.tolist(), strict=True)}


def _levels(n: int) -> tuple[float, float]:
    """Return the percentiles between which 95% of such bootstraps over `n` speakers hold the truth.

    Where speakers are few, 2.5 and 97.5 lie too near: of nine, 89% do. These lie as many of the figure's
    deviations apart as the ends of Student's interval of a mean.

    References
    ----------
    Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69 (2015), 371-386:
    the expanded percentile interval.
    """
    reach = np.sqrt(n / (n - 1)) * stdtrit(n - 1, 0.975)
    low = 100 * float(ndtr(-reach))
    return low, 100 - low


def _by_class(
    confusion: npt.NDArray[np.int64], n_true: dict[str, int], labels: Sequence[str], n_seeds: int
) -> dict[str, ClassScores]:
    """Return the scores of each class that occurs, so often with each seed."""
    scores = {}
    for index, label in enumerate(labels):
        if label not in n_true:
            continue
        n = n_true[label] * n_seeds
        right, n_predicted = confusion[index, index], confusion[:, index].sum()
        scores[label] = ClassScores(
            n=n_true[label],
            precision=_rounded(right / n_predicted if n_predicted else 0.0),
            recall=_rounded(right / n),
            f1=_rounded(2 * right / (n + n_predicted)),
        )
    return scores


def _rounded(value: float) -> float:
    return round(float(value), _N_DIGITS)
