"""From the frames of a window to one vector: means, deviations, percentiles, slopes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from realtime.features.filterbanks import Array
    from realtime.features.spec import FeatureSpec

Mask: TypeAlias = npt.NDArray[np.bool_]


class Pooling:
    """The pooled vector of a window, in the order of ``spec.names()``.

    Parameters
    ----------
    spec
        Says which statistics of which families; its output is ``pooled``.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.n_values = spec.n_values
        self._rate = spec.sample_rate / spec.frame_hop
        # Statistic by statistic over all columns that want it: one reduction instead of one per family.
        wanted: dict[str, tuple[list[int], list[int]]] = {}
        column = place = 0
        for family in spec.families:
            for statistic in family.pool:
                columns, places = wanted.setdefault(statistic, ([], []))
                columns.extend(range(column, column + family.n_columns))
                places.extend(range(place, place + family.n_columns))
                place += family.n_columns
            column += family.n_columns
        self._plan = tuple(
            (*_parse(statistic), _as_slice(columns), _as_slice(places))
            for statistic, (columns, places) in wanted.items()
        )

    def __call__(self, rows: Array, masks: dict[str, Mask]) -> npt.NDArray[np.float32]:
        """Return the pooled vector [shape=(spec.n_values,), dtype=float32].

        Parameters
        ----------
        rows : np.ndarray [shape=(n_frames, spec.n_columns)]
            The window's frames.
        masks
            For ``voiced`` and ``speech``, which frames those are [shape=(n_frames,)]. A statistic over
            frames of which there are none is that of all frames: a neutral value, where zero would be an
            extreme one.
        """
        vector = np.empty(self.n_values, dtype=np.float32)
        for statistic, over, columns, places in self._plan:
            chosen = masks[over] if over and masks[over].any() else slice(None)
            values = rows[chosen][:, columns]
            if statistic == "mean":
                pooled = np.add.reduce(values, axis=0) / len(values)
            elif statistic == "std":
                centred = values - np.add.reduce(values, axis=0) / len(values)
                pooled = np.sqrt(np.einsum("ij,ij->j", centred, centred) / len(values))
            elif statistic == "slope":
                pooled = _slope((np.arange(len(rows)) / self._rate)[chosen], values)
            else:
                pooled = np.percentile(values, float(statistic[1:]), axis=0)
            vector[places] = pooled
        return vector


def _slope(times: Array, values: Array) -> Array:
    """Return the least-squares slope of each column, per second; 0 for a single frame."""
    centred = times - times.mean()
    spread = float(centred @ centred)
    return np.asarray(centred @ values / spread) if spread > 0 else np.zeros(values.shape[1])


def _parse(statistic: str) -> tuple[str, str]:
    name, _, over = statistic.partition("@")
    return name, over


def _as_slice(indices: list[int]) -> slice | npt.NDArray[np.intp]:
    """Return neighbouring indices as a slice, which reads in place instead of copying."""
    if indices == list(range(indices[0], indices[0] + len(indices))):
        return slice(indices[0], indices[0] + len(indices))
    return np.asarray(indices)
