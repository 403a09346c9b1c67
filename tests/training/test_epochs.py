from __future__ import annotations

import errno
import math
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from realtime.errors import TrainingError
from training import epochs
from training.augmentation import vary_inputs
from training.epochs import Epoch, Table, best_epoch, run, train
from training.recipes.schema import Fitting, Inputs, Speakers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.types import FloatArray
    from training.recipes import Recipe

LABELS = 3


def table(seed: int = 0, n: int = 48, *, n_columns: int = 6, noise: float = 1.0) -> Table:
    """Return rows of which the first columns tell the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % LABELS
    inputs = noise * rng.standard_normal((n, n_columns))
    inputs[np.arange(n), labels] += 2
    ones = np.ones(n, dtype=np.float32)
    clips = np.arange(n) // 2
    copied = np.arange(n) % 2 > 0
    known = np.ones((n, LABELS), dtype=np.bool_)
    unsaid = np.full(len(labels), np.nan, dtype=np.float32)
    return Table(inputs.astype(np.float32), labels, known, ones, clips, copied, clips % 4, unsaid)


@pytest.fixture(scope="module")
def small(recipe: Recipe) -> Recipe:
    """Everything that training may hold between two epochs: moments, dropout, batch norm, varied inputs."""
    inputs = Inputs(noise=0.2, mixup=0.3, n_feature_masks=1, feature_mask=2)
    fitting = Fitting(
        batch_size=16, n_epochs=4, learning_rate=0.02, rate_patience=1, patience=4, label_subsets=0.5
    )
    augmentation = msgspec.structs.replace(recipe.augmentation, inputs=inputs)
    return replace(recipe, augmentation=augmentation, fitting=fitting)


def with_fitting(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, fitting=msgspec.structs.replace(recipe.fitting, **changes))


def with_model(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, model=msgspec.structs.replace(recipe.model, **changes))


def assert_same(first: Any, second: Any) -> None:
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


class Interrupt:
    """Interrupts at an epoch: as it ends, or while it goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, where: str) -> None:
        self.number, self.where = number, where
        if where == "within":
            # The second batch of that epoch: the network has learnt from the first one.
            n_calls = 0

            def vary(inputs: Any, targets: Any, *more: Any) -> tuple[Any, Any]:
                nonlocal n_calls
                n_calls += 1
                if n_calls == number:
                    model = epochs._compiled_now  # type: ignore[attr-defined]
                    model.fit(inputs[:16], targets[:16, :-1], sample_weight=targets[:16, -1], verbose=0)
                    raise KeyboardInterrupt
                return vary_inputs(inputs, targets, *more)

            compiled = epochs._compiled

            def remember(*arguments: Any) -> Any:
                epochs._compiled_now = compiled(*arguments)  # type: ignore[attr-defined]
                return epochs._compiled_now  # type: ignore[attr-defined]

            monkeypatch.setattr(epochs, "_compiled", remember)
            monkeypatch.setattr(epochs, "vary_inputs", vary)

    def __call__(self, epoch: Epoch) -> None:
        if self.where == "end" and epoch.number == self.number:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(small: Recipe) -> tuple[Any, tuple[Epoch, ...]]:
    """A network's training that nothing interrupted."""
    return train(small, table(), seed=3, inner=table(1, noise=2.0))


@pytest.mark.parametrize("where", ["within", "end"])
def test_an_interrupted_training_ends_with_the_same_weights(
    small: Recipe, whole: tuple[Any, tuple[Epoch, ...]], tmp_path: Path, where: str
) -> None:
    own, inner, kept = table(), table(1, noise=2.0), tmp_path / "sub" / "one.npz"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        train(small, own, seed=3, inner=inner, kept=kept, watch=Interrupt(patch, 3, where))
    assert kept.exists()
    told: list[Epoch] = []
    resumed, history = train(small, own, seed=3, inner=inner, kept=kept, watch=told.append)
    assert history == whole[1]
    assert tuple(told) == history
    assert_same(resumed, whole[0])
    # What is done is not done again, whatever comes after it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epochs, "vary_inputs", None)
        again, same = train(small, own, seed=3, inner=inner, kept=kept)
    assert same == history
    assert_same(again, whole[0])


