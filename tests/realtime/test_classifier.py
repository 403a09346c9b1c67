"""The classifier: every way of storing weights agrees with Keras, and what cannot run is refused."""

from __future__ import annotations

import builtins
import errno
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from realtime import artifact, classifier
from realtime.errors import ClassifierError
from realtime.features import FeatureSpec
from realtime.loaded import LoadedModel
from realtime.types import LABELS, FloatArray

MODELS = Path(__file__).parent / "models"


@pytest.mark.parametrize(
    ("name", "difference"),
    [("tiny-float32", 1e-4), ("tiny-float16", 1e-3), ("tiny-int8", 0.02), ("tiny-frames", 1e-4)],
)
def test_agrees_with_keras(name: str, difference: float) -> None:
    model = classifier.load(MODELS / name)
    with np.load(MODELS / name / "expected.npz") as expected:
        features, probabilities = expected["features"], expected["probabilities"]
    found = np.stack([model.predict(row) for row in features])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, probabilities, atol=difference)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    # The answers differ from window to window, or agreement would mean little.
    assert len(set(found.argmax(axis=1))) > 2


def test_says_what_it_is() -> None:
    model = classifier.load(MODELS / "tiny-float32")
    assert model.name == "tiny-float32"
    assert model.labels == LABELS
    assert isinstance(model.spec, FeatureSpec)
    assert (model.window, model.hop) == (48_000, 8_000)
    assert model.smoothing.method == "exponential"


class Told(LoadedModel):
    """Gives what it is told to."""

    def __init__(self, source: artifact.Artifact, raw: list[float]) -> None:
        super().__init__(source)
        self._raw = np.asarray([raw], dtype=np.float32)

    def _run(self, _row: FloatArray) -> FloatArray:
        return self._raw


def test_intensity_stands_behind_the_labels() -> None:
    sound = artifact.read(MODELS / "tiny-float32")
    row = np.zeros(sound.card.n_features, dtype=np.float32)
    probabilities = [0.9, *[0.1 / (len(LABELS) - 1)] * (len(LABELS) - 1)]
    assert Told(sound, probabilities).judge(row).intensity is None
    both = replace(sound, card=msgspec.structs.replace(sound.card, intensity=True))
    # Quantised, it may lie a little outside.
    for raw, expected in ((0.25, 0.25), (1.01, 1.0), (-0.01, 0.0)):
        found = Told(both, [*probabilities, raw]).judge(row)
        assert found.intensity == pytest.approx(expected)
        np.testing.assert_allclose(found.probabilities, probabilities, atol=1e-6)


def test_nothing_is_said_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    """XNNPACK says once in a process that it is there; what others say meanwhile is not lost."""
    code = f"import realtime; realtime.load({str(MODELS / 'tiny-frames')!r})"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stderr
    assert said == b""
    real = classifier._runtime()

    def load(**settings: Any) -> Any:
        os.write(2, b"something else\nCreated TensorFlow Lite XNNPACK delegate for CPU.\n")
        return real.Interpreter(**settings)

    talkative = SimpleNamespace(OpResolverType=real.OpResolverType, Interpreter=load)
    model = artifact.read(MODELS / "tiny-frames").model
    assert classifier.make_interpreter(talkative, model, over_frames=True).get_input_details()
    with pytest.raises(ValueError, match="model"):
        classifier.make_interpreter(talkative, b"no model at all", over_frames=True)
    assert capfd.readouterr().err == 2 * "something else\n"


def test_without_standard_error_models_are_loaded_all_the_same() -> None:
    code = f"import os, realtime; os.close(2); print(realtime.load({str(MODELS / 'tiny-frames')!r}).name)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "tiny-frames\n"


