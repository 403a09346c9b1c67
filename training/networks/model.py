"""From a recipe's network to a Keras model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime.errors import SettingsError
from training.networks.kinds import lay
from training.networks.loading import load_tensorflow
from training.networks.parts import look_at
from training.recipes.schema import Dense, Ensemble, Framed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.features.families import AnyFamily
    from training.recipes.schema import Network, Single

PROBABILITIES = "probabilities"
"""Name of the last layer."""


def build(
    model: Network,
    input_shape: tuple[int, ...],
    n_labels: int,
    families: Sequence[AnyFamily] = (),
    *,
    with_intensity: bool = False,
) -> Any:  # noqa: ANN401 - a Keras model
    """Return an untrained network that gives probabilities, and behind them an intensity if it is to.

    Parameters
    ----------
    model
        Which kind, and its settings.
    input_shape
        Of one window: ``(n_features,)`` for a dense network, ``(n_frames, n_columns)`` for the others.
    n_labels
        Number of classes.
    families
        Whose columns the inputs are, in order: for networks that see some of them alone.
    with_intensity
        Whether it also tells how strong the emotion is, 0 to 1.

    Raises
    ------
    SettingsError
        Where the kind does not fit the shape.
    """
    if not isinstance(model, Ensemble):
        return _build_one(model, input_shape, n_labels, families, "network", with_intensity=with_intensity)
    keras = load_tensorflow().keras
    inputs = keras.Input(input_shape, name="features")
    found = [
        _build_one(
            member, input_shape, n_labels, families, f"member_{number}", with_intensity=with_intensity
        )(inputs)
        for number, member in enumerate(model.members, start=1)
    ]
    return keras.Model(inputs, keras.layers.Average(name=PROBABILITIES)(found), name="network")


def _build_one(
    model: Single,
    input_shape: tuple[int, ...],
    n_labels: int,
    families: Sequence[AnyFamily],
    name: str,
    *,
    with_intensity: bool,
) -> Any:  # noqa: ANN401 - a Keras model
    wanted = 1 if isinstance(model, Dense) else 2
    if len(input_shape) != wanted:
        raise SettingsError(
            f"a network of kind {model.__struct_config__.tag} cannot see inputs of shape {input_shape}; "
            f"wanted {'pooled features' if wanted == 1 else 'frames'}: "
            f'say output = "{"pooled" if wanted == 1 else "frames"}" under [features]'
        )
    keras = load_tensorflow().keras
    inputs = keras.Input(input_shape, name="features")
    seen = look_at(inputs, families, model.sees) if isinstance(model, Framed) and model.sees else inputs
    hidden = lay(model, seen)
    outputs = keras.layers.Dense(n_labels, activation="softmax", name=PROBABILITIES)(hidden)
    if with_intensity:
        intensity = keras.layers.Dense(1, activation="sigmoid", name="intensity")(hidden)
        outputs = keras.layers.Concatenate(name="outputs")([outputs, intensity])
    return keras.Model(inputs, outputs, name=name)


def members(model: Any) -> list[Any]:  # noqa: ANN401 - Keras models
    """Return the networks that give a network's probabilities side by side: itself, where it is alone."""
    keras = load_tensorflow().keras
    return [layer for layer in model.layers if isinstance(layer, keras.Model)] or [model]


def set_weights(model: Any, weights: Sequence[Any]) -> None:  # noqa: ANN401 - a Keras model
    """Give a network the weights of its members, one member's after the other's, as each gives them."""
    rest = list(weights)
    for member in members(model):
        n_own = len(member.weights)
        member.set_weights(rest[:n_own])
        rest = rest[n_own:]
    assert not rest


def embedding(model: Any) -> Any:  # noqa: ANN401 - Keras models
    """Return the same network up to its last hidden layer [shape=(n, n_units)], with the same weights.

    Of several members, what they come to is joined.

    Parameters
    ----------
    model
        A Keras model that `build` made.
    """
    keras = load_tensorflow().keras
    hidden = [
        keras.Model(member.input, member.get_layer(PROBABILITIES).input, name=f"{member.name}_embedding")
        for member in members(model)
    ]
    if len(hidden) == 1:
        return hidden[0]
    inputs = keras.Input(model.input_shape[1:], name="features")
    joined = keras.layers.Concatenate(name="embeddings")([one(inputs) for one in hidden])
    return keras.Model(inputs, joined, name="embedding")


def count_parameters(model: Any) -> int:  # noqa: ANN401 - a Keras model
    """Return how many numbers a network has learnt, the statistics of its normalisations among them."""
    return int(model.count_params())
