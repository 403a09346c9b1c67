"""What a network sees, varied anew in every epoch.

References
----------
Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv:1710.09412.
Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", Interspeech
2019, arXiv:1904.08779.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from realtime.errors import SettingsError

if TYPE_CHECKING:
    import numpy.typing as npt

    from realtime.types import FloatArray
    from training.recipes.schema import Inputs

_N_AT_ONCE = 1024
"""Rows: few enough to stay in the processor's cache, whatever the number of all."""
_N_AXES_OF_FRAMES = 3


def vary_inputs(
    inputs: FloatArray,
    targets: FloatArray,
    settings: Inputs,
    rng: np.random.Generator,
    known: npt.NDArray[np.bool_] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return inputs blended with each other, with noise on them and with gaps in them, and their targets.

    What is given stays as it is; it is returned itself where nothing is to be varied.

    Parameters
    ----------
    inputs : np.ndarray [shape=(n, n_columns) or (n, n_frames, n_columns), dtype=float32]
        Scaled: 0 is each column's mean, and what stands in gaps.
    targets : np.ndarray [shape=(n, k), dtype=float32]
        Blended as the inputs are.
    settings
        How much of it.
    rng
        Draws everything.
    known : np.ndarray [shape=(n, n_labels), dtype=bool]
        Between which labels each row tells anything. Where it is given, rows are blended with such alone as
        tell between the same: half a row that is not calm would say so of another that may be.

    Returns
    -------
    inputs, targets : np.ndarray [dtype=float32]
        Of the same shapes.

    Raises
    ------
    SettingsError
        Where frames are to be masked and the inputs have none.
    """
    masks_frames = settings.n_time_masks > 0 and settings.time_mask > 0
    masks_columns = settings.n_feature_masks > 0 and settings.feature_mask > 0
    if masks_frames and inputs.ndim != _N_AXES_OF_FRAMES:
        raise SettingsError(
            f"augmentation: n_time_masks is {settings.n_time_masks}; wanted 0 for pooled features"
        )
    if not (settings.mixup or settings.noise or masks_frames or masks_columns):
        return inputs, targets
    n = len(inputs)
    partners, shares = np.arange(n), np.ones(n, dtype=np.float32)
    if settings.mixup:
        partners = _draw_partners(n, known, rng)
        shares = rng.beta(settings.mixup, settings.mixup, n).astype(np.float32)
    varied = np.empty_like(inputs)
    for start in range(0, n, _N_AT_ONCE):
        rows = slice(start, start + _N_AT_ONCE)
        block = varied[rows]
        if settings.mixup:
            block[:] = _blend(inputs, rows, partners, shares)
        else:
            block[:] = inputs[rows]
        if settings.noise:
            block += rng.standard_normal(block.shape, dtype=np.float32) * np.float32(settings.noise)
        if masks_columns:
            gaps = _draw_gaps(
                block.shape[0], block.shape[-1], settings.n_feature_masks, settings.feature_mask, rng
            )
            np.copyto(block, 0, where=gaps if block.ndim != _N_AXES_OF_FRAMES else gaps[:, np.newaxis, :])
        if masks_frames:
            gaps = _draw_gaps(block.shape[0], block.shape[1], settings.n_time_masks, settings.time_mask, rng)
            np.copyto(block, 0, where=gaps[:, :, np.newaxis])
    return varied, _blend(targets, slice(None), partners, shares) if settings.mixup else targets


def _draw_partners(
    n: int, known: npt.NDArray[np.bool_] | None, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    if known is None:
        return rng.permutation(n)
    partners = np.empty(n, dtype=np.int64)
    kinds, kind = np.unique(known, axis=0, return_inverse=True)
    for number in range(len(kinds)):
        own = np.flatnonzero(kind.reshape(-1) == number)
        partners[own] = rng.permutation(own)
    return partners


def _blend(
    values: FloatArray, rows: slice, partners: npt.NDArray[np.int64], shares: FloatArray
) -> FloatArray:
    """Return rows, each with its partner's values blended into it."""
    share = shares[rows].reshape(-1, *(1,) * (values.ndim - 1))
    others = values[partners[rows]]
    blended: FloatArray = others + share * (values[rows] - others)
    return blended


def _draw_gaps(
    n_rows: int, n_values: int, n_masks: int, widest: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Return what masks cover, of 0 to so many neighbours each [shape=(n_rows, n_values)]."""
    widths = rng.integers(min(widest, n_values), size=(n_masks, n_rows, 1), endpoint=True)
    starts = rng.integers(n_values - widths, endpoint=True)
    places = np.arange(n_values)
    gaps = np.zeros((n_rows, n_values), dtype=np.bool_)
    for start, width in zip(starts, widths, strict=True):
        gaps |= (places >= start) & (places < start + width)
    return gaps
