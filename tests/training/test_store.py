from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtime.artifact import Preprocessing
from realtime.errors import TrainingError
from training import store
from training.epochs import Epoch
from training.fit import Fitted


@pytest.fixture
def fitted() -> Fitted:
    rng = np.random.default_rng(0)
    preprocessing = Preprocessing(
        np.array([1, 3]), np.array([0.5, 1.5], dtype=np.float32), np.array([1.0, 2.0], dtype=np.float32)
    )
    return Fitted(
        preprocessing=preprocessing,
        weights=tuple(rng.standard_normal((2, n)).astype(np.float32) for n in range(1, 14)),
        temperature=1.25,
        n_windows=77,
        importances=np.array([0.75, 0.25], dtype=np.float32),
        inner_probabilities=rng.random((5, 3), np.float32),
        history=(Epoch(1, 0.5, 0.6, 0.7, 0.8, 0.001), Epoch(2, 0.1, 0.2, 0.3, 0.4, 1 / 3)),
    )


def assert_same(found: Fitted | None, wanted: Fitted) -> None:
    assert found is not None
    for name in ("temperature", "n_windows", "history"):
        assert getattr(found, name) == getattr(wanted, name)
    for name in ("selected", "mean", "scale"):
        array, other = getattr(found.preprocessing, name), getattr(wanted.preprocessing, name)
        assert array.dtype == other.dtype
        assert np.array_equal(array, other)
    for name in ("importances", "inner_probabilities"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name))
    assert len(found.weights) == len(wanted.weights)
    for array, other in zip(found.weights, wanted.weights, strict=True):
        assert array.dtype == other.dtype
        assert np.array_equal(array, other)


def test_a_model_comes_back_as_it_was(fitted: Fitted, tmp_path: Path) -> None:
    path = tmp_path / "sub" / "one.npz"
    store.save(path, fitted)
    assert_same(store.load(path), fitted)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["one.npz"]


def test_weights_of_many_networks_come_back_in_order(fitted: Fitted, tmp_path: Path) -> None:
    many = replace(fitted, weights=tuple(np.full(1, n, dtype=np.float32) for n in range(1005)))
    store.save(tmp_path / "one.npz", many)
    assert_same(store.load(tmp_path / "one.npz"), many)


def test_an_estimator_comes_back_as_it_was(fitted: Fitted, tmp_path: Path) -> None:
    # One archive of bytes, zeros at its end included; no epochs, nothing ranked.
    archive = np.frombuffer(b"PK\x03\x04 an archive\x00\x00", dtype=np.uint8)
    empty = np.zeros(0, dtype=np.float32)
    estimator = replace(fitted, weights=(archive,), history=(), importances=empty)
    store.save(tmp_path / "one.npz", estimator)
    found = store.load(tmp_path / "one.npz")
    assert_same(found, estimator)
    assert found is not None
    assert found.weights[0].tobytes() == b"PK\x03\x04 an archive\x00\x00"


def test_what_is_missing_or_damaged_is_none(fitted: Fitted, tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    assert store.load(path) is None
    store.save(path, fitted)
    for length in (0, 10, path.stat().st_size // 2):
        os.truncate(path, length)
        assert store.load(path) is None
    np.savez(path, other=np.zeros(3))
    assert store.load(path) is None


def test_what_was_kept_by_another_version_is_none(
    fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "astuple", lambda epoch: (epoch.number, epoch.loss))
    store.save(tmp_path / "one.npz", fitted)
    assert store.load(tmp_path / "one.npz") is None


def test_no_damage_is_let_through_or_gets_out_of_hand(fitted: Fitted, tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    store.save(path, fitted)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    n_found = 0
    for _ in range(300):
        data = bytearray(whole)
        # Among the arrays, whose sums the archive holds; its table of contents comes behind them.
        for place in rng.integers(whole.index(b"PK\x01\x02"), size=3):
            data[place] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        found = store.load(path)
        if found is not None:
            # Bytes that nobody reads, such as dates.
            assert_same(found, fitted)
            n_found += 1
    assert n_found < 150


def test_a_full_disk_is_told_and_leaves_what_was_there(
    fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.npz"
    store.save(path, fitted)

    def fill(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(TrainingError, match=r"one\.npz: No space left on device; .*--cache"):
        store.save(path, replace(fitted, temperature=2.0))
    assert [path.name for path in tmp_path.iterdir()] == ["one.npz"]
    assert_same(store.load(path), fitted)


def test_a_folder_that_cannot_be_is_told(fitted: Fitted, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="--cache"):
        store.save(tmp_path / "file" / "one.npz", fitted)
