"""From a block of frames to the values of each family.

Every family looks at its own frame alone, in double precision, with fixed references; `Flux` also at the
frame before. `Delta` needs whole rows around it and is computed in `realtime.features.extractor`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from realtime.features import filterbanks
from realtime.features.families import (
    AnyFamily,
    Bandwidth,
    Centroid,
    Chroma,
    Contrast,
    Delta,
    Flatness,
    Flux,
    Harmonicity,
    Level,
    Mel,
    Mfcc,
    Pitch,
    Rms,
    Rolloff,
    Semitones,
    Tonnetz,
    ZeroCrossingRate,
)
from realtime.features.pitch import HarmonicityMeter, Yin

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime.features.filterbanks import Array
    from realtime.features.spec import FeatureSpec

Compute: TypeAlias = "Callable[[Block], Array]"

_TINY = np.finfo(np.float64).tiny
_QUIET = 1e-10
"""Below this a sample counts as zero, and a power as this, where librosa has such a constant."""


class Banks:
    """The matrices and constants that a specification's families share.

    Parameters
    ----------
    spec
        Says which.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self.window = filterbanks.window(spec.window, spec.frame_length)
        self.frequencies = filterbanks.bin_frequencies(spec.sample_rate, spec.frame_length)
        self._mel: dict[tuple[int, float, float], filterbanks.BandedBank] = {}
        self._chroma: dict[int, Array] = {}

    def mel(self, n_mels: int, fmin: float, fmax: float) -> filterbanks.BandedBank:
        """Return `n_mels` mel filters from `fmin` to `fmax` Hz."""
        key = (n_mels, fmin, fmax)
        if key not in self._mel:
            spec = self.spec
            bank = filterbanks.mel_bank(spec.sample_rate, spec.frame_length, n_mels, fmin, fmax)
            self._mel[key] = filterbanks.BandedBank(bank)
        return self._mel[key]

    def chroma(self, n_chroma: int) -> Array:
        """Return pitch-class filters, transposed [shape=(n_bins, n_chroma)]."""
        if n_chroma not in self._chroma:
            spec = self.spec
            bank = filterbanks.chroma_bank(spec.sample_rate, spec.frame_length, n_chroma)
            self._chroma[n_chroma] = np.ascontiguousarray(bank.T)
        return self._chroma[n_chroma]


class Block:
    """A fixed number of frames, and what several families need of them, computed once.

    Parameters
    ----------
    frames : np.ndarray [shape=(n, frame_length), dtype=float64]
        Samples, after pre-emphasis, before the window.
    banks
        The specification's matrices.
    first
        Row of the stream's first frame, if it is in this block (rows before it are padding), else None.
    """

    def __init__(self, frames: Array, banks: Banks, first: int | None = None) -> None:
        self.frames = frames
        self.banks = banks
        self.first = first
        self._mel_db: dict[tuple[int, float, float], Array] = {}
        self._chroma: dict[int, Array] = {}

    @cached_property
    def power(self) -> Array:
        """Power spectra [shape=(n, n_bins)]."""
        spectrum = np.fft.rfft(self.frames * self.banks.window, axis=1)
        return spectrum.real**2 + spectrum.imag**2

    @cached_property
    def magnitude(self) -> Array:
        """Magnitude spectra [shape=(n, n_bins)]."""
        return np.sqrt(self.power)

    @cached_property
    def share(self) -> Array:
        """Magnitude spectra divided by their sums; silent frames stay zero [shape=(n, n_bins)]."""
        return self.magnitude / _nonzero(self.magnitude.sum(axis=1, keepdims=True))

    @cached_property
    def centroid(self) -> Array:
        """Centre of the magnitude spectrum, in Hz [shape=(n, 1)]."""
        return np.asarray(self.share @ self.banks.frequencies[:, np.newaxis])

    def mel_db(self, n_mels: int, fmin: float = 0.0, fmax: float = 0.0) -> Array:
        """Return the power of mel bands in dB [shape=(n, n_mels)]."""
        key = (n_mels, fmin, fmax)
        if key not in self._mel_db:
            self._mel_db[key] = _decibels(self.banks.mel(*key)(self.power), self.banks.spec.power_floor)
        return self._mel_db[key]

    def chroma(self, n_chroma: int) -> Array:
        """Return pitch-class energies divided by the largest [shape=(n, n_chroma)]."""
        if n_chroma not in self._chroma:
            raw = self.power @ self.banks.chroma(n_chroma)
            self._chroma[n_chroma] = raw / _nonzero(raw.max(axis=1, keepdims=True))
        return self._chroma[n_chroma]


