"""What stands between features and model: selection, balancing and scaling, learnt on the training part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from realtime.artifact import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime.types import FloatArray
    from training.recipes import Selection

Balance = Literal["none", "oversample", "downsample", "class-weights"]
_ROWS_AT_A_TIME = 1024


@dataclass(frozen=True, slots=True)
class Chosen:
    """The features that a model sees.

    Parameters
    ----------
    indices : np.ndarray [shape=(n_selected,), dtype=int64]
        Ascending.
    importances : np.ndarray [shape=(n_selected,), dtype=float32]
        Of each, where they were ranked; empty otherwise.
    """

    indices: npt.NDArray[np.int64]
    importances: FloatArray


def select(features: FloatArray, labels: npt.NDArray[np.int64], selection: Selection, *, seed: int) -> Chosen:
    """Return the most important features.

    Parameters
    ----------
    features : np.ndarray [shape=(n, n_features) or (n, n_frames, n_features)]
        Of the training part. Frames are ranked by their means over time.
    labels : np.ndarray [shape=(n,), dtype=int64]
        Its classes.
    selection
        How many are kept, and how they are found.
    seed
        Of the forest, and of the noise that mutual information is estimated with.

    References
    ----------
    Breiman, "Random forests", 2001: mean decrease in impurity.
    Ross, "Mutual information between discrete and continuous data sets", PLoS ONE 9(2), 2014.
    """
    n_features = features.shape[-1]
    if selection.method == "none":
        return Chosen(np.arange(n_features), np.zeros(0, dtype=np.float32))
    table = features.mean(axis=1) if features.ndim > 2 else features  # noqa: PLR2004 - a table has two
    rank = _forest_importances if selection.method == "forest" else _mutual_information
    importances = rank(table, labels, selection, seed)
    # Stable, so that equal importances leave the same features whatever the sorting algorithm.
    best = np.sort(np.argsort(-importances, kind="stable")[: selection.n_features])
    return Chosen(best, importances[best].astype(np.float32))


def _forest_importances(
    table: FloatArray, labels: npt.NDArray[np.int64], selection: Selection, seed: int
) -> npt.NDArray[np.float64]:
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - it takes seconds to load

    forest = RandomForestClassifier(
        n_estimators=selection.n_trees,
        max_samples=selection.share,
        class_weight="balanced",
        random_state=seed,
        n_jobs=-1,
    )
    return np.asarray(forest.fit(table, labels).feature_importances_)


def _mutual_information(
    table: FloatArray, labels: npt.NDArray[np.int64], selection: Selection, seed: int
) -> npt.NDArray[np.float64]:
    from sklearn.feature_selection import mutual_info_classif  # noqa: PLC0415 - it takes seconds to load

    # Its cost grows faster than the number of rows; the same share as a tree sees ranks as well.
    n_rows = max(2, round(selection.share * len(table)))
    rows = np.sort(np.random.default_rng(seed).choice(len(table), min(n_rows, len(table)), replace=False))
    return np.asarray(mutual_info_classif(table[rows], labels[rows], random_state=seed, n_jobs=-1))


def balance(
    labels: npt.NDArray[np.int64], method: Balance, *, seed: int
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the rows to train on, and what each weighs.

    Parameters
    ----------
    labels : np.ndarray [shape=(n,)]
        Class of each row.
    method
        ``oversample``: each row once, then some of the smaller classes' again, until all have as many as the
        largest; ``downsample``: of every class as many as the smallest has; ``class-weights``: each row once,
        weighed such that all classes weigh the same, and a row 1 on average; ``none``.
    seed
        Of the choice of rows.

    Returns
    -------
    rows : np.ndarray [shape=(n_rows,), dtype=int64]
        Indices of rows.
    weights : np.ndarray [shape=(n_rows,), dtype=float32]
        Theirs.
    """
    everything = np.arange(len(labels))
    ones = np.ones(len(labels), dtype=np.float32)
    if method == "none":
        return everything, ones
    present, counts = np.unique(labels, return_counts=True)
    if method == "class-weights":
        weight = np.zeros(present.max() + 1)
        weight[present] = len(labels) / (len(present) * counts)
        return everything, weight[labels].astype(np.float32)
    rng = np.random.default_rng(seed)
    rows_of = [np.flatnonzero(labels == label) for label in present]
    if method == "oversample":
        extra = [rng.choice(own, counts.max() - len(own)) for own in rows_of]
        rows = np.concatenate((everything, *extra))
    else:
        rows = np.sort(np.concatenate([rng.choice(own, counts.min(), replace=False) for own in rows_of]))
    return rows, np.ones(len(rows), dtype=np.float32)


def scale(
    features: FloatArray, rows: npt.NDArray[np.int64], selected: npt.NDArray[np.int64]
) -> Preprocessing:
    """Return the selector and the standard scaler of these rows.

    Parameters
    ----------
    features : np.ndarray [shape=(n, ..., n_features)]
        Of the training part.
    rows : np.ndarray [shape=(n_rows,), dtype=int64]
        Which of them, each as often as it stands here.
    selected : np.ndarray [shape=(n_selected,), dtype=int64]
        Indices of the features that are kept.

    Notes
    -----
    Features that never vary are scaled by 1, as scikit-learn's StandardScaler does.
    """
    total = np.zeros(len(selected))
    largest = np.zeros(len(selected))
    n_values = 0
    for block in _blocks(features, rows, selected):
        total += block.sum(axis=0)
        largest = np.maximum(largest, np.abs(block).max(axis=0))
        n_values += len(block)
    mean = total / n_values
    squares = np.zeros(len(selected))
    for block in _blocks(features, rows, selected):
        squares += ((block - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / n_values)
    deviation[deviation <= np.finfo(np.float32).eps * largest] = 1.0
    return Preprocessing(selected, mean.astype(np.float32), deviation.astype(np.float32))


def apply(preprocessing: Preprocessing, features: FloatArray, rows: npt.NDArray[np.int64]) -> FloatArray:
    """Return a model's inputs of some rows [shape=(n_rows, ..., n_selected), dtype=float32].

    Some rows at a time: at once, each step of it would hold all of them.

    Parameters
    ----------
    preprocessing
        From features to inputs.
    features : np.ndarray [shape=(n, ..., n_features)]
        Of windows.
    rows : np.ndarray [shape=(n_rows,), dtype=int64]
        Which of them.
    """
    n_selected = len(preprocessing.selected)
    inputs = np.empty((len(rows), *features.shape[1:-1], n_selected), dtype=np.float32)
    for first in range(0, len(rows), _ROWS_AT_A_TIME):
        block = slice(first, first + _ROWS_AT_A_TIME)
        inputs[block] = preprocessing(features[rows[block]])
    return inputs


def _blocks(
    features: FloatArray, rows: npt.NDArray[np.int64], selected: npt.NDArray[np.int64]
) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the values some rows at a time: all of them in double precision would need gigabytes."""
    for first in range(0, len(rows), _ROWS_AT_A_TIME):
        block = features[rows[first : first + _ROWS_AT_A_TIME]][..., selected]
        yield block.reshape(-1, len(selected)).astype(np.float64)
