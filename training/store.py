"""Trained models kept on disk as each is done, so that what was interrupted goes on from there."""

from __future__ import annotations

import io
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime.artifact import Preprocessing
from realtime.errors import TrainingError
from training.disk import put
from training.epochs import DAMAGED, Epoch
from training.fit import Fitted

if TYPE_CHECKING:
    from pathlib import Path


def save(path: Path, fitted: Fitted) -> None:
    """Write a trained model; the file appears when it is whole.

    Raises
    ------
    TrainingError
        Where the disk is full, or the folder cannot be written.
    """
    arrays: dict[str, Any] = {
        "selected": fitted.preprocessing.selected,
        "mean": fitted.preprocessing.mean,
        "scale": fitted.preprocessing.scale,
        "temperature": np.asarray(fitted.temperature),
        "n_windows": np.asarray(fitted.n_windows),
        "importances": fitted.importances,
        "inner_probabilities": fitted.inner_probabilities,
        "history": np.asarray([astuple(epoch) for epoch in fitted.history], dtype=np.float64),
        **{f"weight_{i:03d}": weight for i, weight in enumerate(fitted.weights)},
    }
    # By way of memory: an archive that a full disk cuts short complains once more when it is collected.
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    try:
        put(path, packed.getvalue())
    except OSError as error:
        raise TrainingError(
            f"{path}: {error.strerror}; wanted to keep a trained model there: free some space, or give "
            "another folder with --cache"
        ) from None


def load(path: Path) -> Fitted | None:
    """Return a trained model, or None where there is none, or its file is damaged."""
    try:
        # Opened here: of a damaged archive NumPy leaves the file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        n_weights = sum(name.startswith("weight_") for name in arrays)
        return Fitted(
            preprocessing=Preprocessing(arrays["selected"], arrays["mean"], arrays["scale"]),
            weights=tuple(arrays[f"weight_{i:03d}"] for i in range(n_weights)),
            temperature=float(arrays["temperature"]),
            n_windows=int(arrays["n_windows"]),
            importances=arrays["importances"],
            inner_probabilities=arrays["inner_probabilities"],
            history=tuple(Epoch(int(row[0]), *row[1:].tolist()) for row in arrays["history"]),
        )
    except DAMAGED:
        return None
