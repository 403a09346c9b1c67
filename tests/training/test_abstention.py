from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from realtime.card import Coverage
from realtime.types import Smoothing
from training import abstention
from training.abstention import (
    find_thresholds,
    mean_coverage,
    mean_thresholds,
    measure_elsewhere,
    strangers_by_seed,
)
from training.judgement import Judged
from training.recipes.schema import Speakers
from training.study import Trained

if TYPE_CHECKING:
    from training.study import Study


def told(study: Study, confidence: float, *, seed: int = 42, group: str = "speaker") -> Trained:
    """Return a model that is right of all its inner windows, and so sure of it."""
    windows = study.examples.windows
    inner = windows.clip[windows.rows(np.arange(len(study.clips)), copies=False)]
    sure = np.full((len(inner), 3), (1 - confidence) / 2, dtype=np.float32)
    sure[np.arange(len(inner)), study.truth.labels[inner]] = confidence
    split = SimpleNamespace(inner=np.unique(inner))
    task: Any = SimpleNamespace(group=group, seed=seed, split=split)
    return Trained(task, SimpleNamespace(inner_probabilities=sure))  # type: ignore[arg-type]


def test_thresholds_are_of_what_is_told_live(both_forest: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    # No clip has more than a few windows: what is usual should count at once.
    speakers = Speakers(logit_adjustment=1.0, label_prior_s=0.1)
    recipe = replace(both_forest.recipe, smoothing=Smoothing(method="none"))
    one = told(both_forest, 0.9)
    monkeypatch.setattr(abstention, "N_PRECISE", 5)
    plain = find_thresholds(replace(both_forest, recipe=recipe), [[one]])
    adjusted = find_thresholds(replace(both_forest, recipe=replace(recipe, speakers=speakers)), [[one]])
    assert set(plain) == set(adjusted)
    assert adjusted["0.9"] < plain["0.9"]


def test_each_seed_finds_its_own_threshold(both_forest: Study) -> None:
    study = replace(both_forest, recipe=replace(both_forest.recipe, smoothing=Smoothing(method="none")))
    trained = [
        told(study, 0.8, seed=43),
        told(study, 0.6, seed=42),
        told(study, 0.9, seed=42, group="random"),
    ]
    by_seed = strangers_by_seed(trained)
    assert [[one.task.seed for one in own] for own in by_seed] == [[42], [43]]
    # Together, all decisions would be right from 0.6 on.
    assert find_thresholds(study, by_seed)["0.9"] == pytest.approx(0.7, abs=2e-4)
    assert find_thresholds(study, []) == {}


def elsewhere(study: Study, corpus: str, *, seed: int = 42) -> Trained:
    """Return a model of all corpora but this one, on whose clips it is tested."""
    here = np.asarray([clip.corpus == corpus for clip in study.clips])
    one = told(study, 0.9, seed=seed, group=f"cross/to-{corpus}")
    inner = one.task.split.inner
    learnt = inner[~here[inner]]
    windows = study.examples.windows
    kept = ~here[windows.clip[windows.rows(np.arange(len(study.clips)), copies=False)]]
    split = SimpleNamespace(train=learnt, inner=learnt, test=np.flatnonzero(here))
    task: Any = SimpleNamespace(group=one.task.group, seed=seed, split=split)
    fitted: Any = SimpleNamespace(inner_probabilities=one.fitted.inner_probabilities[kept])
    return Trained(task, fitted)


def test_thresholds_are_tried_on_another_corpus(both_forest: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abstention, "N_PRECISE", 5)
    study = replace(both_forest, recipe=replace(both_forest.recipe, smoothing=Smoothing(method="none")))
    windows, labels = study.examples.windows, study.truth.labels

    def answers(one: Trained, *, sure: float) -> Judged:
        """Be right of every other window, and sure of a quarter of those and of all others."""
        rows = windows.rows(one.task.split.test, copies=False)
        clip = windows.clip[rows]
        right = np.arange(len(rows)) % 2 == 0
        said = np.where(right, labels[clip], (labels[clip] + 1) % 3)
        confidence = np.where(right & (np.arange(len(rows)) % 8 > 0), 0.5, sure)
        probabilities = np.repeat((1 - confidence)[:, np.newaxis] / 2, 3, axis=1).astype(np.float32)
        probabilities[np.arange(len(rows)), said] = confidence
        return Judged(clip, rows, probabilities)

    models = [elsewhere(study, "nemo", seed=43), told(study, 0.9), elsewhere(study, "nemo")]
    judged = [answers(models[2], sure=0.95), answers(models[0], sure=0.6)]
    found = measure_elsewhere(study, models, {"cross/to-nemo": judged})["cross/to-nemo"]["0.9"]
    n = len(judged[0].clip)
    n_right, n_sure = -(-n // 8), n // 2 + -(-n // 8)
    # At 0.9, the second seed says nothing.
    assert found.share == pytest.approx(n_sure / n / 2, abs=1e-4)
    assert found.precision == pytest.approx(n_right / n_sure, abs=1e-4)
    # Of labels that it never learnt nobody can expect it to be right.
    taught = replace(
        study.truth,
        labels=np.where(np.isin(np.arange(len(labels)), models[0].task.split.test), 2, labels % 2),
    )
    assert measure_elsewhere(replace(study, truth=taught), models, {"cross/to-nemo": judged}) == {}
    assert measure_elsewhere(study, models, {}) == {}


def test_means_are_of_what_every_seed_reaches() -> None:
    found = [{"0.6": 0.25, "0.8": 0.55}, {"0.6": 0.5, "0.8": 0.7, "0.9": 0.9}]
    assert mean_thresholds(found, [2, 1]) == {"0.6": 0.3333, "0.8": 0.6}
    assert mean_thresholds(found[:1], [3]) == found[0]
    shares = [{"0.6": Coverage(share=0.4, precision=0.6)}, {"0.6": Coverage(share=0.1, precision=0.9)}]
    assert mean_coverage(shares, [2, 1]) == {"0.6": Coverage(share=0.3, precision=0.6333)}
    # A seed that leaves nothing says nothing of how right it is.
    nothing = {"0.6": Coverage(share=0, precision=0)}
    assert mean_coverage([shares[1], nothing], [1, 1]) == {"0.6": Coverage(share=0.05, precision=0.9)}
    assert mean_coverage([nothing], [1]) == nothing
    assert mean_coverage([shares[0], {}], [1, 1]) == {}
