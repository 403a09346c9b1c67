"""Makes the small models that the tests of `realtime` load, which must do without the training stack.

``python tests/training/make_test_models.py`` writes ``tests/realtime/models/tiny-*``: one per way of
storing weights, one that sees frames, and one per kind of estimator; with names, those alone. Each folder
also holds ``expected.npz``, features with the probabilities that Keras gives for them, or that the estimator
gave where it was made. They are trained for nothing: their answers mean nothing.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
import tensorflow as tf

from realtime import artifact
from realtime.features import Delta, FeatureSpec, Mel, Mfcc, WindowExtractor
from realtime.types import LABELS
from training import estimators
from training.recipes.schema import Forest, Neighbours, Svm

if TYPE_CHECKING:
    import numpy.typing as npt

    from training.recipes.schema import Estimator

FOLDER = Path(__file__).resolve().parent.parent / "realtime" / "models"
WINDOW, HOP = 48_000, 8_000
Quantisation = Literal["float32", "float16", "int8"]

POOLED = FeatureSpec(
    families=(
        Mfcc(n=13, n_mels=40, pool=("mean", "std")),
        Delta(of="mfcc", n=13, pool=("std",)),
        Mel(n=20, pool=("mean",)),
    )
)
FRAMES = FeatureSpec(families=(Mfcc(n=13, n_mels=40), Mel(n=20)), output="frames")


def recordings() -> npt.NDArray[np.float32]:
    """Make half a minute of a voice-like signal with changing pitch, loudness and brightness."""
    rng = np.random.default_rng(20)
    n = 30 * POOLED.sample_rate
    time = np.arange(n) / POOLED.sample_rate
    phase = 2 * np.pi * np.cumsum(150 + 60 * np.sin(0.7 * time)) / POOLED.sample_rate
    brightness = 1 + 0.8 * np.sin(0.9 * time)
    tone = np.sum([np.sin(k * phase) / k**brightness for k in range(1, 12)], axis=0)
    loudness = 0.02 + 0.1 * (1 + np.sin(0.4 * time)) * (np.sin(9 * time) > -0.5)
    return np.asarray(loudness * tone + 0.001 * rng.standard_normal(n), dtype=np.float32)


def network(shape: tuple[int, ...]) -> tf.keras.Model:
    """Build a small network with the layers that real ones have."""
    layers = tf.keras.layers
    steps = [tf.keras.Input(shape)]
    if len(shape) > 1:
        steps += [layers.Conv1D(8, 5, activation="relu"), layers.GlobalAveragePooling1D()]
    steps += [
        layers.Dense(16, activation="relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.3),
        layers.Dense(len(LABELS), activation="softmax"),
    ]
    return tf.keras.Sequential(steps)


def convert(model: tf.keras.Model, rows: npt.NDArray[np.float32], quantisation: Quantisation) -> bytes:
    """Convert with built-in operations alone; int8 models take and give int8."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantisation != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantisation == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantisation == "int8":
        converter.representative_dataset = lambda: ([row[np.newaxis]] for row in rows)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def prepare(spec: FeatureSpec) -> tuple[npt.NDArray[np.float32], artifact.Preprocessing]:
    """Return the features of all windows, and what selects and scales them."""
    windows = WindowExtractor(spec, window=WINDOW, hop=HOP).push(recordings())
    features = np.stack([window.features for window in windows])
    selected = np.arange(0, spec.n_values, 1 if spec.output == "frames" else 2)
    axes = tuple(range(features.ndim - 1))
    return features, artifact.Preprocessing(
        selected=selected.astype(np.int64),
        mean=features[..., selected].mean(axis=axes),
        scale=features[..., selected].std(axis=axes) + np.float32(1e-3),
    )


def classes(n: int) -> npt.NDArray[np.int64]:
    """Return a class for each window: they change as time goes on."""
    return np.arange(n) * len(LABELS) // n


def describe(name: str, spec: FeatureSpec, rows: npt.NDArray[np.float32]) -> artifact.Card:
    """Return the card of a network that sees these rows."""
    return artifact.Card(
        format_version=artifact.FORMAT_VERSION,
        name=name,
        description="a small model for tests; its answers mean nothing",
        labels=list(LABELS),
        features=spec.to_dict(),
        window=WINDOW,
        hop=HOP,
        n_features=spec.n_values,
        n_selected=rows.shape[-1],
        input_shape=[1, *rows.shape[1:]],
        output_shape=[1, len(LABELS)],
        training=artifact.Training(
            recipe="none",
            command="python tests/training/make_test_models.py",
            corpora=["made-up signals"],
            licence="Apache-2.0",
            seed=7,
            n_clips=0,
            n_windows=len(rows),
        ),
        sha256={},
    )


def make(name: str, spec: FeatureSpec, quantisation: Quantisation) -> None:
    """Write one network's folder."""
    tf.keras.utils.set_random_seed(7)
    features, preprocessing = prepare(spec)
    rows = preprocessing(features)
    model = network(rows.shape[1:])
    # A little training, so that the answers differ from window to window.
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(rows, classes(len(rows)), epochs=40, verbose=0)
    card = msgspec.structs.replace(describe(name, spec, rows), quantisation=quantisation)
    artifact.write(
        FOLDER / name, card=card, preprocessing=preprocessing, model=convert(model, rows, quantisation)
    )
    np.savez_compressed(
        FOLDER / name / "expected.npz",
        features=features[::6],
        probabilities=model.predict(rows, verbose=0)[::6],
    )


def make_estimator(name: str, kind: Estimator) -> None:
    """Write one estimator's folder."""
    features, preprocessing = prepare(POOLED)
    rows = preprocessing(features)
    archive = estimators.fit_estimator(kind, rows, classes(len(rows)), len(LABELS), seed=7, weights=None)
    card = describe(name, POOLED, rows)
    versions = {package: version(package) for package in ("scikit-learn", "skops", "numpy")}
    training = msgspec.structs.replace(card.training, versions=versions)
    card = msgspec.structs.replace(card, runtime="skops", training=training)
    probe = estimators.make_probe(archive, rows)
    artifact.write(FOLDER / name, card=card, preprocessing=preprocessing, model=archive, probe=probe)
    np.savez_compressed(
        FOLDER / name / "expected.npz",
        features=features[::6],
        probabilities=estimators.predict_estimator(archive, rows[::6]),
    )


NETWORKS: dict[str, tuple[FeatureSpec, Quantisation]] = {
    "tiny-float32": (POOLED, "float32"),
    "tiny-float16": (POOLED, "float16"),
    "tiny-int8": (POOLED, "int8"),
    "tiny-frames": (FRAMES, "float32"),
}
ESTIMATORS: dict[str, Estimator] = {
    "tiny-forest": Forest(n_trees=10, max_depth=4),
    "tiny-knn": Neighbours(n_neighbours=3, weights="distance"),
    "tiny-svm": Svm(),
}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or [*NETWORKS, *ESTIMATORS]:
        if wanted in NETWORKS:
            make(wanted, *NETWORKS[wanted])
        else:
            make_estimator(wanted, ESTIMATORS[wanted])
