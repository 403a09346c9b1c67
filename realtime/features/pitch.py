"""Fundamental frequency by YIN, with a voicing measure; and a cheaper harmonicity.

References
----------
de Cheveigné & Kawahara, "YIN, a fundamental frequency estimator for speech and music", 2002.
Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
sampled sound", 1993.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from realtime.features.families import Harmonicity, Pitch
    from realtime.features.filterbanks import Array

_TINY = np.finfo(np.float64).tiny


class Yin:
    """Fundamental frequency and voicing of frames.

    Parameters
    ----------
    family
        The range, in Hz, and the threshold below which a trough of the difference is a period.
    sample_rate
        In Hz.
    frame_length
        In samples.
    """

    def __init__(self, family: Pitch, sample_rate: int, frame_length: int) -> None:
        self._sample_rate = sample_rate
        self._threshold = family.threshold
        self._shortest = math.floor(sample_rate / family.fmax)
        self._longest = min(math.ceil(sample_rate / family.fmin), frame_length - 1)
        # Long enough that the circular correlation does not wrap at the lags that are used.
        self._n_fft = 2 ** math.ceil(math.log2(frame_length + self._longest + 1))

    def __call__(self, frames: Array) -> Array:
        """Return frequency in Hz, and voicing, of frames [shape=(n, frame_length)]; shape (n, 2)."""
        difference = self._normalised_difference(frames)
        inner = difference[:, 1:-1]
        trough = np.zeros(difference.shape, dtype=bool)
        trough[:, 1:-1] = (inner < difference[:, :-2]) & (inner <= difference[:, 2:])
        trough[:, 0] = difference[:, 0] < difference[:, 1]
        trough[:, -1] = difference[:, -1] < difference[:, -2]
        deep = trough & (difference < self._threshold)
        lag = np.where(deep.any(axis=1), deep.argmax(axis=1), difference.argmin(axis=1))
        rows = np.arange(len(frames))
        period = self._shortest + lag + self._parabolic_shift(difference)[rows, lag]
        voicing = np.clip(1 - difference[rows, lag], 0, 1)
        return np.stack((self._sample_rate / period, voicing), axis=1)

    def _normalised_difference(self, frames: Array) -> Array:
        """Return the cumulative mean normalised difference at the lags of the range (equation 8)."""
        lags = self._longest + 1
        spectrum = np.fft.rfft(frames, self._n_fft, axis=1)
        correlation = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, self._n_fft, axis=1)[:, :lags]
        energy = np.cumsum(frames[:, : lags - 1] ** 2, axis=1)
        # librosa leaves the first sample's energy out at lag 1, and it is what the values are held against.
        energy[:, 0] = 0
        difference = 2 * (correlation[:, :1] - correlation[:, 1:]) - energy
        mean = np.cumsum(difference, axis=1) / np.arange(1, lags)
        chosen = slice(self._shortest - 1, self._longest)
        return np.asarray(difference[:, chosen] / (mean[:, chosen] + _TINY))

    @staticmethod
    def _parabolic_shift(difference: Array) -> Array:
        """Return how far each value's parabola, through its neighbours, has its vertex from it, in lags."""
        curve = difference[:, 2:] + difference[:, :-2] - 2 * difference[:, 1:-1]
        slope = (difference[:, 2:] - difference[:, :-2]) / 2
        shift = np.zeros(difference.shape)
        # A vertex a lag away or farther is none of this value's.
        near = np.abs(slope) < np.abs(curve)
        np.divide(-slope, curve, out=shift[:, 1:-1], where=near)
        return shift


class HarmonicityMeter:
    """Height of the autocorrelation's peak, from power spectra that are there already.

    The correlation is the inverse transform of the power spectrum, at the lags of the range alone.

    Parameters
    ----------
    family
        The range of periods and the band that counts, in Hz.
    sample_rate
        In Hz.
    window : np.ndarray [shape=(frame_length,)]
        What the frames were weighted with before the transform; its own autocorrelation is divided out.
    """

    def __init__(self, family: Harmonicity, sample_rate: int, window: Array) -> None:
        n_fft = len(window)
        frequencies = np.fft.rfftfreq(n_fft, 1 / sample_rate)
        band = np.flatnonzero((frequencies >= family.low) & (frequencies <= family.high))
        self._band = slice(band[0], band[-1] + 1)
        # A correlation of a signal limited to `high` Hz is smooth: lags at 5 times that rate suffice.
        step = max(1, math.floor(sample_rate / (5 * family.high)))
        first = max(2, math.floor(sample_rate / family.fmax / step) * step)
        last = min(math.ceil(sample_rate / family.fmin), n_fft // 2 - 1 - step)
        # One lag more on either side: a peak is higher than its neighbours.
        lags = np.arange(first - step, last + step + 1, step)
        own = np.fft.irfft(np.abs(np.fft.rfft(window)) ** 2, n_fft)
        # The inverse transform at these lags alone, and the window's share in it, as one matrix.
        self._transform = np.cos(2 * np.pi / n_fft * np.outer(band, lags)) * (own[0] / own[lags])

    def __call__(self, power: Array) -> Array:
        """Return the harmonicity, 0 to 1, of power spectra [shape=(n, 1 + n_fft // 2)]; shape (n, 1)."""
        power = power[:, self._band]
        lagged = power @ self._transform
        inner = lagged[:, 1:-1]
        peak = (inner > lagged[:, :-2]) & (inner >= lagged[:, 2:])
        highest = np.max(inner, axis=1, keepdims=True, where=peak, initial=0.0)
        return np.asarray(np.minimum(highest / (power.sum(axis=1, keepdims=True) + _TINY), 1.0))
