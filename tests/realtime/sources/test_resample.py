from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.sources.resample import StreamResampler

if TYPE_CHECKING:
    from realtime.types import FloatArray

RATES = [
    (44_100, 16_000),
    (48_000, 16_000),
    (48_000, 22_050),
    (8_000, 16_000),
    (16_000, 44_100),
    (16_000, 16_000),
]


def noise(n_samples: int, channels: int = 1, seed: int = 0) -> FloatArray:
    samples = np.random.default_rng(seed).normal(0, 0.1, (n_samples, channels))
    return samples.astype(np.float32)


def resample(resampler: StreamResampler, samples: FloatArray, lengths: list[int]) -> FloatArray:
    pieces = np.split(samples, np.cumsum(lengths))
    return np.concatenate([*(resampler.push(piece) for piece in pieces), resampler.finish()])


@pytest.mark.parametrize("channels", [1, 2, 3, 9])
@pytest.mark.parametrize("rates", RATES)
@settings(max_examples=15)
@given(lengths=st.lists(st.integers(0, 3_000), max_size=12))
def test_output_does_not_depend_on_the_cuts(
    rates: tuple[int, int], channels: int, lengths: list[int]
) -> None:
    samples = noise(12_000, channels)
    whole = resample(StreamResampler(*rates, channels), samples, [])
    assert resample(StreamResampler(*rates, channels), samples, lengths).tobytes() == whole.tobytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("rates", RATES)
def test_one_sample_at_a_time(rates: tuple[int, int], channels: int) -> None:
    samples = noise(9_000, channels)
    whole = resample(StreamResampler(*rates, channels), samples, [])
    assert resample(StreamResampler(*rates, channels), samples, [1] * 9_000).tobytes() == whole.tobytes()


def test_memory_order_does_not_matter() -> None:
    samples = noise(5_000, 5)
    whole = StreamResampler(16_000, 16_000, 5).push(samples)
    assert StreamResampler(16_000, 16_000, 5).push(np.asfortranarray(samples)).tobytes() == whole.tobytes()


@pytest.mark.parametrize("rates", RATES)
@given(n_samples=st.integers(0, 20_000))
@settings(max_examples=20)
def test_length(rates: tuple[int, int], n_samples: int) -> None:
    output = resample(StreamResampler(*rates), noise(n_samples)[:, 0], [700, 1, 300])
    assert abs(len(output) - n_samples * rates[1] / rates[0]) <= 1


