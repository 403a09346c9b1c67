from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from realtime.artifact import FORMAT_VERSION, Artifact, Card, Preprocessing, Training
from realtime.errors import ArtifactError
from training import export, networks
from training.fit import Fitted, predict, rebuild

if TYPE_CHECKING:
    from training.export import Quantisation
    from training.recipes import Recipe

N_SELECTED = 20


@pytest.fixture(scope="module")
def fitted(recipe: Recipe) -> Fitted:
    networks.seed_everything(0)
    weights = networks.build(recipe, N_SELECTED).get_weights()
    preprocessing = Preprocessing(
        np.arange(N_SELECTED), np.full(N_SELECTED, 0.5, np.float32), np.full(N_SELECTED, 2.0, np.float32)
    )
    return Fitted(preprocessing, tuple(weights), 1.5, 0, np.zeros((0, 3), np.float32), ())


@pytest.fixture(scope="module")
def features(recipe: Recipe) -> Any:
    rng = np.random.default_rng(0)
    return (3 * rng.standard_normal((40, recipe.features.n_values))).astype(np.float32)


def make_artifact(recipe: Recipe, fitted: Fitted, model: bytes, quantisation: Quantisation) -> Artifact:
    card = Card(
        format_version=FORMAT_VERSION,
        name="tiny",
        description="",
        labels=list(recipe.labels),
        features=recipe.features.to_dict(),
        window=recipe.window,
        hop=recipe.hop,
        n_features=recipe.features.n_values,
        n_selected=N_SELECTED,
        temperature=fitted.temperature,
        input_shape=[1, N_SELECTED],
        output_shape=[1, len(recipe.labels)],
        quantisation=quantisation,
        training=Training(recipe="tiny", command="", corpora=[], licence="", seed=0, n_clips=0, n_windows=0),
        sha256={},
    )
    return Artifact(Path("tiny"), card, recipe.features, fitted.preprocessing, model)


@pytest.mark.parametrize(("quantisation", "tolerance"), [("float32", 1e-5), ("float16", 5e-3), ("int8", 0.1)])
def test_the_classifier_agrees_with_keras(
    recipe: Recipe, fitted: Fitted, features: Any, quantisation: Quantisation, tolerance: float
) -> None:
    model = export.convert(rebuild(recipe, fitted), quantisation, fitted.preprocessing(features))
    found = make_artifact(recipe, fitted, model, quantisation)
    parity = export.measure_parity(found, features, predict(recipe, fitted, features))
    assert parity <= tolerance
    if quantisation != "float32":
        assert parity > 0


def test_smaller_numbers_make_a_smaller_model(recipe: Recipe, features: Any) -> None:
    # Wide enough that the weights outweigh what every model carries.
    wide = replace(recipe, layers=(replace(recipe.layers[0], units=256),) * 2)
    networks.seed_everything(0)
    keras_model = networks.build(wide, N_SELECTED)
    sizes = [
        len(export.convert(keras_model, quantisation, features[:, :N_SELECTED]))
        for quantisation in export.QUANTISATIONS
    ]
    assert sizes[0] > 1.7 * sizes[1] > 1.7 * 1.5 * sizes[2]


def test_disagreement_is_refused(recipe: Recipe, fitted: Fitted, features: Any) -> None:
    model = export.convert(rebuild(recipe, fitted), "float32", fitted.preprocessing(features))
    found = make_artifact(recipe, fitted, model, "float32")
    expected = predict(recipe, fitted, features)
    expected[7] = np.roll(expected[7], 1)
    with pytest.raises(ArtifactError, match=r"differ by .* on 40 windows; wanted at most 0.0001"):
        export.measure_parity(found, features, expected)
    hotter = replace(found, card=msgspec.structs.replace(found.card, temperature=3.0))
    with pytest.raises(ArtifactError, match="nothing is written"):
        export.measure_parity(hotter, features, predict(recipe, fitted, features))


def test_not_a_number_is_refused(recipe: Recipe, fitted: Fitted, features: Any) -> None:
    model = export.convert(rebuild(recipe, fitted), "float32", fitted.preprocessing(features))
    expected = np.full((len(features), 3), np.nan, np.float32)
    with pytest.raises(ArtifactError, match="differ by nan"):
        export.measure_parity(make_artifact(recipe, fitted, model, "float32"), features, expected)


def test_operations_beyond_the_built_in_ones_are_refused() -> None:
    keras = networks.load_tensorflow().keras
    tensorflow = networks.load_tensorflow()

    class Digamma(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return tensorflow.math.digamma(inputs)

    inputs = keras.Input((4,))
    model = keras.Model(inputs, Digamma()(inputs))
    with pytest.raises(ArtifactError, match="built-in operations"):
        export.convert(model, "float32", np.zeros((1, 4), np.float32))
