from __future__ import annotations

import pytest

from realtime.affect import EXCITED, PLACES, QUIET, affect
from realtime.types import LABELS


def test_every_label_has_its_place() -> None:
    assert tuple(PLACES) == LABELS
    assert all(-1 <= value <= 1 for place in PLACES.values() for value in place)
    assert not EXCITED & QUIET
    assert EXCITED | QUIET | {"disgust"} == set(LABELS)
    assert max(PLACES[label].arousal for label in QUIET) < 0 < min(PLACES[label].arousal for label in EXCITED)


def test_a_sure_label_is_its_place() -> None:
    for i, label in enumerate(LABELS):
        sure = [float(i == j) for j in range(len(LABELS))]
        assert affect(LABELS, sure) == pytest.approx(PLACES[label])


def test_doubt_lies_between() -> None:
    between = affect(("happy", "sad"), (0.25, 0.75))
    assert between is not None
    assert between.arousal == pytest.approx(0.25 * 0.6 - 0.75 * 0.5)
    assert between.valence == pytest.approx(0.25 * 0.8 - 0.75 * 0.7)


def test_a_label_of_ones_own_has_no_place() -> None:
    assert affect(("happy", "bored"), (0.5, 0.5)) is None
