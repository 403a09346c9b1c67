"""What can be done to a clip, one function each, with nothing left to chance but what an `rng` draws.

Every clip is [shape=(n,), dtype=float32], of any length above 0. Effects may go beyond full scale, as
analogue signals do; whoever digitises them cuts them off.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from realtime.sources.resample import StreamResampler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from realtime.types import FloatArray

TELEPHONE_HZ = (300.0, 3400.0)
"""Edges of the band that ITU-T G.712 asks telephone networks to let through."""
TELEPHONE_RATE = 8_000
LAPTOP_HZ = (150.0, 7000.0)
_MP3_RATES = (16_000, 22_050, 24_000)
"""Rates of MPEG-2 Layer III, in Hz, which have the same bit rates."""
_MP3_KBPS = (8, 160)
"""Their lowest and highest bit rate, in kbit/s."""
_MP3_DELAY = 576 + 529
"""Samples by which LAME's encoder and its decoder delay a signal."""


def change_speed(samples: FloatArray, sample_rate: int, change: float) -> FloatArray:
    """Return a clip played faster or slower, as a tape is: pitch, formants and tempo move together.

    Parameters
    ----------
    samples
        The clip.
    sample_rate
        In Hz.
    change
        0.1 for a tenth faster, which is shorter and higher; -0.1 for a tenth slower.

    References
    ----------
    Ko et al., "Audio augmentation for speech recognition", Interspeech 2015.
    """
    return _resample(samples, round(sample_rate * (1 + change)), sample_rate)


def stretch_time(samples: FloatArray, sample_rate: int, rate: float) -> FloatArray:
    """Return a clip at another tempo and the same pitch.

    Parameters
    ----------
    samples
        The clip.
    sample_rate
        In Hz.
    rate
        From 0.5, half as fast, to 2, twice as fast.
    """
    from audiomentations import TimeStretch  # noqa: PLC0415 - slow to import

    transform = TimeStretch(leave_length_unchanged=False)
    return _transform(transform, {"rate": rate}, samples, sample_rate)


def shift_pitch(samples: FloatArray, sample_rate: int, semitones: float) -> FloatArray:
    """Return a clip at another pitch and the same tempo.

    Parameters
    ----------
    samples
        The clip.
    sample_rate
        In Hz.
    semitones
        How much higher; lower where it is negative.
    """
    from audiomentations import PitchShift  # noqa: PLC0415 - slow to import

    return _transform(PitchShift(), {"num_semitones": semitones}, samples, sample_rate)


def amplify(samples: FloatArray, gain_db: float) -> FloatArray:
    """Return a clip louder by so many dB."""
    return samples * np.float32(10 ** (gain_db / 20))


def level(samples: FloatArray) -> float:
    """Return the root mean square between a clip's first and last sound; 0 where it is silent."""
    # Digital silence at the ends does not count: a voice is as loud as before when it is put there.
    sounding = np.flatnonzero(samples)
    if not len(sounding):
        return 0.0
    return float(np.sqrt(np.mean(np.square(samples[sounding[0] : sounding[-1] + 1], dtype=np.float64))))


def mix(samples: FloatArray, noise: FloatArray, snr_db: float) -> FloatArray:
    """Return a clip with noise under it.

    Parameters
    ----------
    samples
        The clip.
    noise
        As long as the clip.
    snr_db
        Level of the clip over that of the noise, each by its root mean square. A silent clip gets none.
    """
    noise_level = level(noise)
    if noise_level == 0:
        return samples
    return samples + noise * np.float32(level(samples) / noise_level * 10 ** (-snr_db / 20))


def room_noise(n_samples: int, level_dbfs: float, rng: np.random.Generator) -> FloatArray:
    """Return the noise of a room and its microphone: steady, of a random colour [shape=(n_samples,)].

    Parameters
    ----------
    n_samples
        How much, above 0.
    level_dbfs
        Its root mean square, in dB relative to full scale.
    rng
        Draws the noise, and its colour: from white to brown, 6 dB per octave.
    """
    from scipy import fft  # noqa: PLC0415 - slow to import

    # Of a length with many factors: a prime one takes ten times as long.
    n_made = fft.next_fast_len(n_samples, real=True)
    spectrum = fft.rfft(rng.standard_normal(n_made, dtype=np.float32))
    frequencies = np.arange(1, len(spectrum) + 1, dtype=np.float32)
    noise = fft.irfft(spectrum * frequencies ** np.float32(-rng.uniform(0, 1)), n_made)[:n_samples]
    return np.asarray(amplify(noise / np.float32(level(noise)), level_dbfs), dtype=np.float32)


