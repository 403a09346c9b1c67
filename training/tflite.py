"""What a TFLite file holds, and whether the runtimes of small devices run it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime.classifier import FRAMES, RUNTIMES, make_interpreter
from realtime.errors import ArtifactError
from training.networks import load_tensorflow

if TYPE_CHECKING:
    from realtime.types import FloatArray

OLDEST_RUNTIME = (2, 14)
"""The oldest runtime that models must run in: the last version of tflite-runtime."""
_VERSION = b"min_runtime_version"
"""What the converter calls the oldest runtime that knows all operations of a model, in their versions."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a TFLite file says of itself.

    Parameters
    ----------
    operators
        Names of the operations in it, each once, in the order of their first use; one that is not built in
        has the name of its maker, such as ``FlexDigamma``.
    n_custom
        How many of them are not built in.
    n_states
        Number of tensors that keep their values from one run to the next.
    runtime
        The oldest version that knows its operations; empty where the converter does not say.
    """

    operators: tuple[str, ...]
    n_custom: int
    n_states: int
    runtime: tuple[int, ...]


def read_contents(model: bytes) -> Contents:
    """Return what a TFLite file says of itself."""
    load_tensorflow()
    # TensorFlow's own reader of the format: https://ai.google.dev/edge/api/tflite/python
    schema = importlib.import_module("tensorflow.lite.python.schema_py_generated")
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    root = schema.Model.GetRootAs(model, 0)
    operators: list[str] = []
    n_custom = 0
    for number in range(root.OperatorCodesLength()):
        code = root.OperatorCodes(number)
        # Codes above 127 are in the newer of two fields.
        name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        if name == "CUSTOM":
            n_custom += 1
            name = (code.CustomCode() or b"CUSTOM").decode()
        operators.append(name)
    graphs = [root.Subgraphs(number) for number in range(root.SubgraphsLength())]
    n_states = sum(
        graph.Tensors(number).IsVariable() for graph in graphs for number in range(graph.TensorsLength())
    )
    return Contents(tuple(operators), n_custom, n_states, _read_version(root))


def check_runtimes(model: bytes) -> None:
    """Refuse a model that a device's runtime would refuse, or that would remember earlier windows.

    Every runtime that is installed judges one window of zeros with it; for the others stands what the file
    says of itself.

    Parameters
    ----------
    model
        A TFLite file's content.

    Raises
    ------
    ArtifactError
        Where it needs operations that are not built in or are too new, keeps a state between windows, is
        refused by an installed runtime, gives something else than numbers, or no runtime is installed.
    """
    contents = read_contents(model)
    if contents.n_custom:
        raise ArtifactError(
            f"the model needs {contents.n_custom} operations that TFLite does not have, of "
            f"{', '.join(contents.operators)}; wanted built-in ones alone: use other layers"
        )
    if contents.runtime > OLDEST_RUNTIME:
        raise ArtifactError(
            f"the model needs version {_dotted(contents.runtime)} of the TFLite runtime; wanted one that "
            f"{_dotted(OLDEST_RUNTIME)} runs, the last that many devices have: use other layers"
        )
    if contents.n_states:
        raise ArtifactError(
            f"the model keeps {contents.n_states} states from one window to the next; wanted none, since no "
            "prediction may depend on what was heard before its window: use other layers"
        )
    for runtime in _installed():
        interpreter = _load(runtime, model, over_frames=False)
        shape = interpreter.get_input_details()[0]["shape"]
        if len(shape) >= FRAMES:
            interpreter = _load(runtime, model, over_frames=True)
        if not np.isfinite(_judge(interpreter, np.zeros(shape, dtype=np.float32))).all():
            raise ArtifactError(
                f"{_package(runtime)} gives something else than numbers for a window of zeros: the network's "
                "weights are not finite, or too large for this quantisation"
            )


def run_exported(model: bytes, inputs: FloatArray) -> FloatArray:
    """Return the untempered probabilities [shape=(n, n_labels), dtype=float32] that a runtime gives.

    Parameters
    ----------
    model
        A TFLite file's content, with float32 inputs and outputs and a batch of one.
    inputs : np.ndarray [shape=(n, n_selected) or (n, n_frames, n_selected), dtype=float32]
        Scaled features.

    Raises
    ------
    ArtifactError
        Where no runtime is installed, or it refuses the model.
    """
    interpreter = _load(_installed()[0], model, over_frames=inputs.ndim >= FRAMES)
    n_labels = interpreter.get_output_details()[0]["shape"][-1]
    found = np.empty((len(inputs), n_labels), dtype=np.float32)
    for number, row in enumerate(inputs):
        found[number] = _judge(interpreter, row[np.newaxis])[0]
    return found


def _installed() -> list[Any]:
    """Return the runtimes that can be used here, in the order in which the recognizer looks for them."""
    found = []
    for name in RUNTIMES:
        # It imports under NumPy 2, but fails as soon as it loads a model.
        if name.startswith("tflite_runtime") and int(np.__version__.partition(".")[0]) > 1:
            continue
        try:
            found.append(importlib.import_module(name))
        except ModuleNotFoundError:
            continue
    if not found:
        wanted = " or ".join(name.partition(".")[0] for name in RUNTIMES)
        raise ArtifactError(
            f"no TFLite runtime is installed to run the model with; wanted {wanted}: "
            "install tonewatch again with pip"
        )
    return found


def _load(runtime: Any, model: bytes, *, over_frames: bool) -> Any:  # noqa: ANN401 - without types
    """Return an interpreter as the recognizer makes it."""
    try:
        return make_interpreter(runtime, model, over_frames=over_frames)
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ArtifactError(f"{_package(runtime)} refuses the model: {reason}") from None


def _judge(interpreter: Any, row: FloatArray) -> FloatArray:  # noqa: ANN401 - neither runtime carries types
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], row)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def _read_version(root: Any) -> tuple[int, ...]:  # noqa: ANN401 - TensorFlow carries no types
    for number in range(root.MetadataLength()):
        entry = root.Metadata(number)
        if entry.Name() == _VERSION:
            text = root.Buffers(entry.Buffer()).DataAsNumpy().tobytes().rstrip(b"\0").decode()
            return tuple(int(part) for part in text.split(".")) if text else ()
    return ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _package(runtime: Any) -> str:  # noqa: ANN401 - neither runtime carries types
    return str(runtime.__name__).partition(".")[0]
