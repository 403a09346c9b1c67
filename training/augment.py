"""Copies of training clips, varied as voices, microphones and moments vary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from realtime.sources.resample import StreamResampler

if TYPE_CHECKING:
    from realtime.types import FloatArray
    from training.recipes import Copies


def vary(samples: FloatArray, sample_rate: int, copies: Copies, rng: np.random.Generator) -> FloatArray:
    """Return one copy of a clip: faster or slower, louder or softer, in a room, behind some silence.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), dtype=float32]
        The clip.
    sample_rate
        In Hz.
    copies
        How far it may be varied; what is 0 there is left as it is.
    rng
        Draws how far it is.

    References
    ----------
    Ko et al., "Audio augmentation for speech recognition", Interspeech 2015: speed perturbation, which moves
    pitch, formants and tempo together, as another speaker would.
    """
    speed = rng.uniform(-copies.speed, copies.speed)
    gain_db = rng.uniform(-copies.gain_db, copies.gain_db)
    n_silent = int(rng.integers(0, round(copies.lead_in_s * sample_rate), endpoint=True))
    if copies.speed:
        resampler = StreamResampler(round(sample_rate * (1 + speed)), sample_rate)
        samples = np.concatenate((resampler.push(samples), resampler.finish()))
    louder = samples * np.float32(10 ** (gain_db / 20))
    placed = np.concatenate((np.zeros(n_silent, dtype=np.float32), louder))
    if copies.room_dbfs is not None:
        placed = placed + room_noise(len(placed), rng.uniform(*copies.room_dbfs), rng)
    return np.asarray(np.clip(placed, -1, 1), dtype=np.float32)


def room_noise(n_samples: int, level_dbfs: float, rng: np.random.Generator) -> FloatArray:
    """Return the noise of a room and its microphone: steady, of a random colour [shape=(n_samples,)].

    Parameters
    ----------
    n_samples
        How much.
    level_dbfs
        Its root mean square, in dB relative to full scale.
    rng
        Draws the noise, and its colour: from white to brown, 6 dB per octave.
    """
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    frequencies = np.arange(1, len(spectrum) + 1)
    noise = np.fft.irfft(spectrum * frequencies ** -rng.uniform(0, 1), n_samples)
    level = np.sqrt(np.mean(noise**2)) if n_samples else 1.0
    return np.asarray(noise * (10 ** (level_dbfs / 20) / level), dtype=np.float32)
