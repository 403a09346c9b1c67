"""What a recipe says, as a flat list for tables and for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from training.report.data import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.recipes.schema import Recipe

_SECTIONS = (
    "model",
    "selection",
    "balance",
    "augmentation",
    "speakers",
    "fitting",
    "window_s",
    "hop_s",
    "smoothing",
)


def settings_of(recipe: Recipe) -> tuple[Setting, ...]:
    """Return what a recipe says but its features and classes, which the card holds.

    Names carry their sections, and places in lists count from 1: ``model.layers.2.units``. Of the section
    `fitting`, estimators take `refit` alone: the rest is left out.
    """
    return tuple(
        setting
        for name in _SECTIONS
        if getattr(recipe, name) is not None
        for setting in _flatten(name, msgspec.to_builtins(getattr(recipe, name)))
        if recipe.is_network or name != "fitting" or setting.name == "fitting.refit"
    )


def _flatten(name: str, plain: object) -> Iterator[Setting]:
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from _flatten(f"{name}.{key}", value)
    elif isinstance(plain, list | tuple):
        if any(isinstance(entry, dict | list | tuple) for entry in plain):
            for number, entry in enumerate(plain, start=1):
                yield from _flatten(f"{name}.{number}", entry)
        else:
            told = (entry if isinstance(entry, str) else f"{entry:g}" for entry in plain)
            yield Setting(name, ", ".join(told) or "none")
    elif isinstance(plain, str | int | float | bool):
        yield Setting(name, plain)
    else:
        yield Setting(name, "none" if plain is None else str(plain))
