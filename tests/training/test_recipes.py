from __future__ import annotations

import copy
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from realtime.errors import FeatureError, SettingsError
from realtime.features import WindowExtractor
from realtime.types import LABELS, Smoothing
from training.recipes import Recipe, digest, find_recipe, parse_recipe, read_recipe, recipe_names
from training.recipes.schema import (
    Conv,
    Conv2dGruAttention,
    Dense,
    Ensemble,
    Forest,
    Neighbours,
    Noise,
    PitchShift,
    TimeStretch,
)

NAMES = (
    "ann-392",
    "cnn",
    "cnn-lstm",
    "crnn-68",
    "dnn-105",
    "dnn-cv",
    "duo-127",
    "duo-88",
    "forest-80",
    "knn",
    "lstm",
    "pair-88",
    "quartet-88",
    "random-forest",
    "svm",
    "trio-68",
)
WITHOUT = {
    "ann-392": (),
    "dnn-105": ("sad",),
    "dnn-cv": ("disgust", "surprised"),
    "cnn": ("disgust",),
    "forest-80": (),
}
PLAIN: dict[str, Any] = {
    "description": "for tests",
    "labels": ["neutral", "happy"],
    "window_s": 1.0,
    "hop_s": 0.5,
    "balance": "oversample",
    "features": {"families": [{"kind": "mfcc", "n": 8, "pool": ["mean"]}]},
    "selection": {"method": "forest", "n_features": 4},
    "augmentation": {"n_copies": 1, "steps": [{"kind": "gain", "gain_db": [-3.0, 3.0]}]},
    "model": {"kind": "dense", "layers": [{"units": 4}]},
    "fitting": {"n_epochs": 3},
}
FRAMES = {"output": "frames", "families": [{"kind": "mfcc", "n": 8}]}
PICTURE = {"output": "frames", "families": [{"kind": "mel", "n": 8}, {"kind": "level"}]}
MEMBER = {"kind": "conv", "blocks": [{"filters": 4}]}


def plain(**changes: Any) -> dict[str, Any]:
    """Return a recipe's plain data with other values; without the keys whose value is None."""
    merged = {**copy.deepcopy(PLAIN), **changes}
    return {key: value for key, value in merged.items() if value is not None}


def picture(**changes: Any) -> dict[str, Any]:
    """Return the settings of a network that sees bands as a picture, with other values."""
    blocks = {"blocks2d": [{"filters": 4, "stride": [2, 2]}], "blocks": [{"filters": 4, "pool": 2}]}
    others = {"joined": {"units": 4}, "units": 4}
    return {"kind": "conv2d-gru-attention", "n_bands": 8, **blocks, **others, **changes}


def refusal(**changes: Any) -> str:
    with pytest.raises((SettingsError, FeatureError)) as caught:
        parse_recipe("own", plain(**changes))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_picture_is_of_the_bands_that_its_network_sees() -> None:
    features = PICTURE | {"families": [{"kind": "mfcc", "n": 4}, *PICTURE["families"]]}
    seen = parse_recipe("own", plain(features=features, selection=None, model=picture(sees=["mel", "level"])))
    assert isinstance(seen.model, Conv2dGruAttention)
    assert seen.model.sees == ("mel", "level")
    assert "the columns in front are mfcc" in refusal(features=features, selection=None, model=picture())


