from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training import networks

if TYPE_CHECKING:
    from training.recipes import Recipe


def test_a_network_has_the_layers_that_its_recipe_says(recipe: Recipe) -> None:
    model = networks.build(recipe, 20)
    assert [layer.name for layer in model.layers] == [
        "features",
        "noise",
        "dense_1",
        "dense_2",
        "norm_2",
        "dropout_2",
        "probabilities",
    ]
    assert model.input_shape == (None, 20)
    assert model.output_shape == (None, 3)
    quiet = replace(recipe, fitting=replace(recipe.fitting, input_noise=0.0))
    assert "noise" not in [layer.name for layer in networks.build(quiet, 20).layers]


def test_names_do_not_depend_on_what_was_built_before(recipe: Recipe) -> None:
    first, second = networks.build(recipe, 20), networks.build(recipe, 20)
    assert [weight.path for weight in first.weights] == [weight.path for weight in second.weights]


def test_it_gives_probabilities_and_is_silent_about_noise_when_it_runs(recipe: Recipe) -> None:
    networks.seed_everything(0)
    model = networks.build(recipe, 20)
    inputs = np.random.default_rng(0).standard_normal((4, 20)).astype(np.float32)
    first, second = np.asarray(model(inputs)), np.asarray(model(inputs))
    assert first.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(first, second)


def test_the_seed_decides_the_weights(recipe: Recipe) -> None:
    def weights(seed: int) -> list[float]:
        networks.seed_everything(seed)
        return [float(np.sum(array)) for array in networks.build(recipe, 20).get_weights()]

    assert weights(0) == weights(0)
    assert weights(0) != weights(1)
