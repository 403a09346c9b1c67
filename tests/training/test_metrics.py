from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, recall_score
from sklearn.metrics import precision_recall_fscore_support as by_class

from realtime.types import LABELS
from training import metrics
from training.metrics import Outcome, combine, expected_calibration_error, score

FIGURES = ("accuracy", "uar", "macro_f1", "ece")


def one_hot(labels: Any, n: int = 3, sure: float = 1.0) -> npt.NDArray[Any]:
    probabilities: npt.NDArray[Any] = (np.eye(n)[labels] * sure + (1 - sure) / n).astype(np.float32)
    return probabilities


def outcome(
    probabilities: Any, truth: Any, speaker: Any = None, unheard: Any = (), unheard_speaker: Any = None
) -> Outcome:
    """Return an outcome; of one speaker where none is named."""
    whole = {
        "truth": truth,
        "speaker": np.zeros(len(truth)) if speaker is None else speaker,
        "unheard": unheard,
        "unheard_speaker": np.zeros(len(unheard)) if unheard_speaker is None else unheard_speaker,
    }
    arrays = {name: np.asarray(values, dtype=np.int64) for name, values in whole.items()}
    return Outcome(np.asarray(probabilities, dtype=np.float32), **arrays)


def draw(rng: np.random.Generator, n: int, n_labels: int, n_speakers: int) -> Outcome:
    probabilities = rng.dirichlet(np.full(n_labels, 0.5), n)
    truth = np.where(rng.random(n) < 0.6, probabilities.argmax(axis=1), rng.integers(0, n_labels, n))
    speaker = np.arange(n) % n_speakers
    return outcome(
        probabilities, truth, speaker, rng.integers(0, n_labels, 5), rng.integers(0, n_speakers, 5)
    )


def test_scores_by_hand() -> None:
    scores = score([outcome(one_hot([0, 0, 1, 1]), [0, 1, 1, 1])], LABELS[:3])
    assert (scores.n, scores.n_unheard, scores.n_seeds) == (4, 0, 1)
    assert scores.accuracy == 0.75
    assert scores.uar == pytest.approx((1 + 2 / 3) / 2, abs=1e-4)
    assert scores.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2, abs=1e-4)
    assert scores.confusion == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert (scores.sd, scores.ci95) == ({}, {})


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    scores = score([outcome(one_hot(predicted, 4), truth)], LABELS[:4])
    present = np.unique(truth)
    common = {"labels": present, "average": "macro", "zero_division": 0}
    assert scores.accuracy == pytest.approx(accuracy_score(truth, predicted), abs=1e-4)
    assert scores.uar == pytest.approx(recall_score(truth, predicted, **common), abs=1e-4)
    assert scores.macro_f1 == pytest.approx(f1_score(truth, predicted, **common), abs=1e-4)
    assert scores.confusion == confusion_matrix(truth, predicted, labels=range(4)).tolist()
    columns = by_class(truth, predicted, labels=present, zero_division=0)
    assert list(scores.classes) == [LABELS[label] for label in present]
    for index, label in enumerate(present):
        found = scores.classes[LABELS[label]]
        wanted = [float(column[index]) for column in columns[:3]]
        assert [found.precision, found.recall, found.f1] == pytest.approx(wanted, abs=1e-4)
        assert found.n == columns[3][index]


def test_uar_is_balanced_accuracy() -> None:
    rng = np.random.default_rng(3)
    truth, predicted = rng.integers(0, 3, 100), rng.integers(0, 3, 100)
    wanted = balanced_accuracy_score(truth, predicted)
    assert score([outcome(one_hot(predicted), truth)], LABELS[:3]).uar == pytest.approx(wanted, abs=1e-4)


def test_what_is_not_heard_is_wrong() -> None:
    scores = score([outcome(one_hot([0, 1]), [0, 1], unheard=[1, 2])], LABELS[:3])
    assert (scores.n, scores.n_unheard) == (4, 2)
    assert scores.accuracy == 0.5
    assert scores.uar == pytest.approx((1 + 0.5 + 0) / 3, abs=1e-4)
    assert scores.macro_f1 == pytest.approx((1 + 2 / 3 + 0) / 3, abs=1e-4)
    assert [scores.classes[label].n for label in LABELS[:3]] == [1, 2, 1]
    assert [scores.classes[label].recall for label in LABELS[:3]] == [1, 0.5, 0]
    assert [scores.classes[label].precision for label in LABELS[:3]] == [1, 1, 0]
    # The matrix has what was predicted.
    assert scores.confusion == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_nothing_heard_at_all_scores_nothing() -> None:
    scores = score([outcome(np.zeros((0, 3)), [], unheard=[0, 1])], LABELS[:3])
    assert (scores.n, scores.accuracy, scores.uar, scores.macro_f1, scores.ece) == (2, 0.0, 0.0, 0.0, 0.0)


