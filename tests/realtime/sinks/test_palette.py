from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from realtime.sinks.palette import EMOTIONS, STATES, look_of
from realtime.types import LABELS, PREDICTING, UNKNOWN, State


def test_every_label_and_every_state_has_its_look() -> None:
    assert set(EMOTIONS) == {*LABELS, UNKNOWN}
    assert set(STATES) == set(State)
    assert set(State) > PREDICTING


@pytest.mark.parametrize("label", EMOTIONS)
def test_looks_fit_a_terminal(label: str) -> None:
    look = look_of(label)
    assert re.fullmatch(r"#[0-9a-f]{6}", look.colour)
    assert cell_len(look.emoji) == 2


def test_emotions_can_be_told_apart() -> None:
    looks = [look_of(label) for label in LABELS]
    assert len({look.colour for look in looks}) == len({look.emoji for look in looks}) == len(LABELS)


def test_a_label_of_ones_own_has_a_look() -> None:
    assert look_of("bored") == look_of(UNKNOWN)
