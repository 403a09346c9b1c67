from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from realtime.artifact import Preprocessing
from training import store
from training.fit import Epoch, Fitted


@pytest.fixture
def fitted() -> Fitted:
    rng = np.random.default_rng(0)
    preprocessing = Preprocessing(
        np.array([1, 3]), np.array([0.5, 1.5], dtype=np.float32), np.array([1.0, 2.0], dtype=np.float32)
    )
    weights = tuple(rng.standard_normal((2, n)).astype(np.float32) for n in range(1, 14))
    return Fitted(
        preprocessing,
        weights,
        1.25,
        77,
        rng.random((5, 3), np.float32),
        (Epoch(1, 0.5, 0.6, 0.7, 0.8, 0.001),),
    )


def test_a_model_comes_back_as_it_was(fitted: Fitted, tmp_path: Path) -> None:
    store.save(tmp_path / "sub" / "one.npz", fitted)
    found = store.load(tmp_path / "sub" / "one.npz")
    assert found is not None
    assert (found.temperature, found.n_windows, found.history) == (1.25, 77, fitted.history)
    for name in ("selected", "mean", "scale"):
        array, wanted = getattr(found.preprocessing, name), getattr(fitted.preprocessing, name)
        assert array.dtype == wanted.dtype
        assert np.array_equal(array, wanted)
    assert np.array_equal(found.inner_probabilities, fitted.inner_probabilities)
    assert len(found.weights) == 13
    assert all(np.array_equal(a, b) for a, b in zip(found.weights, fitted.weights, strict=True))
    assert [path.name for path in tmp_path.rglob("*.*")] == ["one.npz"]


def test_what_is_missing_or_damaged_is_none(fitted: Fitted, tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    assert store.load(path) is None
    store.save(path, fitted)
    for length in (0, 10, path.stat().st_size // 2):
        os.truncate(path, length)
        assert store.load(path) is None
    np.savez(path, other=np.zeros(3))
    assert store.load(path) is None
