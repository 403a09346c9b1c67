"""From Keras to TFLite: converted, run by the runtimes of small devices, refused where they disagree.

What each precision is, and what it costs, beside float32:

- ``float32``: as trained.
- ``float16``: weights in half precision, arithmetic in single precision; half the size, the same time.
- ``int8``, dense networks: weights and arithmetic in eight bits; a quarter to a third of the size.
- ``int8``, networks over frames: weights in eight bits, of which floats are made when the file is loaded;
  arithmetic in floats. A quarter to a third of the size, the same time.

Networks over frames are not quantised further, because it was tried. Products in eight bits, whose other
factor is scaled anew each time, take longer than XNNPACK's in floats (cnn 0.60 ms instead of 0.38, cnn-lstm
0.51 and 0.22, lstm 1.45 and 1.04) and are half as exact. With all arithmetic in eight bits, convolutions took
half as long again and were half as exact; inside a loop, which recurrent layers become, the converter cannot
do it and aborts. TFLite's fused LSTM can, but is slower still (13 ms for two layers of 128 over 118 frames,
where the loop takes 3 to 7), and keeps its state from one window to the next, which no prediction may depend
on. GRUs of few steps are unrolled (`training.recurrence`): a quarter to a third of the time.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from realtime.classifier import FRAMES
from realtime.errors import ArtifactError
from training.interrupts import between_steps
from training.networks import load_tensorflow
from training.recurrence import unroll
from training.rounding import compute_in_floats
from training.tflite import check_runtimes, run_exported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime.loaded import LoadedModel
    from realtime.types import FloatArray

__all__ = [
    "N_REPRESENTATIVE",
    "QUANTISATIONS",
    "TOLERANCES",
    "Exported",
    "Quantisation",
    "convert",
    "convert_all",
    "measure_parity",
    "run_exported",
]

Quantisation = Literal["float32", "float16", "int8"]
QUANTISATIONS: tuple[Quantisation, ...] = ("float32", "float16", "int8")

TOLERANCES: dict[Quantisation, float] = {"float32": 1e-4, "float16": 0.01, "int8": 0.25}
"""Largest difference of a probability from Keras's that is let pass, on real windows.