def test_another_optimiser_goes_on_as_if_nothing_had_been_too(small: Recipe, tmp_path: Path) -> None:
    recipe = with_fitting(small, optimiser="adamw", weight_decay=0.01, n_epochs=2, schedule="cosine")
    own, inner, kept = table(), table(1), tmp_path / "one.npz"
    whole, history = train(recipe, own, seed=3, inner=inner)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        train(recipe, own, seed=3, inner=inner, kept=kept, watch=Interrupt(patch, 1, "end"))
    resumed, again = train(recipe, own, seed=3, inner=inner, kept=kept)
    assert again == history
    assert_same(resumed, whole)


def test_training_is_kept_now_and_then(
    small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "one.npz"
    there: list[bool] = []
    monkeypatch.setattr(epochs, "_KEEP_EVERY_S", 0.0)
    recipe = with_fitting(small, n_epochs=3)
    train(recipe, table(), seed=3, inner=table(1), kept=kept, watch=lambda _: there.append(kept.exists()))
    # Each epoch is told of before it is kept.
    assert there == [False, True, True]


def test_what_was_kept_and_is_damaged_is_begun_anew(small: Recipe, tmp_path: Path) -> None:
    kept = tmp_path / "one.npz"
    model = epochs._compiled(small, table(), 3)
    fresh = model.get_weights()
    before = [np.array(variable) for variable in epochs._variables(model)]
    now = [(value + 1).astype(value.dtype) for value in before]
    state = epochs._State([Epoch(1, 0.5, 0.5, 0.5, 0.5, 0.01)], fresh, now)
    epochs._keep(state, kept)
    data = kept.read_bytes()
    damages = [b"", b"no archive", data[: len(data) // 2]]
    # What another network left, all but the last of its variables alike.
    for others in (now[:-1], [*now[:-1], np.zeros(5)], [*now, now[0]]):
        epochs._keep(epochs._State(state.history, fresh, others), kept)
        damages.append(kept.read_bytes())
    for damage in damages:
        kept.write_bytes(damage)
        assert epochs._resume(model, kept) is None
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), fresh, strict=True))
    kept.write_bytes(data)
    found = epochs._resume(model, kept)
    assert found is not None
    assert found.history == state.history
    assert all(np.array_equal(np.array(a), b) for a, b in zip(epochs._variables(model), now, strict=True))
    kept.unlink()
    assert epochs._resume(model, kept) is None


def test_a_full_disk_is_told(small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(epochs, "_KEEP_EVERY_S", 0.0)
    monkeypatch.setattr(Path, "write_bytes", fill)
    recipe = with_fitting(small, n_epochs=1)
    with pytest.raises(TrainingError, match=r"one\.npz: No space left on device; .*--cache"):
        train(recipe, table(), seed=3, inner=table(1), kept=tmp_path / "one.npz")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"one\.npz: .*--cache"):
        epochs._keep(epochs._State([], [], []), tmp_path / "file" / "one.npz")


def test_a_loss_that_is_no_number_is_told_with_its_epoch_and_rate(small: Recipe) -> None:
    recipe = with_fitting(small, learning_rate=1e30)
    with pytest.raises(TrainingError) as caught:
        train(recipe, table(), seed=3, inner=table(1))
    message = str(caught.value)
    assert "recipe tiny: the loss is nan in epoch 1, at a learning rate of 1e+30" in message
    assert "lower fitting.learning_rate in the recipe" in message


