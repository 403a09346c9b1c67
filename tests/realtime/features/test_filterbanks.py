"""The constant matrices equal librosa's and SciPy's."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.features import filterbanks

librosa = pytest.importorskip("librosa", reason="librosa is the reference: install the training extra")
scipy_signal = pytest.importorskip("scipy.signal")
scipy_fft = pytest.importorskip("scipy.fft")


@pytest.mark.parametrize(("rate", "n_fft"), [(16_000, 1024), (22_050, 2048), (48_000, 512)])
@pytest.mark.parametrize(("n_mels", "fmin", "fmax"), [(49, 0.0, 0.0), (128, 0.0, 0.0), (40, 80.0, 7000.0)])
@pytest.mark.filterwarnings("ignore:Empty filters")
def test_mel_filters(rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> None:
    theirs = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax or None, dtype=np.float64
    )
    ours = filterbanks.mel_bank(rate, n_fft, n_mels, fmin, fmax)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-15)
    power = np.random.default_rng(1).random((20, 1 + n_fft // 2))
    np.testing.assert_allclose(filterbanks.BandedBank(ours)(power), power @ theirs.T, rtol=1e-9)


@pytest.mark.parametrize("n_chroma", [12, 24, 36])
def test_chroma_filters(n_chroma: int) -> None:
    theirs = librosa.filters.chroma(sr=16_000, n_fft=1024, n_chroma=n_chroma, dtype=np.float64)
    np.testing.assert_allclose(filterbanks.chroma_bank(16_000, 1024, n_chroma), theirs, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman"])
def test_windows(name: str) -> None:
    theirs = scipy_signal.get_window(name, 400, fftbins=True)
    ours = filterbanks.window(name, 400)  # type: ignore[arg-type]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert filterbanks.window("rectangular", 5).tolist() == [1] * 5


def test_cosine_transform() -> None:
    rows = np.random.default_rng(2).random((3, 128))
    np.testing.assert_allclose(
        rows @ filterbanks.dct_matrix(40, 128).T, scipy_fft.dct(rows, type=2, norm="ortho")[:, :40], rtol=1e-9
    )


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("width", [3, 5, 9])
def test_delta_weights(width: int, order: int) -> None:
    theirs = scipy_signal.savgol_coeffs(width, order, deriv=order, use="dot")
    np.testing.assert_allclose(filterbanks.delta_weights(width, order), theirs, atol=1e-12)


def test_mel_scale_round_trip() -> None:
    hz = np.array([0.0, 20.0, 999.0, 1000.0, 1001.0, 8000.0])
    np.testing.assert_allclose(filterbanks.mel_to_hz(filterbanks.hz_to_mel(hz)), hz, rtol=1e-12, atol=1e-9)