For float32 it is the project's promise. The others are bounds above what was measured, to catch a conversion
gone wrong; the card says what was measured.
"""
N_REPRESENTATIVE = 500
"""Windows that show the converter the range of every tensor."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A network as TFLite, in one precision.

    Parameters
    ----------
    quantisation
        How its weights are stored.
    model
        The TFLite file's content.
    parity
        Largest difference of a probability from Keras's.
    agreement
        Share of the windows to which both give the same label.
    """

    quantisation: Quantisation
    model: bytes
    parity: float
    agreement: float


def convert(model: Any, quantisation: Quantisation, representative: FloatArray) -> bytes:  # noqa: ANN401 - Keras
    """Return a Keras model as TFLite, of built-in operations alone, that every installed runtime runs.

    Parameters
    ----------
    model
        A Keras model with one input and one output.
    quantisation
        ``float32``: as trained; ``float16``: weights in half precision; ``int8``: weights in eight bits, and
        all arithmetic too where the network is dense. Inputs and outputs are float32 in each.
    representative : np.ndarray [shape=(n, n_selected) or (n, n_frames, n_selected), dtype=float32]
        Network inputs, of the training part.

    Raises
    ------
    ArtifactError
        Where the network needs operations that the TFLite runtime does not have, or a runtime refuses it.
    """
    tensorflow = load_tensorflow()

    with between_steps(), tempfile.TemporaryDirectory() as folder, _quiet():
        _save(model, folder)
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(folder)
        _set_precision(converter, quantisation, representative)
        try:
            converted = bytes(converter.convert())
        except Exception as error:
            # The converter raises classes of its own, with pages of text; its reason is in the first line.
            if type(error).__name__ not in {"ConverterError", "ValueError", "RuntimeError"}:
                raise
            reason = str(error).strip().partition("\n")[0]
            raise ArtifactError(
                f"the network cannot be made a TFLite model of built-in operations: {reason}; "
                "use layers that TFLite has (SELECT_TF_OPS is not in the runtime of small devices)"
            ) from error
    if quantisation == "int8" and representative.ndim >= FRAMES:
        converted = compute_in_floats(converted)
    check_runtimes(converted)
    return converted


def convert_all(
    model: Any,  # noqa: ANN401 - a Keras model
    representative: FloatArray,
    inputs: FloatArray,
    *,
    n_labels: int | None = None,
) -> tuple[Exported, ...]:
    """Return a Keras model as TFLite in every precision, each compared with it.

    None is refused for what it costs: `TOLERANCES` is for the one that is shipped.

    Parameters
    ----------
    model
        A Keras model with one input and one output.
    representative : np.ndarray [shape=(n, ...), dtype=float32]
        Network inputs, of the training part.
    inputs : np.ndarray [shape=(n, ...), dtype=float32]
        Network inputs that the two are compared on, of another part.
    n_labels
        How many of the outputs are labels' probabilities; all of them by default.

    Raises
    ------
    ArtifactError
        Where the network needs operations that the TFLite runtime does not have, or a runtime refuses it.
    """
    expected = np.asarray(model.predict(inputs, verbose=0), dtype=np.float32)
    made = []
    for quantisation in QUANTISATIONS:
        converted = convert(model, quantisation, representative)
        found = run_exported(converted, inputs)
        same = found[:, :n_labels].argmax(axis=1) == expected[:, :n_labels].argmax(axis=1)
        agreement = float(same.mean())
        made.append(Exported(quantisation, converted, float(np.abs(found - expected).max()), agreement))
    return tuple(made)


def measure_parity(model: LoadedModel, features: FloatArray, expected: FloatArray) -> float:
    """Return the largest difference between the recognizer's probabilities and the trained model's.

    The recognizer's own code runs the model, so this checks selection, scaling, network and temperature in
    one.

    Parameters
    ----------
    model
        As the recognizer loads it; its artifact need not be on disk yet.
    features : np.ndarray [shape=(n, n_features) or (n, n_frames, n_features), dtype=float32]
        Real windows.
    expected : np.ndarray [shape=(n, n_labels), dtype=float32]
        The trained model's tempered probabilities of them.

    Raises
    ------
    ArtifactError
        Where they differ by more than `TOLERANCES` lets pass.
    """
    found = np.stack([model.predict(window) for window in features])
    parity = float(np.abs(found - expected).max())
    source = model.artifact
    tolerance = TOLERANCES[source.card.quantisation]
    if not parity <= tolerance:
        raise ArtifactError(
            f"{source.path}: the exported and the trained model differ by {parity:.2g} in a probability, on "
            f"{len(features)} windows; wanted at most {tolerance:g} for {source.card.quantisation}: "
            "nothing is written"
        )
    return parity


def _save(model: Any, folder: str) -> None:  # noqa: ANN401 - Keras
    """Write a network as a saved model, which sees one window, without loops where they can be unrolled.

    By way of a saved model, since `from_keras_model` does not know Keras 3, and functions taken from it keep
    variables that the converter aborts on. A batch of one, fixed: the runtime needs no more, and loops over
    frames become built-in operations only where every shape is known.
    """
    tensorflow = load_tensorflow()
    signature = [tensorflow.TensorSpec((1, *model.input_shape[1:]), tensorflow.float32)]
    unrolled = unroll(model)
    if unrolled is None:
        model.export(folder, verbose=False, input_signature=signature)
        return
    call, models = unrolled
    archive = tensorflow.keras.export.ExportArchive()
    for one in models:
        archive.track(one)
    archive.add_endpoint("serve", call, input_signature=signature)
    archive.write_out(folder, verbose=False)


def _set_precision(converter: Any, quantisation: Quantisation, representative: FloatArray) -> None:  # noqa: ANN401
    tensorflow = load_tensorflow()
    operations = tensorflow.lite.OpsSet
    converter.target_spec.supported_ops = [operations.TFLITE_BUILTINS]
    if quantisation == "float32":
        return
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if quantisation == "float16":
        converter.target_spec.supported_types = [tensorflow.float16]
    elif representative.ndim >= FRAMES:
        # One scale for each dense layer, not one for each of its columns, which the tflite-runtime of
        # version 2.14 does not know.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001
    else:
        converter.target_spec.supported_ops = [operations.TFLITE_BUILTINS_INT8]
        step = max(1, len(representative) // N_REPRESENTATIVE)
        converter.representative_dataset = lambda: ([row[np.newaxis]] for row in representative[::step])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the screen what the converter's C++ side writes past Python's streams."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere, contextlib.redirect_stdout(io.StringIO()):
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