def test_weights_that_the_last_step_spoils_are_told(small: Recipe) -> None:
    # All rows in one step, whose loss is of the weights before it.
    recipe = with_fitting(small, learning_rate=1e39, batch_size=1000, n_epochs=1)
    with pytest.raises(TrainingError) as caught:
        train(recipe, table(), seed=3, inner=table(1))
    message = str(caught.value)
    assert "recipe tiny: weights are no finite numbers after epoch 1, at a learning rate of 1e+39" in message
    assert "lower fitting.learning_rate in the recipe" in message


def test_the_best_epoch_is_kept(small: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    own, inner = table(), table(1)
    accuracies = iter([0.5, 0.75, 0.75, 0.25])
    monkeypatch.setattr(epochs, "_judge", lambda *_: (1.0, next(accuracies)))
    seen: list[Any] = []
    compiled = epochs._compiled

    def remember(*arguments: Any) -> Any:
        seen.append(compiled(*arguments))
        return seen[0]

    monkeypatch.setattr(epochs, "_compiled", remember)
    after: list[Any] = []
    model, history = train(
        small, own, seed=3, inner=inner, watch=lambda _: after.append(seen[0].get_weights())
    )
    assert len(history) == 4
    # The first of the best ones.
    assert best_epoch(history).number == 2
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), after[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(after[2], after[1], strict=True))


def test_without_an_inner_part_the_last_epoch_is_kept_at_the_rates_given(
    small: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    compiled = epochs._compiled

    def remember(*arguments: Any) -> Any:
        seen.append(compiled(*arguments))
        return seen[0]

    monkeypatch.setattr(epochs, "_compiled", remember)
    after: list[Any] = []
    model, history = train(
        small, table(), seed=3, rates=[0.02, 0.01], watch=lambda _: after.append(seen[0].get_weights())
    )
    assert [epoch.learning_rate for epoch in history] == [0.02, 0.01]
    assert all(math.isnan(epoch.inner_accuracy) for epoch in history)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), after[-1], strict=True))
    assert not np.array_equal(after[0][0], after[1][0])


def rates(fitting: Fitting, accuracies: Sequence[float]) -> list[float]:
    """Return the learning rates of as many epochs as there are until training stops."""
    history: list[Epoch] = []
    for accuracy in accuracies:
        rate = epochs._next_rate(fitting, history, ())
        if rate is None:
            break
        history.append(Epoch(len(history) + 1, 0.5, 0.5, 0.5, accuracy, rate))
    return [epoch.learning_rate for epoch in history]


def test_a_plateau_lowers_the_rate_and_ends_it() -> None:
    fitting = Fitting(learning_rate=0.8, rate_patience=2, rate_factor=0.5, patience=5, n_epochs=20)
    # Better in epochs 1, 2 and 5; two epochs without lower it, five end it.
    accuracies = [0.1, 0.2, 0.2, 0.2, 0.3, *([0.3] * 10)]
    assert rates(fitting, accuracies) == [0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.1]
    # Getting better keeps it.
    rising = [number / 100 for number in range(30)]
    assert rates(fitting, rising) == [0.8] * 20


def test_a_cosine_falls_to_nothing() -> None:
    fitting = Fitting(learning_rate=0.8, schedule="cosine", patience=100, n_epochs=10)
    found = rates(fitting, [0.1] * 20)
    assert found[0] == 0.8
    assert found[5] == pytest.approx(0.4)
    assert len(found) == 10
    assert all(later < sooner for sooner, later in pairwise(found))
    assert found[-1] < 0.03


def test_a_constant_rate_stays() -> None:
    fitting = Fitting(learning_rate=0.8, schedule="constant", patience=3, rate_patience=1, n_epochs=10)
    assert rates(fitting, [0.1] * 20) == [0.8] * 4


def test_the_seed_decides_how_it_begins(small: Recipe) -> None:
    first, same, other = (epochs._compiled(small, table(), seed).get_weights() for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0])


