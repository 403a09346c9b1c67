"""Frames from a stream of samples, each computed once, whatever the chunks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from realtime.errors import FeatureError
from realtime.features.compute import Banks, Block, builder, voice_rms
from realtime.features.families import Delta, Harmonicity, Rms
from realtime.features.filterbanks import delta_weights

if TYPE_CHECKING:
    from realtime.features.families import AnyFamily
    from realtime.features.filterbanks import Array
    from realtime.features.spec import FeatureSpec


class FrameExtractor:
    """The rows of feature values of a stream.

    Frames are computed in blocks of one fixed size, because matrix products give other last bits for
    other shapes: so the rows are bitwise the same however the stream is cut into chunks.

    Besides the specification's columns, each row holds measures that tell voices from silence and noise: root
    mean square, with and without what lies below any voice, and harmonicity; of the samples as they came,
    whatever pre-emphasis the features want.

    Parameters
    ----------
    spec
        What to compute.
    block
        Number of frames computed at once.
    first_block
        Number of frames in the stream's first block, 1 to `block`, by which the later ones are aligned
        with the moments when windows fall due.

    Notes
    -----
    A row comes out when the ``spec.look_ahead`` frames after it are there. At the stream's beginning,
    deltas see the first frame repeated before it.
    """

    def __init__(self, spec: FeatureSpec, *, block: int = 20, first_block: int | None = None) -> None:
        first_block = block if first_block is None else first_block
        if not 1 <= first_block <= block:
            raise FeatureError(f"first_block is {first_block} frames; wanted 1 to block, {block}")
        self.spec = spec
        self._block = block
        self._padding = block - first_block
        self._banks = Banks(spec)
        families, n_own = _with_measures(spec), len(spec.families)
        slices = _places(families)
        self.voice_rms_column = slices[-1].stop
        self.n_columns = self.voice_rms_column + 1
        # By the last of that name: where there is pre-emphasis, the measures stand behind the features.
        by_key = {family.key: place for family, place in zip(families, slices, strict=True)}
        self.rms_column = by_key["rms"].start
        self.harmonicity_column = by_key["harmonicity"].start
        own = {family.key: place for family, place in zip(families[:n_own], slices, strict=False)}
        self._deltas = tuple(
            (own[f.key], own[f.of], _delta_matrix(f, block, spec.look_ahead))
            for f in spec.families
            if isinstance(f, Delta)
        )
        compute = [
            (place, builder(family, self._banks), number)
            for number, (family, place) in enumerate(zip(families, slices, strict=True))
            if not isinstance(family, Delta)
        ]
        self._compute = tuple((place, function) for place, function, number in compute if number < n_own)
        self._measure = (
            *((place, function) for place, function, number in compute if number >= n_own),
            (slice(self.voice_rms_column, self.n_columns), voice_rms(self._banks, Harmonicity().low)),
        )
        hop, length = spec.frame_hop, spec.frame_length
        self._span = (block - 1) * hop + length
        # Room for a block and as much again, so that samples are moved down only now and then.
        self._samples = np.zeros(4 * self._span, dtype=np.float64)
        # The same before pre-emphasis; without any, the same array.
        self._raw = np.zeros_like(self._samples) if spec.pre_emphasis else self._samples
        self._history = np.zeros((block + 2 * spec.look_ahead, self.n_columns))
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next sample is a stream's first."""
        # The first block is padded at its front; samples begin behind the padding.
        self._begin = 0
        self._end = self._padding * self.spec.frame_hop
        self._samples[: self._end] = 0
        self._raw[: self._end] = 0
        self._previous = 0.0
        self._begins = True
        # Rows before the stream's first frame: padding, and what deltas look ahead from.
        self._n_drop = self._padding + self.spec.look_ahead

    def push(self, samples: npt.NDArray[np.floating[Any]]) -> Array:
        """Return the rows that these samples complete [shape=(n, n_columns), dtype=float64], n from 0 up.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,)]
            Any number of samples.
        """
        rows = []
        while len(samples):
            taken = samples[: len(self._samples) - self._end]
            samples = samples[len(taken) :]
            self._append(taken)
            while self._end - self._begin >= self._span:
                rows.append(self._next_block())
        if not rows:
            return np.empty((0, self.n_columns))
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    def _append(self, samples: npt.NDArray[np.floating[Any]]) -> None:
        into = self._samples[self._end : self._end + len(samples)]
        into[:] = samples
        if self.spec.pre_emphasis:
            self._raw[self._end : self._end + len(samples)] = into
            before = np.empty_like(into)
            before[0] = self._previous
            before[1:] = into[:-1]
            self._previous = into[-1]
            into -= self.spec.pre_emphasis * before
        self._end += len(samples)

    def _next_block(self) -> Array:
        """Compute the block that begins at the first sample held, and return the rows it completes."""
        hop, ahead = self.spec.frame_hop, self.spec.look_ahead
        first = self._padding if self._begins else None
        block = Block(self._frames(self._samples), self._banks, first)
        raw = Block(self._frames(self._raw), self._banks, first) if self.spec.pre_emphasis else block
        history = self._history
        history[: 2 * ahead] = history[self._block :]
        newest = history[2 * ahead :]
        for place, compute in self._compute:
            newest[:, place] = compute(block)
        for place, compute in self._measure:
            newest[:, place] = compute(raw)
        if first is not None:
            history[: 2 * ahead + first] = newest[first]
        self._begin += self._block * hop
        self._begins = False
        self._move_down()
        rows = history[ahead : ahead + self._block].copy()
        for place, base, matrix in self._deltas:
            rows[:, place] = matrix @ history[:, base]
        n_dropped = min(self._n_drop, len(rows))
        self._n_drop -= n_dropped
        return rows[n_dropped:]

    def _frames(self, samples: Array) -> Array:
        """Return the next block's frames [shape=(block, frame_length)]."""
        held = samples[self._begin : self._begin + self._span]
        return np.lib.stride_tricks.sliding_window_view(held, self.spec.frame_length)[
            :: self.spec.frame_hop
        ].copy()

    def _move_down(self) -> None:
        """Move the samples still needed to the front once there is little room behind them."""
        if len(self._samples) - self._end < self._span:
            n_held = self._end - self._begin
            self._samples[:n_held] = self._samples[self._begin : self._end].copy()
            if self.spec.pre_emphasis:
                self._raw[:n_held] = self._raw[self._begin : self._end].copy()
            self._begin, self._end = 0, n_held


def _with_measures(spec: FeatureSpec) -> tuple[AnyFamily, ...]:
    """Return the specification's families, and behind them the measures that are none of them.

    After pre-emphasis neither is: the features' own would tell voices from noise by their high frequencies.
    """
    present = set() if spec.pre_emphasis else {family.key for family in spec.families}
    measures = (replace(family, pool=()) for family in (Rms(), Harmonicity()) if family.key not in present)
    return (*spec.families, *measures)


def _delta_matrix(family: Delta, block: int, look_ahead: int) -> Array:
    """Return the map from rows, with `look_ahead` around them, to their deltas [shape=(block, n_rows)]."""
    matrix = np.zeros((block, block + 2 * look_ahead))
    weights = delta_weights(family.width, family.order)
    for row in range(block):
        first = row + look_ahead - family.look_ahead
        matrix[row, first : first + family.width] = weights
    return matrix


def _places(families: tuple[AnyFamily, ...]) -> list[slice]:
    """Return the columns of each family."""
    places = []
    column = 0
    for family in families:
        places.append(slice(column, column + family.n_columns))
        column += family.n_columns
    return places
