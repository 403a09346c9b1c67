from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import msgspec
import numpy as np
import pytest

from realtime.errors import SettingsError
from realtime.features import Harmonicity, Level, Mel, Semitones
from training import networks
from training.export import QUANTISATIONS, convert_all
from training.networks.kinds import lay
from training.recipes.schema import (
    Block,
    Block2d,
    Conv,
    Conv2dGruAttention,
    ConvGruAttention,
    ConvLstm,
    Dense,
    Ensemble,
    Layer,
    Lstm,
    Network,
)

if TYPE_CHECKING:
    from realtime.types import FloatArray

N_LABELS = 3
FRAMES = (21, 6)
LAYERS = (Layer(units=16, batch_norm=True, dropout=0.1), Layer(units=12, l2=0.01))
# Wide enough that there is something to quantise: the converter leaves fewer than 1,024 weights as they are.
BLOCKS = (Block(filters=40, pool=2, dropout=0.1), Block(filters=12, kernel=3, batch_norm=False))
EXAMPLES: dict[str, Network] = {
    "dense": Dense(layers=LAYERS),
    "dense, no hidden layer": Dense(layers=()),
    "conv": Conv(blocks=BLOCKS, layers=LAYERS),
    "conv, flat": Conv(blocks=BLOCKS, pooling="flatten"),
    "lstm": Lstm(units=(20, 18), dropout=0.1, layers=LAYERS),
    "lstm, both ways": Lstm(units=(20, 18), bidirectional=True),
    "conv-lstm": ConvLstm(blocks=BLOCKS, units=(18,), layers=LAYERS),
    "conv-gru-attention": ConvGruAttention(blocks=BLOCKS, units=20, dropout=0.1, layers=LAYERS),
    "conv2d-gru-attention": Conv2dGruAttention(
        n_bands=4,
        blocks2d=(Block2d(filters=16, stride=(1, 2), pool=2, dropout=0.1), Block2d(filters=24)),
        blocks=(Block(filters=12, kernel=3, pool=1), Block(filters=40, pool=2)),
        joined=Layer(units=32, batch_norm=True, dropout=0.1),
        units=20,
        dropout=0.1,
        layers=LAYERS,
    ),
    "conv2d-gru-attention, bands alone": Conv2dGruAttention(
        n_bands=6, blocks2d=(Block2d(filters=24, pool=2),), joined=Layer(units=32), units=20
    ),
    "ensemble": Ensemble(
        members=(
            ConvGruAttention(blocks=BLOCKS, units=20, layers=LAYERS),
            Conv(blocks=BLOCKS, layers=LAYERS),
        )
    ),
}
SINGLES = [name for name, model in EXAMPLES.items() if not isinstance(model, Ensemble)]
PARITY = {"float32": 1e-5, "float16": 5e-3, "int8": 0.1}


def shape_of(model: Network) -> tuple[int, ...]:
    return (20,) if isinstance(model, Dense) else FRAMES


def inputs_of(model: Network, n: int) -> FloatArray:
    return np.random.default_rng(0).standard_normal((n, *shape_of(model))).astype(np.float32)


def columns_that_count(model: Network, built: Any) -> list[bool]:
    """Return for each column of the inputs whether other values in it make another answer."""
    inputs = inputs_of(model, 8)
    before = built.predict(inputs, verbose=0)
    found = []
    for column in range(inputs.shape[2]):
        other = inputs.copy()
        other[:, :, column] += 3
        found.append(not np.array_equal(built.predict(other, verbose=0), before))
    return found


def names(model: Network) -> list[str]:
    return [layer.name for layer in networks.build(model, shape_of(model), N_LABELS).layers]


def train(model: Network) -> Any:
    networks.seed_everything(0)
    keras_model = networks.build(model, shape_of(model), N_LABELS)
    keras_model.compile("adam", loss="categorical_crossentropy")
    inputs = inputs_of(model, 32)
    keras_model.fit(inputs, np.eye(N_LABELS)[np.arange(32) % N_LABELS], batch_size=16, epochs=1, verbose=0)
    return keras_model


