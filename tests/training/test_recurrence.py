from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from training import export, networks, tflite
from training.networks import load_tensorflow
from training.recipes.schema import Block, ConvGruAttention, Ensemble, Lstm
from training.recurrence import MAX_STEPS, unroll

N_FRAMES, N_COLUMNS = 24, 5
ROWS = np.random.default_rng(0).standard_normal((8, N_FRAMES, N_COLUMNS)).astype(np.float32)


def member(units: int = 8, pool: int = 2) -> ConvGruAttention:
    return ConvGruAttention(blocks=(Block(filters=6, kernel=3, pool=pool),), units=units, layers=())


def build(model: Any, n_frames: int = N_FRAMES) -> Any:
    """Return a network none of whose weights is what it began as: biases of nothing would hide much."""
    networks.seed_everything(0)
    built = networks.build(model, (n_frames, N_COLUMNS), 3, with_intensity=True)
    rng = np.random.default_rng(1)
    built.set_weights([w + 0.2 * np.abs(rng.standard_normal(w.shape)) for w in built.get_weights()])
    return built


@pytest.mark.parametrize(
    "model",
    [
        member(),
        # More of them than go side by side; of several sizes, and over differently many steps.
        Ensemble(members=(member(), member(), member())),
        Ensemble(members=(member(), member(units=5), member(pool=4))),
    ],
    ids=["one", "three", "of several sizes"],
)
def test_without_loops_it_gives_the_same(model: Any) -> None:
    built = build(model)
    expected = np.asarray(built(ROWS))
    assert np.ptp(expected, axis=0).min() > 1e-3
    converted = export.convert(built, "float32", ROWS)
    assert "WHILE" not in tflite.read_contents(converted).operators
    np.testing.assert_allclose(tflite.run_exported(converted, ROWS), expected, atol=1e-5)


def test_converting_again_gives_the_same_file() -> None:
    built = build(Ensemble(members=(member(), member())))
    for quantisation in export.QUANTISATIONS:
        assert export.convert(built, quantisation, ROWS) == export.convert(built, quantisation, ROWS)


def test_what_is_long_or_no_gru_stays_a_loop() -> None:
    assert unroll(build(Lstm(units=(8,)))) is None
    n_frames = 2 * MAX_STEPS
    assert unroll(build(member(), n_frames)) is not None
    assert unroll(build(member(), n_frames + 2)) is None
    assert unroll(build(Ensemble(members=(member(), Lstm(units=(8,)))))) is None


def test_another_way_to_join_directions_stays_a_loop() -> None:
    layers = load_tensorflow().keras.layers
    for settings, merged in (({}, "sum"), ({"reset_after": False}, "concat")):
        inputs = layers.Input((N_FRAMES, N_COLUMNS), name="features")
        both = layers.Bidirectional(layers.GRU(4, return_sequences=True, **settings), merge_mode=merged)
        outputs = layers.GlobalAveragePooling1D()(both(inputs))
        assert unroll(load_tensorflow().keras.Model(inputs, outputs)) is None


def test_rounded_weights_become_floats_once() -> None:
    # Wide enough for the converter to round them.
    built = build(Ensemble(members=(member(units=48), member(units=48))))
    expected = np.asarray(built(ROWS))
    full, rounded = (export.convert(built, name, ROWS) for name in ("float32", "int8"))
    contents = tflite.read_contents(rounded)
    assert "DEQUANTIZE" in contents.operators
    assert contents.runtime <= tflite.OLDEST_RUNTIME
    assert len(rounded) < 0.6 * len(full)
    difference = np.abs(tflite.run_exported(rounded, ROWS) - expected).max()
    assert 1e-6 < difference < 0.02
