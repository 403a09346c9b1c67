from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from realtime.types import Smoothing
from training.evaluate import by_clip, expected_calibration_error, score, smooth, thresholds

NONE = np.zeros(0, dtype=np.int64)


def one_hot(labels: list[int], n: int = 3, sure: float = 1.0) -> npt.NDArray[Any]:
    return (np.eye(n)[labels] * sure + (1 - sure) / n).astype(np.float32)


def test_scores_by_hand() -> None:
    scores = score(one_hot([0, 0, 1, 1]), np.array([0, 1, 1, 1]), NONE, 3)
    assert (scores.n, scores.n_unheard) == (4, 0)
    assert scores.accuracy == 0.75
    assert scores.uar == pytest.approx((1 + 2 / 3) / 2, abs=1e-4)
    assert scores.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2, abs=1e-4)
    assert scores.confusion == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    scores = score(one_hot(predicted.tolist(), 4), truth, NONE, 4)
    present = np.unique(truth)
    common = {"labels": present, "average": "macro", "zero_division": 0}
    assert scores.accuracy == pytest.approx(accuracy_score(truth, predicted), abs=1e-4)
    assert scores.uar == pytest.approx(recall_score(truth, predicted, **common), abs=1e-4)
    assert scores.macro_f1 == pytest.approx(f1_score(truth, predicted, **common), abs=1e-4)
    assert scores.confusion == confusion_matrix(truth, predicted, labels=range(4)).tolist()


def test_what_is_not_heard_is_wrong() -> None:
    scores = score(one_hot([0, 1]), np.array([0, 1]), np.array([1, 2]), 3)
    assert (scores.n, scores.n_unheard) == (4, 2)
    assert scores.accuracy == 0.5
    assert scores.uar == pytest.approx((1 + 0.5 + 0) / 3, abs=1e-4)
    assert scores.macro_f1 == pytest.approx((1 + 2 / 3 + 0) / 3, abs=1e-4)


def test_nothing_heard_at_all_scores_nothing() -> None:
    scores = score(np.zeros((0, 3), dtype=np.float32), NONE, np.array([0, 1]), 3)
    assert (scores.n, scores.accuracy, scores.uar, scores.ece) == (2, 0.0, 0.0, 0.0)


def test_calibration_by_hand() -> None:
    # Ten decisions of confidence 0.75, half of them right: 0.25 too sure.
    probabilities = np.tile(np.array([0.75, 0.25], dtype=np.float32), (10, 1))
    assert expected_calibration_error(probabilities, np.array([0, 1] * 5)) == pytest.approx(0.25)
    assert expected_calibration_error(one_hot([0, 1, 2]), np.array([0, 1, 2])) == pytest.approx(0)


def test_overconfidence_and_underconfidence_do_not_cancel() -> None:
    unsure, sure = np.array([0.6, 0.4]), np.array([0.9, 0.1])
    probabilities = np.array([unsure] * 10 + [sure] * 10, dtype=np.float32)
    truth = np.array([0] * 9 + [1] + [0] * 6 + [1] * 4)
    assert expected_calibration_error(probabilities, truth) == pytest.approx(0.3, abs=1e-6)


def test_a_clip_is_the_mean_of_its_windows() -> None:
    probabilities = np.array([[1, 0], [0, 1], [0.2, 0.8]], dtype=np.float32)
    heard, means = by_clip(probabilities, np.array([4, 4, 9]))
    assert heard.tolist() == [4, 9]
    assert means == pytest.approx(np.array([[0.5, 0.5], [0.2, 0.8]]))


def test_smoothing_begins_anew_with_each_clip_and_behind_each_pause() -> None:
    probabilities = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], dtype=np.float32)
    clip, position = np.array([0, 0, 0, 1]), np.array([5, 6, 8, 9])
    smoothed = smooth(probabilities, clip, position, Smoothing(alpha=0.5))
    assert smoothed.tolist() == [[1, 0], [0.5, 0.5], [0, 1], [0, 1]]


def test_thresholds_give_the_precision_they_promise() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 2000).astype(np.float32)
    right = rng.uniform(size=2000) < 0.95 * confidence
    found = thresholds(confidence, right, (0.6, 0.9, 0.99), n_least=50)
    assert list(found) == ["0.6", "0.9"]
    assert found["0.6"] < found["0.9"]
    for wanted, threshold in found.items():
        assert right[confidence >= threshold].mean() >= float(wanted) - 0.01


def test_equal_confidences_stand_on_one_side() -> None:
    confidence = np.array([0.9, 0.5, 0.5], dtype=np.float32)
    assert thresholds(confidence, np.array([True, True, False]), (0.9,), n_least=1) == {
        "0.9": pytest.approx(0.9, abs=2e-4)
    }
