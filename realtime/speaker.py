"""Whoever speaks: running statistics of a stream, which move from the corpus's to the speaker's own.

A model hears how a voice is used, and first of all whose it is: high or low, near the microphone or far
from it, in this room or that. What a speaker's windows have in common says little about an emotion, so a
model that was trained for it has the speaker's mean taken from its inputs. Before a stream begins, nobody
has spoken: the corpus's mean stands in, and weighs less and less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from realtime.types import FloatArray


class Adaptation(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a model gets used to a speaker."""

    prior_s: float
    """Seconds of the corpus's mean that the speaker's own is blended with: after as many, half of each."""
    memory_s: float
    """Seconds after which what was heard fades, so that another speaker is got used to as well."""


class Speaker:
    """The mean of a stream's inputs so far.

    Parameters
    ----------
    adaptation
        How fast it moves.

    Examples
    --------
    >>> import numpy as np
    >>> speaker = Speaker(Adaptation(prior_s=3.0, memory_s=60.0))
    >>> speaker.hear(np.full((2, 1), 4.0, dtype=np.float32), 3.0).tolist()
    [[2.0], [2.0]]
    """

    def __init__(self, adaptation: Adaptation) -> None:
        self._adaptation = adaptation
        self._mean: FloatArray = np.zeros(0, dtype=np.float32)
        self._heard_s = 0.0

    def reset(self) -> None:
        """Forget the speaker: the next window is of somebody unknown."""
        self._heard_s = 0.0

    def know(self, mean: FloatArray, heard_s: float) -> None:
        """Begin with somebody who was heard before.

        Parameters
        ----------
        mean : np.ndarray [shape=(n_selected,), dtype=float32]
            Of the inputs of their other windows.
        heard_s
            How much was heard of them, in seconds.
        """
        self._mean = mean.astype(np.float32)
        self._heard_s = min(heard_s, self._adaptation.memory_s)

    def hear(self, inputs: FloatArray, new_s: float) -> FloatArray:
        """Take in a window, and return it without what it shares with the speaker's others.

        Parameters
        ----------
        inputs : np.ndarray [shape=(n_selected,) or (n_frames, n_selected), dtype=float32]
            Of one window with a voice, selected and scaled: the corpus's mean is 0.
        new_s
            How much of it was in no window before, in seconds.

        Returns
        -------
        np.ndarray [dtype=float32]
            Of the same shape.
        """
        own = inputs.mean(axis=0) if inputs.ndim > 1 else inputs
        # Once the memory is full, this is an exponential mean.
        heard_s = min(self._heard_s + new_s, self._adaptation.memory_s)
        if not self._heard_s:
            self._mean = own
        elif heard_s > 0:
            self._mean = self._mean + (own - self._mean) * np.float32(min(1.0, new_s / heard_s))
        self._heard_s = heard_s
        share = heard_s / (self._adaptation.prior_s + heard_s)
        return np.asarray(inputs - np.float32(share) * self._mean, dtype=np.float32)
