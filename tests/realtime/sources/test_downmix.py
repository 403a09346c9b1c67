from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.sources.downmix import AGREES_FOR_S, FADE_S, LEAST_S, Downmixer

if TYPE_CHECKING:
    from realtime.types import FloatArray
    from tests.conftest import MakeVoice

RATE = 16_000


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> FloatArray:
    samples = np.random.default_rng(seed).normal(0, level, round(seconds * RATE))
    return samples.astype(np.float32)


def mix(*channels: FloatArray, lengths: list[int] | None = None) -> FloatArray:
    samples = np.stack(channels, axis=1)
    mixer = Downmixer(RATE, len(channels))
    return np.concatenate([mixer.push(piece) for piece in np.split(samples, np.cumsum(lengths or []))])


def level_db(samples: FloatArray) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


def test_ordinary_channels_are_averaged_bit_for_bit(make_voice: MakeVoice) -> None:
    voice, silence = make_voice(15.0), np.zeros(15 * RATE, dtype=np.float32)
    spaced = np.roll(voice, 8)  # half a millisecond, 17 cm
    for left, right in [
        (voice, voice),
        (voice, spaced),
        (voice, 0.3 * voice + noise(15.0, level=0.02)),
        (voice, silence),
        (silence, voice),
        (voice, noise(15.0)),
        (noise(15.0, 1), noise(15.0, 2)),
        (voice, -0.5 * voice),
        (silence, silence),
        (silence + np.float32(0.1), voice - np.float32(0.1)),
    ]:
        right32 = right.astype(np.float32)
        np.testing.assert_array_equal(mix(left, right32), (left + right32) / np.float32(2))


def test_one_of_many_channels_is_no_cancellation(make_voice: MakeVoice) -> None:
    voice, silence = make_voice(3.0), np.zeros(3 * RATE, dtype=np.float32)
    np.testing.assert_array_equal(mix(silence, voice, *[silence] * 6), voice / np.float32(8))


@pytest.mark.parametrize("ratio", [-1.0, -0.9, -0.75, -1.3])
@pytest.mark.parametrize("offset", [0.0, 0.05])
def test_opposite_phase_gives_the_loudest_channel(make_voice: MakeVoice, ratio: float, offset: float) -> None:
    voice = make_voice(4.0)
    left, right = voice + np.float32(offset), (ratio * voice + offset).astype(np.float32)
    decided = round((LEAST_S + FADE_S) * RATE)
    expected = left if ratio > -1 else right
    mixed = mix(left, right)
    if ratio != -1:  # where both are equally loud, the last bit decides
        np.testing.assert_array_equal(mixed[decided:], expected[decided:])
    assert level_db(mixed[decided:]) == pytest.approx(level_db(expected[decided:]), abs=0.1)


def test_a_difference_signal_of_four_channels_is_found(make_voice: MakeVoice) -> None:
    voice = make_voice(3.0)
    mixed = mix(voice, -voice, (0.5 * voice).astype(np.float32), (-0.5 * voice).astype(np.float32))
    assert level_db(mixed[RATE:]) == pytest.approx(level_db(voice[RATE:]), abs=0.1)


@settings(max_examples=25)
@given(lengths=st.lists(st.integers(0, 5_000), max_size=20))
def test_cuts_do_not_matter(lengths: list[int]) -> None:
    # Both ways, and from one channel to the other.
    left, right = noise(16.0, 1), noise(16.0, 2)
    right[RATE : 2 * RATE] = -0.9 * left[RATE : 2 * RATE]
    right[3 * RATE : 4 * RATE] = -1.1 * left[3 * RATE : 4 * RATE]
    left[4 * RATE : 5 * RATE] *= np.float32(0.01)
    whole = mix(left, right)
    assert np.any(whole != (left + right) / np.float32(2))
    np.testing.assert_array_equal(whole[-RATE:], (left[-RATE:] + right[-RATE:]) / np.float32(2))
    assert mix(left, right, lengths=lengths).tobytes() == whole.tobytes()


