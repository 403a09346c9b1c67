"""A trained model, ready to judge windows: the one place that touches the TFLite runtime."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime import artifact
from realtime.errors import ClassifierError

if TYPE_CHECKING:
    import os

    from realtime.artifact import Artifact
    from realtime.features import FeatureSpec
    from realtime.types import FloatArray, Smoothing

RUNTIMES = ("tflite_runtime.interpreter", "ai_edge_litert.interpreter")
"""Where the interpreter may be found, in order: the same runtime under its older and its newer name."""


class Classifier:
    """Judges feature windows with an artifact's network.

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
        self.artifact = source
        self._interpreter = _interpreter(source)
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        card = source.card
        for what, details, wanted in (
            ("input", self._input, card.input_shape),
            ("output", self._output, card.output_shape),
        ):
            if details["shape"].tolist() != wanted:
                raise ClassifierError(
                    f"{source.path / artifact.MODEL_FILE}: the {what} has shape {details['shape'].tolist()}; "
                    f"wanted {wanted}, which the card says"
                )

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.artifact.card.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""
        return tuple(self.artifact.card.labels)

    @property
    def spec(self) -> FeatureSpec:
        """The features that it judges."""
        return self.artifact.spec

    @property
    def window(self) -> int:
        """Length of a window, in samples."""
        return self.artifact.card.window

    @property
    def hop(self) -> int:
        """Default step between windows, in samples."""
        return self.artifact.card.hop

    @property
    def smoothing(self) -> Smoothing:
        """Default smoothing."""
        return self.artifact.card.smoothing

    def predict(self, features: FloatArray) -> FloatArray:
        """Return the probability of each label [shape=(n_labels,), dtype=float32].

        Parameters
        ----------
        features : np.ndarray [shape=(n_features,) or (n_frames, n_features), dtype=float32]
            Of one window, as `realtime.features.WindowExtractor` gives them.
        """
        network_input = self.artifact.preprocessing(features)[np.newaxis]
        self._interpreter.set_tensor(self._input["index"], _quantised(network_input, self._input))
        self._interpreter.invoke()
        output = self._interpreter.get_tensor(self._output["index"])
        return _tempered(_dequantised(output, self._output)[0], self.artifact.card.temperature)


def load(name_or_path: str | os.PathLike[str] = artifact.DEFAULT_MODEL) -> Classifier:
    """Load a model by its name or by the path of its folder.

    Raises
    ------
    UnknownModelError
        Where there is none; the message lists the models there are.
    ArtifactError
        Where a file is missing, truncated, tampered with, too new, or does not fit the others.
    ClassifierError
        Where no TFLite runtime is installed, or it refuses the model.

    Examples
    --------
    >>> import realtime
    >>> model = realtime.load("ann-392")
    >>> model.labels[:3]
    ('neutral', 'calm', 'happy')
    """
    return Classifier(artifact.read(artifact.find(name_or_path)))


def runtime_name() -> str:
    """Return the package of the TFLite runtime that is used.

    Raises
    ------
    ClassifierError
        Where none is installed.
    """
    return str(_runtime().__name__).partition(".")[0]


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
    path = source.path / artifact.MODEL_FILE
    try:
        # One thread: a window takes microseconds, and waking a second one takes longer. No delegate: for
        # dense layers XNNPACK gains nothing (measured), and it announces itself on standard error.
        interpreter = runtime.Interpreter(
            model_content=source.model,
            num_threads=1,
            experimental_op_resolver_type=runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
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


def _tempered(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Return probabilities as if the logits had been divided by `temperature` before the softmax.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017.
    """
    # Softmax undone up to a constant, which the next softmax cancels; quantised outputs may be zero.
    logits = np.log(np.maximum(probabilities, np.float32(1e-12))) / np.float32(temperature)
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), dtype=np.float32)
