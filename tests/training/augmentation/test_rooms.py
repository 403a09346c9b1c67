from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.augmentation.rooms import draw_room, reverberate

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000])
@pytest.mark.parametrize("rt60_s", [0.2, 0.6, 1.0])
def test_rooms_ring_as_long_as_they_should(rate: int, rt60_s: float) -> None:
    from pyroomacoustics.experimental import measure_rt60

    rng = np.random.default_rng(1)
    for distance_m in (0.3, 1.0, 2.5):
        response = draw_room(rate, rt60_s, distance_m, rng)
        assert response.dtype == np.float32
        assert measure_rt60(response, rate, decay_db=30) == pytest.approx(rt60_s, rel=0.1)


def test_the_direct_sound_comes_first_and_falls_with_distance() -> None:
    for distance_m in (0.5, 1.0, 2.0):
        for seed in range(5):
            response = draw_room(16_000, 0.4, distance_m, np.random.default_rng(seed))
            assert response[0] == pytest.approx(1 / distance_m, rel=0.1)


def test_reverberation_is_as_strong_as_the_critical_distance_says() -> None:
    # At 0.057 sqrt(V / T) from the mouth both are equally strong: 0.4 to 0.8 m in rooms of 14 to 130 cubic
    # metres that ring for 0.5 s.
    ratios_db = {}
    for distance_m in (0.2, 2.0):
        responses = [draw_room(16_000, 0.5, distance_m, np.random.default_rng(seed)) for seed in range(20)]
        ratios_db[distance_m] = np.mean(
            [10 * np.log10(response[0] ** 2 / np.sum(response[1:] ** 2)) for response in responses]
        )
    assert ratios_db[0.2] > 5
    assert ratios_db[2.0] < -5


def test_image_sources_and_noise_join_without_a_step() -> None:
    # Mean power around the joint, over many rooms, decay taken out.
    powers = np.zeros(1600)
    for seed in range(200):
        response = draw_room(16_000, 0.6, 1.0, np.random.default_rng(seed)).astype(np.float64)[:1600]
        powers += response**2 * 10 ** (6 * np.arange(1600) / 16_000 / 0.6)
    blocks_db = 10 * np.log10(powers.reshape(-1, 160).mean(axis=1))[1:]
    assert np.ptp(blocks_db) < 4


def test_a_room_is_as_large_as_the_distance_in_it() -> None:
    assert np.isfinite(draw_room(16_000, 0.5, 12.0, np.random.default_rng(0))).all()


def test_rooms_differ() -> None:
    rng = np.random.default_rng(0)
    first, second = (draw_room(16_000, 0.4, 1.0, rng) for _ in range(2))
    assert not np.array_equal(first[:500], second[:500])


def test_a_clip_keeps_its_length_and_its_level(make_voice: Callable[..., npt.NDArray[np.float32]]) -> None:
    voice = make_voice(1.0)
    heard = reverberate(voice, draw_room(16_000, 0.6, 1.5, np.random.default_rng(0)))
    assert heard.shape == voice.shape
    assert heard.dtype == np.float32
    assert np.mean(heard**2) == pytest.approx(np.mean(voice**2), rel=1e-3)
    late = np.zeros(16_000, dtype=np.float32)
    late[8000] = 0.5
    ringing = reverberate(late, draw_room(16_000, 0.6, 1.5, np.random.default_rng(0)))
    assert np.abs(ringing[:8000]).max() < 1e-6
    assert ringing[8000] > 0.05