def test_calibration_by_hand() -> None:
    # Ten decisions of confidence 0.75, half of them right: 0.25 too sure.
    probabilities = np.tile(np.array([0.75, 0.25], dtype=np.float32), (10, 1))
    assert expected_calibration_error(probabilities, np.array([0, 1] * 5)) == pytest.approx(0.25)
    assert expected_calibration_error(one_hot([0, 1, 2]), np.array([0, 1, 2])) == pytest.approx(0)


def test_overconfidence_and_underconfidence_do_not_cancel() -> None:
    unsure, sure = np.array([0.55, 0.45]), np.array([0.85, 0.15])
    probabilities = np.array([unsure] * 10 + [sure] * 10, dtype=np.float32)
    truth = np.array([0] * 8 + [1] * 2 + [0] * 6 + [1] * 4)
    assert expected_calibration_error(probabilities, truth) == pytest.approx(0.25, abs=1e-6)


@given(st.integers(0, 1000))
@settings(max_examples=25)
def test_calibration_is_that_of_a_plain_sum_over_bins(seed: int) -> None:
    drawn = draw(np.random.default_rng(seed), 80, 4, 3)
    confidence = drawn.probabilities.max(axis=1)
    right = drawn.probabilities.argmax(axis=1) == drawn.truth
    wanted = 0.0
    for i in range(10):
        inside = (confidence > i / 10) & (confidence <= (i + 1) / 10)
        if inside.any():
            wanted += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert expected_calibration_error(drawn.probabilities, drawn.truth) == pytest.approx(wanted, abs=1e-6)


def figures_of(drawn: Outcome, speakers: npt.NDArray[np.int64]) -> list[float]:
    """Compute the figures of some speakers' decisions, each as often as it stands there, plainly."""
    rows = np.concatenate([np.flatnonzero(drawn.speaker == one) for one in speakers])
    missed = np.concatenate([drawn.unheard[drawn.unheard_speaker == one] for one in speakers])
    # What is not heard gets a prediction that is no class.
    truth = np.concatenate((drawn.truth[rows], missed))
    predicted = np.concatenate((drawn.probabilities[rows].argmax(axis=1), np.full(len(missed), -1)))
    common = {"labels": np.unique(truth), "average": "macro", "zero_division": 0}
    return [
        accuracy_score(truth, predicted),
        recall_score(truth, predicted, **common),
        f1_score(truth, predicted, **common),
        expected_calibration_error(drawn.probabilities[rows], drawn.truth[rows]),
    ]


def test_intervals_hold_the_truth_as_often_as_they_say_of_few_speakers_too() -> None:
    rng = np.random.default_rng(0)
    n_held = 0
    for _ in range(300):
        # Speakers differ, half of whose decisions are right on the whole; of everyone's 50 as many as can be.
        n_right = np.round(50 * np.clip(rng.normal(0.5, 0.1, size=9), 0, 1)).astype(int)
        right = (np.arange(50) < n_right[:, np.newaxis]).ravel()
        truth = np.zeros(9 * 50, dtype=np.int64)
        scores = score(
            [outcome(one_hot(np.where(right, 0, 1), 2), truth, np.repeat(np.arange(9), 50))], LABELS[:2]
        )
        low, high = scores.ci95["accuracy"]
        n_held += low <= 0.5 <= high
    # Between the 2.5th and the 97.5th percentile: 89%.
    assert 0.92 <= n_held / 300 <= 0.98


def test_intervals_are_those_of_a_plain_bootstrap_over_speakers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "N_REPLICATES", 60)
    rng = np.random.default_rng(1)
    outcomes = [draw(rng, 90, 3, 5) for _ in range(2)]
    scores = score(outcomes, LABELS[:3])

    times = np.random.default_rng(0).multinomial(5, np.full(5, 0.2), size=60)
    drawn = [np.repeat(np.arange(5), row) for row in times]
    replicates = [[figures_of(own, speakers) for speakers in drawn] for own in outcomes]
    # Of five speakers: Student's 2.776 deviations instead of 1.96, and the root of 5/4 times that.
    levels = (100 * norm.cdf(-2.7764 * 1.25**0.5), 100 * norm.cdf(2.7764 * 1.25**0.5))
    low, high = np.mean([np.percentile(own, levels, axis=0) for own in replicates], axis=0)
    for index, name in enumerate(FIGURES):
        assert scores.ci95[name] == pytest.approx((low[index], high[index]), abs=1e-4)
        assert scores.ci95[name][0] < getattr(scores, name) < scores.ci95[name][1]


