from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from realtime.errors import TrainingError
from realtime.loaded import temper
from training import protocols, store, study
from training.commands.evaluate import _seeds
from training.fit import predict, rebuild
from training.joining import join
from training.recipes.schema import Ensemble
from training.workers import Workers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.training.conftest import Gather
    from training.corpora import Corpus
    from training.fit import Fitted
    from training.recipes import Recipe
    from training.study import Study


@pytest.fixture(scope="module")
def gathered(often: Recipe, corpus: Corpus, gather_study: Gather, tmp_path_factory: Any) -> Study:
    return gather_study(often, corpus, tmp_path_factory.mktemp("cache"))


def once(gathered: Study) -> Study:
    """The same recordings, for the recipe with one training of each member."""
    assert isinstance(gathered.recipe.model, Ensemble)
    recipe = replace(gathered.recipe, model=gathered.recipe.model.once)
    return replace(gathered, recipe=recipe, digest=study._digest(recipe, study._variations(recipe)))


def test_all_trainings_are_asked(gathered: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    task = protocols.shipped(gathered.corpus, 42)
    epochs: list[Any] = []
    found = study.train_one(gathered, task, watch=epochs.append)
    singles = [
        study.train_one(once(gathered), replace(task, name=f"shipped-seed-{seed}", seed=seed))
        for seed in (42, 43, 44)
    ]
    assert len(epochs) == 6 * gathered.recipe.fitting.n_epochs
    assert len({one.weights[0].tobytes() for one in singles}) == 3
    rows = found.preprocessing(gathered.examples.windows.features[:20])
    of_each = [np.asarray(rebuild(once(gathered).recipe, one, 0)(rows)) for one in singles]
    expected = temper(np.mean(of_each, axis=0), found.temperature)
    np.testing.assert_allclose(predict(gathered.recipe, found, rows), expected, atol=1e-5)
    assert 0.05 < found.temperature < 10
    inner = gathered.examples.windows.rows(task.split.inner, copies=False)
    rows = found.preprocessing(gathered.examples.windows.features[inner])
    np.testing.assert_allclose(found.inner_probabilities, predict(gathered.recipe, found, rows), atol=1e-4)
    # All of it is kept, each training by itself too.
    monkeypatch.setattr(study, "fit", None)
    again = study.train_one(gathered, task)
    assert all(np.array_equal(a, b) for a, b in zip(again.weights, found.weights, strict=True))


def test_trainings_are_shared_out(gathered: Study, tmp_path: Path) -> None:
    elsewhere = replace(gathered, cache=tmp_path)
    first, second = (protocols.shipped(gathered.corpus, seed) for seed in (42, 45))
    expected = study.train_one(gathered, first)
    store.save(elsewhere.path(second), expected)
    done: list[tuple[int, str]] = []
    found = study.train_all(elsewhere, [first, second], Workers(2), advance=lambda *one: done.append(one))
    # What is kept comes first, and nobody trains it again.
    (kept, _), (task, fitted) = found
    assert (kept, task) == (second, first)
    assert done[0] == (3, "shipped-seed-45")
    assert sorted(done[1:]) == [(1, f"shipped-seed-{seed}") for seed in (42, 43, 44)]
    assert all(np.array_equal(a, b) for a, b in zip(fitted.weights, expected.weights, strict=True))
    assert fitted.temperature == expected.temperature
    assert elsewhere.path(first).exists()


def test_a_model_that_is_trained_often_shares_trainings_with_one_that_is_not(gathered: Study) -> None:
    assert once(gathered).digest != gathered.digest
    model = gathered.recipe.model
    assert isinstance(model, Ensemble)
    assert model.once == Ensemble(members=model.members[:2])
    # But no two of the seeds of an evaluation do.
    assert _seeds(gathered.recipe, 3) == [42, 45, 48]
    assert _seeds(once(gathered).recipe, 3) == [42, 43, 44]


def test_trainings_behind_another_scaler_are_refused(gathered: Study) -> None:
    task = protocols.shipped(gathered.corpus, 42)
    found: Fitted = study.train_one(gathered, task)
    other = replace(found, preprocessing=replace(found.preprocessing, mean=found.preprocessing.mean + 1))
    with pytest.raises(TrainingError, match="scale or select features by another mean"):
        join([found, other], gathered.examples, task.split)
