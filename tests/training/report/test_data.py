from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from training.report import ReportData


def test_refuses_lengths_that_differ(small: ReportData) -> None:
    with pytest.raises(ValueError, match=r"clips\.speaker is of shape \(59,\); wanted \(60,\)"):
        replace(small, clips=replace(small.clips, speaker=small.clips.speaker[1:]))
    with pytest.raises(ValueError, match=r"features\.importances is of shape \(83,\); wanted \(84,\)"):
        replace(small, features=replace(small.features, importances=np.ones(83)))
    with pytest.raises(ValueError, match=r"judged\.probabilities is of shape \(320, 2\); wanted \(320, 3\)"):
        replace(small, judged=replace(small.judged, probabilities=small.judged.probabilities[:, :2]))
    assert small.embedding is not None
    with pytest.raises(ValueError, match=r"embedding\.held_out"):
        replace(small, embedding=replace(small.embedding, held_out=np.zeros(3, dtype=np.bool_)))


def test_refuses_other_labels_than_the_cards(small: ReportData) -> None:
    with pytest.raises(ValueError, match="wanted the card's"):
        replace(small, labels=("calm", "neutral", "happy"))


def test_refuses_classes_that_do_not_exist(small: ReportData) -> None:
    label = small.features.label.copy()
    label[0] = 3
    with pytest.raises(ValueError, match=r"features\.label runs from 0 to 3; wanted 0 to 2"):
        replace(small, features=replace(small.features, label=label))


def test_refuses_what_is_not_finite(small: ReportData) -> None:
    inputs = small.features.inputs.copy()
    inputs[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"features\.inputs holds values that are not finite"):
        replace(small, features=replace(small.features, inputs=inputs))


def test_refuses_an_empty_part(small: ReportData) -> None:
    judged = replace(small.judged, truth=small.judged.truth[:0], probabilities=small.judged.probabilities[:0])
    with pytest.raises(ValueError, match="there are no judged rows"):
        replace(small, judged=judged)
