from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from realtime.classifier import RUNTIMES
from realtime.errors import ArtifactError
from training import networks, tflite
from training.export import convert
from training.recipes.schema import Dense, Layer, Lstm

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = np.random.default_rng(0).standard_normal((40, 20)).astype(np.float32)


@pytest.fixture(scope="module")
def keras_model() -> Any:
    networks.seed_everything(0)
    return networks.build(Dense(layers=(Layer(units=64),)), (20,), 3)


@pytest.fixture(scope="module")
def model(keras_model: Any) -> bytes:
    return convert(keras_model, "float32", ROWS)


def edited(model: bytes, edit: Callable[[Any], None]) -> bytes:
    schema = importlib.import_module("tensorflow.lite.python.schema_py_generated")
    unpacked = schema.ModelT.InitFromPackedBuf(model, 0)
    edit(unpacked)
    builder = importlib.import_module("flatbuffers").Builder(0)
    builder.Finish(unpacked.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_the_contents_are_read(model: bytes) -> None:
    contents = tflite.read_contents(model)
    assert set(contents.operators) == {"FULLY_CONNECTED", "SOFTMAX"}
    assert (contents.n_custom, contents.n_states) == (0, 0)
    assert (1, 0) < contents.runtime <= tflite.OLDEST_RUNTIME


def test_a_loop_is_built_in_and_forgets() -> None:
    networks.seed_everything(0)
    frames = np.random.default_rng(0).standard_normal((6, 9, 5)).astype(np.float32)
    looped = convert(networks.build(Lstm(units=(8,)), (9, 5), 3), "float32", frames)
    contents = tflite.read_contents(looped)
    assert "WHILE" in contents.operators
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" not in contents.operators
    assert (contents.n_custom, contents.n_states) == (0, 0)
    # Any order, and any window again, gives the same.
    found = tflite.run_exported(looped, frames)
    assert np.array_equal(tflite.run_exported(looped, frames[::-1])[::-1], found)
    assert np.array_equal(tflite.run_exported(looped, frames[[3, 3, 3]]), found[[3, 3, 3]])


def test_a_sound_model_passes_and_runs(keras_model: Any, model: bytes) -> None:
    tflite.check_runtimes(model)
    found = tflite.run_exported(model, ROWS)
    assert found.dtype == np.float32
    assert found == pytest.approx(np.asarray(keras_model(ROWS)), abs=1e-5)
    assert tflite.run_exported(model, ROWS[:0]).shape == (0, 3)


def test_operations_that_are_not_built_in_are_refused(model: bytes) -> None:
    def make_custom(unpacked: Any) -> None:
        code = unpacked.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = 32
        code.customCode = b"FlexDigamma"

    with pytest.raises(ArtifactError, match=r"needs 1 operations that TFLite does not have, of FlexDigamma"):
        tflite.check_runtimes(edited(model, make_custom))


def test_a_state_between_windows_is_refused(model: bytes) -> None:
    def make_state(unpacked: Any) -> None:
        unpacked.subgraphs[0].tensors[1].isVariable = True

    with pytest.raises(ArtifactError, match="keeps 1 states from one window to the next"):
        tflite.check_runtimes(edited(model, make_state))


def test_operations_that_older_devices_do_not_know_are_refused(keras_model: Any, tmp_path: Any) -> None:
    tensorflow = networks.load_tensorflow()
    signature = [tensorflow.TensorSpec((1, 20), tensorflow.float32)]
    keras_model.export(tmp_path, verbose=False, input_signature=signature)
    converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(tmp_path))
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    newer = converter.convert()
    assert tflite.read_contents(newer).runtime > tflite.OLDEST_RUNTIME
    with pytest.raises(ArtifactError, match=r"needs version 2\.1\d\.0 of the TFLite runtime; .* 2\.14 runs"):
        tflite.check_runtimes(newer)


def test_what_an_installed_runtime_refuses_is_refused(model: bytes) -> None:
    def make_newer(unpacked: Any) -> None:
        unpacked.operatorCodes[0].version = 99

    with pytest.raises(ArtifactError, match=r"(tflite_runtime|ai_edge_litert) refuses the model: .*'99'"):
        tflite.check_runtimes(edited(model, make_newer))


def test_answers_that_are_not_numbers_are_refused(keras_model: Any) -> None:
    broken = networks.load_tensorflow().keras.models.clone_model(keras_model)
    broken.set_weights([np.full_like(weights, np.nan) for weights in keras_model.get_weights()])
    with pytest.raises(ArtifactError, match="something else than numbers"):
        convert(broken, "float32", ROWS)


def test_without_a_runtime_nothing_can_be_checked(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RUNTIMES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ArtifactError, match="no TFLite runtime is installed"):
        tflite.check_runtimes(model)


def test_the_older_runtime_is_left_alone_under_the_newer_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Older:
        __name__ = "tflite_runtime.interpreter"

    class Newer:
        __name__ = "ai_edge_litert.interpreter"

    older, newer = Older(), Newer()
    monkeypatch.setitem(sys.modules, RUNTIMES[0], older)
    monkeypatch.setitem(sys.modules, RUNTIMES[1], newer)
    monkeypatch.setattr(np, "__version__", "1.26.4")
    assert tflite._installed() == [older, newer]
    monkeypatch.setattr(np, "__version__", "2.1.0")
    assert tflite._installed() == [newer]