def _decibels(power: Array, floor: float) -> Array:
    return np.asarray(10 * np.log10(np.maximum(power, floor)))


def _nonzero(divisor: Array) -> Array:
    """Return the divisor with 1 for what is too small to divide by, so that silence stays zero."""
    return np.where(divisor < _TINY, 1.0, divisor)


def builder(family: AnyFamily, banks: Banks) -> Compute:
    """Return the function that computes `family` for a block, with its constants prepared.

    Raises
    ------
    TypeError
        For a `Delta`, which needs rows on both sides of a block.
    """
    if isinstance(family, Delta):
        raise TypeError(f"{family.key} is computed from rows, not from a block")
    return _BUILDERS[type(family)](family, banks)


def _mfcc(family: Mfcc, banks: Banks) -> Compute:
    transform = np.ascontiguousarray(filterbanks.dct_matrix(family.n, family.n_mels).T)
    bands = (family.n_mels, family.fmin, family.fmax)
    banks.mel(*bands)
    return lambda block: block.mel_db(*bands) @ transform


def _mel(family: Mel, banks: Banks) -> Compute:
    bands = (family.n, family.fmin, family.fmax)
    banks.mel(*bands)
    return lambda block: block.mel_db(*bands)


def _chroma(family: Chroma, banks: Banks) -> Compute:
    banks.chroma(family.n)
    return lambda block: block.chroma(family.n)


def _tonnetz(_family: Tonnetz, banks: Banks) -> Compute:
    n_chroma = 12
    transform = np.ascontiguousarray(filterbanks.tonnetz_matrix(n_chroma).T)
    banks.chroma(n_chroma)

    def compute(block: Block) -> Array:
        chroma = block.chroma(n_chroma)
        return np.asarray((chroma / _nonzero(chroma.sum(axis=1, keepdims=True))) @ transform)

    return compute


def _contrast(family: Contrast, banks: Banks) -> Compute:
    bands = _contrast_bands(family, banks.frequencies)

    def compute(block: Block) -> Array:
        magnitude = block.magnitude
        peak = np.empty((len(magnitude), len(bands)))
        valley = np.empty_like(peak)
        for i, (low, high, n_extreme) in enumerate(bands):
            band = magnitude[:, low:high]
            if n_extreme == 1:
                # Most bands are so narrow that the extreme share is one bin: no need to sort.
                peak[:, i] = band.max(axis=1)
                valley[:, i] = band.min(axis=1)
            else:
                ordered = np.sort(band, axis=1)
                peak[:, i] = ordered[:, -n_extreme:].sum(axis=1) / n_extreme
                valley[:, i] = ordered[:, :n_extreme].sum(axis=1) / n_extreme
        return _decibels(peak, _QUIET) - _decibels(valley, _QUIET)

    return compute


def _contrast_bands(family: Contrast, frequencies: Array) -> tuple[tuple[int, int, int], ...]:
    """Return first bin, bin after the last, and number of extreme bins, of each octave band.

    References
    ----------
    Jiang et al., "Music type classification by spectral contrast feature", 2002; the edges are those of
    ``librosa.feature.spectral_contrast``: a band begins one bin early and leaves its last bin to the next.
    """
    edges = np.concatenate(([0.0], family.fmin * 2.0 ** np.arange(family.n_bands + 1)))
    bands = []
    for i in range(family.n_bands + 1):
        inside = np.flatnonzero((frequencies >= edges[i]) & (frequencies <= edges[i + 1]))
        low, high = int(inside[0]), int(inside[-1]) + 1
        if i > 0:
            low -= 1
        if i == family.n_bands:
            high = len(frequencies)
        n_extreme = max(1, int(np.rint(family.quantile * (high - low))))
        bands.append((low, high if i == family.n_bands else high - 1, n_extreme))
    return tuple(bands)


def _centroid(_family: Centroid, _banks: Banks) -> Compute:
    return lambda block: block.centroid


def _bandwidth(_family: Bandwidth, banks: Banks) -> Compute:
    frequencies = banks.frequencies

    def compute(block: Block) -> Array:
        spread = (frequencies - block.centroid) ** 2
        return np.asarray(np.sqrt(np.sum(block.share * spread, axis=1, keepdims=True)))

    return compute


