from __future__ import annotations

import numpy as np
import pytest

from realtime.types import Smoothing
from training.evaluate import by_clip, smooth, thresholds


def test_a_clip_is_the_mean_of_its_windows() -> None:
    probabilities = np.array([[1, 0], [0, 1], [0.2, 0.8]], dtype=np.float32)
    heard, means = by_clip(probabilities, np.array([4, 4, 9]))
    assert heard.tolist() == [4, 9]
    assert means == pytest.approx(np.array([[0.5, 0.5], [0.2, 0.8]]))


def test_no_window_is_no_clip() -> None:
    heard, means = by_clip(np.zeros((0, 2), dtype=np.float32), np.zeros(0, dtype=np.int64))
    assert (heard.shape, means.shape) == ((0,), (0, 2))


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
