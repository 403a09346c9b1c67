"""Recurrent networks as TFLite runs them in a third of the time: loops unrolled, states side by side.

Keras's GRU becomes a loop that TFLite leads frame by frame, through a graph of its own for each direction and
each network that is asked. Its steps are so small that leading costs more than computing. So, for the file
alone, what depends on no state is computed for all frames at once, the steps follow one another without a
loop, and GRUs of equal size take each step together. What comes out is the same, to a rounding of float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from training.networks import load_tensorflow
from training.networks.model import members

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from realtime.types import FloatArray

MAX_STEPS: Final = 64
"""Longer loops stay loops: each step is some 6 kB of the file."""
_SIDE_BY_SIDE: Final = 4
"""GRUs that are computed together: XNNPACK joins and parts no more tensors at once."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """One direction of a GRU, by Keras's order of gates: update, reset, candidate.

    Parameters
    ----------
    kernel : np.ndarray [shape=(n_inputs, 3 * n_units)]
        What inputs are multiplied by.
    recurrent : np.ndarray [shape=(n_units, 3 * n_units)]
        What the state is multiplied by.
    bias : np.ndarray [shape=(2, 3 * n_units)]
        Of inputs, and of the state.
    backwards
        Whether it goes over the frames from the last one to the first.
    """

    kernel: FloatArray
    recurrent: FloatArray
    bias: FloatArray
    backwards: bool

    @property
    def n_units(self) -> int:
        return len(self.recurrent)


@dataclass(frozen=True, slots=True)
class _Part:
    """A network, cut in three at its GRU.

    Parameters
    ----------
    before, behind
        Keras models: from the inputs to what the GRU sees, from its states to the outputs.
    cells
        Its two directions.
    n_frames
        That it sees.
    """

    before: Any
    cells: tuple[_Cell, _Cell]
    behind: Any
    n_frames: int


def unroll(model: Any) -> tuple[Callable[[Any], Any], list[Any]] | None:  # noqa: ANN401 - Keras
    """Return what gives the same as a network, without loops.

    Parameters
    ----------
    model
        A Keras model that `training.networks.build` made.

    Returns
    -------
    tuple or None
        A function from inputs [shape=(1, n_frames, n_columns)] to outputs [shape=(1, n)], for TensorFlow to
        trace, and the Keras models that it calls; None where there is nothing to unroll.
    """
    parts = [_cut(member) for member in members(model)]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts) or any(part.n_frames > MAX_STEPS for part in found):
        return None
    mean = model.layers[-1] if len(found) > 1 else None

    def call(inputs: Any) -> Any:  # noqa: ANN401 - tensors
        seen = [part.before(inputs)[0] for part in found]
        cells = [(cell, frames) for part, frames in zip(found, seen, strict=True) for cell in part.cells]
        states = _go_over(cells)
        both = [load_tensorflow().concat(states[i : i + 2], axis=-1) for i in range(0, len(states), 2)]
        given = [part.behind(one[None]) for part, one in zip(found, both, strict=True)]
        return given[0] if mean is None else mean(given)

    return call, [model, *(piece for part in found for piece in (part.before, part.behind))]


def _cut(network: Any) -> _Part | None:  # noqa: ANN401 - a Keras model
    """Return a network cut at its only recurrent layer; None where that is no GRU of both directions."""
    keras = load_tensorflow().keras
    recurrent = [
        layer for layer in network.layers if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional)
    ]
    if len(recurrent) != 1 or not isinstance(recurrent[0], keras.layers.Bidirectional):
        return None
    (both,) = recurrent
    directions = (both.forward_layer, both.backward_layer)
    if both.merge_mode != "concat" or not all(
        isinstance(layer, keras.layers.GRU) and layer.reset_after and layer.return_sequences
        for layer in directions
    ):
        return None
    forwards, backwards = (_read(layer) for layer in directions)
    return _Part(
        keras.Model(network.input, both.input, name=f"{network.name}_before"),
        (forwards, backwards),
        keras.Model(both.output, network.output, name=f"{network.name}_behind"),
        both.output.shape[1],
    )


def _read(layer: Any) -> _Cell:  # noqa: ANN401 - a Keras layer
    """Return one direction's weights."""
    kernel, recurrent, bias = (np.asarray(weight, dtype=np.float32) for weight in layer.cell.get_weights())
    return _Cell(kernel, recurrent, bias, backwards=bool(layer.go_backwards))


def _go_over(cells: Sequence[tuple[_Cell, Any]]) -> list[Any]:
    """Return the states [shape=(n_frames, n_units)] of GRUs over frames [shape=(n_frames, n_inputs)]."""
    alike: dict[tuple[int, int], list[int]] = {}
    for number, (cell, frames) in enumerate(cells):
        alike.setdefault((frames.shape[0], cell.n_units), []).append(number)
    states: dict[int, Any] = {}
    for numbers in alike.values():
        for first in range(0, len(numbers), _SIDE_BY_SIDE):
            some = numbers[first : first + _SIDE_BY_SIDE]
            states.update(zip(some, _go_together([cells[number] for number in some]), strict=True))
    return [states[number] for number in range(len(cells))]


def _go_together(cells: Sequence[tuple[_Cell, Any]]) -> list[Any]:
    """Do what `_go_over` says, taking each step of all GRUs together.

    A step, of gates z and r, candidate n and state h (the "reset after" form of Keras and of cuDNN):
    ``z, r = sigmoid(W x + b + U h)``, ``n = tanh(W x + b + r (U h + b'))``, ``h = n + z (h - n)``.
    """
    tensorflow = load_tensorflow()
    n_units = cells[0][0].n_units
    gates = 2 * n_units
    projected, weights = [], []
    for cell, frames in cells:
        # The gates' biases of inputs and of state are added up anyway; the candidate's are not.
        of_inputs, of_state = cell.bias[0].copy(), np.zeros_like(cell.bias[1])
        of_inputs[:gates] += cell.bias[1, :gates]
        of_state[gates:] = cell.bias[1, gates:]
        one = tensorflow.matmul(frames, tensorflow.constant(cell.kernel)) + tensorflow.constant(of_inputs)
        projected.append(tensorflow.reverse(one, [0]) if cell.backwards else one)
        weights.append((tensorflow.constant(cell.recurrent), tensorflow.constant(of_state)))
    together = tensorflow.stack(projected, axis=1)
    for_gates = tensorflow.unstack(together[:, :, :gates])
    for_candidates = tensorflow.unstack(together[:, :, gates:])
    state = tensorflow.zeros((len(cells), n_units))
    states = []
    for for_gate, for_candidate in zip(for_gates, for_candidates, strict=True):
        recalled = tensorflow.concat(
            [
                tensorflow.matmul(own, recurrent) + bias
                for own, (recurrent, bias) in zip(tensorflow.split(state, len(cells)), weights, strict=True)
            ],
            axis=0,
        )
        update, reset = tensorflow.split(tensorflow.sigmoid(for_gate + recalled[:, :gates]), 2, axis=1)
        candidate = tensorflow.tanh(for_candidate + reset * recalled[:, gates:])
        state = candidate + update * (state - candidate)
        states.append(state)
    by_cell = tensorflow.unstack(tensorflow.stack(states, axis=1))
    return [
        tensorflow.reverse(one, [0]) if cell.backwards else one
        for one, (cell, _) in zip(by_cell, cells, strict=True)
    ]
