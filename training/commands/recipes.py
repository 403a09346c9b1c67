"""``tonewatch-train recipes``: which recipes there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.recipes import find_recipe, recipe_names

if TYPE_CHECKING:
    import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "recipes",
        help="list the recipes",
        description="List the recipes that come with the program, or check the file of one's own.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="a recipe's .toml file to check")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the recipes.

    Raises
    ------
    SettingsError
        Where one of them, or the file given, cannot be used.
    """
    names = recipe_names() if arguments.file is None else (arguments.file,)
    recipes = [find_recipe(name) for name in names]
    width = max(len(recipe.name) for recipe in recipes)
    for recipe in recipes:
        print(f"{recipe.name:{width}}  {recipe.description} ({len(recipe.labels)} classes)")
