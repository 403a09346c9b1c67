from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from training.augment import room_noise, vary
from training.recipes import Copies

RATE = 16_000


def tone(frequency: float = 200.0) -> npt.NDArray[Any]:
    return np.asarray(0.3 * np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE), dtype=np.float32)


def strongest(samples: npt.NDArray[Any]) -> float:
    return float(np.abs(np.fft.rfft(samples, 8 * RATE)).argmax() / 8)


def test_nothing_to_vary_leaves_the_clip_as_it_is() -> None:
    copies = Copies(n=1, lead_in_s=0.0)
    assert np.array_equal(vary(tone(), RATE, copies, np.random.default_rng(0)), tone())


def test_silence_is_put_before_and_nowhere_else() -> None:
    lengths = set()
    for seed in range(20):
        varied = vary(tone(), RATE, Copies(n=1, lead_in_s=0.5), np.random.default_rng(seed))
        n_silent = len(varied) - RATE
        assert 0 <= n_silent <= 0.5 * RATE
        assert not varied[:n_silent].any()
        assert np.array_equal(varied[n_silent:], tone())
        lengths.add(n_silent)
    assert len(lengths) > 10


def test_the_gain_stays_within_its_bounds() -> None:
    copies = Copies(n=1, lead_in_s=0.0, gain_db=6.0)
    gains = [
        20 * np.log10(np.abs(vary(tone(), RATE, copies, np.random.default_rng(seed))).max() / 0.3)
        for seed in range(20)
    ]
    assert -6.01 <= min(gains) < -2
    assert 2 < max(gains) <= 6.01


def test_louder_than_full_scale_is_clipped() -> None:
    varied = vary(3.3 * tone(), RATE, Copies(n=1, lead_in_s=0.0, gain_db=6.0), np.random.default_rng(3))
    assert np.abs(varied).max() <= 1


@pytest.mark.parametrize("seed", range(4))
def test_speed_moves_pitch_and_length_together(seed: int) -> None:
    varied = vary(tone(), RATE, Copies(n=1, lead_in_s=0.0, speed=0.1), np.random.default_rng(seed))
    factor = RATE / len(varied)
    assert 0.9 <= factor <= 1.1
    assert abs(factor - 1) > 0.001
    assert strongest(varied) == pytest.approx(200 * factor, abs=0.5)


def test_the_same_seed_gives_the_same_copy() -> None:
    copies = Copies(n=1, lead_in_s=0.5, gain_db=3.0, speed=0.1)
    first, second = (vary(tone(), RATE, copies, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.dtype == np.float32


def test_a_rooms_noise_has_its_level_and_a_colour_of_its_own() -> None:
    noises = [room_noise(160_000, -60.0, np.random.default_rng(seed)) for seed in range(6)]
    tilts = []
    for noise in noises:
        assert noise.dtype == np.float32
        np.testing.assert_allclose(10 * np.log10(np.mean(noise.astype(np.float64) ** 2)), -60, atol=0.01)
        power = np.abs(np.fft.rfft(noise)) ** 2
        tilts.append(10 * np.log10(power[1000:2000].mean() / power[32_000:64_000].mean()))
    # From white to brown: 6 dB for each of the five octaves between the bands.
    assert min(tilts) > -1
    assert max(tilts) < 31
    assert np.ptp(tilts) > 5


def test_copies_lie_in_a_room() -> None:
    copies = Copies(n=1, lead_in_s=1.0, room_dbfs=(-60.0, -60.0))
    varied = vary(np.zeros(16_000, dtype=np.float32), 16_000, copies, np.random.default_rng(3))
    assert 16_000 <= len(varied) <= 32_000
    np.testing.assert_allclose(10 * np.log10(np.mean(varied.astype(np.float64) ** 2)), -60, atol=0.1)
