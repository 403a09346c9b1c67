from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.augmentation import effects

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

RATES = (16_000, 22_050, 24_000)


def tone(hz: float, rate: int = 16_000, seconds: float = 1.0) -> Samples:
    made: Samples = (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )
    return made


def strongest_hz(samples: Samples, rate: int = 16_000) -> float:
    n = 8 * rate
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)), n)).argmax() * rate / n)


def level_db(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


def delay(samples: Samples, original: Samples) -> int:
    n = 2 * max(len(samples), len(original))
    alike = np.fft.irfft(np.fft.rfft(samples, n) * np.conj(np.fft.rfft(original, n)), n)
    lag = int(alike.argmax())
    return lag if lag < n // 2 else lag - n


@pytest.mark.parametrize("change", [-0.1, 0.05, 0.1])
def test_speed_moves_pitch_and_length_together(change: float) -> None:
    varied = effects.change_speed(tone(200), 16_000, change)
    assert 16_000 / len(varied) == pytest.approx(1 + change, abs=0.001)
    assert strongest_hz(varied) == pytest.approx(200 * (1 + change), abs=0.5)


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_time_stretching_moves_the_length_alone(rate: float) -> None:
    varied = effects.stretch_time(tone(200), 16_000, rate)
    assert 16_000 / len(varied) == pytest.approx(rate, abs=0.001)
    assert strongest_hz(varied) == pytest.approx(200, abs=1)
    # A click in the middle stays there.
    click = np.zeros(16_000, dtype=np.float32)
    click[8000] = 1
    assert np.abs(effects.stretch_time(click, 16_000, rate)).argmax() == pytest.approx(8000 / rate, abs=32)


@pytest.mark.parametrize("semitones", [-2.0, 1.0, 2.0])
def test_pitch_shifting_moves_the_pitch_alone(semitones: float) -> None:
    varied = effects.shift_pitch(tone(300), 16_000, semitones)
    assert len(varied) == 16_000
    assert strongest_hz(varied) == pytest.approx(300 * 2 ** (semitones / 12), rel=0.01)


def test_gain_is_in_decibels() -> None:
    assert level_db(effects.amplify(tone(200), -30)) == pytest.approx(level_db(tone(200)) - 30, abs=1e-3)


def test_silence_at_the_ends_does_not_lower_the_level() -> None:
    alone = effects.level(tone(200)[1:-1])
    assert alone == pytest.approx(0.3 / np.sqrt(2), rel=1e-3)
    assert effects.level(np.pad(tone(200)[1:-1], 5000)) == alone
    assert effects.level(np.zeros(10, dtype=np.float32)) == 0


def test_silent_noise_adds_nothing() -> None:
    assert np.array_equal(effects.mix(tone(200), np.zeros(16_000, dtype=np.float32), 0), tone(200))


def test_a_rooms_noise_has_its_level_and_a_colour_of_its_own() -> None:
    noises = [effects.room_noise(160_000, -60.0, np.random.default_rng(seed)) for seed in range(6)]
    tilts_db = []
    for noise in noises:
        assert noise.dtype == np.float32
        np.testing.assert_allclose(level_db(noise), -60, atol=0.01)
        power = np.abs(np.fft.rfft(noise)) ** 2
        tilts_db.append(10 * np.log10(power[1000:2000].mean() / power[32_000:64_000].mean()))
    # From white to brown: 6 dB for each of the five octaves between the bands.
    assert min(tilts_db) > -1
    assert max(tilts_db) < 31
    assert np.ptp(tilts_db) > 5


@pytest.mark.parametrize("n_samples", [1, 2, 16_001, 16_007])
def test_a_rooms_noise_is_of_any_length(n_samples: int) -> None:
    assert effects.room_noise(n_samples, -60.0, np.random.default_rng(0)).shape == (n_samples,)


@pytest.mark.parametrize("rate", RATES)
def test_a_band_has_its_edges_3_db_down_and_falls_beyond_them(rate: int) -> None:
    click = np.zeros(rate, dtype=np.float32)
    click[100] = 1
    passed = effects.pass_band(click, rate, 300, 3400)
    gain_db = 20 * np.log10(np.abs(np.fft.rfft(passed)) + 1e-12)  # one value per Hz
    assert gain_db[300] == pytest.approx(-3, abs=0.1)
    assert gain_db[3400] == pytest.approx(-3, abs=0.1)
    assert np.abs(gain_db[450:2500]).max() < 0.5
    assert gain_db[100] < -24
    assert gain_db[6800] < -24


@pytest.mark.parametrize("rate", RATES)
def test_a_telephone_passes_its_band_and_nothing_else(rate: int, make_voice: Callable[..., Samples]) -> None:
    gains_db = {}
    for hz in (100, 300, 1000, 3400, 4500, 6000):
        # Faded in and out: a sudden beginning holds every frequency.
        faded = tone(hz, rate) * np.hanning(rate).astype(np.float32)
        gains_db[hz] = level_db(effects.through_telephone(faded, rate)) - level_db(faded)
    assert gains_db[100] < -24
    assert gains_db[300] == pytest.approx(-3, abs=0.3)
    assert gains_db[1000] == pytest.approx(0, abs=0.1)
    assert gains_db[3400] == pytest.approx(-3, abs=0.5)
    assert gains_db[4500] < -60
    assert gains_db[6000] < -60
    # The error of the mu-law's 8 bits lies some 38 dB below a tone, whatever its level.
    for gain_db in (0, -20):
        soft = effects.amplify(tone(1000, rate), gain_db)
        spectrum = np.abs(np.fft.rfft(effects.through_telephone(soft, rate)[: rate // 10 * 10])) ** 2
        signal = spectrum[995:1006].sum()
        assert 30 < 10 * np.log10(signal / (spectrum.sum() - signal)) < 45
    voice = make_voice(1.01, rate=rate)
    heard = effects.through_telephone(voice, rate)
    assert len(heard) == len(voice)
    assert 0 <= delay(heard, voice) <= 0.002 * rate


@pytest.mark.parametrize("rate", [8_000, *RATES, 48_000])
def test_mp3_keeps_length_time_and_level(rate: int, make_voice: Callable[..., Samples]) -> None:
    for seconds in (0.1, 1.0, 1.37):
        voice = make_voice(seconds, rate=rate)
        heard = effects.through_mp3(voice, rate, 32)
        assert len(heard) == len(voice)
        assert delay(heard, voice) == 0
        assert level_db(heard) == pytest.approx(level_db(voice), abs=0.5)
        assert not np.allclose(heard, voice, atol=1e-4)


def test_mp3_is_worse_at_lower_bit_rates(make_voice: Callable[..., Samples]) -> None:
    voice = make_voice(2.0) + effects.room_noise(32_000, -30, np.random.default_rng(0))
    errors_db = [level_db(effects.through_mp3(voice, 16_000, kbps) - voice) for kbps in (16, 32, 64)]
    assert errors_db == sorted(errors_db, reverse=True)
    assert np.diff(errors_db).max() < -1


def test_mp3_is_encoded_at_the_bit_rate_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import soundfile

    sizes: list[int] = []
    read = soundfile.read

    def measure(file: object, dtype: str) -> object:
        sizes.append(len(file.getvalue()))  # type: ignore[attr-defined]
        return read(file, dtype=dtype)

    monkeypatch.setattr(soundfile, "read", measure)
    for rate in RATES:
        effects.through_mp3(tone(300, rate, 10.0), rate, 32)
    np.testing.assert_allclose(np.array(sizes) * 8 / 10_000, 32, rtol=0.03)


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_that_share_of_the_samples_is_cut_off(share: float, make_voice: Callable[..., Samples]) -> None:
    voice = make_voice(2.0)
    cut = effects.cut_peaks(voice, share)
    assert np.mean(cut != voice) == pytest.approx(share, abs=0.001)
    assert np.abs(cut).max() < np.abs(voice).max()
    assert np.array_equal(effects.cut_peaks(voice, 0.0), voice)


def test_what_is_beyond_full_scale_is_cut_before_it_is_encoded() -> None:
    loud = effects.amplify(tone(1000), 14)
    heard = effects.through_telephone(loud, 16_000)
    assert np.abs(heard).max() < 1.5
    power = np.abs(np.fft.rfft(heard)) ** 2
    assert power[1000] > 0.9 * power.sum()
