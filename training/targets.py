"""What a network's answers are compared with while it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from realtime.types import FloatArray


def make_targets(
    labels: npt.NDArray[np.int64],
    known: npt.NDArray[np.bool_],
    intensities: FloatArray,
    weights: FloatArray,
    smoothing: float,
) -> FloatArray:
    """Return labels' probabilities, which of them are known, the intensity, whether it is told, the weight.

    In one array, since mixup blends all of it: what is half of one row and half of another weighs as both.

    Parameters
    ----------
    labels : np.ndarray [shape=(n,), dtype=int64]
        Of rows.
    known : np.ndarray [shape=(n, n_labels), dtype=bool]
        Between which labels each row tells anything.
    intensities, weights : np.ndarray [shape=(n,), dtype=float32]
        Of each row; an intensity that nobody told is NaN.
    smoothing
        Probability that is spread over all labels that are known.

    Returns
    -------
    np.ndarray [shape=(n, 2 * n_labels + 3), dtype=float32]
    """
    among = known.astype(np.float32)
    wanted = np.eye(among.shape[1], dtype=np.float32)[labels]
    spread = among / among.sum(axis=1, keepdims=True)
    smoothed = (1 - smoothing) * wanted + smoothing * spread
    told = ~np.isnan(intensities)
    intensity = np.stack((np.where(told, intensities, 0), told), axis=1)
    columns = (smoothed, among, intensity, weights[:, np.newaxis])
    return np.concatenate(columns, axis=1, dtype=np.float32)


def draw_known(
    labels: npt.NDArray[np.int64], known: npt.NDArray[np.bool_], share: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Return what is known of rows, some of which lose each other label with even chance.

    A network that is only ever asked among all labels learns to tell each from its nearest neighbours. Where
    others are asked for, as in a corpus that has fewer, it is to tell any of them apart.

    Parameters
    ----------
    labels : np.ndarray [shape=(n,), dtype=int64]
        Of rows; a row never loses its own.
    known : np.ndarray [shape=(n, n_labels), dtype=bool]
        Between which labels each tells anything; stays as it is.
    share
        Of the rows that lose some.
    rng
        Draws everything.
    """
    loses = rng.random(len(labels)) < share
    kept = rng.random(known.shape) < 0.5  # noqa: PLR2004 - even chance
    kept[~loses] = True
    kept[np.arange(len(labels)), labels] = True
    drawn: npt.NDArray[np.bool_] = known & kept
    return drawn
