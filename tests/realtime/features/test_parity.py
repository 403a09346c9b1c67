"""Each family equals librosa's own function, on real recordings and on signals that break things."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from realtime.features import (
    Bandwidth,
    Centroid,
    Chroma,
    Contrast,
    Delta,
    FeatureSpec,
    Flatness,
    Flux,
    FrameExtractor,
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime.features.families import AnyFamily

librosa = pytest.importorskip("librosa", reason="librosa is the reference: install the training extra")

RATE, LENGTH, HOP = 16_000, 1024, 400
Signal: TypeAlias = npt.NDArray[np.float64]


def power(y: Signal) -> Signal:
    return np.asarray(np.abs(librosa.stft(y, n_fft=LENGTH, hop_length=HOP, center=False)) ** 2)


def magnitude(y: Signal) -> Signal:
    return np.asarray(np.sqrt(power(y)))


def mel_db(y: Signal, n_mels: int, fmin: float = 0.0, fmax: float | None = None) -> Signal:
    # The filterbank in double precision; librosa's functions make it in single by default.
    basis = librosa.filters.mel(sr=RATE, n_fft=LENGTH, n_mels=n_mels, fmin=fmin, fmax=fmax, dtype=np.float64)
    return np.asarray(librosa.power_to_db(basis @ power(y), ref=1.0, amin=1e-10, top_db=None))


def mfcc(y: Signal, n: int = 40) -> Signal:
    return np.asarray(librosa.feature.mfcc(S=mel_db(y, 128), n_mfcc=n))


def chroma(y: Signal) -> Signal:
    return np.asarray(librosa.feature.chroma_stft(S=power(y), sr=RATE, n_fft=LENGTH, tuning=0.0))


def delta(y: Signal, order: int) -> Signal:
    # A stream sees its first frame repeated before it; its last frames wait for what follows.
    return np.asarray(librosa.feature.delta(mfcc(y), width=9, order=order, mode="nearest"))


def contrast(y: Signal) -> Signal:
    # librosa cuts decibels off 80 dB below the clip's own peak, which no stream can know: without that.
    def without_top(values: Signal) -> Signal:
        return np.asarray(librosa.power_to_db(values, top_db=None))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("librosa.feature.spectral.power_to_db", without_top)
        return np.asarray(librosa.feature.spectral_contrast(S=magnitude(y), sr=RATE, n_fft=LENGTH))


def flux(y: Signal) -> Signal:
    strength = librosa.onset.onset_strength(S=mel_db(y, 128), sr=RATE, lag=1, max_size=1, center=False)
    return np.asarray(strength)[np.newaxis]


CASES: Mapping[str, tuple[tuple[AnyFamily, ...], Callable[[Signal], Signal]]] = {
    "mel": ((Mel(n=49),), lambda y: mel_db(y, 49)),
    "mel band": ((Mel(n=32, fmin=80.0, fmax=6000.0),), lambda y: mel_db(y, 32, 80.0, 6000.0)),
    "mfcc": ((Mfcc(n=40),), mfcc),
    "mfcc 13": ((Mfcc(n=13),), lambda y: mfcc(y, 13)),
    "delta": ((Mfcc(n=40), Delta(of="mfcc", order=1)), lambda y: np.vstack((mfcc(y), delta(y, 1)))),
    "delta 2": ((Mfcc(n=40), Delta(of="mfcc", order=2)), lambda y: np.vstack((mfcc(y), delta(y, 2)))),
    "chroma": ((Chroma(),), chroma),
    "tonnetz": ((Tonnetz(),), lambda y: librosa.feature.tonnetz(chroma=chroma(y), sr=RATE)),
    "contrast": ((Contrast(),), contrast),
    "centroid": ((Centroid(),), lambda y: librosa.feature.spectral_centroid(S=magnitude(y), sr=RATE)),
    "bandwidth": ((Bandwidth(),), lambda y: librosa.feature.spectral_bandwidth(S=magnitude(y), sr=RATE)),
    "rolloff": ((Rolloff(),), lambda y: librosa.feature.spectral_rolloff(S=magnitude(y), sr=RATE)),
    "flatness": ((Flatness(),), lambda y: librosa.feature.spectral_flatness(S=magnitude(y))),
    "flux": ((Flux(),), flux),
    "zcr": (
        (ZeroCrossingRate(),),
        lambda y: librosa.feature.zero_crossing_rate(y, frame_length=LENGTH, hop_length=HOP, center=False),
    ),
    "rms": (
        (Rms(),),
        lambda y: librosa.feature.rms(y=y, frame_length=LENGTH, hop_length=HOP, center=False),
    ),
    "level": (
        (Level(),),
        lambda y: librosa.amplitude_to_db(
            librosa.feature.rms(y=y, frame_length=LENGTH, hop_length=HOP, center=False),
            ref=1.0,
            amin=1e-5,
            top_db=None,
        ),
    ),
}


def rows_of(families: tuple[AnyFamily, ...], samples: npt.NDArray[np.float32], **settings: float) -> Signal:
    spec = FeatureSpec(
        sample_rate=RATE,
        frame_length=LENGTH,
        frame_hop=HOP,
        families=families,
        output="frames",
        **settings,  # type: ignore[arg-type]
    )
    return FrameExtractor(spec, block=1).push(samples)[:, : spec.n_columns]


@pytest.mark.parametrize("case", CASES)
def test_equals_librosa(case: str, signals: dict[str, npt.NDArray[np.float32]]) -> None:
    families, reference = CASES[case]
    for name, samples in signals.items():
        ours = rows_of(families, samples)
        theirs = reference(samples.astype(np.float64)).T
        assert len(ours) > 50
        scale = max(1e-3, np.abs(theirs).max())
        np.testing.assert_allclose(
            ours, theirs[: len(ours)], rtol=1e-4, atol=1e-6 * scale, err_msg=f"{case} of {name}"
        )


def test_pitch_equals_librosa(signals: dict[str, npt.NDArray[np.float32]]) -> None:
    for name, samples in signals.items():
        ours = rows_of((Pitch(fmin=65.0, fmax=600.0),), samples)
        theirs = librosa.yin(
            samples.astype(np.float64),
            fmin=65.0,
            fmax=600.0,
            sr=RATE,
            frame_length=LENGTH,
            hop_length=HOP,
            center=False,
        )
        # Where neighbouring periods fit equally well (around an impulse, in silence), rounding chooses.
        frames = librosa.util.frame(samples.astype(np.float64), frame_length=LENGTH, hop_length=HOP)
        fit = librosa.core.pitch._cumulative_mean_normalized_difference(frames, 26, 247)
        is_decided = (np.abs(np.diff(fit, axis=0)) > 1e-12).all(axis=0)
        ours, theirs = ours[is_decided, 0], theirs[: len(ours)][is_decided]
        assert name in {"impulses", "silence"} or len(ours) > 50
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, err_msg=name)


def test_semitones_are_those_of_the_pitch(signals: dict[str, npt.NDArray[np.float32]]) -> None:
    for samples in signals.values():
        pitch = rows_of((Pitch(),), samples)
        ours = rows_of((Semitones(),), samples)
        np.testing.assert_allclose(ours[:, 0], librosa.hz_to_midi(pitch[:, 0]), rtol=1e-6)
        assert np.array_equal(ours[:, 1], pitch[:, 1])


def test_pre_emphasis_equals_librosa(signals: dict[str, npt.NDArray[np.float32]]) -> None:
    samples = signals["voice"]
    filtered = librosa.effects.preemphasis(samples.astype(np.float64), coef=0.97, zi=np.zeros(1))
    np.testing.assert_allclose(
        rows_of((Mel(n=40),), samples, pre_emphasis=0.97), mel_db(filtered, 40).T, rtol=1e-6
    )


def test_voicing_tells_a_tone_from_noise(signals: dict[str, npt.NDArray[np.float32]]) -> None:
    time = np.arange(2 * RATE) / RATE
    tone = np.sum([np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 8)], axis=0) * 0.1
    rows = rows_of((Pitch(), Harmonicity()), tone.astype(np.float32))
    np.testing.assert_allclose(rows[:, 0], 150, rtol=2e-3)
    assert rows[:, 1].min() > 0.9
    assert rows[:, 2].min() > 0.9
    noise = rows_of((Pitch(), Harmonicity()), signals["noise"])
    assert np.median(noise[:, 1]) < 0.5
    assert np.median(noise[:, 2]) < 0.5
    silence = rows_of((Pitch(), Harmonicity()), signals["silence"])
    assert not silence[:, 2].any()


def test_harmonicity_is_the_autocorrelation_peak() -> None:
    """Against the definition: the inverse transform of the band's power, over the window's own."""
    rng = np.random.default_rng(3)
    samples = (rng.standard_normal(LENGTH) + 3 * np.sin(np.arange(LENGTH) / 20)).astype(np.float32)
    family = Harmonicity(fmin=70.0, fmax=500.0, low=90.0, high=1500.0)
    window = librosa.filters.get_window("hann", LENGTH)
    spectrum = np.abs(np.fft.rfft(samples * window)) ** 2
    frequencies = np.fft.rfftfreq(LENGTH, 1 / RATE)
    spectrum[(frequencies < family.low) | (frequencies > family.high)] = 0
    # The bins at 0 Hz and at half the rate are outside the band: the rest counts twice, in all lags alike.
    correlation = np.fft.irfft(spectrum)
    own = np.fft.irfft(np.abs(np.fft.rfft(window)) ** 2)
    lags = np.arange(30, 230, 2)
    ratio = (correlation / correlation[0])[lags] / (own / own[0])[lags]
    inner = ratio[1:-1]
    peaks = inner[(inner > ratio[:-2]) & (inner >= ratio[2:])]
    assert rows_of((family,), samples)[0, 0] == pytest.approx(peaks.max(), rel=1e-6)