def test_intervals_are_wide_where_speakers_differ() -> None:
    truth = np.tile([0, 1], 60)
    speaker = np.repeat(np.arange(6), 20)
    # Half of all decisions are wrong: of everyone's, or all of three speakers'.
    alike = np.where(np.arange(120) % 4 < 2, truth, 1 - truth)
    apart = np.where(speaker < 3, truth, 1 - truth)
    widths = []
    for predicted in (alike, apart):
        scores = score([outcome(one_hot(predicted, 2), truth, speaker)], LABELS[:2])
        assert scores.accuracy == 0.5
        low, high = scores.ci95["accuracy"]
        widths.append(high - low)
    assert widths[0] == pytest.approx(0, abs=1e-3)
    assert widths[1] > 0.5


def test_one_speaker_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    assert score([draw(rng, 30, 3, 1)], LABELS[:3]).ci95 == {}
    # Numbers of speakers who are not there make none either.
    drawn = outcome(one_hot([0, 1]), [0, 1], [7, 7])
    assert score([drawn], LABELS[:3]).ci95 == {}


def test_speakers_who_are_not_there_change_nothing() -> None:
    rng = np.random.default_rng(0)
    drawn = draw(rng, 60, 3, 4)
    apart = outcome(
        drawn.probabilities,
        drawn.truth,
        drawn.speaker * 3 + 2,
        drawn.unheard,
        drawn.unheard_speaker * 3 + 2,
    )
    assert score([drawn], LABELS[:3]) == score([apart], LABELS[:3])


def test_figures_are_means_over_seeds_with_their_deviations() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    outcomes = []
    for share in (0.9, 0.6, 0.3):
        predicted = np.where(rng.random(60) < share, truth, (truth + 1) % 3)
        outcomes.append(outcome(one_hot(predicted, sure=0.8), truth, np.arange(60) % 4))
    single = [score([one], LABELS[:3]) for one in outcomes]
    scores = score(outcomes, LABELS[:3])
    assert (scores.n, scores.n_seeds) == (60, 3)
    for name in FIGURES:
        values = [getattr(one, name) for one in single]
        assert getattr(scores, name) == pytest.approx(np.mean(values), abs=2e-4)
        assert scores.sd[name] == pytest.approx(np.std(values, ddof=1), abs=2e-4)
    assert scores.confusion == np.sum([one.confusion for one in single], axis=0).tolist()
    # With each seed, as the whole.
    assert sum(one.n for one in scores.classes.values()) == 60


def test_seeds_may_be_counted_in_later() -> None:
    rng = np.random.default_rng(5)
    first = draw(rng, 90, 3, 5)
    # The same truth for all of them, one class of it unheard by everyone.
    unheard, speakers = [0, 2, 2], [1, 1, 4]
    outcomes = []
    for _ in range(4):
        probabilities = rng.dirichlet(np.ones(3), 90)
        truth = np.minimum(first.truth, 1)
        outcomes.append(outcome(probabilities, truth, first.speaker, unheard, speakers))
    wanted = score(outcomes, LABELS[:3])
    later = combine([score(outcomes[:3], LABELS[:3]), score(outcomes[3:], LABELS[:3])], LABELS[:3])
    assert (later.n, later.n_unheard, later.n_seeds) == (93, 3, 4)
    assert (later.confusion, later.classes) == (wanted.confusion, wanted.classes)
    for name in FIGURES:
        assert getattr(later, name) == pytest.approx(getattr(wanted, name), abs=2e-4)
        assert later.sd[name] == pytest.approx(wanted.sd[name], abs=2e-4)
        assert later.ci95[name] == pytest.approx(wanted.ci95[name], abs=2e-4)
    assert later.classes[LABELS[2]].n == 2


def test_scores_of_other_clips_are_not_counted_together() -> None:
    one, other = (score([draw(np.random.default_rng(0), n, 3, 2)], LABELS[:3]) for n in (30, 31))
    with pytest.raises(ValueError, match=r"\[\(35, 5\), \(36, 5\)\] clips or windows.*as many in each"):
        combine([one, other], LABELS[:3])


def test_the_same_predictions_give_the_same_scores() -> None:
    drawn = draw(np.random.default_rng(0), 60, 3, 4)
    assert score([drawn], LABELS[:3]) == score([drawn], LABELS[:3])
