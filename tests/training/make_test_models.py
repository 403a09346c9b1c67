"""Makes the small models that the tests of the classifier load, which must do without TensorFlow.

``python tests/training/make_test_models.py`` writes ``tests/realtime/models/tiny-*``: one per way of
storing weights, and one that sees frames. Each folder also holds ``expected.npz``, features with the
probabilities that Keras gives for them. The networks are trained for nothing: their answers mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import tensorflow as tf

from realtime import artifact
from realtime.features import Delta, FeatureSpec, Mel, Mfcc, WindowExtractor
from realtime.types import LABELS

if TYPE_CHECKING:
    import numpy.typing as npt

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


def make(name: str, spec: FeatureSpec, quantisation: Quantisation) -> None:
    """Write one model's folder."""
    tf.keras.utils.set_random_seed(7)
    windows = WindowExtractor(spec, window=WINDOW, hop=HOP).push(recordings())
    features = np.stack([window.features for window in windows])
    selected = np.arange(0, spec.n_values, 1 if spec.output == "frames" else 2)
    axes = tuple(range(features.ndim - 1))
    preprocessing = artifact.Preprocessing(
        selected=selected.astype(np.int64),
        mean=features[..., selected].mean(axis=axes),
        scale=features[..., selected].std(axis=axes) + np.float32(1e-3),
    )
    rows = preprocessing(features)
    model = network(rows.shape[1:])
    # A little training, so that the answers differ from window to window.
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(rows, np.arange(len(rows)) * len(LABELS) // len(rows), epochs=40, verbose=0)
    card = artifact.Card(
        format_version=artifact.FORMAT_VERSION,
        name=name,
        description="a small model for tests; its answers mean nothing",
        labels=list(LABELS),
        features=spec.to_dict(),
        window=WINDOW,
        hop=HOP,
        n_features=spec.n_values,
        n_selected=len(selected),
        input_shape=[1, *rows.shape[1:]],
        output_shape=[1, len(LABELS)],
        quantisation=quantisation,
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
    artifact.write(
        FOLDER / name, card=card, preprocessing=preprocessing, model=convert(model, rows, quantisation)
    )
    np.savez_compressed(
        FOLDER / name / "expected.npz",
        features=features[::6],
        probabilities=model.predict(rows, verbose=0)[::6],
    )


if __name__ == "__main__":
    make("tiny-float32", POOLED, "float32")
    make("tiny-float16", POOLED, "float16")
    make("tiny-int8", POOLED, "int8")
    make("tiny-frames", FRAMES, "float32")
