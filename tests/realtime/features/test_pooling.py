"""Pooling equals NumPy's statistics, on all frames or on those of a voice."""

from __future__ import annotations

import numpy as np

from realtime.features import FeatureSpec, Mel, Rms, ZeroCrossingRate
from realtime.features.pooling import Mask, Pooling

SPEC = FeatureSpec(
    families=(
        Mel(n=4, pool=("mean", "p25", "std@voiced")),
        ZeroCrossingRate(pool=("slope", "mean@speech", "slope@voiced")),
        Rms(pool=("mean", "std")),
    )
)
ROWS = np.random.default_rng(5).standard_normal((50, 6))
VOICED = np.arange(50) % 3 == 0
SPEECH = np.arange(50) > 20


def pooled(voiced: Mask, speech: Mask) -> dict[str, float]:
    vector = Pooling(SPEC)(ROWS, {"voiced": voiced, "speech": speech})
    assert vector.dtype == np.float32
    return dict(zip(SPEC.names(), vector.tolist(), strict=True))


def test_statistics_are_numpys() -> None:
    values = pooled(VOICED, SPEECH)
    for i in range(4):
        column = ROWS[:, i]
        np.testing.assert_allclose(values[f"mel_{i}.mean"], column.mean(), rtol=1e-5)
        np.testing.assert_allclose(values[f"mel_{i}.p25"], np.percentile(column, 25), rtol=1e-5)
        np.testing.assert_allclose(values[f"mel_{i}.std@voiced"], column[VOICED].std(), rtol=1e-5)
    seconds = np.arange(50) * 0.025
    np.testing.assert_allclose(values["zcr.slope"], np.polyfit(seconds, ROWS[:, 4], 1)[0], rtol=1e-5)
    np.testing.assert_allclose(
        values["zcr.slope@voiced"], np.polyfit(seconds[VOICED], ROWS[VOICED, 4], 1)[0], rtol=1e-5
    )
    np.testing.assert_allclose(values["zcr.mean@speech"], ROWS[SPEECH, 4].mean(), rtol=1e-5)
    np.testing.assert_allclose(values["rms.std"], ROWS[:, 5].std(), rtol=1e-5)


def test_without_such_frames_all_count() -> None:
    nothing = np.zeros(50, dtype=bool)
    values = pooled(nothing, nothing)
    np.testing.assert_allclose(values["mel_0.std@voiced"], ROWS[:, 0].std(), rtol=1e-5)
    np.testing.assert_allclose(values["zcr.mean@speech"], ROWS[:, 4].mean(), rtol=1e-5)


def test_the_slope_of_one_frame_is_flat() -> None:
    one = np.arange(50) == 7
    assert pooled(one, one)["zcr.slope@voiced"] == 0
