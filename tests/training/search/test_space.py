from __future__ import annotations

import tomllib
from copy import deepcopy
from pathlib import Path

import pytest

from realtime.errors import SettingsError
from training.recipes import digest, parse_recipe, recipe_names
from training.recipes.schema import Dense, Ensemble, Silence
from training.search import (
    Between,
    Choices,
    Dimension,
    Space,
    check_space,
    default_space,
    read_source,
    read_space,
    space_to_toml,
)
from training.search.recipe import keys_of, override


def read(tmp_path: Path, text: str, recipe: str = "ann-392") -> Space:
    path = tmp_path / "space.toml"
    path.write_text(text)
    return read_space(path, read_source(recipe))


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_has_a_default_space(name: str, tmp_path: Path) -> None:
    source = read_source(name)
    space = default_space(source.recipe)
    check_space(space, source)
    # The members of an ensemble are searched one by one, each as a recipe of its own.
    is_searched = any(dimension.key.startswith("model.") for dimension in space.dimensions)
    assert is_searched != isinstance(source.recipe.model, Ensemble)
    # As a user who begins with it would write it.
    assert read(tmp_path, space_to_toml(space), name) == space


def test_several_trainings_are_not_to_see_other_rows(tmp_path: Path) -> None:
    own = 'like = "pair-88"\n[model]\ntrainings = 3\n[fitting]\nn_draws = 0\n'
    (tmp_path / "own.toml").write_text(own)
    source = read_source(str(tmp_path / "own.toml"))
    check_space(default_space(source.recipe), source)


@pytest.mark.parametrize("name", recipe_names())
def test_every_key_can_be_given_the_value_it_has(name: str) -> None:
    source = read_source(name)
    plain = deepcopy(dict(source.plain))
    for key, value in keys_of(source.recipe).items():
        if value is not None:
            override(plain, source.recipe, key, value)
    assert digest(parse_recipe(name, plain)) == digest(source.recipe)


def test_a_file_says_what_is_searched(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        """
        ["fitting.learning_rate"]
        low = 1e-4
        high = 1e-2
        log = true
        [model.layers.0.units]
        choices = [128, 256]
        ["selection.n_features"]
        low = 50
        high = 392
        step = 2
        ["augmentation.steps.0.gain_db.0"]
        low = -12
        high = -6.0
        """,
    )
    assert space == Space(
        (
            Dimension("fitting.learning_rate", Between(low=1e-4, high=1e-2, log=True)),
            Dimension("model.layers.0.units", Choices(choices=(128, 256))),
            Dimension("selection.n_features", Between(low=50, high=392, step=2)),
            Dimension("augmentation.steps.0.gain_db.0", Between(low=-12, high=-6.0)),
        )
    )
    whole = [getattr(dimension.values, "is_whole", None) for dimension in space.dimensions]
    assert whole == [False, None, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["fitting.learning_rat"]\nlow = 1e-4\nhigh = 1e-2', "did you mean 'fitting.learning_rate'"),
        ('["model.layers.9.units"]\nlow = 1\nhigh = 2', "unknown key 'model.layers.9.units' of ann-392"),
        (
            '["model.layers"]\nchoices = [1]',
            "holds several; wanted one of them, such as 'model.layers.0.units'",
        ),
        ('["model.kind"]\nchoices = ["dense", "conv"]', "unknown key 'model.kind'"),
        ('["labels.0"]\nchoices = ["calm", "happy"]', "unknown key 'labels.0'"),
        ('["fitting.patience"]\nlow = 1\nhigh = 2\nsteps = 1', "did you mean 'step'"),
        ('["fitting.patience"]\nhigh = 2', "fitting.patience: object missing required field `low`"),
        ('["fitting.patience"]\nlow = 3\nhigh = 2', "low is 3, high 2; wanted low below high"),
        ('["fitting.patience"]\nlow = 1\nhigh = 8\nstep = 3', "step is 3; wanted one that leads from 1 to 8"),
        ('["fitting.patience"]\nlow = 0\nhigh = 8\nlog = true', "low is 0 with log"),
        ('["fitting.patience"]\nlow = 1.0\nhigh = 2.0', "fitting.patience = 1.0 cannot be"),
        ('["model.layers.0.dropout"]\nlow = 0.5\nhigh = 1.5', "model.layers.0.dropout = 1.5 cannot be"),
        ('["selection.n_features"]\nlow = 50\nhigh = 393', "n_features is 393; wanted 1 to 392"),
        ('["balance"]\nchoices = ["none", "oversampl"]', "balance = 'oversampl' cannot be"),
        ('["balance"]\nchoices = []', "wanted one or more, each once"),
        ('["balance"]\nchoices = ["none", "none"]', "wanted one or more, each once"),
        ("balance = 3", "balance is 3; wanted a table with low and high, or choices"),
        ("", "nothing is searched"),
        ("balance = [", "not TOML"),
    ],
)
def test_what_cannot_be_searched_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert str(tmp_path / "space.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none.toml: No such file.*wanted the TOML file of a space"):
        read_space(tmp_path / "none.toml", read_source("svm"))


def test_what_a_file_leaves_out_can_be_overridden() -> None:
    source = read_source("ann-392")
    plain = deepcopy(dict(source.plain))
    override(plain, source.recipe, "smoothing.alpha", 0.25)
    override(plain, source.recipe, "model.layers.0.dropout", 0.5)
    override(plain, source.recipe, "augmentation.steps.1.after_s.1", 0.75)
    recipe = parse_recipe("changed", plain)
    assert recipe.smoothing.alpha == 0.25
    assert isinstance(recipe.model, Dense)
    assert [layer.dropout for layer in recipe.model.layers] == [0.5, 0.3, 0.3, 0.2]
    assert recipe.augmentation.steps[1] == Silence(before_s=(0.0, 1.5), after_s=(0.0, 0.75))
    # The file's own values are as they were.
    assert source.plain == tomllib.loads(source.text)
