"""What may be handed to the recognizer, and what of it is audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from realtime.errors import SourceError
from realtime.types import PREDICTING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime.types import Chunk, FloatArray

LARGEST_SAMPLE = 65_536.0
"""Samples beyond this are no audio, not even audio that was scaled wrongly: they count as lost."""


def check(chunk: Chunk) -> None:
    """Refuse what only looks like audio; integers above all, whose scale nobody can guess."""
    # Annotated as an array, but users call this too.
    samples = chunk.samples
    kind = getattr(samples, "dtype", None)
    if kind is None or samples.ndim != 1 or not np.issubdtype(kind, np.floating):
        found = type(samples).__name__ if kind is None else f"{kind} of shape {samples.shape}"
        raise SourceError(
            f"samples are {found}; wanted a NumPy array of floating-point numbers of shape (n,): mono, full "
            "scale ±1 (divide 16-bit samples by 32768)"
        )
    if chunk.clipped is not None and chunk.clipped.shape != samples.shape:
        raise SourceError(f"clipped has the shape {chunk.clipped.shape}; wanted {samples.shape}")
    if len(samples) and chunk.state not in PREDICTING:
        raise SourceError(
            f"a chunk of state {chunk.state.value} has {len(samples)} samples; wanted none: "
            "what is heard comes in a chunk of its own"
        )


def split_valid(samples: FloatArray) -> Iterator[tuple[FloatArray, int]]:
    """Yield stretches of samples that are audio, each with the number of those behind it that are not."""
    # Comparisons with what is not a number are false.
    valid = np.abs(samples) <= LARGEST_SAMPLE
    if valid.all():
        yield samples, 0
        return
    edges = np.flatnonzero(np.diff(valid)) + 1
    begin = n_lost = 0
    held = samples[:0]
    for end in (*edges.tolist(), len(samples)):
        if valid[begin]:
            if n_lost:
                yield held, n_lost
            held, n_lost = samples[begin:end], 0
        else:
            n_lost = end - begin
        begin = end
    yield held, n_lost
