"""From a recipe's network to a Keras model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime.errors import SettingsError
from training.networks.kinds import lay
from training.networks.loading import load_tensorflow
from training.recipes.schema import Dense

if TYPE_CHECKING:
    from training.recipes.schema import Network

PROBABILITIES = "probabilities"
"""Name of the last layer."""


def build(model: Network, input_shape: tuple[int, ...], n_labels: int) -> Any:  # noqa: ANN401 - a Keras model
    """Return an untrained network that gives probabilities.

    Parameters
    ----------
    model
        Which kind, and its settings.
    input_shape
        Of one window: ``(n_features,)`` for a dense network, ``(n_frames, n_columns)`` for the others.
    n_labels
        Number of classes.

    Raises
    ------
    SettingsError
        Where the kind does not fit the shape.
    """
    wanted = 1 if isinstance(model, Dense) else 2
    if len(input_shape) != wanted:
        raise SettingsError(
            f"a network of kind {model.__struct_config__.tag} cannot see inputs of shape {input_shape}; "
            f"wanted {'pooled features' if wanted == 1 else 'frames'}: "
            f'say output = "{"pooled" if wanted == 1 else "frames"}" under [features]'
        )
    keras = load_tensorflow().keras
    inputs = keras.Input(input_shape, name="features")
    outputs = keras.layers.Dense(n_labels, activation="softmax", name=PROBABILITIES)(lay(model, inputs))
    return keras.Model(inputs, outputs, name="network")


def embedding(model: Any) -> Any:  # noqa: ANN401 - Keras models
    """Return the same network up to its last hidden layer [shape=(n, n_units)], with the same weights.

    Parameters
    ----------
    model
        A Keras model that `build` made.
    """
    hidden = model.get_layer(PROBABILITIES).input
    return load_tensorflow().keras.Model(model.input, hidden, name="embedding")


def count_parameters(model: Any) -> int:  # noqa: ANN401 - a Keras model
    """Return how many numbers a network has learnt, the statistics of its normalisations among them."""
    return int(model.count_params())
