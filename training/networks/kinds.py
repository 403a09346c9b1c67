"""The kinds of networks: one function for each, registered for the settings of that kind."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

from realtime.errors import SettingsError
from training.networks.loading import load_tensorflow
from training.networks.parts import (
    attend,
    both_ways,
    drop,
    stack_convolutions,
    stack_convolutions_2d,
    stack_dense,
    stack_lstm,
)
from training.recipes.schema import Conv, Conv2dGruAttention, ConvGruAttention, ConvLstm, Dense, Lstm

if TYPE_CHECKING:
    from training.recipes.schema import Single


@singledispatch
def lay(model: Single, inputs: Any) -> Any:  # noqa: ANN401 - Keras tensors
    """Return the last hidden layer [shape=(batch, n)] over a network's inputs.

    Parameters
    ----------
    model
        What the recipe says of the network; its type decides which function lays the layers.
    inputs : Keras tensor [shape=(batch, n_features) or (batch, n_frames, n_columns)]
        Scaled features.
    """
    raise NotImplementedError(f"no function of {__name__} is registered for {type(model).__name__}")


@lay.register(Dense)
def _dense(model: Dense, inputs: Any) -> Any:  # noqa: ANN401
    return stack_dense(inputs, model.layers)


@lay.register(Conv)
def _conv(model: Conv, inputs: Any) -> Any:  # noqa: ANN401
    layers = load_tensorflow().keras.layers
    hidden = stack_convolutions(inputs, model.blocks)
    pool = layers.Flatten if model.pooling == "flatten" else layers.GlobalAveragePooling1D
    return stack_dense(pool(name=model.pooling)(hidden), model.layers)


@lay.register(Lstm)
def _lstm(model: Lstm, inputs: Any) -> Any:  # noqa: ANN401
    hidden = stack_lstm(inputs, model.units, model.dropout, bidirectional=model.bidirectional)
    return stack_dense(hidden, model.layers)


@lay.register(ConvLstm)
def _conv_lstm(model: ConvLstm, inputs: Any) -> Any:  # noqa: ANN401
    hidden = stack_convolutions(inputs, model.blocks)
    hidden = stack_lstm(hidden, model.units, model.dropout, bidirectional=model.bidirectional)
    return stack_dense(hidden, model.layers)


@lay.register(ConvGruAttention)
def _conv_gru_attention(model: ConvGruAttention, inputs: Any) -> Any:  # noqa: ANN401
    return _gru_attention(model, stack_convolutions(inputs, model.blocks))


@lay.register(Conv2dGruAttention)
def _conv2d_gru_attention(model: Conv2dGruAttention, inputs: Any) -> Any:  # noqa: ANN401
    layers = load_tensorflow().keras.layers
    n_columns = inputs.shape[-1]
    if not model.n_bands <= n_columns:
        raise SettingsError(f"n_bands is {model.n_bands}; wanted at most the {n_columns} columns of a frame")
    picture = layers.Reshape((*inputs.shape[1:], 1), name="picture")(inputs)
    bands = layers.Cropping2D(((0, 0), (0, n_columns - model.n_bands)), name="bands")(picture)
    hidden = stack_convolutions_2d(bands, model.blocks2d)
    hidden = layers.Reshape((hidden.shape[1], hidden.shape[2] * hidden.shape[3]), name="bands_flat")(hidden)
    if model.n_bands < n_columns:
        others = layers.Cropping2D(((0, 0), (model.n_bands, 0)), name="others")(picture)
        others = layers.Reshape(others.shape[1:3], name="others_flat")(others)
        others = stack_convolutions(others, model.blocks)
        if others.shape[1] != hidden.shape[1]:
            raise SettingsError(
                f"blocks leave {others.shape[1]} frames, blocks2d {hidden.shape[1]}; wanted as many: "
                "the same strides and pools over time"
            )
        hidden = layers.Concatenate(name="joined_columns")([hidden, others])
    hidden = layers.Dense(model.joined.units, activation="relu", name="joined")(hidden)
    if model.joined.batch_norm:
        hidden = layers.BatchNormalization(name="joined_norm")(hidden)
    return _gru_attention(model, drop(hidden, model.joined.dropout, "joined_dropout"))


def _gru_attention(model: ConvGruAttention | Conv2dGruAttention, hidden: Any) -> Any:  # noqa: ANN401
    """Lay a recurrent layer in both directions, a mean over time, and dense layers."""
    layers = load_tensorflow().keras.layers
    states = both_ways(layers.GRU(model.units, return_sequences=True, name="gru"), "gru_both")(hidden)
    hidden = attend(states, model.units)
    return stack_dense(drop(hidden, model.dropout, "attention_dropout"), model.layers)
