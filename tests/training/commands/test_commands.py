"""The commands that cards and scores name can be given again as they stand."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from training import cli
from training.commands import evaluate, fit

GIVEN = [
    [],
    ["--data", "ravdess", "--data", "nemo=/some where/nemo"],
    ["--data", "my clips.csv", "--map", "joy=happy", "--map", "boredom=neutral"],
]


@pytest.mark.parametrize("data", GIVEN, ids=["default", "two corpora", "list and map"])
def test_what_is_written_down_means_the_same(data: list[str]) -> None:
    parser = cli._parser()
    given = parser.parse_args(["fit", "own recipe.toml", *data, "--seed", "7", "--quantise", "int8"])
    again = parser.parse_args(shlex.split(fit._command(given, Path("models/own")))[1:])
    assert (again.recipe, again.data, again.map) == (given.recipe, given.data, given.map)
    assert (again.seed, again.quantise, again.out) == (7, "int8", Path("models/own"))

    given = parser.parse_args(["evaluate", "ann-392", *data, "--seeds", "3", "--cross", "emodb"])
    again = parser.parse_args(shlex.split(evaluate._command(given, "cross"))[1:])
    assert (again.recipe, again.data, again.map) == (given.recipe, given.data, given.map)
    assert (again.protocols, again.seeds, again.cross) == ("cross", 3, "emodb")
