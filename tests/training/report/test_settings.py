from __future__ import annotations

import pytest

from training.recipes import find_recipe, recipe_names
from training.report import settings_of


def test_flattens_a_networks_recipe() -> None:
    found = {setting.name: setting.value for setting in settings_of(find_recipe("ann-392"))}
    assert found["model.kind"] == "dense"
    assert found["model.layers.2.units"] == 200
    assert found["model.layers.2.batch_norm"] is True
    assert found["augmentation.steps.1.gain_db"] == "-12, 12"
    assert found["fitting.learning_rate"] == 0.001
    assert found["balance"] == "oversample"
    assert not any(name.startswith("speakers") for name in found)
    following = {setting.name: setting.value for setting in settings_of(find_recipe("pair-88"))}
    assert following["speakers.prior_s"] == 15.0


def test_leaves_out_what_estimators_do_not_use() -> None:
    found = {setting.name for setting in settings_of(find_recipe("forest-80"))}
    assert "model.n_trees" in found
    assert {name for name in found if name.startswith("fitting.")} == {"fitting.refit"}


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_told(name: str) -> None:
    found = settings_of(find_recipe(name))
    assert len({setting.name for setting in found}) == len(found)
    assert all(isinstance(setting.value, str | int | float | bool) for setting in found)
