"""The constant matrices of frame features: filterbanks, transforms, windows.

They equal librosa's and SciPy's (tested), in NumPy alone and in double precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from realtime.features.spec import WindowName

Array: TypeAlias = npt.NDArray[np.float64]

_LOG_FROM_HZ, _LOG_FROM_MEL = 1000.0, 15.0
"""Where Slaney's scale turns from linear to logarithmic."""

_COSINE_TERMS: dict[str, tuple[float, ...]] = {
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "rectangular": (1.0,),
}


def window(name: WindowName, length: int) -> Array:
    """Return the periodic window `name` [shape=(length,)], as spectra need it."""
    phase = 2 * np.pi * np.arange(length) / length
    terms = _COSINE_TERMS[name]
    return np.asarray(sum((-1) ** k * a * np.cos(k * phase) for k, a in enumerate(terms)))


def bin_frequencies(sample_rate: int, n_fft: int) -> Array:
    """Return the frequency of each Fourier bin, in Hz [shape=(1 + n_fft // 2,)]."""
    return np.fft.rfftfreq(n_fft, 1 / sample_rate)


def hz_to_mel(hz: npt.ArrayLike) -> Array:
    """Convert Hz to mels on Slaney's scale: linear below 1000 Hz, logarithmic above.

    References
    ----------
    Malcolm Slaney, "Auditory Toolbox", Interval Research, Technical Report 1998-010.
    """
    hz = np.asarray(hz, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.where(hz < _LOG_FROM_HZ, hz * 3 / 200, 15 + 27 * np.log(hz / 1000.0) / np.log(6.4))


def mel_to_hz(mel: npt.ArrayLike) -> Array:
    """Convert mels on Slaney's scale to Hz."""
    mel = np.asarray(mel, dtype=np.float64)
    return np.where(mel < _LOG_FROM_MEL, mel * 200 / 3, 1000.0 * np.exp((mel - 15) * np.log(6.4) / 27))


def mel_bank(sample_rate: int, n_fft: int, n_mels: int, fmin: float = 0.0, fmax: float = 0.0) -> Array:
    """Return triangular mel filters of equal area [shape=(n_mels, 1 + n_fft // 2)].

    Parameters
    ----------
    sample_rate
        In Hz.
    n_fft
        Length of the Fourier transform, in samples.
    n_mels
        Number of filters.
    fmin, fmax
        Edges of the first and last filter, in Hz; `fmax` 0 is half the sample rate.
    """
    fmax = fmax or sample_rate / 2
    edges = mel_to_hz(np.linspace(hz_to_mel(fmin), hz_to_mel(fmax), n_mels + 2))
    ramps = np.subtract.outer(edges, bin_frequencies(sample_rate, n_fft))
    widths = np.diff(edges)[:, np.newaxis]
    weights = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]))
    return np.asarray(weights * (2 / (edges[2:] - edges[:-2]))[:, np.newaxis])


def chroma_bank(sample_rate: int, n_fft: int, n_chroma: int) -> Array:
    """Return Gaussian pitch-class filters, tuned to A = 440 Hz [shape=(n_chroma, 1 + n_fft // 2)].

    Each bin is shared out among the classes with unit Euclidean norm, then weighted by a Gaussian of two
    octaves' width about the fifth octave.

    References
    ----------
    Dan Ellis, "Chroma feature analysis and synthesis", 2007; as in ``librosa.filters.chroma``.
    """
    frequencies = np.linspace(0, sample_rate, n_fft, endpoint=False)[1:]
    bins = n_chroma * np.log2(frequencies / (440.0 / 16))
    # The bin at 0 Hz has no pitch: it is put one and a half octaves below the first one.
    bins = np.concatenate(([bins[0] - 1.5 * n_chroma], bins))
    widths = np.concatenate((np.maximum(np.diff(bins), 1.0), [1.0]))
    half = np.round(n_chroma / 2)
    distance = np.subtract.outer(np.arange(n_chroma), bins) * -1
    distance = np.remainder(distance + half + 10 * n_chroma, n_chroma) - half
    weights = np.exp(-0.5 * (2 * distance / widths) ** 2)
    weights /= np.sqrt(np.sum(weights**2, axis=0))
    weights *= np.exp(-0.5 * ((bins / n_chroma - 5.0) / 2.0) ** 2)
    # From A, where the octaves above are counted from, to C.
    return np.roll(weights, -3 * (n_chroma // 12), axis=0)[:, : 1 + n_fft // 2].copy()


class BandedBank:
    """Filters that each pass a few neighbouring bins, applied in groups that skip the bins between.

    For 128 mel bands this takes a quarter of the time of the whole matrix, of which 98% is zeros.

    Parameters
    ----------
    bank : np.ndarray [shape=(n_filters, n_bins)]
        The filters, ordered by frequency.
    """

    _GROUP = 32

    def __init__(self, bank: Array) -> None:
        self.bank = bank
        self._groups: list[tuple[slice, slice, Array]] = []
        for first in range(0, len(bank), self._GROUP):
            filters = slice(first, min(first + self._GROUP, len(bank)))
            passed = np.flatnonzero(bank[filters].any(axis=0))
            bins = slice(int(passed[0]), int(passed[-1]) + 1) if len(passed) else slice(0, 1)
            self._groups.append((filters, bins, np.ascontiguousarray(bank[filters, bins].T)))

    def __call__(self, power: Array) -> Array:
        """Return each filter's output for power spectra [shape=(n, n_bins)]; shape (n, n_filters)."""
        out = np.empty((len(power), len(self.bank)))
        for filters, bins, weights in self._groups:
            out[:, filters] = power[:, bins] @ weights
        return out


def dct_matrix(n_out: int, n_in: int) -> Array:
    """Return the first rows of the orthonormal discrete cosine transform, type II [shape=(n_out, n_in)]."""
    k = np.arange(n_out)[:, np.newaxis]
    matrix = np.sqrt(2 / n_in) * np.cos(np.pi * k * (2 * np.arange(n_in) + 1) / (2 * n_in))
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix)


def tonnetz_matrix(n_chroma: int) -> Array:
    """Return the map from pitch classes to tonal centroids [shape=(6, n_chroma)].

    References
    ----------
    Harte, Sandler & Gasser, "Detecting harmonic change in musical audio", 2006.
    """
    scale = np.array([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3])
    angle = np.multiply.outer(scale, np.linspace(0, 12, n_chroma, endpoint=False))
    angle[::2] -= 0.5
    return np.asarray(np.array([1, 1, 1, 1, 0.5, 0.5])[:, np.newaxis] * np.cos(np.pi * angle))


def delta_weights(width: int, order: int) -> Array:
    """Return the Savitzky-Golay weights of a derivative over `width` frames [shape=(width,)].

    The derivative of order `order` of the polynomial of that degree that fits the frames best.

    References
    ----------
    Savitzky & Golay, "Smoothing and differentiation of data by simplified least squares procedures", 1964.
    """
    half = width // 2
    basis = np.vander(np.arange(-half, half + 1, dtype=np.float64), order + 1, increasing=True)
    return np.asarray(np.linalg.pinv(basis)[order] * (1 if order == 1 else 2))
