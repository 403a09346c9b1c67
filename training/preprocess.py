"""What stands between features and network: selection, balancing and scaling, learnt on the training part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from realtime.artifact import Preprocessing

if TYPE_CHECKING:
    from realtime.types import FloatArray
    from training.recipes import Selection


def select(
    features: FloatArray, labels: npt.NDArray[np.int64], selection: Selection | None, *, seed: int
) -> npt.NDArray[np.int64]:
    """Return the indices of the most important features, ascending.

    Parameters
    ----------
    features : np.ndarray [shape=(n, n_features)]
        Of the training part.
    labels : np.ndarray [shape=(n,)]
        Its classes.
    selection
        How many are kept, and how they are found; None keeps all.
    seed
        Of the forest.

    References
    ----------
    Breiman, "Random forests", 2001: mean decrease in impurity.
    """
    n_features = features.shape[-1]
    if selection is None or selection.n_features >= n_features:
        return np.arange(n_features)
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - training alone needs it

    forest = RandomForestClassifier(
        n_estimators=selection.n_trees,
        max_samples=selection.share,
        class_weight="balanced",
        random_state=seed,
        n_jobs=-1,
    )
    importances = forest.fit(features, labels).feature_importances_
    # Stable, so that equal importances leave the same features whatever the sorting algorithm.
    best = np.argsort(-importances, kind="stable")[: selection.n_features]
    return np.sort(best)


def oversample(labels: npt.NDArray[np.int64], *, seed: int) -> npt.NDArray[np.int64]:
    """Return rows such that every class has as many as the largest: each row once, then some again.

    Parameters
    ----------
    labels : np.ndarray [shape=(n,)]
        Class of each row.
    seed
        Of the choice of rows that stand more than once.

    Returns
    -------
    np.ndarray [shape=(n_classes * n_largest,), dtype=int64]
        Indices of rows.
    """
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    largest = max(len(own) for own in rows)
    extra = [rng.choice(own, largest - len(own)) for own in rows]
    return np.concatenate((np.arange(len(labels)), *extra))


def scale(features: FloatArray, selected: npt.NDArray[np.int64]) -> Preprocessing:
    """Return the selector and the standard scaler of these rows.

    Parameters
    ----------
    features : np.ndarray [shape=(..., n_features)]
        Of the training part.
    selected : np.ndarray [shape=(n_selected,), dtype=int64]
        Indices of the features that are kept.

    Notes
    -----
    Features that never vary are scaled by 1, as scikit-learn's StandardScaler does.
    """
    values = features[..., selected].reshape(-1, len(selected)).astype(np.float64)
    deviation = values.std(axis=0)
    deviation[deviation <= np.finfo(np.float32).eps * np.abs(values).max(axis=0, initial=0)] = 1.0
    return Preprocessing(selected, values.mean(axis=0).astype(np.float32), deviation.astype(np.float32))
