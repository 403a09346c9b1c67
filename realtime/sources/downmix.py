"""Several channels made one, also where they would cancel each other out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from realtime.types import FloatArray

BLOCK_S: Final = 0.1
"""Seconds that are measured together, and for which one decision holds."""
SPAN_S: Final = 1.0
"""Seconds that a decision looks back on."""
LEAST_S: Final = 0.5
"""Seconds before the first decision: spaced microphones may be in opposite phase for a vowel."""
CANCELS_BELOW: Final = 0.1
"""Channels cancel each other out where their sum has less than this share of their energies."""
AGREES_ABOVE: Final = 0.3
"""They do not where it has more than this."""
AGREES_FOR_S: Final = 10.0
"""Seconds that they must agree for before the mean is returned to: knocks and pauses do, for a moment."""
AUDIBLE_DBFS: Final = -90.0
"""What is softer, in dB relative to full scale, tells nothing: lossy codecs leave odd phases there."""
FADE_S: Final = 0.01
"""Seconds that a change takes, so that it does not click."""


class Downmixer:
    """Turn a stream of several channels into a mono one: their mean, as a rule.

    A microphone with a balanced output in a stereo jack, or a channel that is wired the wrong way round,
    gives a voice in opposite phase, of which the mean leaves nothing. Where the sum of the channels has
    ten decibels less energy than channels that have nothing to do with each other, the loudest channel is
    taken instead, until they have agreed for ten seconds. One silent channel is no such case, nor are
    uncorrelated ones: of these the mean is what it is, bit for bit.

    What is decided follows from whole blocks of a tenth of a second and holds from the next block on: no
    sample waits, and the output is bitwise the same however the input is cut into pushes.

    Parameters
    ----------
    sample_rate
        Samples per second of each channel, in Hz.
    channels
        Their number, 2 or more.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._n_block = max(1, int(BLOCK_S * sample_rate))
        self._block: FloatArray = np.zeros((self._n_block, channels), dtype=np.float32)
        n_fade = max(1, int(FADE_S * sample_rate))
        self._fade: FloatArray = np.minimum(1, np.arange(1, self._n_block + 1) / n_fade).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything pushed so far."""
        self._n_agreed = 0
        # What is listened to now, and what was in the block before: a channel, or None for the mean.
        self._chosen: int | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was measured, as behind a gap, but not how the channels turned out to be wired."""
        self._n_filled = 0
        # Per block: energy of each channel, then of their sum.
        self._energies = np.empty((0, self._block.shape[1] + 1))
        self._before = self._chosen

    def push(self, samples: FloatArray) -> FloatArray:
        """Return the next samples as one channel.

        Parameters
        ----------
        samples : np.ndarray [shape=(n, channels), dtype=float32]
            The next samples, any number of them.

        Returns
        -------
        np.ndarray [shape=(n,), dtype=float32]
            As many, mono.
        """
        # What becomes of infinite samples is no business of the mixer.
        with np.errstate(invalid="ignore", over="ignore"):
            mono = _mean(samples)
            begin = 0
            while begin < len(samples):
                end = min(len(samples), begin + self._n_block - self._n_filled)
                self._choose(samples[begin:end], mono[begin:end])
                self._block[self._n_filled : self._n_filled + end - begin] = samples[begin:end]
                self._n_filled += end - begin
                begin = end
                if self._n_filled == self._n_block:
                    self._decide()
                    self._n_filled = 0
        return mono

    def _choose(self, samples: FloatArray, mono: FloatArray) -> None:
        """Write what is listened to over the mean, in samples of one block."""
        if self._chosen is None and self._before is None:
            return
        after: FloatArray = mono if self._chosen is None else samples[:, self._chosen]
        if self._before != self._chosen:
            before = mono if self._before is None else samples[:, self._before]
            share = self._fade[self._n_filled : self._n_filled + len(samples)]
            after = np.multiply(before, 1 - share) + np.multiply(after, share)
        mono[:] = after

    def _decide(self) -> None:
        """Take a whole block into account for the next one."""
        self._before = self._chosen
        wide = self._block.astype(np.float64)
        # A constant offset is no sound, and does not cancel as the voice on it does.
        wide -= wide.mean(axis=0)
        mixed = wide.sum(axis=1)
        energies = np.append(np.einsum("ij,ij->j", wide, wide), np.einsum("i,i->", mixed, mixed))
        if not np.isfinite(energies).all():
            energies = np.zeros_like(energies)
        self._energies = np.concatenate((self._energies, energies[np.newaxis]))[-round(SPAN_S / BLOCK_S) :]
        n_blocks = len(self._energies)
        *each, of_sum = self._energies.sum(axis=0).tolist()
        loudest = int(np.argmax(each))
        audible = 10 ** (AUDIBLE_DBFS / 10) * n_blocks * self._n_block
        if n_blocks < round(LEAST_S / BLOCK_S) or each[loudest] < audible:
            return
        share = of_sum / sum(each)
        if self._chosen is None:
            if share < CANCELS_BELOW:
                self._chosen, self._n_agreed = loudest, 0
            return
        self._n_agreed = self._n_agreed + 1 if share > AGREES_ABOVE else 0
        if self._n_agreed >= round(AGREES_FOR_S / BLOCK_S):
            self._chosen = None
        elif each[self._chosen] < CANCELS_BELOW * each[loudest]:
            # It was pulled out, say.
            self._chosen = loudest


def _mean(samples: FloatArray) -> FloatArray:
    mono: FloatArray = np.array(samples[:, 0], dtype=np.float32)
    # `mean` may add in another order for other shapes, which would change the last bit.
    for channel in range(1, samples.shape[1]):
        mono += samples[:, channel]
    mono /= np.float32(samples.shape[1])
    return mono
