"""Simulated rooms: their first reflections from image sources, their reverberation from statistics.

Image sources alone would cost seconds per room: their number grows with the cube of the time. Beyond the
first ones reflections are so dense that Gaussian noise, which falls as the room's sound does, stands for
them; a room then takes about 2 ms.

References
----------
Allen & Berkley, "Image method for efficiently simulating small-room acoustics", JASA 65(4), 1979.
Polack, "Playing billiards in the concert hall: the mathematical foundations of geometrical room acoustics",
Applied Acoustics 38, 1993: reverberation as noise that decays.
Eyring, "Reverberation time in 'dead' rooms", JASA 1(2), 1930: absorption from reverberation time.
Kuttruff, "Room Acoustics", 6th edition, 2016, section 5.1: energy of the diffuse sound.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from training.augmentation.effects import level

if TYPE_CHECKING:
    import numpy.typing as npt

    from realtime.types import FloatArray

SOUND_M_PER_S = 343.0
_SMALLEST_M = (2.5, 2.5, 2.3)
_LARGEST_M = (7.0, 6.0, 3.2)
_MARGIN_M = 0.4
"""From speaker and microphone to the walls."""
_ORDER = 6
"""Reflections per image source, at most."""


def draw_room(sample_rate: int, rt60_s: float, distance_m: float, rng: np.random.Generator) -> FloatArray:
    """Return the impulse response of a room, from the direct sound on [shape=(n,), dtype=float32].

    Parameters
    ----------
    sample_rate
        In Hz.
    rt60_s
        How long its sound takes to fall by 60 dB.
    distance_m
        Between speaker and microphone.
    rng
        Draws the room's size, where in it they are, and its reverberation.
    """
    # A whole number of samples, so that the direct sound needs no filter between two of them.
    n_direct = max(1, round(distance_m / SOUND_M_PER_S * sample_rate))
    direct_s = n_direct / sample_rate
    azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(-np.pi / 6, np.pi / 6)
    way_m = (
        direct_s
        * SOUND_M_PER_S
        * np.array(
            (np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation))
        )
    )
    # At least as large as speaker and microphone need.
    size_m = np.maximum(rng.uniform(_SMALLEST_M, _LARGEST_M), np.abs(way_m) + 2 * _MARGIN_M)
    nearest_m = _MARGIN_M - np.minimum(way_m, 0)
    farthest_m = size_m - _MARGIN_M - np.maximum(way_m, 0)
    mouth_m = nearest_m + rng.uniform(size=3) * (farthest_m - nearest_m)
    early = _first_reflections(sample_rate, rt60_s, size_m, mouth_m, mouth_m + way_m)[n_direct:]

    # From when the sound left the mouth: until then all image sources are within that order.
    sides = combinations(size_m, 2)
    complete_s = (_ORDER + 1) * min(a * b / np.hypot(a, b) for a, b in sides) / SOUND_M_PER_S
    n_early = min(len(early), max(1, round((complete_s - direct_s) * sample_rate)))
    n_late = round(rt60_s * sample_rate)
    time_s = direct_s + (n_early + np.arange(n_late)) / sample_rate
    # Image sources of strength 1/distance, as many as their shells hold, give this power per second.
    power = 4 * np.pi * SOUND_M_PER_S / np.prod(size_m)
    late = rng.standard_normal(n_late) * np.sqrt(power / sample_rate) * 10 ** (-3 * time_s / rt60_s)

    response: FloatArray = np.concatenate((early[:n_early], late)).astype(np.float32)
    return response


def reverberate(samples: FloatArray, response: FloatArray) -> FloatArray:
    """Return a clip as it is heard in a room: as long, as loud and not delayed.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), dtype=float32]
        The clip.
    response : np.ndarray [shape=(m,), dtype=float32]
        The room's impulse response, from the direct sound on.

    Returns
    -------
    np.ndarray [shape=(n,), dtype=float32]
    """
    from scipy.signal import fftconvolve  # noqa: PLC0415 - slow to import

    dry = level(samples)
    if dry == 0:
        return samples
    wet = np.asarray(fftconvolve(samples, response)[: len(samples)], dtype=np.float32)
    return wet * np.float32(dry / level(wet))


def _first_reflections(
    sample_rate: int,
    rt60_s: float,
    size_m: npt.NDArray[np.float64],
    mouth_m: npt.NDArray[np.float64],
    microphone_m: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return the impulse response of the image sources, from the mouth's sound on [shape=(n,)]."""
    import pyroomacoustics  # noqa: PLC0415 - slow to import

    # More threads, by default as many as there are cores, would add the images up in another order.
    pyroomacoustics.constants.set("num_threads", 1)
    volume = np.prod(size_m)
    surface = 2 * sum(a * b for a, b in combinations(size_m, 2))
    absorption = 1 - np.exp(-24 * np.log(10) * volume / (SOUND_M_PER_S * surface * rt60_s))
    room = pyroomacoustics.ShoeBox(
        size_m, fs=sample_rate, materials=pyroomacoustics.Material(absorption), max_order=_ORDER
    )
    room.add_source(mouth_m)
    room.add_microphone(microphone_m)
    room.compute_rir()
    # Its filters between samples put everything off by half their length.
    response: npt.NDArray[np.float64] = room.rir[0][0][
        pyroomacoustics.constants.get("frac_delay_length") // 2 :
    ]
    return response
