from __future__ import annotations

import pytest

from realtime.errors import SettingsError
from realtime.features import WindowExtractor
from realtime.types import LABELS
from training.recipes import RECIPES, find_recipe


def test_names_are_unique() -> None:
    names = [recipe.name for recipe in RECIPES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_recipes_are_sound(recipe) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    assert recipe.labels == tuple(label for label in LABELS if label in recipe.labels)
    WindowExtractor(recipe.features, window=recipe.window, hop=recipe.hop)
    if recipe.selection is not None:
        assert 0 < recipe.selection.n_features <= recipe.features.n_values


def test_an_unknown_recipe_lists_those_there_are() -> None:
    with pytest.raises(SettingsError, match="there is no recipe 'ann'; there are: ann-392"):
        find_recipe("ann")


def test_ann_392_has_392_features_in_order() -> None:
    recipe = find_recipe("ann-392")
    names = recipe.features.names()
    assert len(names) == len(set(names)) == 392
    families = dict.fromkeys(name.partition(".")[0].rstrip("0123456789").rstrip("_") for name in names)
    assert list(families) == [
        "mfcc",
        "mfcc_delta",
        "mfcc_delta2",
        "chroma",
        "mel",
        "contrast",
        "tonnetz",
        "zcr",
        "rms",
    ]
    assert names[:2] == ("mfcc_00.mean", "mfcc_01.mean")
    assert names[40] == "mfcc_00.std"
    assert names[-2:] == ("rms.mean", "rms.std")


def test_ann_392_is_the_network_it_is_named_after() -> None:
    recipe = find_recipe("ann-392")
    assert recipe.selection is not None
    assert recipe.selection.n_features == 275
    assert [layer.units for layer in recipe.layers] == [275, 200, 150, 100]
    assert [layer.dropout for layer in recipe.layers] == [0.0, 0.3, 0.3, 0.2]
    assert [layer.batch_norm for layer in recipe.layers] == [False, True, True, True]
    assert (recipe.window, recipe.hop, recipe.features.sample_rate) == (48_000, 8_000, 16_000)