def test_one_sample_at_a_time() -> None:
    left = noise(1.5)
    whole = mix(left, -left)
    assert np.any(whole)
    assert mix(left, -left, lengths=[1] * (len(left) - 1)).tobytes() == whole.tobytes()


def test_a_change_does_not_click() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 100 * np.arange(2 * RATE) / RATE)).astype(np.float32)
    steps = np.abs(np.diff(mix(tone, -tone)))
    assert steps.max() < 1.2 * np.abs(np.diff(tone)).max()


def test_pauses_and_knocks_change_nothing_for_long(make_voice: MakeVoice) -> None:
    voice = make_voice(10.0)
    voice[2 * RATE : 6 * RATE] = 0
    left, right = voice + noise(10.0, 1, 1e-4), -voice + noise(10.0, 2, 1e-4)
    left[7 * RATE : 7 * RATE + 800] += np.float32(0.9)
    mixed = mix(left, right)
    np.testing.assert_array_equal(mixed[RATE:], left[RATE:] if mixed[-1] == left[-1] else right[RATE:])


def test_the_mean_comes_back_when_channels_agree(make_voice: MakeVoice) -> None:
    voice = make_voice(20.0)
    right = voice.copy()
    right[: 2 * RATE] *= np.float32(-0.9)
    left = np.float32(0.5) * voice
    left[: 2 * RATE] *= np.float32(2)
    mixed = mix(left, right)
    agreed = round((2 + AGREES_FOR_S) * RATE)
    np.testing.assert_array_equal(mixed[RATE : agreed - RATE], left[RATE : agreed - RATE])
    back = slice(agreed + 2 * RATE, None)
    np.testing.assert_array_equal(mixed[back], (left[back] + right[back]) / np.float32(2))


def test_a_chosen_channel_that_falls_silent_is_left(make_voice: MakeVoice) -> None:
    voice = make_voice(6.0)
    left, right = voice.copy(), (-0.9 * voice).astype(np.float32)
    left[3 * RATE :] = 0
    mixed = mix(left, right)
    np.testing.assert_array_equal(mixed[RATE : 3 * RATE], left[RATE : 3 * RATE])
    np.testing.assert_array_equal(mixed[round(4.2 * RATE) :], right[round(4.2 * RATE) :])


def test_what_is_no_number_decides_nothing() -> None:
    left = noise(3.0)
    left[[20_000, 20_001]] = np.nan, np.inf
    mixed = mix(left, -left)
    np.testing.assert_array_equal(np.abs(mixed[RATE:]), np.abs(left[RATE:]))


@pytest.mark.parametrize("seconds", [LEAST_S, 1.23])
def test_wiring_is_known_behind_a_gap(seconds: float) -> None:
    left = noise(seconds)
    samples = np.stack([left, np.float32(-0.9) * left], axis=1)
    mixer = Downmixer(RATE, 2)
    assert not np.array_equal(mixer.push(samples), left)
    mixer.begin_anew()
    # Not even just after the decision does anything fade from what was before the gap.
    assert mixer.push(samples).tobytes() == left.tobytes()
    # It may still turn out to be another.
    soft, loud = (np.float32(factor) * noise(3.0, 1) for factor in (0.01, -1))
    np.testing.assert_array_equal(mixer.push(np.stack([soft, loud], axis=1))[-RATE:], loud[-RATE:])


def test_what_was_measured_before_a_gap_decides_nothing_behind_it() -> None:
    left = noise(0.55)
    samples = np.stack([left, -left], axis=1)[: round(LEAST_S * RATE) - 1]
    mixer = Downmixer(RATE, 2)
    for _ in range(3):
        assert not mixer.push(samples).any()
        mixer.begin_anew()


def test_reset_forgets() -> None:
    left = noise(2.0)
    samples = np.stack([left, -left], axis=1)
    mixer = Downmixer(RATE, 2)
    whole = mixer.push(samples)
    assert mixer.push(samples).tobytes() != whole.tobytes()
    mixer.reset()
    assert mixer.push(samples).tobytes() == whole.tobytes()