@pytest.mark.parametrize("kind", get_args(Network))
def test_every_kind_of_the_schema_can_be_built_and_is_tried_here(kind: type[Network]) -> None:
    assert kind in lay.registry or kind is Ensemble
    assert any(type(model) is kind for model in EXAMPLES.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_kind_trains_and_runs_on_small_devices_in_every_precision(name: str) -> None:
    model = EXAMPLES[name]
    untrained = networks.build(model, shape_of(model), N_LABELS).get_weights()
    trained = train(model)
    assert all(np.isfinite(weights).all() for weights in trained.get_weights())
    assert len(untrained) == len(trained.get_weights())

    inputs = inputs_of(model, 24)
    before = np.asarray(trained(inputs))
    exports = convert_all(trained, inputs_of(model, 16), inputs)
    assert [made.quantisation for made in exports] == list(QUANTISATIONS)
    for made in exports:
        assert made.parity <= PARITY[made.quantisation], made.quantisation
        assert made.agreement > 0.7
    # Each lesser precision is another model, not the same one under its name.
    assert exports[0].parity < exports[1].parity < exports[2].parity
    assert np.array_equal(before, np.asarray(trained(inputs)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_gives_probabilities_the_same_ones_each_time(name: str) -> None:
    model = EXAMPLES[name]
    networks.seed_everything(0)
    keras_model = networks.build(model, shape_of(model), N_LABELS)
    assert keras_model.input_shape == (None, *shape_of(model))
    assert keras_model.output_shape == (None, N_LABELS)
    assert keras_model.layers[-1].name == networks.PROBABILITIES
    inputs = inputs_of(model, 4)
    first, second = np.asarray(keras_model(inputs)), np.asarray(keras_model(inputs))
    assert first.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", EXAMPLES)
def test_names_do_not_depend_on_what_was_built_before(name: str) -> None:
    model = EXAMPLES[name]
    first, second = (networks.build(model, shape_of(model), N_LABELS) for _ in range(2))
    assert [weight.path for weight in first.weights] == [weight.path for weight in second.weights]
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


@pytest.mark.parametrize("name", SINGLES)
def test_the_embedding_is_what_the_last_layer_sees(name: str) -> None:
    model = EXAMPLES[name]
    networks.seed_everything(0)
    keras_model = networks.build(model, shape_of(model), N_LABELS)
    inputs = inputs_of(model, 4)
    found = np.asarray(networks.embedding(keras_model)(inputs))
    assert found.ndim == 2
    weights, bias = keras_model.get_layer(networks.PROBABILITIES).get_weights()
    powers = np.exp(found @ weights + bias)
    assert powers / powers.sum(axis=1, keepdims=True) == pytest.approx(
        np.asarray(keras_model(inputs)), abs=1e-5
    )


def test_a_network_has_the_layers_that_its_settings_say() -> None:
    assert names(EXAMPLES["dense"]) == [
        "features", "dense_1", "norm_1", "dropout_1", "dense_2", "probabilities",
    ]  # fmt: skip
    assert names(EXAMPLES["conv"]) == [
        "features", "conv_1", "conv_norm_1", "conv_pool_1", "conv_dropout_1", "conv_2", "mean",
        "dense_1", "norm_1", "dropout_1", "dense_2", "probabilities",
    ]  # fmt: skip
    assert names(EXAMPLES["lstm, both ways"]) == ["features", "lstm_both_1", "lstm_both_2", "probabilities"]
    assert names(EXAMPLES["conv-gru-attention"]) == [
        "features", "conv_1", "conv_norm_1", "conv_pool_1", "conv_dropout_1", "conv_2", "gru_both",
        "attention_hidden", "attention_score", "attention_scores", "attention_weights", "attention",
        "attention_dropout", "dense_1", "norm_1", "dropout_1", "dense_2", "probabilities",
    ]  # fmt: skip


def test_settings_reach_the_layers() -> None:
    model = networks.build(EXAMPLES["dense"], (20,), N_LABELS)
    assert model.get_layer("dense_1").kernel_regularizer is None
    assert float(model.get_layer("dense_2").kernel_regularizer.l2) == pytest.approx(0.01)
    assert model.get_layer("dropout_1").rate == 0.1
    model = networks.build(EXAMPLES["conv"], FRAMES, N_LABELS)
    assert model.get_layer("conv_1").output.shape == (None, 21, 40)
    assert model.get_layer("conv_2").kernel_size == (3,)
    assert model.get_layer("conv_2").output.shape == (None, 10, 12)
    assert (
        networks.build(EXAMPLES["conv, flat"], FRAMES, N_LABELS).get_layer("flatten").output.shape[1] == 120
    )
    both = networks.build(EXAMPLES["lstm, both ways"], FRAMES, N_LABELS)
    assert both.get_layer("lstm_both_2").output.shape == (None, 36)


def test_attention_is_a_mean_over_time_whose_weights_sum_to_one() -> None:
    networks.seed_everything(0)
    model = networks.build(EXAMPLES["conv-gru-attention"], FRAMES, N_LABELS)
    parts = [model.get_layer(name).output for name in ("attention_weights", "gru_both", "attention")]
    keras = networks.load_tensorflow().keras
    inputs = inputs_of(EXAMPLES["conv-gru-attention"], 4)
    weights, states, mean = map(np.asarray, keras.Model(model.input, parts)(inputs))
    assert weights.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert np.einsum("bt,btn->bn", weights, states) == pytest.approx(mean, abs=1e-5)


def test_parameters_are_counted() -> None:
    model = networks.build(Dense(layers=(Layer(units=16, batch_norm=True),)), (20,), N_LABELS)
    assert networks.count_parameters(model) == 21 * 16 + 4 * 16 + 17 * N_LABELS


def test_a_kind_that_does_not_fit_the_features_is_refused() -> None:
    with pytest.raises(SettingsError, match=r'kind dense .* shape \(21, 6\).* output = "pooled"'):
        networks.build(EXAMPLES["dense"], FRAMES, N_LABELS)
    with pytest.raises(SettingsError, match=r'kind conv-lstm .* shape \(20,\).* output = "frames"'):
        networks.build(EXAMPLES["conv-lstm"], (20,), N_LABELS)


def test_pools_that_leave_no_frame_are_refused() -> None:
    with pytest.raises(
        SettingsError, match="block 2 of the network keeps one of 11 frames, but only 10 come"
    ):
        networks.build(Conv(blocks=(BLOCKS[0], Block(filters=4, pool=11))), FRAMES, N_LABELS)


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> list[float]:
        networks.seed_everything(seed)
        model = networks.build(EXAMPLES["conv-gru-attention"], FRAMES, N_LABELS)
        return [float(np.sum(array)) for array in model.get_weights()]

    assert weights(0) == weights(0)
    assert weights(0) != weights(1)


def test_members_are_asked_together() -> None:
    kinds = (Conv(blocks=BLOCKS, layers=LAYERS), Lstm(units=(20, 18)))
    networks.seed_everything(1)
    alone = [networks.build(kind, FRAMES, N_LABELS) for kind in kinds]
    together = networks.build(Ensemble(members=kinds), FRAMES, N_LABELS)
    networks.set_weights(together, [weight for one in alone for weight in one.get_weights()])
    inputs = inputs_of(kinds[0], 5)
    separate = [np.asarray(one(inputs)) for one in alone]
    assert not np.allclose(separate[0], separate[1])
    assert np.asarray(together(inputs)) == pytest.approx(np.mean(separate, axis=0), abs=1e-6)
    hidden = [np.asarray(networks.embedding(one)(inputs)) for one in alone]
    assert np.asarray(networks.embedding(together)(inputs)) == pytest.approx(
        np.concatenate(hidden, axis=1), abs=1e-6
    )


def test_a_network_sees_the_columns_of_its_families() -> None:
    families = (Mel(n=4), Level(), Harmonicity())
    model = ConvGruAttention(sees=("level", "mel"), blocks=BLOCKS, units=20, layers=LAYERS)
    built = networks.build(model, FRAMES, N_LABELS, families)
    assert built.get_layer("seen").output.shape == (None, 21, 5)
    assert columns_that_count(model, built) == [True, True, True, True, True, False]
    alone = msgspec.structs.replace(model, sees=("mel",))
    assert networks.build(alone, FRAMES, N_LABELS, families).get_layer("mel_flat").output.shape[2] == 4
    for sees, given in ((("mel", "chroma"), families), (("mel",), families[:2]), (("mel",), ())):
        with pytest.raises(SettingsError, match="wanted families of these"):
            networks.build(msgspec.structs.replace(model, sees=sees), FRAMES, N_LABELS, given)


def test_a_picture_may_be_of_some_families_alone() -> None:
    families = (Semitones(), Mel(n=3), Level())
    model = Conv2dGruAttention(
        sees=("mel", "level"),
        n_bands=3,
        blocks2d=(Block2d(filters=4),),
        blocks=(Block(filters=4),),
        joined=Layer(units=8),
        units=20,
    )
    built = networks.build(model, FRAMES, N_LABELS, families)
    assert built.get_layer("bands").output.shape == (None, 21, 3, 1)
    assert built.get_layer("others").output.shape == (None, 21, 1, 1)
    assert columns_that_count(model, built) == [False, False, True, True, True, True]
    inputs = inputs_of(model, 8)
    for exported in convert_all(built, inputs, inputs):
        assert exported.parity < PARITY[exported.quantisation], exported.quantisation


def test_members_that_see_different_families_are_exported_as_they_are() -> None:
    families = (Mel(n=3), Semitones(), Level())
    members = (
        ConvGruAttention(sees=("mel", "level"), blocks=BLOCKS, units=20, layers=LAYERS),
        ConvGruAttention(sees=("semitones",), blocks=BLOCKS, units=20, layers=LAYERS),
    )
    model = networks.build(Ensemble(members=members), FRAMES, N_LABELS, families)
    inputs = inputs_of(members[0], 64)
    for exported in convert_all(model, inputs, inputs):
        assert exported.parity < PARITY[exported.quantisation], exported.quantisation


def test_bands_and_other_columns_come_to_the_recurrent_layer_in_step() -> None:
    model = networks.build(EXAMPLES["conv2d-gru-attention"], FRAMES, N_LABELS)
    assert model.get_layer("bands").output.shape == (None, 21, 4, 1)
    assert model.get_layer("others").output.shape == (None, 21, 2, 1)
    assert model.get_layer("conv2d_1").output.shape == (None, 21, 2, 16)
    out_of_step = Conv2dGruAttention(
        n_bands=4, blocks2d=(Block2d(filters=4, pool=2),), joined=Layer(units=4), units=4
    )
    with pytest.raises(SettingsError, match="blocks leave 21 frames, blocks2d 10; wanted as many"):
        networks.build(out_of_step, FRAMES, N_LABELS)
    too_many = Conv2dGruAttention(n_bands=7, blocks2d=(), joined=Layer(units=4), units=4)
    with pytest.raises(SettingsError, match="n_bands is 7; wanted at most the 6 columns"):
        networks.build(too_many, FRAMES, N_LABELS)
