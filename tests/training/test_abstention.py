from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from realtime.card import Coverage
from realtime.types import Smoothing
from training import abstention
from training.abstention import find_thresholds, mean_coverage, mean_thresholds, strangers_by_seed
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
