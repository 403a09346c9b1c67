"""Varied copies of a training clip: the steps of a recipe, one after the other.

Everything is drawn from the generator that is handed in, and from nothing else: the same generator gives
bitwise the same copy in any process. A new step is a struct in `training.recipes.schema` and a function here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from training.augmentation import effects, rooms
from training.recipes import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from realtime.types import FloatArray
    from training.augmentation.noises import Noises


@dataclass(frozen=True, slots=True)
class _Draw:
    """What steps draw from.

    Parameters
    ----------
    sample_rate
        Of the clip, in Hz.
    rng
        Draws everything.
    noises
        Recordings of noise, where a step names no others.
    """

    sample_rate: int
    rng: np.random.Generator
    noises: Noises

    def between(self, ends: schema.Range) -> float:
        return float(self.rng.uniform(*ends))


def vary(
    samples: FloatArray,
    sample_rate: int,
    steps: Iterable[schema.Step],
    rng: np.random.Generator,
    noises: Noises,
) -> FloatArray:
    """Return a copy of a clip, varied by each of the steps that its probability chooses.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), dtype=float32]
        The clip: finite, within -1 and 1.
    sample_rate
        In Hz.
    steps
        What is done to it, in this order.
    rng
        Draws how much, and which steps.
    noises
        Recordings of noise, for the noise steps that name no folder.

    Returns
    -------
    np.ndarray [shape=(m,), dtype=float32]
        Finite, within -1 and 1: what is louder is cut off, as in any recording.

    Raises
    ------
    CorpusError
        Where noise is wanted and cannot be read.
    """
    draw = _Draw(sample_rate, rng, noises)
    varied = samples
    for step in steps:
        if rng.random() < step.probability and len(varied):
            varied = _FUNCTIONS[type(step)](varied, step, draw)
    return np.asarray(np.clip(varied, -1, 1), dtype=np.float32)


def noise_digest(steps: Iterable[schema.Step], noises: Noises) -> str:
    """Return a digest of the recordings that the steps draw noise from: other recordings, other copies.

    Raises
    ------
    CorpusError
        Where noise is wanted and cannot be read; without a noise step no folder is looked for.
    """
    digests = [noises.at(step.folder).digest() for step in steps if isinstance(step, schema.Noise)]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _change_speed(samples: FloatArray, step: schema.Speed, draw: _Draw) -> FloatArray:
    return effects.change_speed(samples, draw.sample_rate, draw.between(step.change))


def _stretch_time(samples: FloatArray, step: schema.TimeStretch, draw: _Draw) -> FloatArray:
    return effects.stretch_time(samples, draw.sample_rate, draw.between(step.rate))


def _shift_pitch(samples: FloatArray, step: schema.PitchShift, draw: _Draw) -> FloatArray:
    return effects.shift_pitch(samples, draw.sample_rate, draw.between(step.semitones))


def _amplify(samples: FloatArray, step: schema.Gain, draw: _Draw) -> FloatArray:
    return effects.amplify(samples, draw.between(step.gain_db))


def _add_noise(samples: FloatArray, step: schema.Noise, draw: _Draw) -> FloatArray:
    noise = draw.noises.at(step.folder).draw(len(samples), draw.sample_rate, draw.rng)
    return effects.mix(samples, noise, draw.between(step.snr_db))


def _add_room_noise(samples: FloatArray, step: schema.RoomNoise, draw: _Draw) -> FloatArray:
    return samples + effects.room_noise(len(samples), draw.between(step.level_dbfs), draw.rng)


def _reverberate(samples: FloatArray, step: schema.Room, draw: _Draw) -> FloatArray:
    rt60_s, distance_m = draw.between(step.rt60_s), draw.between(step.distance_m)
    return rooms.reverberate(samples, rooms.draw_room(draw.sample_rate, rt60_s, distance_m, draw.rng))


def _pass_band(samples: FloatArray, step: schema.Band, draw: _Draw) -> FloatArray:
    if step.device == "telephone":
        return effects.through_telephone(samples, draw.sample_rate)
    return effects.pass_band(samples, draw.sample_rate, *effects.LAPTOP_HZ)


def _cut_peaks(samples: FloatArray, step: schema.Clipping, draw: _Draw) -> FloatArray:
    return effects.cut_peaks(samples, draw.between(step.share))


def _surround(samples: FloatArray, step: schema.Silence, draw: _Draw) -> FloatArray:
    n_before, n_after = (
        round(draw.between(ends) * draw.sample_rate) for ends in (step.before_s, step.after_s)
    )
    return effects.surround(samples, n_before, n_after)


def _compress(samples: FloatArray, step: schema.Mp3, draw: _Draw) -> FloatArray:
    return effects.through_mp3(samples, draw.sample_rate, draw.between(step.bitrate_kbps))


_Function: TypeAlias = "Callable[[FloatArray, Any, _Draw], FloatArray]"
_FUNCTIONS: Mapping[type[schema.Step], _Function] = {
    schema.Speed: _change_speed,
    schema.TimeStretch: _stretch_time,
    schema.PitchShift: _shift_pitch,
    schema.Gain: _amplify,
    schema.Noise: _add_noise,
    schema.RoomNoise: _add_room_noise,
    schema.Room: _reverberate,
    schema.Band: _pass_band,
    schema.Clipping: _cut_peaks,
    schema.Silence: _surround,
    schema.Mp3: _compress,
}
