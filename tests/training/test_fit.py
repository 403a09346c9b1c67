from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training import fit as fit_module
from training.fit import Fitted, fit, fit_temperature, predict, temper
from training.splits import Split, split_by_fold

if TYPE_CHECKING:
    import numpy.typing as npt

    from training.corpora import Corpus
    from training.dataset import Extraction, Windows
    from training.fit import Epoch
    from training.recipes import Recipe


@pytest.fixture(scope="module")
def labels(extraction: Extraction, recipe: Recipe) -> npt.NDArray[np.int64]:
    return np.asarray([recipe.labels.index(clip.label) for clip in extraction.clips])


@pytest.fixture(scope="module")
def split(extraction: Extraction, corpus: Corpus) -> Split:
    return split_by_fold(extraction.clips, corpus.folds, 0)


@pytest.fixture(scope="module")
def fitted(recipe: Recipe, extraction: Extraction, labels: npt.NDArray[np.int64], split: Split) -> Fitted:
    return fit(recipe, extraction.windows, labels, split, seed=3)


def same(first: Fitted, second: Fitted) -> bool:
    pairs = [
        *zip(first.weights, second.weights, strict=True),
        *(
            (getattr(first.preprocessing, name), getattr(second.preprocessing, name))
            for name in ("selected", "mean", "scale")
        ),
    ]
    return (
        all(np.array_equal(a, b) for a, b in pairs)
        and first.temperature == second.temperature
        and first.history == second.history
    )


def spoilt(windows: Windows, clips: npt.NDArray[np.int64]) -> Windows:
    """Return windows whose features are absurd in these clips."""
    features = windows.features.copy()
    features[np.isin(windows.clip, clips)] = 1e6
    return replace(windows, features=features)


def test_it_learns(
    recipe: Recipe, extraction: Extraction, labels: npt.NDArray[np.int64], split: Split, fitted: Fitted
) -> None:
    rows = extraction.windows.rows(split.test, copies=False)
    probabilities = predict(recipe, fitted, extraction.windows.features[rows])
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (probabilities.argmax(axis=1) == labels[extraction.windows.clip[rows]]).mean() > 0.6
    assert len(fitted.preprocessing.selected) == 20
    assert 1 <= len(fitted.history) <= recipe.fitting.n_epochs


@pytest.mark.parametrize("refit", [False, True])
def test_the_test_part_changes_nothing(
    quick: Recipe, extraction: Extraction, labels: npt.NDArray[np.int64], split: Split, *, refit: bool
) -> None:
    recipe = replace(quick, fitting=replace(quick.fitting, refit=refit))
    plain = fit(recipe, extraction.windows, labels, split, seed=3)
    absurd_labels = labels.copy()
    absurd_labels[split.test] = 0
    absurd = spoilt(extraction.windows, split.test)
    assert same(plain, fit(recipe, absurd, absurd_labels, split, seed=3))


def test_the_inner_part_chooses_but_does_not_train(
    quick: Recipe, extraction: Extraction, labels: npt.NDArray[np.int64], split: Split
) -> None:
    plain = fit(quick, extraction.windows, labels, split, seed=3)
    other = fit(quick, spoilt(extraction.windows, split.inner), labels, split, seed=3)
    for name in ("selected", "mean", "scale"):
        assert np.array_equal(getattr(plain.preprocessing, name), getattr(other.preprocessing, name))
    assert [epoch.loss for epoch in plain.history] == [epoch.loss for epoch in other.history]
    assert [epoch.inner_loss for epoch in plain.history] != [epoch.inner_loss for epoch in other.history]


def test_the_training_part_matters(
    quick: Recipe, extraction: Extraction, labels: npt.NDArray[np.int64], split: Split
) -> None:
    plain = fit(quick, extraction.windows, labels, split, seed=3)
    assert not same(plain, fit(quick, spoilt(extraction.windows, split.train[:3]), labels, split, seed=3))


def test_a_refit_trains_on_both_parts_for_the_best_number_of_epochs(
    recipe: Recipe,
    extraction: Extraction,
    corpus: Corpus,
    fitted: Fitted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = split_by_fold(extraction.clips, corpus.folds, 0)
    labels = np.asarray([recipe.labels.index(clip.label) for clip in extraction.clips])
    trainings = []
    original = fit_module._train

    def spy(*args: object, **kwargs: object) -> object:
        trainings.append(kwargs)
        return original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(fit_module, "_train", spy)
    refit = replace(recipe, fitting=replace(recipe.fitting, refit=True))
    found = fit(refit, extraction.windows, labels, split, seed=3)
    best = int(np.argmax([epoch.inner_accuracy for epoch in fitted.history]))
    assert trainings[1]["rates"] == [epoch.learning_rate for epoch in fitted.history[: best + 1]]
    both = np.union1d(split.train, split.inner)
    assert found.n_windows == len(extraction.windows.rows(both, copies=True)) > fitted.n_windows
    assert found.temperature == fitted.temperature


def test_the_seed_decides(
    quick: Recipe, extraction: Extraction, labels: npt.NDArray[np.int64], split: Split
) -> None:
    epochs: list[Epoch] = []
    first = fit(quick, extraction.windows, labels, split, seed=3, watch=epochs.append)
    assert tuple(epochs) == first.history
    assert same(first, fit(quick, extraction.windows, labels, split, seed=3))
    assert not same(first, fit(quick, extraction.windows, labels, split, seed=4))


def test_nothing_to_predict_gives_nothing(recipe: Recipe, fitted: Fitted) -> None:
    assert predict(recipe, fitted, np.zeros((0, recipe.features.n_values), np.float32)).shape == (0, 3)


def test_tempering_is_dividing_logits() -> None:
    logits = np.array([[2.0, 1.0, -1.0]])
    softmax = np.exp(logits) / np.exp(logits).sum()
    halved = np.exp(logits / 2) / np.exp(logits / 2).sum()
    assert temper(softmax.astype(np.float32), 2.0) == pytest.approx(halved, abs=1e-6)
    assert temper(np.array([[1.0, 0.0]], np.float32), 1.0) == pytest.approx(np.array([[1.0, 0.0]]), abs=1e-6)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found(true_temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((20_000, 4))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (honest.cumsum(axis=1) > rng.uniform(size=(20_000, 1))).argmax(axis=1)
    sharper = np.exp(logits * true_temperature)
    shown = (sharper / sharper.sum(axis=1, keepdims=True)).astype(np.float32)
    assert fit_temperature(shown, labels) == pytest.approx(true_temperature, rel=0.08)
