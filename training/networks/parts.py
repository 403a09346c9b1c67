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

    from training.recipes.schema import Block, Layer


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
            if hidden.shape[1] < block.pool:
                raise SettingsError(
                    f"block {number} of the network keeps one of {block.pool} frames, but only "
                    f"{hidden.shape[1]} come to it; use a longer window, or fewer or smaller pools"
                )
            hidden = keras.layers.MaxPooling1D(block.pool, name=f"conv_pool_{number}")(hidden)
        hidden = drop(hidden, block.dropout, f"conv_dropout_{number}")
    return hidden


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
