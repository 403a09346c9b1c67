from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime.artifact import Preprocessing
from training import reporting
from training.fit import inputs_of
from training.judgement import representative_inputs
from training.recipes.schema import Speakers

if TYPE_CHECKING:
    from training.study import Study


def test_pictures_show_what_a_model_sees_where_it_runs(study: Study) -> None:
    n_values = study.recipe.features.n_values
    ones = np.ones(n_values, dtype=np.float32)
    fitted: Any = SimpleNamespace(preprocessing=Preprocessing(np.arange(n_values), 0 * ones, ones))
    windows = study.examples.windows
    everyone = np.arange(len(study.clips))
    rows = windows.rows(everyone, copies=False)
    sampled, plain = reporting._sample_inputs(study, fitted, rows)
    assert np.array_equal(sampled, rows)
    assert np.array_equal(plain, windows.features[rows])

    following = replace(study, recipe=replace(study.recipe, speakers=Speakers()))
    heard = inputs_of(following.recipe, fitted.preprocessing, windows, rows)
    sampled, inputs = reporting._sample_inputs(following, fitted, rows)
    assert np.array_equal(inputs, heard)
    assert not np.allclose(inputs, plain)
    shown = representative_inputs(following.recipe, fitted, windows, everyone)
    assert np.array_equal(shown, heard[:: max(1, len(rows) // len(shown))])
