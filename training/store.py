"""Trained models kept on disk as each is done, so that an interrupted fit goes on from there."""

from __future__ import annotations

import os
import zipfile
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime.artifact import Preprocessing
from training.fit import Epoch, Fitted

if TYPE_CHECKING:
    from pathlib import Path


def save(path: Path, fitted: Fitted) -> None:
    """Write a trained model; the file appears when it is whole."""
    arrays: dict[str, Any] = {
        "selected": fitted.preprocessing.selected,
        "mean": fitted.preprocessing.mean,
        "scale": fitted.preprocessing.scale,
        "temperature": np.asarray(fitted.temperature),
        "n_windows": np.asarray(fitted.n_windows),
        "inner_probabilities": fitted.inner_probabilities,
        "history": np.asarray([astuple(epoch) for epoch in fitted.history], dtype=np.float64),
        **{f"weight_{i:03d}": weight for i, weight in enumerate(fitted.weights)},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    partial.replace(path)


def load(path: Path) -> Fitted | None:
    """Return a trained model, or None where there is none, or its file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return Fitted(
            preprocessing=Preprocessing(arrays["selected"], arrays["mean"], arrays["scale"]),
            weights=tuple(arrays[name] for name in sorted(arrays) if name.startswith("weight_")),
            temperature=float(arrays["temperature"]),
            n_windows=int(arrays["n_windows"]),
            inner_probabilities=arrays["inner_probabilities"],
            history=tuple(Epoch(int(row[0]), *row[1:].tolist()) for row in arrays["history"]),
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