@pytest.mark.parametrize("rates", RATES)
def test_sine_keeps_frequency_level_and_place(rates: tuple[int, int]) -> None:
    from_rate, to_rate = rates
    sine = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(from_rate) / from_rate)
    output = resample(StreamResampler(from_rate, to_rate), sine.astype(np.float32), [100] * 50)
    expected = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(to_rate) / to_rate)
    middle = slice(to_rate // 10, -to_rate // 10)
    np.testing.assert_allclose(output[middle], expected[middle], atol=1e-4)


def test_tone_that_the_output_cannot_hold_is_removed() -> None:
    tone = np.sin(2 * np.pi * 11_000 * np.arange(48_000) / 48_000).astype(np.float32)
    output = resample(StreamResampler(48_000, 16_000), tone, [480] * 100)
    assert np.abs(output[1_000:-1_000]).max() < 1e-4


def test_equal_rates_pass_through_bit_for_bit() -> None:
    samples = noise(1_000)[:, 0]
    samples[:4] = [np.nan, np.inf, -0.0, 1e-42]
    resampler = StreamResampler(16_000, 16_000)
    assert resampler.push(samples).tobytes() == samples.tobytes()
    assert len(resampler.finish()) == 0
    assert resampler.pending_s == 0


def test_channels_are_averaged() -> None:
    left, right = noise(100, seed=1)[:, 0], noise(100, seed=2)[:, 0]
    mixed = StreamResampler(16_000, 16_000, 2).push(np.stack([left, right], axis=1))
    assert mixed.dtype == np.float32
    np.testing.assert_array_equal(mixed, (left + right) / 2)


@pytest.mark.parametrize("rates", RATES)
@settings(max_examples=10)
@given(lengths=st.lists(st.integers(0, 3_000), max_size=12))
def test_clipping_in_one_channel_is_told_where_it_is(rates: tuple[int, int], lengths: list[int]) -> None:
    samples = noise(12_000, 2)
    samples[5_000:6_000, 1] = -1.0
    resampler = StreamResampler(*rates, 2)
    n_out, told = 0, []
    for piece in [*np.split(samples, np.cumsum(lengths)), None]:
        output = resampler.finish() if piece is None else resampler.push(piece)
        assert resampler.clipped is not None
        assert len(resampler.clipped) == len(output)
        n_out += len(output)
        told.append(resampler.clipped)
    where = np.flatnonzero(np.concatenate(told)) * rates[0] / rates[1]
    assert len(where) == pytest.approx(1_000 * rates[1] / rates[0], abs=1)
    assert where[0] == pytest.approx(5_000, abs=rates[0] / rates[1])
    assert where[-1] == pytest.approx(6_000, abs=1 + rates[0] / rates[1])


def test_of_one_channel_the_samples_tell_what_is_clipped() -> None:
    resampler = StreamResampler(48_000, 16_000)
    resampler.push(np.ones(9_600, dtype=np.float32))
    assert resampler.clipped is None
    resampler.finish()
    assert resampler.clipped is None


def test_reset_forgets() -> None:
    samples, fresh, used = (
        noise(5_000)[:, 0],
        StreamResampler(48_000, 16_000),
        StreamResampler(48_000, 16_000),
    )
    expected = resample(fresh, samples, [])
    used.push(noise(3_333, seed=5)[:, 0])
    assert used.pending_s > 0
    used.reset()
    assert used.pending_s == 0
    assert resample(used, samples, []).tobytes() == expected.tobytes()
    used.push(noise(3_333, seed=5)[:, 0])
    assert resample(used, samples, []).tobytes() != expected.tobytes()


@pytest.mark.parametrize("rates", [(44_100, 16_000), (16_000, 16_000)])
def test_finish_keeps_which_channel_is_listened_to(rates: tuple[int, int]) -> None:
    left = noise(44_100)[:, 0]
    stereo = np.stack([left, np.float32(-0.9) * left], axis=1)
    resampler = StreamResampler(*rates, 2)
    first = resample(resampler, stereo, [])
    assert resample(resampler, stereo, []).tobytes() == resample(StreamResampler(*rates), left, []).tobytes()
    resampler.reset()
    assert resample(resampler, stereo, []).tobytes() == first.tobytes()


def test_finish_begins_anew() -> None:
    samples, resampler = noise(5_000)[:, 0], StreamResampler(44_100, 16_000)
    assert resample(resampler, samples, []).tobytes() == resample(resampler, samples, [7, 900]).tobytes()
    assert len(resampler.finish()) == 0


@pytest.mark.parametrize(
    ("rates", "most_s"),
    [
        ((44_100, 16_000), 0.045),
        ((48_000, 16_000), 0.045),
        ((16_000, 22_050), 0.065),
        ((96_000, 16_000), 0.085),
        ((8_000, 16_000), 0.12),
    ],
)
def test_lag_is_what_the_docstring_says(rates: tuple[int, int], most_s: float) -> None:
    resampler, lags_s = StreamResampler(*rates), []
    n_in = n_out = 0
    for _ in range(3 * rates[0] // 50):
        n_out += len(resampler.push(np.zeros(50, dtype=np.float32)))
        n_in += 50
        assert resampler.pending_s == pytest.approx(n_in / rates[0] - n_out / rates[1])
        lags_s.append(resampler.pending_s)
    assert 0.01 < max(lags_s) < most_s


def test_a_bad_sample_does_not_poison_what_follows() -> None:
    samples = noise(96_000)[:, 0]
    samples[48_000] = np.nan
    output = resample(StreamResampler(48_000, 16_000), samples, [480] * 200)
    is_bad = np.isnan(output)
    assert is_bad[15_900:16_100].any()
    assert not is_bad[:15_000].any()
    assert not is_bad[17_000:].any()


@pytest.mark.parametrize("arguments", [(0, 16_000, 1), (16_000, -1, 1), (16_000, 16_000, 0)])
def test_values_below_one_are_refused(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        StreamResampler(*arguments)


def test_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="2 channels; wanted 1"):
        StreamResampler(16_000, 16_000).push(noise(5, 2))