def test_the_recipes_that_come_with_the_program() -> None:
    assert recipe_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_sound(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe.labels == tuple(label for label in LABELS if label in recipe.labels)
    features = recipe.features.names()
    assert len(set(features)) == len(features) == recipe.features.n_values
    WindowExtractor(recipe.features, window=recipe.window, hop=recipe.hop)


@pytest.mark.parametrize("name", WITHOUT)
def test_each_system_has_its_classes(name: str) -> None:
    left_out = WITHOUT[name]
    assert find_recipe(name).labels == tuple(label for label in LABELS if label not in left_out)


def test_ann_392_is_the_system_that_it_follows() -> None:
    recipe = find_recipe("ann-392")
    names = recipe.features.names()
    assert len(names) == 392
    families = dict.fromkeys(name.partition(".")[0].rstrip("0123456789").rstrip("_") for name in names)
    wanted = ["mfcc", "mfcc_delta", "mfcc_delta2", "chroma", "mel", "contrast", "tonnetz", "zcr", "rms"]
    assert list(families) == wanted
    assert names[:2] == ("mfcc_00.mean", "mfcc_01.mean")
    assert names[40] == "mfcc_00.std"
    assert names[-2:] == ("rms.mean", "rms.std")
    assert (recipe.selection.method, recipe.selection.n_features) == ("forest", 275)
    assert recipe.balance == "oversample"
    assert isinstance(recipe.model, Dense)
    assert [(layer.units, layer.batch_norm, layer.dropout) for layer in recipe.model.layers] == [
        (275, False, 0.0),
        (200, True, 0.3),
        (150, True, 0.3),
        (100, True, 0.2),
    ]
    assert recipe.reported is not None
    assert (recipe.reported.accuracy, recipe.reported.macro_f1) == (0.872, 0.87)
    assert (recipe.window, recipe.hop, recipe.features.sample_rate) == (48_000, 8_000, 16_000)


def test_dnn_105_is_the_system_that_it_follows() -> None:
    recipe = find_recipe("dnn-105")
    assert recipe.features.n_values == 105
    assert (recipe.features.sample_rate, recipe.window_s) == (16_000, 3.5)
    assert recipe.augmentation.n_copies == 4
    kinds = {type(step) for step in recipe.augmentation.steps}
    assert kinds >= {TimeStretch, PitchShift, Noise}
    assert isinstance(recipe.model, Dense)
    assert [(layer.units, layer.batch_norm, layer.dropout) for layer in recipe.model.layers] == [
        (512, True, 0.3),
        (256, True, 0.3),
        (128, True, 0.2),
        (64, False, 0.2),
    ]
    # 105 inputs, seven classes: the weights of four dense layers, and four numbers for each normalised unit.
    sizes = [105, 512, 256, 128, 64, 7]
    dense = sum((n + 1) * m for n, m in pairwise(sizes))
    assert dense + 4 * (512 + 256 + 128) == 230_791
    assert recipe.reported is not None
    assert (recipe.reported.accuracy, recipe.reported.macro_f1) == (None, None)


def test_dnn_cv_is_the_system_that_it_follows() -> None:
    recipe = find_recipe("dnn-cv")
    assert recipe.features.n_values == 2 * (3 * 40 + 64 + 3 + 2 + 12)
    assert (recipe.features.sample_rate, recipe.window_s) == (22_050, 3.0)
    assert recipe.features.pre_emphasis == 0.97
    assert recipe.balance == "class-weights"
    assert isinstance(recipe.model, Dense)
    assert [(layer.units, layer.dropout) for layer in recipe.model.layers] == [
        (256, 0.4),
        (128, 0.4),
        (64, 0.3),
    ]
    assert all(layer.l2 > 0 for layer in recipe.model.layers)
    assert recipe.fitting.learning_rate == 5e-4
    assert recipe.reported is not None
    assert (recipe.reported.accuracy, recipe.reported.macro_f1) == (0.92, 0.93)


def test_cnn_is_the_system_that_it_follows() -> None:
    recipe = find_recipe("cnn")
    assert (recipe.features.n_values, recipe.sees_frames) == (59, True)
    assert recipe.balance == "class-weights"
    assert isinstance(recipe.model, Conv)
    assert [
        (block.filters, block.kernel, block.batch_norm, block.dropout) for block in recipe.model.blocks
    ] == [
        (128, 5, True, 0.3),
        (256, 5, True, 0.3),
        (512, 5, True, 0.3),
    ]
    assert all(block.pool > 1 for block in recipe.model.blocks)
    assert [(layer.units, layer.dropout) for layer in recipe.model.layers] == [(256, 0.4), (128, 0.4)]
    assert recipe.fitting.learning_rate == 1e-3
    reported = {}
    for name in ("cnn", "lstm", "cnn-lstm", "random-forest", "knn", "svm"):
        system = find_recipe(name)
        assert system.labels == recipe.labels
        assert system.reported is not None
        reported[name] = system.reported.accuracy
    assert reported == {
        "cnn": 0.83,
        "lstm": 0.62,
        "cnn-lstm": 0.72,
        "random-forest": 0.71,
        "knn": 0.56,
        "svm": 0.3,
    }


def test_forest_80_is_the_system_that_it_follows() -> None:
    recipe = find_recipe("forest-80")
    assert recipe.features.n_values == 80
    assert recipe.balance == "downsample"
    assert recipe.model == Forest(n_trees=200, max_depth=30, bootstrap=False)
    assert not recipe.is_network
    assert recipe.reported is not None
    assert recipe.reported.accuracy == 0.766
    assert "75.6%" in recipe.reported.split


def test_defaults_stand_where_nothing_is_said() -> None:
    bare = {key: PLAIN[key] for key in ("description", "labels", "features", "model")}
    recipe = parse_recipe("own", bare)
    assert (recipe.name, recipe.window_s, recipe.hop_s, recipe.balance) == ("own", 3.0, 0.5, "none")
    assert recipe.smoothing == Smoothing()
    assert recipe.reported is None
    assert recipe.augmentation.n_copies == 0


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        # Keys, with the nearest that there is.
        ({"lables": []}, "unknown key 'lables'; did you mean 'labels'?"),
        ({"zzz": 1}, "unknown key 'zzz'; wanted some of "),
        ({"fitting": {"batchsize": 3}}, "fitting: unknown key 'batchsize'; did you mean 'batch_size'?"),
        ({"model": {"kind": "dense", "layers": [{"unit": 3}]}}, "unknown key 'unit'; did you mean 'units'?"),
        ({"model": {"kind": "dense", "layers": [{"unit": 3}]}}, "model.layers[0]"),
        ({"smoothing": {"alfa": 0.5}}, "smoothing: unknown key 'alfa'; did you mean 'alpha'?"),
        ({"features": {"familys": []}}, "features: "),
        ({"selection": {"number": 3}}, "selection: unknown key 'number'"),
        # Kinds.
        ({"model": {"kind": "dens", "layers": []}}, "unknown kind 'dens'; did you mean 'dense'?"),
        ({"model": {"kind": "svm", "layers": []}}, "model: unknown key 'layers'; wanted some of c"),
        ({"model": {"kind": "conv", "layers": []}}, "model: blocks is missing; wanted it there"),
        ({"model": {"kind": "dense", "layers": [{}]}}, "model.layers[0]: units is missing; wanted it there"),
        ({"model": {"layers": []}}, "model: kind is missing; wanted it there"),
        (
            {"augmentation": {"n_copies": 1, "steps": [{"kind": "pitchshift"}]}},
            "augmentation.steps[0].kind: unknown kind 'pitchshift'; did you mean 'pitch-shift'?",
        ),
        ({"features": {"families": [{"kind": "mfccs"}]}}, "features: unknown family 'mfccs'"),
        # Types.
        ({"labels": "neutral"}, "labels is 'neutral': expected `array`, got `str`"),
        ({"labels": [1, 2]}, "labels[0"),
        ({"description": 5}, "description is 5: expected `str`, got `int`"),
        ({"window_s": "long"}, "window_s is 'long': expected `float`, got `str`"),
        ({"fitting": {"n_epochs": 2.5}}, "fitting.n_epochs is 2.5: expected `int`, got `float`"),
        ({"fitting": {"refit": "yes"}}, "fitting.refit is 'yes': expected `bool`, got `str`"),
        ({"fitting": 3}, "fitting is 3: expected `object`, got `int`"),
        ({"features": 3}, "features is 3; wanted a table"),
        ({"smoothing": {"alpha": "much"}}, "smoothing.alpha is 'much': expected `float`"),
        # Values.
        ({"labels": ["happy", "neutral"]}, "in this order"),
        ({"labels": ["happy"]}, "wanted two or more of"),
        ({"labels": ["happy", "joyful"]}, "['happy', 'joyful']; wanted two or more of ['neutral',"),
        ({"labels": ["happy", "happy"]}, "wanted two or more of"),
        (
            {"features": FRAMES, "selection": None, "model": {"kind": "ensemble", "members": [MEMBER]}},
            "model.members is ",
        ),
        (
            {"model": {"kind": "ensemble", "members": [PLAIN["model"]] * 2, "trainings": 2}},
            "model: trainings is 2, beside selection ",
        ),
        (
            {
                "selection": None,
                "balance": "oversample",
                "model": {"kind": "ensemble", "members": [PLAIN["model"]] * 2, "trainings": 2},
            },
            "and balance 'oversample', in which chance has a part",
        ),
        (
            {"model": {"kind": "ensemble", "members": [MEMBER, {"kind": "svm"}]}},
            "model.members[1].kind: unknown kind 'svm'; ",
        ),
        (
            {"model": {"kind": "ensemble", "members": [{**MEMBER, "kind": "con"}, MEMBER]}},
            "model.members[0].kind: unknown kind 'con'; did you mean 'conv'?",
        ),
        (
            {
                "features": FRAMES,
                "selection": None,
                "model": {"kind": "ensemble", "members": [MEMBER, PLAIN["model"]]},
            },
            "output is 'frames'; wanted 'pooled' for a model of kind 'dense'",
        ),
        (
            {"features": PICTURE, "selection": None, "model": {**MEMBER, "sees": ["mell"]}},
            "model: sees is ['mell']; wanted each once, of ['mel', 'level']; did you mean 'mel'?",
        ),
        (
            {"features": PICTURE, "selection": None, "model": {**MEMBER, "sees": ["mel", "mel"]}},
            "model: sees is ['mel', 'mel']; wanted each once, of ['mel', 'level']",
        ),
        (
            {
                "features": PICTURE,
                "selection": {"method": "mutual-information", "n_features": 4},
                "model": {**MEMBER, "sees": ["mel"]},
            },
            "model: sees is ['mel'], beside the selection 'mutual-information'; wanted one of them",
        ),
        (
            {"features": PICTURE, "selection": None, "model": picture(n_bands=9)},
            "n_bands is 9, and the columns in front are 8 mel bands; wanted at least so many",
        ),
        (
            {"features": FRAMES, "selection": None, "model": picture()},
            "n_bands is 8, and the columns in front are mfcc; wanted at least",
        ),
        (
            {
                "features": PICTURE,
                "selection": {"method": "mutual-information", "n_features": 8},
                "model": picture(),
            },
            "8 mel bands, of which a selection leaves some; wanted",
        ),
        (
            {
                "features": PICTURE,
                "selection": None,
                "model": picture(joined={"units": 4, "l2": 0.1}),
            },
            "joined has an l2 of 0.1; wanted it in layers alone",
        ),
        (
            {"features": PICTURE, "selection": None, "model": picture(blocks=[])},
            "of 38 frames, blocks2d leave 19 and blocks 38; wanted equally many",
        ),
        (
            {
                "features": PICTURE | {"families": PICTURE["families"][:1]},
                "selection": None,
                "model": picture(),
            },
            "blocks go over the columns beside the bands, and there are none",
        ),
        (
            {"features": PICTURE, "selection": None, "model": picture(sees=["level"])},
            "n_bands is 8, and the columns in front are level; wanted at least",
        ),
        (
            {"features": PICTURE, "selection": None, "model": picture(sees=["mel"])},
            "blocks go over the columns beside the bands, and there are none",
        ),
        ({"balance": "oversampled"}, "balance is 'oversampled'; did you mean 'oversample'?"),
        ({"window_s": 0.99}, "window_s is 0.99 s; wanted a multiple of the frame step, 0.025 s, such as 1"),
        ({"hop_s": 0.0}, "hop_s is 0.0 s; wanted a multiple"),
        ({"hop_s": -1.0}, "hop_s is -1.0 s; wanted a multiple"),
        ({"window_s": 0.025}, "window_s is 0.025 s; wanted at least one frame in it"),
        ({"window_s": float("nan")}, "window_s is nan; wanted a finite number"),
        ({"hop_s": float("inf")}, "hop_s is inf; wanted a finite number"),
        (
            {"augmentation": {"n_copies": 1, "steps": [{"kind": "gain", "gain_db": [float("nan"), 1.0]}]}},
            "augmentation.steps[0].gain_db[0] is nan; wanted a finite number",
        ),
        ({"fitting": {"learning_rate": 0.0}}, "fitting.learning_rate is 0.0: expected `float` > 0.0"),
        ({"fitting": {"label_smoothing": 1.0}}, "fitting.label_smoothing is 1.0: expected `float` < 1.0"),
        ({"fitting": {"optimiser": "sgdm"}}, "fitting.optimiser"),
        ({"smoothing": {"alpha": 1.5}}, "smoothing: alpha is 1.5 and n is 3; wanted alpha above 0 up to 1"),
        ({"smoothing": {"method": "majority", "n": 0}}, "n is 0; wanted"),
        (
            {"augmentation": {"n_copies": 1, "steps": [{"kind": "gain", "gain_db": [3.0, -3.0]}]}},
            "gain_db is [3.0, -3.0]; wanted the lower end first",
        ),
        # Contradictions.
        ({"selection": {"method": "forest", "n_features": 9}}, "n_features is 9; wanted 1 to 8"),
        ({"selection": {"method": "forest"}}, "n_features is 0; wanted 1 to 8"),
        ({"selection": {"n_features": 4}}, "n_features is 4 without a method"),
        ({"augmentation": {"n_copies": 2}}, "n_copies is 2 without steps"),
        ({"features": FRAMES, "selection": None}, "output is 'frames'; wanted 'pooled'"),
        ({"model": {"kind": "conv", "blocks": [{"filters": 4}]}}, "output is 'pooled'; wanted 'frames'"),
        (
            {
                "features": FRAMES,
                "selection": None,
                "model": {"kind": "conv", "blocks": [{"filters": 4}, {"filters": 4, "pool": 999}]},
            },
            "number 2 of blocks keeps one of 999 frames, but only",
        ),
        (
            {"features": {**FRAMES, "families": [{"kind": ["mel"]}]}, "selection": None},
            "unknown family ['mel']",
        ),
        (
            {"features": FRAMES, "model": {"kind": "conv", "blocks": [{"filters": 4}]}},
            "method 'forest' ranks pooled features",
        ),
        ({"augmentation": {"inputs": {"n_time_masks": 1, "time_mask": 3}}}, "n_time_masks cover frames"),
        ({"model": {"kind": "svm"}, "augmentation": {"inputs": {"noise": 0.1}}}, "for networks alone"),
        ({"model": {"kind": "knn"}, "balance": "class-weights"}, "which 'knn' does not know"),
        ({"model": {"kind": "knn"}, "speakers": {}}, "only networks are trained for a speaker's mean"),
        ({"model": {"kind": "knn"}, "fitting": {"intensity": 0.1}}, "only networks tell an intensity"),
        ({"model": {"kind": "knn"}, "fitting": {"label_subsets": 0.5}}, "wanted no label_subsets"),
        (
            {"fitting": {"label_subsets": 0.5}, "augmentation": {"inputs": {"mixup": 0.2}}},
            "mixup undoes label_subsets",
        ),
        ({"fitting": {"kind_of": {"happy": "bored"}}}, "kind_of names 'bored'"),
        ({"fitting": {"kind_of": {"hapy": "neutral"}}}, "did you mean 'happy'?"),
        ({"fitting": {"kind_of": {"happy": "happy"}}}, "'happy' as a kind of itself"),
        (
            {"model": {"kind": "knn"}, "fitting": {"kind_of": {"happy": "neutral"}}},
            "only networks know labels that a corpus lacks",
        ),
        # What is missing.
        ({"labels": None}, "labels is missing; wanted it in every recipe"),
        ({"model": None}, "model is missing"),
        ({"features": None}, "features is missing"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(changes: dict[str, Any], wanted: str) -> None:
    assert wanted in refusal(**changes)


def test_an_unknown_recipe_gets_the_nearest_and_lists_all() -> None:
    with pytest.raises(SettingsError) as caught:
        find_recipe("an-392")
    message = str(caught.value)
    assert "there is no recipe 'an-392'; did you mean 'ann-392'?" in message
    assert all(name in message for name in NAMES)
    with pytest.raises(SettingsError, match=r"there is no recipe 'zzz'; there are: ann-392"):
        find_recipe("zzz")


TOML = """
description = "my own"
labels = ["neutral", "happy"]
[features]
families = [{ kind = "mfcc", n = 8, pool = ["mean"] }]
[model]
kind = "svm"
"""


def test_a_recipe_of_ones_own_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML, encoding="utf-8")
    recipe = find_recipe(str(path))
    assert (recipe.name, recipe.description, recipe.labels) == ("mine", "my own", ("neutral", "happy"))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"labels = [", "not TOML"),
        (b"\xff\xfe", "not TOML"),
        (TOML.replace("svm", "svn").encode(), "unknown kind 'svn'; did you mean 'svm'?"),
        (TOML.replace("mfcc", "mfc").encode(), "features: unknown family 'mfc'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(content: bytes, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_takes_over_what_it_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "first.toml").write_text(f"{TOML}[fitting]\nn_epochs = 7\nrefit = true\n", encoding="utf-8")
    folder = tmp_path / "deeper"
    folder.mkdir()
    second = folder / "second.toml"
    second.write_text(
        'like = "../first.toml"\nlabels = ["happy", "sad"]\n[fitting]\nn_epochs = 9\n', encoding="utf-8"
    )
    third = folder / "third.toml"
    third.write_text('like = "second.toml"\n[model]\nkind = "knn"\n', encoding="utf-8")
    first, recipe = find_recipe(str(tmp_path / "first.toml")), find_recipe(str(second))
    # Tables key by key, all else whole.
    assert (recipe.name, recipe.labels, recipe.description) == ("second", ("happy", "sad"), "my own")
    assert (recipe.fitting.n_epochs, recipe.fitting.refit) == (9, True)
    assert (recipe.features, recipe.model) == (first.features, first.model)
    # What another kind of model was told means nothing to this one.
    assert find_recipe(str(third)).model == Neighbours()
    ours = tmp_path / "ours.toml"
    ours.write_text('like = "ann-392"\nhop_s = 0.25\n', encoding="utf-8")
    assert replace(find_recipe("ann-392"), name="ours", hop_s=0.25, reported=None) == find_recipe(str(ours))


@pytest.mark.parametrize(
    ("like", "wanted"),
    [
        ('"ann-39"', "mine.toml: like: there is no recipe 'ann-39'; did you mean 'ann-392'? there are: "),
        ("3", "mine.toml: like is 3; wanted a recipe's name, or the path of its file"),
        ('"gone.toml"', "gone.toml: No such file or directory; wanted a recipe's TOML file"),
        ('"mine.toml"', "mine.toml: like is 'mine.toml', which is like this one; wanted another"),
        ('"other.toml"', "other.toml: like is 'mine.toml', which is like this one; wanted another"),
    ],
)
def test_a_recipe_that_is_like_no_other_is_refused(like: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"like = {like}\n", encoding="utf-8")
    (tmp_path / "other.toml").write_text('like = "mine.toml"\n', encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        find_recipe(str(path))
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.toml: No such file.*wanted a recipe's TOML file"):
        find_recipe(str(tmp_path / "gone.toml"))


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ["neutral", "sad"]},
        {"features": {"families": [{"kind": "mfcc", "n": 9, "pool": ["mean"]}]}},
        {"window_s": 1.5},
        {"hop_s": 0.25},
        {"balance": "none"},
        {"selection": {"method": "mutual-information", "n_features": 4}},
        {"selection": {"method": "forest", "n_features": 5}},
        {"augmentation": {"n_copies": 2, "steps": [{"kind": "gain", "gain_db": [-3.0, 3.0]}]}},
        {"augmentation": {"n_copies": 1, "steps": [{"kind": "gain", "gain_db": [-3.0, 4.0]}]}},
        {"augmentation": {"n_copies": 1, "steps": [{"kind": "room-noise"}]}},
        {"model": {"kind": "dense", "layers": [{"units": 5}]}},
        {"model": {"kind": "svm"}},
        {"fitting": {"n_epochs": 4}},
        {"speakers": {}},
        {"speakers": {"prior_s": 7.0}},
    ],
)
def test_the_digest_changes_with_what_shapes_models(changes: dict[str, Any]) -> None:
    assert digest(parse_recipe("own", plain(**changes))) != digest(parse_recipe("own", plain()))


