from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from realtime.errors import TrainingError
from realtime.loaded import temper
from training import fit as module
from training.epochs import Epoch, run
from training.estimators import fit_estimator
from training.fit import Examples, Fitted, fit, fit_temperature, forget, predict, rebuild
from training.recipes.schema import Dense, Ensemble
from training.splits import Split, split_by_fold

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from training.recipes import Recipe
    from training.study import Study


@pytest.fixture(scope="module")
def split(study: Study) -> Split:
    return split_by_fold(study.clips, study.corpus.folds, 0)


@pytest.fixture(scope="module")
def fitted(recipe: Recipe, study: Study, split: Split) -> Fitted:
    return fit(recipe, study.examples, split, seed=3)


@pytest.fixture(scope="module")
def estimated(forest: Recipe, study: Study, split: Split) -> Fitted:
    return fit(forest, study.examples, split, seed=3)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What networks would be trained on; their epochs and answers are made up."""
    calls: list[dict[str, Any]] = []

    def pretend(recipe: Recipe, table: Any, **settings: Any) -> tuple[Any, tuple[Epoch, ...]]:
        calls.append({"recipe": recipe, "table": table, **settings})
        history = tuple(
            Epoch(number, 0.5, 0.5, 0.5, accuracy, rate)
            for number, (accuracy, rate) in enumerate([(0.5, 0.1), (0.7, 0.2), (0.7, 0.3), (0.1, 0.4)], 1)
        )
        return Model(), history

    class Model:
        def get_weights(self) -> list[npt.NDArray[Any]]:
            return [np.zeros(len(calls))]

    monkeypatch.setattr(module, "train", pretend)
    monkeypatch.setattr(module, "run", lambda _, inputs: np.full((len(inputs), 3), 1 / 3, np.float32))
    return calls


def same(first: Fitted, second: Fitted) -> bool:
    pairs = [
        *zip(first.weights, second.weights, strict=True),
        *(
            (getattr(first.preprocessing, name), getattr(second.preprocessing, name))
            for name in ("selected", "mean", "scale")
        ),
        (first.importances, second.importances),
        (first.inner_probabilities, second.inner_probabilities),
    ]
    return (
        all(np.array_equal(a, b) for a, b in pairs)
        and first.temperature == second.temperature
        and first.history == second.history
    )


def spoilt(examples: Examples, clips: npt.NDArray[np.int64]) -> Examples:
    """Return examples whose features and labels are absurd in these clips."""
    features = examples.windows.features.copy()
    features[np.isin(examples.windows.clip, clips)] = 1e6
    labels = examples.labels.copy()
    labels[clips] = 0
    return replace(examples, windows=replace(examples.windows, features=features), labels=labels)


def accuracy(recipe: Recipe, fitted: Fitted, study: Study, split: Split) -> float:
    windows = study.examples.windows
    rows = windows.rows(split.test, copies=False)
    probabilities = predict(recipe, fitted, fitted.preprocessing(windows.features[rows]))
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    return float((probabilities.argmax(axis=1) == study.truth.labels[windows.clip[rows]]).mean())


def test_a_network_learns(recipe: Recipe, study: Study, split: Split, fitted: Fitted) -> None:
    assert accuracy(recipe, fitted, study, split) > 0.6
    assert len(fitted.preprocessing.selected) == len(fitted.importances) == 20
    assert 1 <= len(fitted.history) <= recipe.fitting.n_epochs
    assert fitted.n_windows == len(study.examples.windows.rows(split.train, copies=True))


def test_an_estimator_learns(forest: Recipe, study: Study, split: Split, estimated: Fitted) -> None:
    assert accuracy(forest, estimated, study, split) > 0.6
    assert len(estimated.preprocessing.selected) == forest.features.n_values
    assert not len(estimated.importances)
    assert estimated.history == ()
    assert len(estimated.weights) == 1
    assert estimated.weights[0].dtype == np.uint8


def test_inner_predictions_are_those_of_the_inner_part(
    recipe: Recipe, study: Study, split: Split, fitted: Fitted
) -> None:
    rows = study.examples.windows.rows(split.inner, copies=False)
    inputs = fitted.preprocessing(study.examples.windows.features[rows])
    assert predict(recipe, fitted, inputs) == pytest.approx(fitted.inner_probabilities, abs=1e-6)
    labels = study.truth.labels[study.examples.windows.clip[rows]]
    network = rebuild(recipe, fitted, inputs.shape[1])
    assert fitted.temperature == fit_temperature(run(network, inputs), labels)


def test_a_networks_test_part_changes_nothing(
    recipe: Recipe, study: Study, split: Split, fitted: Fitted
) -> None:
    assert same(fitted, fit(recipe, spoilt(study.examples, split.test), split, seed=3))


def test_an_estimators_test_part_changes_nothing(
    forest: Recipe, study: Study, split: Split, estimated: Fitted
) -> None:
    assert same(estimated, fit(forest, spoilt(study.examples, split.test), split, seed=3))


def test_what_networks_are_trained_on(
    recipe: Recipe, study: Study, split: Split, untrained: list[dict[str, Any]], tmp_path: Path
) -> None:
    windows = study.examples.windows
    fit(recipe, study.examples, split, seed=3, kept=tmp_path / "one.unfinished.npz")
    (call,) = untrained
    rows = windows.rows(split.train, copies=True)
    counts = np.bincount(study.truth.labels[windows.clip[rows]])
    # Oversampled: every class as often as the largest.
    assert np.bincount(call["table"].labels).tolist() == [counts.max()] * 3
    assert call["table"].inputs.mean(axis=0) == pytest.approx(0, abs=1e-4)
    assert call["table"].inputs.std(axis=0) == pytest.approx(1, abs=1e-4)
    inner = windows.rows(split.inner, copies=False)
    assert len(call["inner"].labels) == len(inner)
    assert call["inner"].labels.tolist() == study.truth.labels[windows.clip[inner]].tolist()
    assert call["kept"] == tmp_path / "one.unfinished.npz"


def test_the_inner_part_chooses_but_does_not_train(
    recipe: Recipe, study: Study, split: Split, untrained: list[dict[str, Any]]
) -> None:
    plain = fit(recipe, study.examples, split, seed=3)
    other = fit(recipe, spoilt(study.examples, split.inner), split, seed=3)
    for name in ("selected", "mean", "scale"):
        assert np.array_equal(getattr(plain.preprocessing, name), getattr(other.preprocessing, name))
    first, second = untrained
    assert np.array_equal(first["table"].inputs, second["table"].inputs)
    assert not np.array_equal(first["inner"].inputs, second["inner"].inputs)


def test_the_training_part_matters(
    recipe: Recipe, study: Study, split: Split, untrained: list[dict[str, Any]]
) -> None:
    fit(recipe, study.examples, split, seed=3)
    fit(recipe, spoilt(study.examples, split.train[:3]), split, seed=3)
    assert not np.array_equal(untrained[0]["table"].inputs, untrained[1]["table"].inputs)


def test_a_refit_trains_on_both_parts_for_the_best_number_of_epochs(
    recipe: Recipe, study: Study, split: Split, untrained: list[dict[str, Any]], tmp_path: Path
) -> None:
    plain = fit(recipe, study.examples, split, seed=3)
    refit = replace(recipe, fitting=msgspec.structs.replace(recipe.fitting, refit=True))
    found = fit(refit, study.examples, split, seed=3, kept=tmp_path / "one.unfinished.npz")
    assert len(untrained) == 3
    again = untrained[2]
    assert again["rates"] == [0.1, 0.2]
    assert again.get("inner") is None
    # A file of its own, or the first training would be taken for the second.
    assert again["kept"] == tmp_path / "one.unfinished.again.npz"
    both = np.union1d(split.train, split.inner)
    assert found.n_windows == len(study.examples.windows.rows(both, copies=True)) > plain.n_windows
    assert found.temperature == plain.temperature
    assert len(found.history) == 4
    assert found.weights[0].shape == (3,)
    assert not np.array_equal(found.preprocessing.mean, plain.preprocessing.mean)
    # Judged before it was trained on.
    assert np.array_equal(found.inner_probabilities, plain.inner_probabilities)


def test_an_estimators_refit_trains_on_both_parts(
    forest: Recipe, study: Study, split: Split, estimated: Fitted
) -> None:
    once = replace(forest, fitting=msgspec.structs.replace(forest.fitting, refit=False))
    plain = fit(once, study.examples, split, seed=3)
    assert estimated.n_windows > plain.n_windows
    assert estimated.weights[0].tobytes() != plain.weights[0].tobytes()
    assert estimated.temperature == plain.temperature
    assert np.array_equal(estimated.inner_probabilities, plain.inner_probabilities)


def test_the_seed_decides(forest: Recipe, study: Study, split: Split, estimated: Fitted) -> None:
    assert same(estimated, fit(forest, study.examples, split, seed=3))
    assert not same(estimated, fit(forest, study.examples, split, seed=4))


def test_class_weights_reach_the_model(
    forest: Recipe, study: Study, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def spy(*arguments: Any, weights: Any, **others: Any) -> bytes:
        given.append(weights)
        return fit_estimator(*arguments, weights=weights, **others)

    monkeypatch.setattr(module, "fit_estimator", spy)
    fitting = msgspec.structs.replace(forest.fitting, refit=False)
    few = replace(split, train=split.train[3:])
    for balance in ("class-weights", "none"):
        fit(replace(forest, balance=balance, fitting=fitting), study.examples, few, seed=3)
    labels = study.truth.labels[
        study.examples.windows.clip[study.examples.windows.rows(few.train, copies=True)]
    ]
    totals = [given[0][labels == label].sum() for label in range(3)]
    assert totals == pytest.approx([totals[0]] * 3)
    assert len(set(given[0].tolist())) > 1
    assert given[1] is None


def test_classes_that_a_corpus_does_not_know_do_not_cool_the_model(
    recipe: Recipe,
    study: Study,
    split: Split,
    untrained: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = study.examples.known.copy()
    known[split.inner, 1] = False
    kept = np.setdiff1d(split.inner, np.flatnonzero(study.truth.labels == 1))
    own = replace(split, inner=kept)

    def answer(_: Any, inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        labels = untrained[-1]["inner"].labels
        assert len(labels) == len(inputs)
        # Half of the probability is a class's that was never heard; of the rest, nine in ten are right.
        right = np.where(np.arange(len(labels)) % 10 < 9, labels, 2 - labels)
        shares = 0.5 * np.eye(3)[1] + 0.45 * np.eye(3)[right] + 0.05 * np.eye(3)[2 - right]
        return np.asarray(shares, dtype=np.float32)

    monkeypatch.setattr(module, "run", answer)
    found = fit(recipe, replace(study.examples, known=known), own, seed=3)
    assert found.temperature == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("part", ["train", "inner"])
def test_a_part_without_a_voice_is_refused(forest: Recipe, study: Study, split: Split, part: str) -> None:
    windows = study.examples.windows
    clips = getattr(split, part)
    silent = replace(windows, voiced=windows.voiced & ~np.isin(windows.clip, clips))
    with pytest.raises(TrainingError, match=rf"no voice is heard in the {len(clips)} clips"):
        fit(forest, replace(study.examples, windows=silent), split, seed=3)


def test_nothing_to_predict_gives_nothing(
    recipe: Recipe, forest: Recipe, fitted: Fitted, estimated: Fitted
) -> None:
    assert predict(recipe, fitted, np.zeros((0, 20), np.float32)).shape == (0, 3)
    n_values = forest.features.n_values
    assert predict(forest, estimated, np.zeros((0, n_values), np.float32)).shape == (0, 3)


def test_tempering_is_dividing_logits() -> None:
    logits = np.array([[2.0, 1.0, -1.0]])
    softmax = np.exp(logits) / np.exp(logits).sum()
    halved = np.exp(logits / 2) / np.exp(logits / 2).sum()
    assert temper(softmax.astype(np.float32), 2.0) == pytest.approx(halved, abs=1e-6)
    assert temper(np.array([[1.0, 0.0]], np.float32), 1.0) == pytest.approx(np.array([[1.0, 0.0]]), abs=1e-6)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found(true_temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((8_000, 4))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (honest.cumsum(axis=1) > rng.uniform(size=(8_000, 1))).argmax(axis=1)
    sharper = np.exp(logits * true_temperature)
    shown = (sharper / sharper.sum(axis=1, keepdims=True)).astype(np.float32)
    assert fit_temperature(shown, labels) == pytest.approx(true_temperature, rel=0.1)


def test_members_are_trained_with_seeds_and_files_of_their_own(
    recipe: Recipe, study: Study, split: Split, untrained: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert isinstance(recipe.model, Dense)
    members = (recipe.model, Dense(layers=()), recipe.model)
    several = replace(
        recipe,
        model=Ensemble(members=members),
        fitting=msgspec.structs.replace(recipe.fitting, refit=True),
    )
    kept = tmp_path / "one.unfinished.npz"
    found = fit(several, study.examples, split, seed=3, kept=kept)
    assert [call["seed"] for call in untrained] == [3, 1003, 2003] * 2
    assert [call["recipe"].model for call in untrained[:3]] == list(members)
    assert len({call["kept"] for call in untrained}) == 6
    assert len(found.weights) == 3
    assert len(found.history) == 4
    for call in untrained:
        call["kept"].touch()
    forget(kept)
    assert not list(tmp_path.iterdir())