def _rolloff(family: Rolloff, banks: Banks) -> Compute:
    frequencies = banks.frequencies

    def compute(block: Block) -> Array:
        total = np.cumsum(block.magnitude, axis=1)
        reached = total >= family.share * total[:, -1:]
        return np.asarray(frequencies[reached.argmax(axis=1)][:, np.newaxis])

    return compute


def _flatness(_family: Flatness, _banks: Banks) -> Compute:
    def compute(block: Block) -> Array:
        power = np.maximum(block.power, _QUIET)
        geometric = np.exp(np.log(power).mean(axis=1, keepdims=True))
        return np.asarray(geometric / power.mean(axis=1, keepdims=True))

    return compute


class _FluxMeter:
    """Mean rise of mel bands; remembers the last frame of the block before."""

    def __init__(self, family: Flux, banks: Banks) -> None:
        self._n_mels = family.n_mels
        banks.mel(family.n_mels, 0.0, 0.0)
        self._last: Array | None = None

    def __call__(self, block: Block) -> Array:
        level = block.mel_db(self._n_mels)
        before = np.empty_like(level)
        before[1:] = level[:-1]
        if block.first is not None:
            before[: block.first + 1] = level[: block.first + 1]
        else:
            assert self._last is not None
            before[0] = self._last
        self._last = level[-1]
        return np.asarray(np.maximum(0.0, level - before).mean(axis=1, keepdims=True))


def _zero_crossing_rate(_family: ZeroCrossingRate, banks: Banks) -> Compute:
    length = banks.spec.frame_length

    def compute(block: Block) -> Array:
        negative = block.frames < -_QUIET
        crossings = np.count_nonzero(negative[:, 1:] != negative[:, :-1], axis=1)
        return np.asarray((crossings / length)[:, np.newaxis])

    return compute


def _mean_square(block: Block) -> Array:
    return np.asarray(
        np.einsum("ij,ij->i", block.frames, block.frames)[:, np.newaxis] / block.frames.shape[1]
    )


def voice_rms(banks: Banks, low: float) -> Compute:
    """Return what computes frames' root mean square [shape=(n, 1)] of all that lies from `low` Hz up.

    Full scale is 1, as of `Rms`, from which it differs by the window of the spectrum too.
    """
    first = int(np.searchsorted(banks.frequencies, low))
    # Each bin stands for its twin of negative frequency.
    scale = 2 / (banks.spec.frame_length * np.sum(banks.window**2))
    return lambda block: np.sqrt(scale * block.power[:, first:].sum(axis=1, keepdims=True))


def _rms(_family: Rms, _banks: Banks) -> Compute:
    return lambda block: np.sqrt(_mean_square(block))


def _level(_family: Level, banks: Banks) -> Compute:
    return lambda block: _decibels(_mean_square(block), banks.spec.power_floor)


def _pitch(family: Pitch, banks: Banks) -> Compute:
    yin = Yin(family, banks.spec.sample_rate, banks.spec.frame_length)
    return lambda block: yin(block.frames)


def _semitones(family: Semitones, banks: Banks) -> Compute:
    yin = Yin(family, banks.spec.sample_rate, banks.spec.frame_length)

    def compute(block: Block) -> Array:
        pitch = yin(block.frames)
        pitch[:, 0] = 69 + 12 * np.log2(pitch[:, 0] / 440)
        return pitch

    return compute


def _harmonicity(family: Harmonicity, banks: Banks) -> Compute:
    meter = HarmonicityMeter(family, banks.spec.sample_rate, banks.window)
    return lambda block: meter(block.power)


_BUILDERS: dict[type, Callable[..., Compute]] = {
    Mel: _mel,
    Mfcc: _mfcc,
    Chroma: _chroma,
    Contrast: _contrast,
    Tonnetz: _tonnetz,
    Centroid: _centroid,
    Bandwidth: _bandwidth,
    Rolloff: _rolloff,
    Flatness: _flatness,
    Flux: _FluxMeter,
    ZeroCrossingRate: _zero_crossing_rate,
    Rms: _rms,
    Level: _level,
    Pitch: _pitch,
    Semitones: _semitones,
    Harmonicity: _harmonicity,
}