def test_the_digest_stays_as_words_change() -> None:
    recipe: Recipe = parse_recipe("own", plain())
    words = parse_recipe("other", plain(description="otherwise", reported={"accuracy": 0.5, "split": "some"}))
    assert digest(words) == digest(recipe)
    # Whole numbers are numbers; defaults may be written out.
    same = parse_recipe("own", plain(window_s=1, fitting={"n_epochs": 3, "batch_size": 128}))
    assert digest(same) == digest(recipe)
    assert digest(replace(recipe, hop_s=1.0)) != digest(recipe)


def test_ensembles_see_what_their_members_see() -> None:
    two = {"kind": "ensemble", "members": [PLAIN["model"]] * 2}
    assert not parse_recipe("own", plain(model=two)).sees_frames
    two = {"kind": "ensemble", "members": [MEMBER, picture()]}
    assert parse_recipe("own", plain(features=PICTURE, selection=None, model=two)).sees_frames


def test_members_are_asked_as_often_as_they_are_trained() -> None:
    rest = {"features": PICTURE, "selection": None, "balance": "none"}
    two = {"kind": "ensemble", "members": [MEMBER, picture()]}
    once, often = (
        parse_recipe("own", plain(**rest, model={**two, "trainings": trainings})) for trainings in (1, 3)
    )
    assert often.members == once.members * 3
    assert isinstance(often.model, Ensemble)
    assert often.model.once == once.model
    assert len({digest(once), digest(often)}) == 2
    assert digest(replace(often, model=often.model.once)) == digest(once)


def test_the_digest_is_that_which_scores_were_measured_with() -> None:
    """A setting that all recipes get must not make strangers of those that were measured before."""
    folder = Path(__file__).parents[2] / "models"
    for path in folder.glob("*/scores.json"):
        measured = json.loads(path.read_bytes())["recipe_sha256"]
        assert measured == digest(find_recipe(path.parent.name)), path.parent.name
