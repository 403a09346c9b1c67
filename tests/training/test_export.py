from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from realtime.artifact import Artifact
from realtime.card import FORMAT_VERSION, Card, Training
from realtime.classifier import Classifier
from realtime.errors import ArtifactError
from realtime.loaded import temper
from realtime.preprocessing import Preprocessing
from training import export, networks
from training.recipes.schema import ConvLstm, Dense, Layer

if TYPE_CHECKING:
    from realtime.types import FloatArray
    from training.export import Quantisation
    from training.recipes import Recipe

N_SELECTED = 20
TEMPERATURE = 1.5
PREPROCESSING = Preprocessing(
    np.arange(N_SELECTED), np.full(N_SELECTED, 0.5, np.float32), np.full(N_SELECTED, 2.0, np.float32)
)


@pytest.fixture(scope="module")
def keras_model(recipe: Recipe) -> Any:
    networks.seed_everything(0)
    assert isinstance(recipe.model, Dense)
    return networks.build(recipe.model, (N_SELECTED,), len(recipe.labels))


@pytest.fixture(scope="module")
def features(recipe: Recipe) -> FloatArray:
    rng = np.random.default_rng(0)
    return np.asarray(3 * rng.standard_normal((40, recipe.features.n_values)), dtype=np.float32)


@pytest.fixture(scope="module")
def inputs(features: FloatArray) -> FloatArray:
    return PREPROCESSING(features)


@pytest.fixture(scope="module")
def expected(keras_model: Any, inputs: FloatArray) -> FloatArray:
    return temper(np.asarray(keras_model(inputs)), TEMPERATURE)


def load(recipe: Recipe, model: bytes, quantisation: Quantisation) -> Classifier:
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
        temperature=TEMPERATURE,
        input_shape=[1, N_SELECTED],
        output_shape=[1, len(recipe.labels)],
        quantisation=quantisation,
        training=Training(recipe="tiny", command="", corpora=[], licence="", seed=0, n_clips=0, n_windows=0),
        sha256={},
    )
    return Classifier(Artifact(Path("tiny"), card, recipe.features, PREPROCESSING, model))


@pytest.mark.parametrize("quantisation", export.QUANTISATIONS)
def test_the_classifier_agrees_with_keras(
    recipe: Recipe,
    keras_model: Any,
    features: FloatArray,
    expected: FloatArray,
    quantisation: Quantisation,
) -> None:
    model = export.convert(keras_model, quantisation, PREPROCESSING(features))
    parity = export.measure_parity(load(recipe, model, quantisation), features, expected)
    assert parity <= {"float32": 1e-5, "float16": 5e-3, "int8": 0.1}[quantisation]
    if quantisation != "float32":
        assert parity > 0


def test_smaller_numbers_make_a_smaller_model() -> None:
    # Wide enough that the weights outweigh what every model carries.
    networks.seed_everything(0)
    rows = np.random.default_rng(0).standard_normal((40, N_SELECTED)).astype(np.float32)
    wide = networks.build(Dense(layers=(Layer(units=256), Layer(units=256))), (N_SELECTED,), 3)
    exports = export.convert_all(wide, rows, rows)
    sizes = [len(made.model) for made in exports]
    assert sizes[0] > 1.7 * sizes[1] > 1.7 * 1.5 * sizes[2]
    assert all(made.agreement > 0.9 for made in exports)


@pytest.mark.slow
def test_a_loop_gets_smaller_too_and_stays_close() -> None:
    networks.seed_everything(0)
    rows = np.random.default_rng(0).standard_normal((40, 30, 12)).astype(np.float32)
    model = networks.build(ConvLstm(blocks=(), units=(96,)), (30, 12), 3)
    exports = export.convert_all(model, rows, rows)
    sizes = [len(made.model) for made in exports]
    assert sizes[0] > 1.6 * sizes[1] > 1.6 * 1.3 * sizes[2]
    assert exports[-1].parity < 0.02


def test_converting_again_gives_the_same_file(keras_model: Any, inputs: FloatArray) -> None:
    assert export.convert(keras_model, "int8", inputs) == export.convert(keras_model, "int8", inputs)


def test_disagreement_is_refused(
    recipe: Recipe, keras_model: Any, features: FloatArray, inputs: FloatArray, expected: FloatArray
) -> None:
    model = export.convert(keras_model, "float32", inputs)
    loaded = load(recipe, model, "float32")
    turned = expected.copy()
    turned[7] = np.roll(turned[7], 1)
    with pytest.raises(ArtifactError, match=r"differ by .* on 40 windows; wanted at most 0.0001"):
        export.measure_parity(loaded, features, turned)
    hotter = msgspec.structs.replace(loaded.artifact.card, temperature=3.0)
    with pytest.raises(ArtifactError, match="nothing is written"):
        export.measure_parity(Classifier(replace(loaded.artifact, card=hotter)), features, expected)


def test_not_a_number_is_refused(
    recipe: Recipe, keras_model: Any, features: FloatArray, inputs: FloatArray
) -> None:
    model = export.convert(keras_model, "float32", inputs)
    nothing = np.full((len(features), 3), np.nan, np.float32)
    with pytest.raises(ArtifactError, match="differ by nan"):
        export.measure_parity(load(recipe, model, "float32"), features, nothing)


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