def pass_band(samples: FloatArray, sample_rate: int, low_hz: float, high_hz: float) -> FloatArray:
    """Return what a band lets through: 3 dB less at its edges, 24 dB per octave beyond them."""
    from audiomentations import BandPassFilter  # noqa: PLC0415 - slow to import

    parameters = {"center_freq": (low_hz + high_hz) / 2, "bandwidth": high_hz - low_hz, "rolloff": 24}
    return _transform(BandPassFilter(), parameters, samples, sample_rate)


def through_telephone(samples: FloatArray, sample_rate: int) -> FloatArray:
    """Return what a telephone lets through: its band, at 8 kHz, in the 8 bits of the mu-law.

    It is as long as it was; the band's filter delays it by less than 2 ms.

    References
    ----------
    ITU-T Recommendation G.711, "Pulse code modulation (PCM) of voice frequencies", 1988.
    """
    narrow = _resample(pass_band(samples, sample_rate, *TELEPHONE_HZ), sample_rate, TELEPHONE_RATE)
    heard = _encode_and_decode(narrow, TELEPHONE_RATE, "WAV", "ULAW")
    return _fit(_resample(heard, TELEPHONE_RATE, sample_rate), len(samples))


def through_mp3(samples: FloatArray, sample_rate: int, bitrate_kbps: float) -> FloatArray:
    """Return what MP3 leaves of a clip, as long as it was and not delayed.

    Parameters
    ----------
    samples
        The clip.
    sample_rate
        In Hz. Rates other than 16, 22.05 and 24 kHz are resampled to 24 kHz and back.
    bitrate_kbps
        Constant bit rate, from 8 to 160 kbit/s, of which the encoder takes the nearest it knows.
    """
    rate = sample_rate if sample_rate in _MP3_RATES else max(_MP3_RATES)
    encoded = _resample(samples, sample_rate, rate)
    lowest, highest = _MP3_KBPS
    decoded = _encode_and_decode(
        encoded, rate, "MP3", "MPEG_LAYER_III", (highest - bitrate_kbps) / (highest - lowest)
    )
    # Decoders that know LAME's delay leave it out themselves, and give as many samples as went in.
    delay = 0 if len(decoded) == len(encoded) else _MP3_DELAY
    return _fit(_resample(decoded[delay:], rate, sample_rate), len(samples))


def cut_peaks(samples: FloatArray, share: float) -> FloatArray:
    """Return a clip whose loudest samples, that share of all, are cut down to the level of the next."""
    # audiomentations.ClippingDistortion cuts whole per cents off either side, and nothing below two.
    size = np.abs(samples)
    limit = np.float32(np.quantile(size, 1 - share))
    return np.clip(samples, -limit, limit)


def surround(samples: FloatArray, n_before: int, n_after: int) -> FloatArray:
    """Return a clip with so many samples of digital silence before and after it."""
    return np.pad(samples, (n_before, n_after))


def _transform(
    transform: Any,  # noqa: ANN401 - audiomentations carries no types
    parameters: Mapping[str, float],
    samples: FloatArray,
    sample_rate: int,
) -> FloatArray:
    """Apply one of audiomentations' transforms with parameters that are drawn already.

    Its own would come from Python's and NumPy's global generators; frozen ones leave these alone.
    """
    transform.parameters = {"should_apply": True, **parameters}
    transform.freeze_parameters()
    return np.asarray(transform(np.ascontiguousarray(samples), sample_rate), dtype=np.float32)


def _resample(samples: FloatArray, from_rate: int, to_rate: int) -> FloatArray:
    resampler = StreamResampler(from_rate, to_rate)
    return np.concatenate((resampler.push(samples), resampler.finish()))


def _fit(samples: FloatArray, n_samples: int) -> FloatArray:
    """Return the first samples, with silence behind them where there are fewer."""
    return np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))


def _encode_and_decode(
    samples: FloatArray,
    sample_rate: int,
    container: str,
    encoding: str,
    compression: float | None = None,
) -> FloatArray:
    import soundfile  # noqa: PLC0415 - loaded when first needed

    mode: Literal["CONSTANT"] | None = None if compression is None else "CONSTANT"
    file = io.BytesIO()
    soundfile.write(
        file,
        # Beyond full scale libsndfile's mu-law reads beyond its table, and may crash.
        np.clip(samples, -1, 1),
        sample_rate,
        format=container,
        subtype=encoding,
        compression_level=compression,
        bitrate_mode=mode,
    )
    file.seek(0)
    decoded: FloatArray = soundfile.read(file, dtype="float32")[0]
    return decoded
