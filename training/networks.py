"""Keras networks, built from recipes. TensorFlow is loaded with the first of them."""

from __future__ import annotations

import functools
import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.recipes import Recipe


@functools.cache
def load_tensorflow() -> Any:  # noqa: ANN401 - TensorFlow carries no types
    """Return TensorFlow, quiet and deterministic."""
    # Read as TensorFlow loads: no notes about processors and graphics cards that are not there.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    tensorflow = importlib.import_module("tensorflow")
    tensorflow.get_logger().setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    # The same seed gives the same weights, bit for bit, on the same machine.
    tensorflow.config.experimental.enable_op_determinism()
    return tensorflow


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow: weights, dropout and the order of rows follow from it."""
    load_tensorflow().keras.utils.set_random_seed(seed)


def build(recipe: Recipe, n_inputs: int) -> Any:  # noqa: ANN401 - a Keras model
    """Return an untrained dense network that gives probabilities.

    Parameters
    ----------
    recipe
        Says which layers and how many classes.
    n_inputs
        Number of features.
    """
    keras = load_tensorflow().keras
    inputs = keras.Input((n_inputs,), name="features")
    hidden = inputs
    if recipe.fitting.input_noise:
        hidden = keras.layers.GaussianNoise(recipe.fitting.input_noise, name="noise")(hidden)
    # Named here: Keras would number them on through the process, and the names are in the exported model.
    for number, layer in enumerate(recipe.layers, start=1):
        hidden = keras.layers.Dense(layer.units, activation="relu", name=f"dense_{number}")(hidden)
        if layer.batch_norm:
            hidden = keras.layers.BatchNormalization(name=f"norm_{number}")(hidden)
        if layer.dropout:
            hidden = keras.layers.Dropout(layer.dropout, name=f"dropout_{number}")(hidden)
    outputs = keras.layers.Dense(len(recipe.labels), activation="softmax", name="probabilities")(hidden)
    return keras.Model(inputs, outputs, name="network")
