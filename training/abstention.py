"""When a model should say `unknown`: thresholds of probability, and what they leave of strangers' voices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from realtime.card import Coverage
from training import evaluate
from training.judgement import Judged, adjust_labels, outcome_of_windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from training.study import Study, Trained

PRECISIONS = (0.6, 0.7, 0.8, 0.9)
N_PRECISE = 50
"""Windows that a threshold must leave, at the least: fewer tell no precision."""


def strangers_by_seed(trained: Sequence[Trained]) -> list[list[Trained]]:
    """Return the speaker protocol's models, those of each seed together, in the order of the seeds."""
    strangers = [one for one in trained if one.task.group == "speaker"]
    seeds = sorted({one.task.seed for one in strangers})
    return [[one for one in strangers if one.task.seed == seed] for seed in seeds]


def find_thresholds(study: Study, by_seed: Sequence[Sequence[Trained]]) -> dict[str, float]:
    """Return, by precision, the smoothed probability from which on so large a share of labels is right.

    Measured on strangers' voices: the inner parts of the speaker protocol, judged before they were trained
    on, so that its test parts stay unseen. With each seed apart, for a model has one; what is returned is the
    mean.

    Parameters
    ----------
    study
        What the models were trained on.
    by_seed
        As `strangers_by_seed` gives them; without any there is no threshold.
    """
    return mean_thresholds([_find(study, strangers) for strangers in by_seed], [1] * len(by_seed))


def measure_coverage(
    study: Study,
    by_seed: Sequence[Sequence[Trained]],
    judged: Sequence[Judged],
    precisions: Iterable[str],
) -> dict[str, Coverage]:
    """Return, by precision, what its threshold leaves of the test parts' windows, and how right they are.

    Each speaker is in a test part and in another task's inner part: the threshold for a test part is found
    anew without those that are in it.

    Parameters
    ----------
    study, by_seed
        As for `find_thresholds`.
    judged
        Each seed's predictions of all test parts.
    precisions
        Those to try.
    """
    asked = tuple(precisions)
    found = [_try(study, own, tested, asked) for own, tested in zip(by_seed, judged, strict=True)]
    return mean_coverage(found, [1] * len(found))


def measure_elsewhere(
    study: Study, trained: Sequence[Trained], judged: Mapping[str, Sequence[Judged]]
) -> dict[str, dict[str, Coverage]]:
    """Return, by direction of the cross protocol and by precision, what thresholds leave of another corpus.

    Each model's are found on its own corpus, on the inner part of the speakers. Counted are the windows of
    labels that its corpus has: others it cannot know.

    Parameters
    ----------
    study
        What the models were trained on.
    trained
        Models, those of other protocols among them, which are passed over.
    judged
        By direction, each seed's predictions of the other corpus, in the order of the seeds.
    """
    by_direction: dict[str, dict[str, Coverage]] = {}
    for direction, by_seed in judged.items():
        models = sorted(
            (one for one in trained if one.task.group == direction), key=lambda one: one.task.seed
        )
        found = [_go_elsewhere(study, one, own) for one, own in zip(models, by_seed, strict=True)]
        if means := mean_coverage(found, [1] * len(found)):
            by_direction[direction] = means
    return by_direction


def mean_thresholds(found: Sequence[dict[str, float]], n_seeds: Sequence[int]) -> dict[str, float]:
    """Return the mean threshold of each precision that every seed reaches, rounded down.

    Parameters
    ----------
    found
        Thresholds, each of one seed or the mean of more.
    n_seeds
        How many seeds are behind each.
    """
    means = {name: np.average([one[name] for one in found], weights=n_seeds) for name in _shared(found)}
    # What has no more than four digits may stand a hair below itself.
    return {precision: float(np.floor(mean * 1e4 + 1e-6) / 1e4) for precision, mean in means.items()}


def mean_coverage(found: Sequence[dict[str, Coverage]], n_seeds: Sequence[int]) -> dict[str, Coverage]:
    """Return what thresholds leave of all seeds' windows, by precision, and how right that is.

    Parameters are those of `mean_thresholds`.
    """
    means = {}
    for name in _shared(found):
        shares = np.asarray([one[name].share for one in found]) * n_seeds
        right = shares * [one[name].precision for one in found]
        precision = right.sum() / shares.sum() if shares.any() else 0.0
        means[name] = Coverage(
            share=round(float(shares.sum() / sum(n_seeds)), 4), precision=round(float(precision), 4)
        )
    return means


def _shared(found: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the precisions that all of them have, in the first one's order."""
    return [name for name in found[0] if all(name in one for one in found)] if found else []


def _find(study: Study, strangers: Sequence[Trained]) -> dict[str, float]:
    """Return one seed's thresholds."""
    confidence, right = [], []
    for one in strangers:
        windows = study.examples.windows
        rows = windows.rows(one.task.split.inner, copies=False)
        clip = windows.clip[rows]
        judged = adjust_labels(study.recipe, Judged(clip, rows, one.fitted.inner_probabilities))
        smoothed = evaluate.smooth(judged.probabilities, clip, rows, study.recipe.smoothing)
        confidence.append(smoothed.max(axis=1))
        right.append(smoothed.argmax(axis=1) == study.truth.labels[clip])
    return evaluate.thresholds(
        np.concatenate(confidence), np.concatenate(right), PRECISIONS, n_least=N_PRECISE
    )


def _go_elsewhere(study: Study, one: Trained, judged: Judged) -> dict[str, Coverage]:
    """Return one model's coverage of another corpus."""
    labels, split = study.truth.labels, one.task.split
    learnt = np.unique(labels[np.concatenate((split.train, split.inner))])
    asked = split.test[np.isin(labels[split.test], learnt)]
    outcome = outcome_of_windows(judged, study.truth, asked, study.recipe.smoothing)
    if not len(outcome.truth):
        return {}
    right = outcome.probabilities.argmax(axis=1) == outcome.truth
    confidence = outcome.probabilities.max(axis=1)
    return {
        precision: _coverage(confidence >= threshold, right)
        for precision, threshold in _find(study, [one]).items()
    }


def _coverage(passes: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]) -> Coverage:
    share, precise = passes.mean(), right[passes].mean() if passes.any() else 0.0
    return Coverage(share=round(float(share), 4), precision=round(float(precise), 4))


def _try(
    study: Study, strangers: Sequence[Trained], judged: Judged, precisions: Sequence[str]
) -> dict[str, Coverage]:
    """Return one seed's coverage."""
    kept: dict[str, list[npt.NDArray[np.bool_]]] = {precision: [] for precision in precisions}
    right: list[npt.NDArray[np.bool_]] = []
    for tested in strangers:
        test = tested.task.split.test
        others = [one for one in strangers if not np.isin(one.task.split.inner, test).any()]
        thresholds = _find(study, others) if others else {}
        outcome = outcome_of_windows(judged, study.truth, test, study.recipe.smoothing)
        right.append(outcome.probabilities.argmax(axis=1) == outcome.truth)
        for precision, parts in kept.items():
            # A precision that the others do not reach lets none pass.
            parts.append(outcome.probabilities.max(axis=1) >= thresholds.get(precision, np.inf))
    is_right = np.concatenate(right)
    return {precision: _coverage(np.concatenate(parts), is_right) for precision, parts in kept.items()}