def bare(recipe: Recipe, **fitting: Any) -> Recipe:
    """Return a recipe without anything random after the first weights: no dropout, no varied inputs."""
    augmentation = msgspec.structs.replace(recipe.augmentation, inputs=Inputs())
    layers = tuple(msgspec.structs.replace(layer, dropout=0.0) for layer in recipe.model.layers)  # type: ignore[union-attr]
    return with_model(with_fitting(replace(recipe, augmentation=augmentation), **fitting), layers=layers)


def last_layer(model: Any) -> npt.NDArray[Any]:
    """Return the weights and biases of each class [shape=(n, n_labels)]."""
    weights, biases = model.get_layer("probabilities").get_weights()
    return np.concatenate((weights, biases[np.newaxis]))


def test_what_a_corpus_does_not_know_it_teaches_nothing_about(small: Recipe) -> None:
    recipe = bare(small, n_epochs=1, optimiser="sgd", learning_rate=0.5)
    own = table(n=48)
    own = replace(own, labels=np.where(own.labels == 1, 0, own.labels))
    untrained = last_layer(epochs._compiled(recipe, own, 3))
    known = own.known.copy()
    known[:, 1] = False
    for mask, moves in ((own.known, True), (known, False)):
        model, _ = train(recipe, replace(own, known=mask), seed=3, inner=table(1))
        moved = np.abs(last_layer(model) - untrained).max(axis=0)
        # Nothing but what keeps logarithms finite.
        assert bool(moved[1] > 1e-2) is moves
        assert moved[1] < 1e-5 or moves
        assert moved[[0, 2]].min() > 1e-2


def test_what_weighs_nothing_teaches_nothing(small: Recipe) -> None:
    recipe = bare(small, n_epochs=1)
    own = table(n=32)
    weights = np.where(np.arange(32) < 16, 2.0, 0.0).astype(np.float32)
    absurd = own.inputs.copy()
    absurd[16:] = np.random.default_rng(5).standard_normal((16, 6))
    # Without batch normalisation, which sees every row.
    layers = tuple(msgspec.structs.replace(layer, batch_norm=False) for layer in recipe.model.layers)  # type: ignore[union-attr]
    recipe = with_model(recipe, layers=layers)
    first, _ = train(recipe, replace(own, weights=weights), seed=3, inner=table(1))
    second, _ = train(recipe, replace(own, weights=weights, inputs=absurd), seed=3, inner=table(1))
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        assert a == pytest.approx(b, abs=1e-6)


def test_inner_rows_are_judged_among_their_corpus_classes(small: Recipe) -> None:
    own = table(n=60)
    model = epochs._compiled(small, own, 3)
    probabilities = run(model, own.inputs)
    loss, accuracy = epochs._judge(model, own)
    assert accuracy == (probabilities.argmax(axis=1) == own.labels).mean()
    assert loss == pytest.approx(-np.log(probabilities[np.arange(60), own.labels]).mean(), abs=1e-4)
    # With the true class alone, every row is right.
    known = np.eye(LABELS, dtype=np.bool_)[own.labels]
    loss, accuracy = epochs._judge(model, replace(own, known=known))
    assert accuracy == 1.0
    assert loss == pytest.approx(0, abs=1e-4)


