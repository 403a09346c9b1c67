"""From Keras to TFLite: converted, run by the runtime of small devices, refused where it disagrees."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from realtime.classifier import Classifier
from realtime.errors import ArtifactError
from training.networks import load_tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime.artifact import Artifact
    from realtime.types import FloatArray

Quantisation = Literal["float32", "float16", "int8"]
QUANTISATIONS: tuple[Quantisation, ...] = ("float32", "float16", "int8")

TOLERANCES: dict[Quantisation, float] = {"float32": 1e-4, "float16": 0.01, "int8": 0.25}
"""Largest difference of a probability from Keras's that is let pass, on real windows.

For float32 it is the project's promise. The others are bounds above what was measured, to catch a conversion
gone wrong; the card says what was measured.
"""
_N_REPRESENTATIVE = 500
"""Windows that show the converter the range of every tensor."""


def convert(model: Any, quantisation: Quantisation, representative: FloatArray) -> bytes:  # noqa: ANN401 - Keras
    """Return a Keras model as TFLite, of built-in operations alone.

    Parameters
    ----------
    model
        A Keras model with one input and one output.
    quantisation
        ``float32``: as trained; ``float16``: weights in half precision; ``int8``: weights and arithmetic in
        eight bits, between float32 inputs and outputs.
    representative : np.ndarray [shape=(n, n_selected), dtype=float32]
        Network inputs, of the training part.

    Raises
    ------
    ArtifactError
        Where the network needs operations that the TFLite runtime does not have.
    """
    tensorflow = load_tensorflow()

    with tempfile.TemporaryDirectory() as folder, _quiet():
        # By way of a saved model: `from_keras_model` does not know Keras 3, and functions taken from it
        # keep variables that the converter aborts on. A batch of one, fixed: the runtime needs no more.
        model.export(
            folder,
            verbose=False,
            input_signature=[tensorflow.TensorSpec((1, *model.input_shape[1:]), tensorflow.float32)],
        )
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(folder)
        _set_precision(converter, quantisation, representative)
        try:
            return bytes(converter.convert())
        except Exception as error:
            # The converter raises classes of its own, with pages of text; its reason is in the first line.
            if type(error).__name__ not in {"ConverterError", "ValueError", "RuntimeError"}:
                raise
            reason = str(error).strip().partition("\n")[0]
            raise ArtifactError(
                f"the network cannot be made a TFLite model of built-in operations: {reason}; "
                "use layers that TFLite has (SELECT_TF_OPS is not in the runtime of small devices)"
            ) from error


def _set_precision(converter: Any, quantisation: Quantisation, representative: FloatArray) -> None:  # noqa: ANN401
    operations = load_tensorflow().lite.OpsSet
    converter.target_spec.supported_ops = [operations.TFLITE_BUILTINS]
    if quantisation == "float32":
        return
    converter.optimizations = [load_tensorflow().lite.Optimize.DEFAULT]
    if quantisation == "float16":
        converter.target_spec.supported_types = [load_tensorflow().float16]
    else:
        converter.target_spec.supported_ops = [operations.TFLITE_BUILTINS_INT8]
        step = max(1, len(representative) // _N_REPRESENTATIVE)
        converter.representative_dataset = lambda: ([row[np.newaxis]] for row in representative[::step])


def measure_parity(artifact: Artifact, features: FloatArray, expected: FloatArray) -> float:
    """Return the largest difference between the recognizer's probabilities and Keras's.

    The recognizer's own classifier runs the model, so this checks selection, scaling, network and
    temperature in one.

    Parameters
    ----------
    artifact
        The model; it need not be on disk yet.
    features : np.ndarray [shape=(n, n_features), dtype=float32]
        Real windows.
    expected : np.ndarray [shape=(n, n_labels), dtype=float32]
        Keras's tempered probabilities of them.

    Raises
    ------
    ArtifactError
        Where they differ by more than `TOLERANCES` lets pass.
    """
    classifier = Classifier(artifact)
    found = np.stack([classifier.predict(window) for window in features])
    parity = float(np.abs(found - expected).max())
    tolerance = TOLERANCES[artifact.card.quantisation]
    if not parity <= tolerance:
        raise ArtifactError(
            f"{artifact.path}: TFLite and Keras differ by {parity:.2g} in a probability, on {len(features)} "
            f"windows; wanted at most {tolerance:g} for {artifact.card.quantisation}: nothing is written"
        )
    return parity


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
