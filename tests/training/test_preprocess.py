from __future__ import annotations

import numpy as np
import pytest

from training.preprocess import oversample, scale, select
from training.recipes import Selection


def test_selection_keeps_what_tells_the_classes_apart() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    features = rng.standard_normal((300, 10)).astype(np.float32)
    features[:, [2, 7]] += 3 * labels[:, np.newaxis]
    selected = select(features, labels, Selection(n_features=2, n_trees=20), seed=0)
    assert selected.tolist() == [2, 7]


def test_selection_without_a_limit_keeps_all() -> None:
    features = np.zeros((4, 5), dtype=np.float32)
    labels = np.array([0, 1, 0, 1])
    for selection in (None, Selection(n_features=5), Selection(n_features=9)):
        assert select(features, labels, selection, seed=0).tolist() == [0, 1, 2, 3, 4]


def test_oversampling_levels_the_classes_and_loses_no_row() -> None:
    labels = np.array([0] * 10 + [1] * 3 + [2] * 7)
    rows = oversample(labels, seed=0)
    assert np.bincount(labels[rows]).tolist() == [10, 10, 10]
    assert set(rows.tolist()) == set(range(20))
    assert np.array_equal(rows, oversample(labels, seed=0))
    assert not np.array_equal(rows, oversample(labels, seed=1))


def test_the_scaler_is_the_standard_one() -> None:
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    features = (5 + 3 * rng.standard_normal((50, 4))).astype(np.float32)
    features[:, 1] = 2.5
    selected = np.array([0, 1, 3])
    scaled = scale(features, selected)(features)
    wanted = StandardScaler().fit_transform(features[:, selected].astype(np.float64))
    assert scaled == pytest.approx(wanted, abs=1e-5)
    assert not scaled[:, 1].any()


def test_the_scaler_takes_matrices_of_frames() -> None:
    frames = np.random.default_rng(0).standard_normal((6, 9, 4)).astype(np.float32)
    preprocessing = scale(frames, np.arange(4))
    assert preprocessing(frames).reshape(-1, 4).std(axis=0) == pytest.approx(1, abs=1e-5)
