from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.preprocessing import StandardScaler

from training import preprocess
from training.preprocess import balance, scale, select
from training.recipes import Selection

LABELS = np.array([0] * 10 + [2] * 3 + [1] * 7)


def telling(n_columns: int = 10, **frames: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return features of which columns 2 and 7 tell the classes apart."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    features = rng.standard_normal((300, *frames.values(), n_columns)).astype(np.float32)
    shift = 3 * labels.reshape(-1, *(1 for _ in features.shape[1:]))
    features[..., [2, 7]] += shift
    return features, labels


@pytest.mark.parametrize("method", ["forest", "mutual-information"])
def test_selection_keeps_what_tells_the_classes_apart(method: Any) -> None:
    features, labels = telling()
    chosen = select(features, labels, Selection(method=method, n_features=2, n_trees=20), seed=0)
    assert chosen.indices.tolist() == [2, 7]
    assert chosen.importances.shape == (2,)
    assert chosen.importances.dtype == np.float32
    everything = select(features, labels, Selection(method=method, n_features=10, n_trees=20), seed=0)
    others = np.delete(everything.importances, [2, 7])
    assert everything.importances[[2, 7]] == pytest.approx(chosen.importances)
    assert others.max() < chosen.importances.min() / 3


@pytest.mark.parametrize("method", ["forest", "mutual-information"])
def test_the_seed_decides_the_selection(method: Any) -> None:
    features, labels = telling()
    selection = Selection(method=method, n_features=10, n_trees=5, share=0.5)
    first, same, other = (select(features, labels, selection, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.importances, same.importances)
    assert not np.array_equal(first.importances, other.importances)


def test_mutual_information_ranks_frames_by_their_means_over_time() -> None:
    features, labels = telling(n_frames=4)
    chosen = select(features, labels, Selection(method="mutual-information", n_features=2), seed=0)
    assert chosen.indices.tolist() == [2, 7]
    means = select(
        features.mean(axis=1), labels, Selection(method="mutual-information", n_features=2), seed=0
    )
    assert chosen.importances == pytest.approx(means.importances)


def test_selection_without_a_method_keeps_all() -> None:
    features, labels = telling(5 + 5)
    chosen = select(features, labels, Selection(), seed=0)
    assert chosen.indices.tolist() == list(range(10))
    assert not len(chosen.importances)


def test_balancing_by_nothing_leaves_all_as_it_is() -> None:
    rows, weights = balance(LABELS, "none", seed=0)
    assert rows.tolist() == list(range(20))
    assert weights.tolist() == [1] * 20


def test_oversampling_levels_the_classes_and_loses_no_row() -> None:
    rows, weights = balance(LABELS, "oversample", seed=0)
    assert np.bincount(LABELS[rows]).tolist() == [10, 10, 10]
    assert set(rows.tolist()) == set(range(20))
    assert weights.tolist() == [1] * 30
    assert np.array_equal(rows, balance(LABELS, "oversample", seed=0)[0])
    assert not np.array_equal(rows, balance(LABELS, "oversample", seed=1)[0])


def test_downsampling_levels_the_classes_and_repeats_no_row() -> None:
    rows, weights = balance(LABELS, "downsample", seed=0)
    assert np.bincount(LABELS[rows]).tolist() == [3, 3, 3]
    assert len(set(rows.tolist())) == 9
    assert weights.tolist() == [1] * 9
    assert np.array_equal(rows, balance(LABELS, "downsample", seed=0)[0])
    assert not np.array_equal(rows, balance(LABELS, "downsample", seed=1)[0])


def test_weights_level_the_classes_and_are_1_on_average() -> None:
    rows, weights = balance(LABELS, "class-weights", seed=0)
    assert rows.tolist() == list(range(20))
    totals = [weights[label == LABELS].sum() for label in range(3)]
    assert totals == pytest.approx([20 / 3] * 3)
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize("method", ["oversample", "downsample", "class-weights"])
def test_classes_that_do_not_occur_change_nothing(method: Any) -> None:
    gap = LABELS + 2 * (LABELS == 2)
    found, wanted = balance(gap, method, seed=0), balance(LABELS, method, seed=0)
    assert np.array_equal(found[0], wanted[0])
    assert np.array_equal(found[1], wanted[1])


def spread(*shape: int) -> npt.NDArray[np.float32]:
    features = (5 + 3 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    features[..., 1] = 2.5
    return features


@pytest.mark.parametrize("shape", [(50, 4), (50, 6, 4)])
def test_the_scaler_is_the_standard_one(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    # Blocks that do not divide the rows.
    monkeypatch.setattr(preprocess, "_ROWS_AT_A_TIME", 16)
    features = spread(*shape)
    rows, selected = np.array([*range(40), 3, 3, 7]), np.array([0, 1, 3])
    preprocessing = scale(features, rows, selected)
    known = features[rows][..., selected].reshape(-1, 3).astype(np.float64)
    reference = StandardScaler().fit(known)
    assert preprocessing.selected.tolist() == [0, 1, 3]
    assert preprocessing.mean == pytest.approx(reference.mean_, rel=1e-6)
    assert preprocessing.scale == pytest.approx(reference.scale_, rel=1e-6)
    scaled = preprocessing(features)
    wanted = reference.transform(features[..., selected].reshape(-1, 3).astype(np.float64))
    assert scaled.shape == (*shape[:-1], 3)
    assert scaled.reshape(-1, 3) == pytest.approx(wanted, abs=1e-5)
    assert not scaled[..., 1].any()


def test_a_feature_that_is_large_and_never_varies_is_scaled_by_1() -> None:
    features = np.full((3000, 1), 1e4 / 3, dtype=np.float32)
    assert scale(features, np.arange(3000), np.array([0])).scale.tolist() == [1]