def test_where_no_file_can_be_made_models_are_loaded_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    def load(**settings: Any) -> Any:
        os.write(2, b"something else\n")
        return real.Interpreter(**settings)

    real = classifier._runtime()
    talkative = SimpleNamespace(OpResolverType=real.OpResolverType, Interpreter=load)
    model = artifact.read(MODELS / "tiny-frames").model
    before = os.fstat(2)
    # Full disks and folders that nobody may write do not matter where there are files in memory.
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    if hasattr(os, "memfd_create"):
        assert classifier.make_interpreter(talkative, model, over_frames=True).get_input_details()
        monkeypatch.setattr(os, "memfd_create", refuse)
    free = os.dup(2)
    os.close(free)
    assert classifier.make_interpreter(talkative, model, over_frames=True).get_input_details()
    again = os.dup(2)
    os.close(again)
    assert again == free, "a descriptor was left open"
    assert os.path.samestat(os.fstat(2), before)
    assert set(capfd.readouterr().err.splitlines()) >= {"something else"}


class Slow:
    """An interpreter that leaves other threads time to come between."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter

    def invoke(self) -> None:
        time.sleep(1e-3)
        self._interpreter.invoke()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._interpreter, name)


def test_threads_may_share_a_model() -> None:
    model = classifier.Classifier(artifact.read(MODELS / "tiny-float32"))
    with np.load(MODELS / "tiny-float32" / "expected.npz") as expected:
        features = expected["features"][:8]
    wanted = [model.predict(row) for row in features]
    model._interpreter = Slow(model._interpreter)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(model.predict, features))
    np.testing.assert_array_equal(found, wanted)


def test_networks_over_frames_are_run_by_xnnpack() -> None:
    for name, expected in (("tiny-frames", True), ("tiny-float32", False)):
        operations = classifier.load(MODELS / name)._interpreter._get_ops_details()  # type: ignore[attr-defined]
        assert ("DELEGATE" in {operation["op_name"] for operation in operations}) is expected


def test_temperature_divides_logits() -> None:
    sound = artifact.read(MODELS / "tiny-float32")
    with np.load(MODELS / "tiny-float32" / "expected.npz") as expected:
        row = expected["features"][0]
    plain = classifier.Classifier(sound).predict(row).astype(np.float64)
    card = msgspec.structs.replace(sound.card, temperature=2.0)
    warm = classifier.Classifier(replace(sound, card=card)).predict(row)
    powers = np.exp(np.log(plain) / 2)
    np.testing.assert_allclose(warm, powers / powers.sum(), rtol=1e-4)


def test_a_model_that_the_runtime_refuses() -> None:
    sound = artifact.read(MODELS / "tiny-float32")
    with pytest.raises(ClassifierError, match=r"model\.tflite: the TFLite runtime refuses the model"):
        classifier.Classifier(replace(sound, model=b"no model at all"))


def test_a_model_of_another_shape_than_its_card_says() -> None:
    sound = artifact.read(MODELS / "tiny-float32")
    other = artifact.read(MODELS / "tiny-frames")
    with pytest.raises(ClassifierError, match=r"the input has shape \[1, 118, 33\]; wanted \[1, 30\]"):
        classifier.Classifier(replace(sound, model=other.model))


def test_without_a_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ClassifierError, match="no TFLite runtime is installed; wanted tflite-runtime or"):
        classifier.load(MODELS / "tiny-float32")


def test_the_older_runtime_under_the_newer_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = SimpleNamespace(__name__="tflite_runtime.interpreter")
    monkeypatch.setattr(classifier, "_runtime", lambda: runtime)
    monkeypatch.setattr(np, "__version__", "2.1.0")
    with pytest.raises(ClassifierError, match=r"cannot work with NumPy 2\.1\.0; wanted NumPy below 2"):
        classifier.load(MODELS / "tiny-float32")


def test_the_runtime_is_the_one_that_this_environment_is_for() -> None:
    """CI runs all tests under both runtimes, and says which one an environment is for."""
    wanted = os.environ.get("TONEWATCH_RUNTIME")
    found = classifier.runtime_name()
    assert found in {"tflite_runtime", "ai_edge_litert"}
    assert wanted in {None, found}


def test_loading_imports_nothing_of_the_training_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = shutil.copytree(MODELS / "tiny-float32", tmp_path / "m")
    real = builtins.__import__

    def guarded(name: str, *rest: Any) -> Any:
        assert name.partition(".")[0] not in {"tensorflow", "keras", "sklearn", "librosa", "scipy"}
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", guarded)
    classifier.load(folder)
