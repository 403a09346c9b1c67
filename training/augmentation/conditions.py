"""The conditions under which a model's robustness is measured: clips spoilt in fixed, known ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.augmentation.chain import vary
from training.recipes.schema import Band, Gain, Mp3, Noise, Room, Step

if TYPE_CHECKING:
    from realtime.types import FloatArray
    from training.augmentation.noises import Noises

_PURPOSE = 0x0B057
"""Keeps the draws apart from those of training copies of the same clip."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One way in which clips are worse than they were recorded.

    Parameters
    ----------
    name
        As reports call it.
    description
        A few words for people.
    steps
        What is done to each clip.
    """

    name: str
    description: str
    steps: tuple[Step, ...]

    @property
    def needs_noise(self) -> bool:
        """Whether recordings of noise are needed."""
        return any(isinstance(step, Noise) for step in self.steps)


def _under_noise(snr_db: int) -> Condition:
    return Condition(
        f"noise-{snr_db}db", f"everyday noise, {snr_db} dB below the voice", (Noise(snr_db=(snr_db, snr_db)),)
    )


CONDITIONS = (
    *(_under_noise(snr_db) for snr_db in (20, 10, 5, 0)),
    Condition(
        "reverberation",
        "a room that rings for 0.6 s, 1 to 2 m from the microphone",
        (Room(rt60_s=(0.6, 0.6), distance_m=(1.0, 2.0)),),
    ),
    Condition("telephone", "300 to 3400 Hz, 8 kHz, mu-law", (Band(device="telephone"),)),
    Condition("quiet", "30 dB softer", (Gain(gain_db=(-30.0, -30.0)),)),
    Condition("mp3-32k", "MP3 at 32 kbit/s", (Mp3(bitrate_kbps=(32.0, 32.0)),)),
)
"""Every condition, from the mildest noise on."""


def clip_rng(digest: str) -> np.random.Generator:
    """Return what draws a clip's conditions, of its content alone.

    Under all levels of noise a clip gets the same stretch of the same recording, so that what differs between
    these conditions is the level.

    Parameters
    ----------
    digest
        Of the clip's file, in hexadecimal, such as its SHA-256.
    """
    return np.random.default_rng([_PURPOSE, int(digest, 16)])


def degrade(
    samples: FloatArray,
    sample_rate: int,
    condition: Condition,
    rng: np.random.Generator,
    noises: Noises,
) -> FloatArray:
    """Return a clip as it would be under a condition: as long as it was, and delayed by 2 ms at most.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), dtype=float32]
        The clip: finite, within -1 and 1.
    sample_rate
        In Hz.
    condition
        One of `CONDITIONS`.
    rng
        A new one for each clip and condition: see `clip_rng`.
    noises
        Recordings of noise; those that no model was trained with.

    Returns
    -------
    np.ndarray [shape=(n,), dtype=float32]
        Within -1 and 1.

    Raises
    ------
    CorpusError
        Where noise is wanted and cannot be read.
    """
    return vary(samples, sample_rate, condition.steps, rng, noises)
