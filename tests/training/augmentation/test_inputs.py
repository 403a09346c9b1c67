from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from realtime.errors import SettingsError
from training.augmentation import vary_inputs
from training.recipes.schema import Inputs

if TYPE_CHECKING:
    import numpy.typing as npt

    Values = npt.NDArray[np.float32]

EVERYTHING = Inputs(noise=0.2, mixup=0.3, n_feature_masks=2, feature_mask=4)
SHAPES = ((2500, 30), (2500, 12, 10))


def generator(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows(shape: tuple[int, ...]) -> tuple[Values, Values]:
    """Return inputs of random values, and one-hot targets of five classes."""
    rng = generator(0)
    labels = rng.integers(5, size=shape[0])
    return rng.standard_normal(shape, dtype=np.float32) + 5, np.eye(5, dtype=np.float32)[labels]


def longest_run(mask: npt.NDArray[np.bool_]) -> int:
    """Return the length of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(int), [0]))))
    return int((edges[1::2] - edges[::2]).max(initial=0))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_generator_gives_the_same_and_what_is_given_stays(shape: tuple[int, ...]) -> None:
    inputs, targets = rows(shape)
    before = inputs.copy(), targets.copy()
    first, second = (vary_inputs(inputs, targets, EVERYTHING, generator()) for _ in range(2))
    other = vary_inputs(inputs, targets, EVERYTHING, generator(6))
    for given, kept, one, two, third in zip((inputs, targets), before, first, second, other, strict=True):
        assert one.dtype == np.float32
        assert one.shape == given.shape
        assert np.array_equal(one, two)
        assert not np.array_equal(one, third)
        assert np.array_equal(given, kept)


def test_nothing_to_vary_returns_what_was_given() -> None:
    inputs, targets = rows((10, 4))
    settings = Inputs(n_feature_masks=3, feature_mask=0)
    varied, blended = vary_inputs(inputs, targets, settings, generator())
    assert varied is inputs
    assert blended is targets


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_has_its_standard_deviation(shape: tuple[int, ...]) -> None:
    inputs, targets = rows(shape)
    varied, same = vary_inputs(inputs, targets, Inputs(noise=0.25), generator())
    assert np.array_equal(same, targets)
    noise = varied - inputs
    assert noise.std() == pytest.approx(0.25, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    # No value's noise is another's, between blocks of rows either.
    assert len(np.unique(noise.round(5))) > 0.5 * 2500
    assert not np.allclose(noise[:1024], noise[1024:2048])


@pytest.mark.parametrize("shape", SHAPES)
def test_features_are_masked_in_runs_over_all_frames(shape: tuple[int, ...]) -> None:
    inputs, targets = rows(shape)
    varied, _ = vary_inputs(inputs, targets, Inputs(n_feature_masks=1, feature_mask=4), generator())
    masked = varied == 0
    assert np.array_equal(varied[~masked], inputs[~masked])
    if masked.ndim == 3:
        assert (masked == masked[:, :1]).all()
        masked = masked[:, 0]
    widths = [longest_run(row) for row in masked]
    assert set(widths) == {0, 1, 2, 3, 4}
    assert np.array_equal(widths, masked.sum(axis=1))
    # Every column is reached, the first and the last too.
    assert masked.any(axis=0).all()


def test_frames_are_masked_in_runs_over_all_features() -> None:
    inputs, targets = rows((2500, 12, 10))
    varied, _ = vary_inputs(inputs, targets, Inputs(n_time_masks=2, time_mask=3), generator())
    masked = varied == 0
    assert (masked == masked[:, :, :1]).all()
    counts = masked[:, :, 0].sum(axis=1)
    assert counts.min() == 0
    assert counts.max() == 6
    assert masked[:, :, 0].any(axis=0).all()


def test_masks_wider_than_the_inputs_cover_them_all_at_most() -> None:
    inputs, targets = rows((200, 5))
    varied, _ = vary_inputs(inputs, targets, Inputs(n_feature_masks=1, feature_mask=50), generator())
    assert {int(n) for n in (varied == 0).sum(axis=1)} == {0, 1, 2, 3, 4, 5}


def test_frames_of_pooled_features_cannot_be_masked() -> None:
    with pytest.raises(SettingsError, match="n_time_masks is 2; wanted 0 for pooled features"):
        vary_inputs(*rows((10, 4)), Inputs(n_time_masks=2, time_mask=3), generator())


@pytest.mark.parametrize("shape", SHAPES)
def test_mixup_blends_inputs_and_targets_by_the_same_share(shape: tuple[int, ...]) -> None:
    inputs, _ = rows(shape)
    # Targets that are a linear function of the inputs stay that, whatever partner and share are drawn.
    weights = generator(1).standard_normal((int(np.prod(shape[1:])), 3))
    targets = (inputs.reshape(len(inputs), -1) @ weights).astype(np.float32)
    varied, blended = vary_inputs(inputs, targets, Inputs(mixup=1.0), generator())
    np.testing.assert_allclose(varied.reshape(len(inputs), -1) @ weights, blended, atol=1e-3)
    assert np.mean(np.any(varied != inputs, axis=tuple(range(1, inputs.ndim)))) > 0.99


def test_mixups_shares_are_drawn_from_their_distribution() -> None:
    inputs = np.zeros((4000, 2), dtype=np.float32)
    targets = np.arange(4000, dtype=np.float32)[:, np.newaxis] % 2
    for alpha in (0.2, 2.0):
        _, blended = vary_inputs(inputs, targets, Inputs(mixup=alpha), generator())
        assert blended.mean() == pytest.approx(0.5, abs=0.03)
        # Half of the pairs are of unlike targets, whose blend is the share itself: variance 1 / 4(2a + 1).
        expected = 0.5 * 0.25 + 0.5 / (4 * (2 * alpha + 1))
        assert blended.var() == pytest.approx(expected, rel=0.06)


def test_mixup_blends_what_tells_between_the_same_labels_alone() -> None:
    inputs, _ = rows((600, 6))
    known = generator(1).random((600, 1)) < [1, 0.8, 0.3]
    _, blended = vary_inputs(inputs, known.astype(np.float32), Inputs(mixup=0.4), generator(), known)
    np.testing.assert_array_equal(blended, known)
    # Where all of them do, any two are blended, the same as ever.
    everything = np.ones((600, 3), dtype=np.bool_)
    anyone, _ = vary_inputs(inputs, blended, Inputs(mixup=0.4), generator())
    np.testing.assert_array_equal(
        vary_inputs(inputs, blended, Inputs(mixup=0.4), generator(), everything)[0], anyone
    )


def test_labels_stay_probabilities() -> None:
    _, targets = vary_inputs(*rows((500, 6)), Inputs(mixup=0.4), generator())
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert targets.min() >= 0
    assert len(vary_inputs(*rows((1, 6)), EVERYTHING, generator())[0]) == 1
