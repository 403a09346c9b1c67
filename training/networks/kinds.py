"""The kinds of networks: one function for each, registered for the settings of that kind."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

from training.networks.loading import load_tensorflow
from training.networks.parts import both_ways, drop, stack_convolutions, stack_dense, stack_lstm
from training.recipes.schema import Conv, ConvGruAttention, ConvLstm, Dense, Lstm

if TYPE_CHECKING:
    from training.recipes.schema import Network


@singledispatch
def lay(model: Network, inputs: Any) -> Any:  # noqa: ANN401 - Keras tensors
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
    """Lay convolutions, a recurrent layer in both directions, and attention over time.

    References
    ----------
    Yang et al., "Hierarchical attention networks for document classification", 2016: equations 5 to 7.
    """
    layers = load_tensorflow().keras.layers
    hidden = stack_convolutions(inputs, model.blocks)
    states = both_ways(layers.GRU(model.units, return_sequences=True, name="gru"), "gru_both")(hidden)
    tried = layers.Dense(model.units, activation="tanh", name="attention_hidden")(states)
    scores = layers.Dense(1, use_bias=False, name="attention_score")(tried)
    # A vector, for which TFLite's softmax over the last axis needs no transposition.
    scores = layers.Flatten(name="attention_scores")(scores)
    weights = layers.Softmax(name="attention_weights")(scores)
    hidden = layers.Dot(axes=1, name="attention")([weights, states])
    return stack_dense(drop(hidden, model.dropout, "attention_dropout"), model.layers)
