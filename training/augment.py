"""Copies of training clips, varied as voices, microphones and moments vary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from realtime.sources.resample import StreamResampler

if TYPE_CHECKING:
    from realtime.types import FloatArray
    from training.recipes import Copies


def vary(samples: FloatArray, sample_rate: int, copies: Copies, rng: np.random.Generator) -> FloatArray:
    """Return one copy of a clip: faster or slower, louder or softer, and behind some silence.

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
    louder = np.clip(samples * np.float32(10 ** (gain_db / 20)), -1, 1)
    return np.concatenate((np.zeros(n_silent, dtype=np.float32), louder)).astype(np.float32)
