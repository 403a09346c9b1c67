"""A recipe's file as it is changed by a search: overridden key by key, and written with what was found."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from realtime.errors import SettingsError, TrainingError
from training.recipes import Recipe, parse_recipe, read_recipe
from training.recipes.read import LIKE, SUFFIX, complete, find_file
from training.recipes.schema import Ensemble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from training.search.space import Value

_SEARCHED = (
    "window_s",
    "hop_s",
    "balance",
    "features",
    "selection",
    "augmentation",
    "model",
    "fitting",
    "smoothing",
)
"""What may be searched: neither the classes, which are the question, nor words."""
_WORDS = ("kind",)
"""Keys that say what others there are; another value makes another recipe."""


@dataclass(frozen=True, slots=True)
class Source:
    """A recipe, with the file that it comes from.

    Parameters
    ----------
    path
        The file.
    text
        Its text, comments and all.
    plain
        Its values, and those that it takes over from another.
    recipe
        What they say.
    """

    path: Path
    text: str
    plain: Mapping[str, Any]
    recipe: Recipe


def read_source(name_or_path: str) -> Source:
    """Read a recipe by its name, or by the path of its file.

    Raises
    ------
    SettingsError
        Where there is none, or it cannot be used.
    """
    path = find_file(name_or_path)
    recipe = read_recipe(path)
    text = path.read_text(encoding="utf-8")
    return Source(path, text, complete(path, tomllib.loads(text)), recipe)


def keys_of(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe's values by dotted key, also those that its file leaves as they are."""
    return dict(_leaves({name: value for name, value in plain_of(recipe).items() if name in _SEARCHED}))


def plain_of(recipe: Recipe) -> dict[str, Any]:
    """Return all values of a recipe, as TOML would hold them."""
    plain = {entry.name: getattr(recipe, entry.name) for entry in fields(recipe)}
    del plain["name"], plain["reported"]
    if recipe.speakers is None:
        # TOML has no word for it: the table is there or not.
        del plain["speakers"]
    if isinstance(recipe.model, Ensemble):
        plain["model"] = msgspec.structs.replace(recipe.model, members=recipe.model.once.members)
    plain |= {"features": recipe.features.to_dict(), "smoothing": asdict(recipe.smoothing)}
    return {name: _lists(msgspec.to_builtins(value)) for name, value in plain.items()}


def override(plain: Any, recipe: Recipe, key: str, value: Value) -> None:  # noqa: ANN401 - a table or a document
    """Give a key of a recipe's plain data another value, in place.

    Parameters
    ----------
    plain
        As TOML holds it: `tomllib`'s dictionaries, or a document of tomlkit's.
    recipe
        What it says, for what it leaves out.
    key
        One of `keys_of`.
    value
        The new one.
    """
    full: Any = plain_of(recipe)
    *tables, last = key.split(".")
    for name in tables:
        full = full[_place(name, full)]
        if isinstance(plain, dict) and name not in plain:
            # A list is whole or not there; a table may hold some of its keys.
            plain[name] = deepcopy(full) if isinstance(full, list) else {}
        plain = plain[_place(name, plain)]
    plain[_place(last, plain)] = value


def write_found(path: Path, source: Source, values: Mapping[str, Value], comments: Sequence[str]) -> None:
    """Write a recipe's file again, with other values, and comments in front.

    Its own comments stay where they are.

    Raises
    ------
    TrainingError
        Where it cannot be written.
    """
    import tomlkit  # noqa: PLC0415 - only a search writes TOML

    document = tomlkit.parse(source.text)
    for key, value in values.items():
        override(document, source.recipe, key, value)
    # That is what its authors say of theirs.
    document.pop("reported", None)
    like = document.get(LIKE, "")
    if like.endswith(SUFFIX):
        # The new file may lie elsewhere.
        document[LIKE] = str(find_file(like, source.path.parent).resolve())
    head = "".join(f"# {line}".rstrip() + "\n" for line in comments)
    text = f"{head}\n{tomlkit.dumps(document)}"
    assert parse_recipe(path.stem, complete(path, tomllib.loads(text)))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TrainingError(
            f"{path}: {error.strerror}; wanted to write the recipe there: name another with --out; the same "
            "command then has nothing left to search"
        ) from None


def check_out(path: Path, source: Source) -> None:
    """Refuse a place for the recipe found, before anything is searched.

    Raises
    ------
    SettingsError
        Where it is no TOML file, its folder is missing, or it is the recipe's own file.
    """
    if path.suffix != SUFFIX:
        raise SettingsError(f"--out is {str(path)!r}; wanted a file that ends in {SUFFIX}")
    if not path.absolute().parent.is_dir():
        raise SettingsError(f"--out is {str(path)!r}; wanted a file in a folder that is there")
    if path.exists() and path.samefile(source.path):
        raise SettingsError(f"--out is {str(path)!r}, the recipe's own file; wanted another")


def _lists(value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds
    """Return lists in place of tuples, which TOML does not know."""
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


def _leaves(plain: Any, before: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - whatever TOML holds
    entries = plain.items() if isinstance(plain, dict) else enumerate(plain)
    for name, value in entries:
        if isinstance(value, dict | list):
            yield from _leaves(value, f"{before}{name}.")
        elif name not in _WORDS:
            yield f"{before}{name}", value


def _place(name: str, container: Any) -> str | int:  # noqa: ANN401 - a table or a list
    return int(name) if isinstance(container, list) else name
