"""Networks, ready to judge windows: the one place that touches the TFLite runtime."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from realtime import artifact
from realtime.errors import ClassifierError
from realtime.heap import keep_freed
from realtime.loaded import LoadedModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime.artifact import Artifact
    from realtime.types import FloatArray

RUNTIMES = ("tflite_runtime.interpreter", "ai_edge_litert.interpreter")
"""Where the interpreter may be found, in order: the same runtime under its older and its newer name."""
FRAMES: Final = 3
"""Dimensions of the input of a network over frames, the batch's among them."""
_ANNOUNCEMENT: Final = b"XNNPACK delegate"


class Classifier(LoadedModel):
    """Judges feature windows with an artifact's network; any thread may ask.

    Parameters
    ----------
    source
        A model that `realtime.artifact.read` has checked.

    Raises
    ------
    ClassifierError
        Where no TFLite runtime is installed, or it refuses the model.
    """

    def __init__(self, source: Artifact) -> None:
        super().__init__(source)
        self._interpreter = _interpreter(source)
        self._lock = threading.Lock()
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        card = source.card
        for what, details, wanted in (
            ("input", self._input, card.input_shape),
            ("output", self._output, card.output_shape),
        ):
            if details["shape"].tolist() != wanted:
                raise ClassifierError(
                    f"{source.model_path}: the {what} has shape {details['shape'].tolist()}; "
                    f"wanted {wanted}, which the card says"
                )

    def _run(self, row: FloatArray) -> FloatArray:
        inputs = _quantised(row, self._input)
        # An interpreter holds one input and one output: threads would judge each other's windows.
        with self._lock:
            self._interpreter.set_tensor(self._input["index"], inputs)
            self._interpreter.invoke()
            outputs = self._interpreter.get_tensor(self._output["index"])
        return _dequantised(outputs, self._output)


def load(name_or_path: str | os.PathLike[str] = artifact.DEFAULT_MODEL) -> LoadedModel:
    """Load a model by its name or by the path of its folder.

    Returns
    -------
    LoadedModel
        A `Classifier` where the artifact holds a network, an `Estimator` where it holds an estimator.

    Raises
    ------
    UnknownModelError
        Where there is none; the message lists the models there are.
    ArtifactError
        Where a file is missing, truncated, tampered with, too new, or does not fit the others.
    ClassifierError
        Where what runs it is not installed, or refuses it.

    Examples
    --------
    >>> import realtime
    >>> model = realtime.load("ann-392")
    >>> model.labels[:3]
    ('neutral', 'calm', 'happy')
    """
    keep_freed()
    source = artifact.read(artifact.find(name_or_path))
    if source.card.runtime == "skops":
        from realtime.estimator import Estimator  # noqa: PLC0415 - most models are networks

        return Estimator(source)
    return Classifier(source)


def runtime_name() -> str:
    """Return the package of the TFLite runtime that is used.

    Raises
    ------
    ClassifierError
        Where none is installed.
    """
    return str(_runtime().__name__).partition(".")[0]


def make_interpreter(runtime: Any, model: bytes, *, over_frames: bool) -> Any:  # noqa: ANN401 - without types
    """Return what runs a model, on one thread: a window takes less than waking a second one would.

    Parameters
    ----------
    runtime
        One of `RUNTIMES`, imported.
    model
        A TFLite file's content.
    over_frames
        Whether its input is frames. Such networks are run by XNNPACK, where the runtime has it: convolutions
        take a quarter of the time. Dense ones gain nothing by it (measured).

    Raises
    ------
    ValueError, RuntimeError
        Where the runtime refuses the model.
    """
    resolvers = runtime.OpResolverType
    with _unannounced():
        interpreter = runtime.Interpreter(
            model_content=model,
            num_threads=1,
            experimental_op_resolver_type=(
                resolvers.AUTO if over_frames else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            ),
        )
        interpreter.allocate_tensors()
    return interpreter


@contextlib.contextmanager
def _unannounced() -> Iterator[None]:
    """Keep off standard error that XNNPACK is there, which it says past Python; all else comes later."""
    with contextlib.ExitStack() as stack:
        # There may be no standard error to be kept clean, and nowhere to keep what is said meanwhile.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stderr.flush()
            kept = os.dup(2)
            stack.callback(os.close, kept)
            file = stack.enter_context(_open_scratch())
            stack.callback(_give_back, kept, file)
            os.dup2(file.fileno(), 2)
        yield


def _open_scratch() -> IO[bytes]:
    """Return a file that has no name: in memory, where the system has such files.

    Raises
    ------
    OSError
        Where there is no room for one.
    """
    try:
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    except (AttributeError, OSError):
        return tempfile.TemporaryFile()


def _give_back(kept: int, file: IO[bytes]) -> None:
    """Let descriptor 2 be standard error again, and say there what was said in a file meanwhile."""
    os.dup2(kept, 2)
    with contextlib.suppress(OSError):
        file.seek(0)
        os.write(kept, b"".join(line for line in file if _ANNOUNCEMENT not in line))


def _runtime() -> Any:  # noqa: ANN401 - neither runtime carries types
    for name in RUNTIMES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ClassifierError(
        "no TFLite runtime is installed; wanted tflite-runtime or ai-edge-litert: "
        "install tonewatch again with pip"
    )


def _interpreter(source: Artifact) -> Any:  # noqa: ANN401 - neither runtime carries types
    runtime = _runtime()
    if runtime.__name__.startswith("tflite_runtime") and int(np.__version__.partition(".")[0]) > 1:
        raise ClassifierError(
            f"tflite-runtime cannot work with NumPy {np.__version__}; wanted NumPy below 2, "
            "or ai-edge-litert in its place: pip install 'numpy<2'"
        )
    path = source.model_path
    try:
        interpreter = make_interpreter(
            runtime, source.model, over_frames=len(source.card.input_shape) >= FRAMES
        )
    except (ValueError, RuntimeError) as error:
        raise ClassifierError(f"{path}: the TFLite runtime refuses the model: {error}") from None
    if len(interpreter.get_input_details()) != 1 or len(interpreter.get_output_details()) != 1:
        raise ClassifierError(f"{path}: wanted a model with one input and one output")
    return interpreter


def _quantised(values: FloatArray, tensor: dict[str, Any]) -> Any:  # noqa: ANN401 - of the tensor's type
    if np.issubdtype(tensor["dtype"], np.floating):
        return values.astype(tensor["dtype"], copy=False)
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max).astype(tensor["dtype"])


def _dequantised(values: Any, tensor: dict[str, Any]) -> FloatArray:  # noqa: ANN401 - of the tensor's type
    if np.issubdtype(tensor["dtype"], np.floating):
        return np.asarray(values, dtype=np.float32)
    scale, zero_point = tensor["quantization"]
    return np.asarray((values.astype(np.float32) - zero_point) * np.float32(scale), dtype=np.float32)
