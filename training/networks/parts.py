"""What several kinds of networks are made of.

Every layer is named here: Keras would number them on through the process, and the names are in the exported
model. Layers with TFLite's own operations alone are used, so that every network can be shipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime.errors import SettingsError
from training.networks.loading import load_tensorflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.features.families import AnyFamily
    from training.recipes.schema import Block, Block2d, Layer


def look_at(inputs: Any, families: Sequence[AnyFamily], keys: Sequence[str]) -> Any:  # noqa: ANN401
    """Return the columns of some families [shape=(batch, n_frames, n)], in the order of the inputs.

    Parameters
    ----------
    inputs : Keras tensor [shape=(batch, n_frames, n_columns)]
        Frames.
    families
        Whose columns they are, in order.
    keys
        Those that are looked at.

    Raises
    ------
    SettingsError
        Where one of them is not among the families, or the inputs have other columns than these.
    """
    n_columns = inputs.shape[-1]
    n_of_all = sum(family.n_columns for family in families)
    unknown = sorted(set(keys) - {family.key for family in families})
    if unknown or n_of_all != n_columns:
        raise SettingsError(
            f"sees is {list(keys)}, of inputs with {n_columns} columns; wanted families of these: "
            f"{[family.key for family in families]}, which have {n_of_all}"
        )
    layers = load_tensorflow().keras.layers
    picture = layers.Reshape((*inputs.shape[1:], 1), name="columns")(inputs)
    parts, start = [], 0
    for family in families:
        stop = start + family.n_columns
        if family.key in keys:
            part = layers.Cropping2D(((0, 0), (start, n_columns - stop)), name=f"columns_{family.key}")(
                picture
            )
            parts.append(layers.Reshape(part.shape[1:3], name=f"{family.key}_flat")(part))
        start = stop
    return layers.Concatenate(name="seen")(parts) if len(parts) > 1 else parts[0]


def stack_dense(hidden: Any, layers: Sequence[Layer]) -> Any:  # noqa: ANN401 - Keras tensors
    """Return what dense layers make of a vector [shape=(batch, n)]."""
    keras = load_tensorflow().keras
    for number, layer in enumerate(layers, start=1):
        hidden = keras.layers.Dense(
            layer.units,
            activation="relu",
            kernel_regularizer=keras.regularizers.L2(layer.l2) if layer.l2 else None,
            name=f"dense_{number}",
        )(hidden)
        if layer.batch_norm:
            hidden = keras.layers.BatchNormalization(name=f"norm_{number}")(hidden)
        hidden = drop(hidden, layer.dropout, f"dropout_{number}")
    return hidden


def stack_convolutions(hidden: Any, blocks: Sequence[Block]) -> Any:  # noqa: ANN401 - Keras tensors
    """Return what blocks of convolutions make of frames [shape=(batch, n_frames, n)].

    Raises
    ------
    SettingsError
        Where pooling leaves no frame.
    """
    keras = load_tensorflow().keras
    for number, block in enumerate(blocks, start=1):
        hidden = keras.layers.Conv1D(
            block.filters, block.kernel, padding="same", activation="relu", name=f"conv_{number}"
        )(hidden)
        if block.batch_norm:
            hidden = keras.layers.BatchNormalization(name=f"conv_norm_{number}")(hidden)
        if block.pool > 1:
            check_pool(number, block.pool, hidden.shape[1])
            hidden = keras.layers.MaxPooling1D(block.pool, name=f"conv_pool_{number}")(hidden)
        hidden = drop(hidden, block.dropout, f"conv_dropout_{number}")
    return hidden


def stack_convolutions_2d(hidden: Any, blocks: Sequence[Block2d]) -> Any:  # noqa: ANN401 - Keras tensors
    """Return what blocks of convolutions make of a picture [shape=(batch, n_frames, n_bands, n)].

    Raises
    ------
    SettingsError
        Where pooling leaves no frame.
    """
    keras = load_tensorflow().keras
    for number, block in enumerate(blocks, start=1):
        hidden = keras.layers.Conv2D(
            block.filters,
            block.kernel,
            strides=block.stride,
            padding="same",
            use_bias=False,
            name=f"conv2d_{number}",
        )(hidden)
        hidden = keras.layers.BatchNormalization(name=f"conv2d_norm_{number}")(hidden)
        hidden = keras.layers.ReLU(name=f"conv2d_relu_{number}")(hidden)
        if block.pool > 1:
            check_pool(number, block.pool, hidden.shape[1])
            hidden = keras.layers.MaxPooling2D((block.pool, 1), name=f"conv2d_pool_{number}")(hidden)
        hidden = drop(hidden, block.dropout, f"conv2d_dropout_{number}")
    return hidden


def check_pool(number: int, pool: int, n_frames: int) -> None:
    """Refuse a pool that leaves no frame.

    Raises
    ------
    SettingsError
        Where it does.
    """
    if n_frames < pool:
        raise SettingsError(
            f"block {number} of the network keeps one of {pool} frames, but only {n_frames} come to it; use "
            "a longer window, or fewer or smaller pools"
        )


def attend(states: Any, n_units: int) -> Any:  # noqa: ANN401 - Keras tensors
    """Return the mean over time of states [shape=(batch, n_frames, n)], each weighed by attention.

    References
    ----------
    Yang et al., "Hierarchical attention networks for document classification", 2016: equations 5 to 7.
    """
    layers = load_tensorflow().keras.layers
    tried = layers.Dense(n_units, activation="tanh", name="attention_hidden")(states)
    scores = layers.Dense(1, use_bias=False, name="attention_score")(tried)
    # A vector, for which TFLite's softmax over the last axis needs no transposition.
    scores = layers.Flatten(name="attention_scores")(scores)
    weights = layers.Softmax(name="attention_weights")(scores)
    return layers.Dot(axes=1, name="attention")([weights, states])


def stack_lstm(hidden: Any, units: Sequence[int], dropout: float, *, bidirectional: bool) -> Any:  # noqa: ANN401
    """Return the last state [shape=(batch, n)] that recurrent layers come to over frames.

    Parameters
    ----------
    hidden : Keras tensor [shape=(batch, n_frames, n)]
        Frames, or what convolutions made of them.
    units
        Size of each layer's state.
    dropout
        Share of its values that is dropped behind each layer while training.
    bidirectional
        Whether each layer goes over the frames backwards too; its states are then twice as long.
    """
    keras = load_tensorflow().keras
    for number, size in enumerate(units, start=1):
        # All its states for the next layer, the last one for what follows.
        layer = keras.layers.LSTM(size, return_sequences=number < len(units), name=f"lstm_{number}")
        hidden = (both_ways(layer, f"lstm_both_{number}") if bidirectional else layer)(hidden)
        hidden = drop(hidden, dropout, f"lstm_dropout_{number}")
    return hidden


def both_ways(layer: Any, name: str) -> Any:  # noqa: ANN401 - Keras layers
    """Return a recurrent layer that goes over the frames in both directions and joins what it finds."""
    return load_tensorflow().keras.layers.Bidirectional(layer, name=name)


def drop(hidden: Any, share: float, name: str) -> Any:  # noqa: ANN401 - Keras tensors
    """Return the values with a share of them dropped while training; without a layer where it is 0."""
    return load_tensorflow().keras.layers.Dropout(share, name=name)(hidden) if share else hidden
