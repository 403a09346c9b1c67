"""Recipes: named ways to train, each a TOML file that anyone can read, copy and change.

Those that come with the program lie beside this file; a user's own may lie anywhere.
"""

from training.recipes.read import digest, find_recipe, parse_recipe, read_recipe, recipe_names
from training.recipes.schema import Augmentation, Fitting, Recipe, Selection

__all__ = [
    "Augmentation",
    "Fitting",
    "Recipe",
    "Selection",
    "digest",
    "find_recipe",
    "parse_recipe",
    "read_recipe",
    "recipe_names",
]