def test_labels_that_are_out_of_the_question_teach_nothing(
    small: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own_alone(labels: npt.NDArray[np.int64], known: Any, share: float, _rng: Any) -> Any:
        assert share == 1.0
        return known & np.eye(LABELS, dtype=np.bool_)[labels]

    monkeypatch.setattr(epochs, "draw_known", own_alone)
    plain = replace(small, augmentation=msgspec.structs.replace(small.augmentation, inputs=Inputs()))
    _, history = train(with_fitting(plain, label_subsets=1.0), table(), seed=3)
    # Nothing is to be told apart, from the first row on.
    assert history[0].loss == pytest.approx(0, abs=1e-5)


def test_intensity_is_learnt_of_those_who_tell_it(small: Recipe) -> None:
    rng = np.random.default_rng(4)
    own = table(n=240, noise=0.5)
    strong = rng.random(240) < 0.5
    # The last column tells it, whatever the label.
    own.inputs[:, -1] = np.where(strong, 2, -2)
    told = np.where(np.arange(240) % 3 > 0, strong, np.nan).astype(np.float32)
    recipe = with_fitting(small, intensity=1.0, n_epochs=20)
    model, _ = train(recipe, replace(own, intensities=told), seed=3)
    found = run(model, own.inputs)
    assert found.shape == (240, LABELS + 1)
    assert found[:, :LABELS].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert ((found[:, -1] > 0.5) == strong).mean() > 0.9
    assert (found[:, :LABELS].argmax(axis=1) == own.labels).mean() > 0.8


def test_intensity_does_not_weigh_where_nobody_tells_it(small: Recipe) -> None:
    own = table(n=60)
    heads = [
        train(with_fitting(small, intensity=weight), own, seed=3)[0].get_weights()[-2:]
        for weight in (0.5, 5.0)
    ]
    for one, other in zip(*heads, strict=True):
        assert np.array_equal(one, other)


def test_draws_take_as_many_of_each_clip() -> None:
    own = table(n=60)
    clips = np.repeat(np.arange(6), (1, 2, 7, 20, 29, 1))
    # The first has no copies, the last nothing else.
    copied = np.concatenate([np.arange(60)[:59] % 4 > 0, [True]])
    copied[0] = False
    own = replace(own, clips=clips, copied=copied)
    fitting = Fitting(n_draws=200, plain_share=0.25)
    rows = epochs._draw(own, fitting, np.random.default_rng(0))
    assert np.array_equal(np.bincount(clips[rows]), [200] * 6)
    for clip in (2, 3, 4):
        drawn = rows[clips[rows] == clip]
        assert 0.15 < np.mean(~copied[drawn]) < 0.35
        assert set(drawn) == set(np.flatnonzero(clips == clip))
    assert set(rows[clips[rows] == 0]) == {0}
    assert set(rows[clips[rows] == 5]) == {59}


def test_without_draws_every_row_is_seen_once() -> None:
    own = table()
    rows = epochs._draw(own, Fitting(), np.random.default_rng(0))
    assert np.array_equal(rows, np.arange(len(own.labels)))


def test_an_interrupted_training_with_speakers_and_draws_goes_on_the_same(
    small: Recipe, tmp_path: Path
) -> None:
    drawing = msgspec.structs.replace(small.fitting, n_draws=1)
    recipe = replace(small, fitting=drawing, speakers=Speakers(n_windows=3))
    own, inner, kept = table(), table(1, noise=2.0), tmp_path / "one.npz"
    straight, history = train(recipe, own, seed=3, inner=inner)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        train(recipe, own, seed=3, inner=inner, kept=kept, watch=Interrupt(patch, 2, "end"))
    resumed, again = train(recipe, own, seed=3, inner=inner, kept=kept)
    assert again == history
    assert_same(resumed, straight)
    plain, _ = train(replace(recipe, speakers=None), own, seed=3, inner=inner)
    assert not np.array_equal(plain.get_weights()[0], straight.get_weights()[0])


def test_mixup_keeps_apart_what_tells_between_other_labels(
    small: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = table()
    rows.known[:24, 1] = rows.labels[:24] == 1
    seen: list[FloatArray] = []

    def note(*arguments: Any) -> tuple[FloatArray, FloatArray]:
        inputs, targets = vary_inputs(*arguments)
        seen.append(targets)
        return inputs, targets

    monkeypatch.setattr(epochs, "vary_inputs", note)
    train(with_fitting(small, n_epochs=2, label_subsets=0.0), rows, seed=3)
    known = np.concatenate(seen)[:, LABELS : 2 * LABELS]
    assert set(known.ravel().tolist()) == {0.0, 1.0}
