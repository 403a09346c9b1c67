"""Recipes from TOML files: every key known, every value checked, every refusal one line."""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from dataclasses import MISSING, asdict, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

import msgspec

from realtime.errors import FeatureError, SettingsError
from realtime.features import FeatureSpec
from realtime.types import Smoothing
from training.recipes.checks import check
from training.recipes.schema import (
    Augmentation,
    Ensemble,
    Estimator,
    Fitting,
    Network,
    Recipe,
    Reported,
    Section,
    Selection,
    Single,
    Speakers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = Path(__file__).parent
"""Where the recipes that come with the program are."""
SUFFIX = ".toml"
LIKE = "like"
"""Key of a file that names the recipe whose keys it takes over, but for those that it has itself."""
_BALANCES = ("none", "oversample", "downsample", "class-weights")
_SECTIONS: dict[str, Any] = {
    "model": Network | Estimator,
    "reported": Reported,
    "selection": Selection,
    "augmentation": Augmentation,
    "speakers": Speakers,
    "fitting": Fitting,
    "smoothing": Smoothing,
}
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]*)`")
_INVALID_TAG = re.compile(r"Invalid value '(?P<kind>[^']*)'")
_T = TypeVar("_T")


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with the program, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}")))


def find_recipe(name_or_path: str) -> Recipe:
    """Return a recipe by its name, or by the path of its file.

    Raises
    ------
    SettingsError
        Where there is none, or it cannot be used; the message says what is wrong with it.
    """
    return read_recipe(find_file(name_or_path))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe's file; its name is the recipe's.

    Raises
    ------
    SettingsError
        Where it cannot be read, is no TOML, holds a key that is not known or a value that cannot be used.
    """
    plain = _read_plain(path)
    try:
        return parse_recipe(path.stem, plain)
    except (SettingsError, FeatureError) as error:
        raise SettingsError(f"{path}: {error}") from None


def find_file(name_or_path: str, folder: Path = Path()) -> Path:
    """Return the file of a recipe that comes with the program, or of one by its path from a folder.

    Raises
    ------
    SettingsError
        Where it is neither a name nor the path of such a file, which may be missing.
    """
    if name_or_path in recipe_names():
        return FOLDER / f"{name_or_path}{SUFFIX}"
    if name_or_path.endswith(SUFFIX):
        return folder / name_or_path
    near = get_close_matches(name_or_path, recipe_names(), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise SettingsError(
        f"there is no recipe {name_or_path!r}; {hint}there are: {', '.join(recipe_names())}. Give one of "
        f"these, or the path of a file that ends in {SUFFIX}"
    )


def _read_plain(path: Path, *users: Path) -> dict[str, Any]:
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; wanted a recipe's TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    return complete(path, plain, *users)


def complete(path: Path, plain: dict[str, Any], *users: Path) -> dict[str, Any]:
    """Return a file's keys with those that it takes over from the recipe that it says it is like.

    Parameters
    ----------
    path
        The file.
    plain
        What it holds.
    users
        Files that take its keys over in their turn.

    Raises
    ------
    SettingsError
        Where there is no such recipe, it cannot be read, or it is like this one.
    """
    if LIKE not in plain:
        return plain
    own = {key: value for key, value in plain.items() if key != LIKE}
    like = plain[LIKE]
    if not isinstance(like, str):
        raise SettingsError(f"{path}: {LIKE} is {like!r}; wanted a recipe's name, or the path of its file")
    try:
        other = find_file(like, path.parent)
    except SettingsError as error:
        raise SettingsError(f"{path}: {LIKE}: {error}") from None
    if other.resolve() in {file.resolve() for file in (path, *users)}:
        raise SettingsError(f"{path}: {LIKE} is {like!r}, which is like this one; wanted another")
    taken = _read_plain(other, path, *users)
    # What was published is said of the other alone.
    taken.pop("reported", None)
    return _change(taken, own)


def _change(taken: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return one table with the keys of another put in their places; tables within them likewise."""
    if "kind" in own and own["kind"] != taken.get("kind"):
        # Of another kind: the keys of this one mean nothing to it.
        return own
    changed = dict(taken)
    for key, value in own.items():
        before = taken.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            changed[key] = _change(before, value)
        else:
            changed[key] = value
    return changed


def parse_recipe(name: str, plain: Mapping[str, Any]) -> Recipe:
    """Build a recipe from plain data.

    Raises
    ------
    SettingsError, FeatureError
        On a key that is not known, a value of another type or out of range, or values that contradict
        each other.
    """
    known = [entry.name for entry in fields(Recipe) if entry.name != "name"]
    _check_finite("", plain)
    for key in plain:
        if key not in known:
            raise SettingsError(f"unknown key {key!r}{_hint(key, known)}")
    for entry in fields(Recipe):
        wanted = entry.default is MISSING and entry.default_factory is MISSING
        if wanted and entry.name not in {"name", "smoothing", *plain}:
            raise SettingsError(f"{entry.name} is missing; wanted it in every recipe")
    features = plain["features"]
    if not isinstance(features, dict):
        raise SettingsError(f"features is {features!r}; wanted a table")
    try:
        spec = FeatureSpec.from_dict(features)
    except FeatureError as error:
        raise FeatureError(f"features: {error}") from None
    sections = {key: _convert(key, plain[key], kind) for key, kind in _SECTIONS.items() if key in plain}
    sections.setdefault("smoothing", Smoothing())
    model = sections.get("model")
    if isinstance(model, Ensemble):
        sections["model"] = msgspec.structs.replace(model, members=model.members * model.trainings)
    rest = {
        key: _convert(
            key, value, {"labels": tuple[str, ...], "window_s": float, "hop_s": float}.get(key, str)
        )
        for key, value in plain.items()
        if key not in sections and key != "features"
    }
    recipe = Recipe(name=name, features=spec, **sections, **rest)
    if recipe.balance not in _BALANCES:
        raise SettingsError(f"balance is {recipe.balance!r}{_hint(recipe.balance, _BALANCES)}")
    check(recipe)
    return recipe


_NEWER_FEATURES: Final = frozenset({"audible_above_dbfs", "harmonic_energy"})
"""Settings of features that recipes were measured before."""


def digest(recipe: Recipe) -> str:
    """Return the SHA-256 of everything in a recipe that shapes its models: not its words.

    What is as it would be anyway does not count, so that a setting which is new to all recipes changes none.
    """
    settings = {
        entry.name: _said(getattr(recipe, entry.name))
        for entry in fields(recipe)
        if entry.name not in {"name", "description", "reported"}
    }
    # A table of speakers that says nothing is not the same as none: they are followed all the same.
    said = {
        key: value
        for key, value in settings.items()
        if value is not None and (value != {} or key == "speakers")
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _said(value: object) -> Any:  # noqa: ANN401 - plain data
    """Return a setting as plain data, without what is left at its default."""
    if isinstance(value, FeatureSpec):
        plain = value.to_dict()
        # The others stand there even at their defaults, as they did when the first recipes were measured.
        defaults = {setting.name: setting.default for setting in fields(value)}
        unsaid = {name for name in _NEWER_FEATURES if plain[name] == defaults[name]}
        return {name: setting for name, setting in plain.items() if name not in unsaid}
    if isinstance(value, tuple | list):
        return [_said(part) for part in value]
    if isinstance(value, Smoothing):
        return {} if value == Smoothing() else asdict(value)
    if not isinstance(value, msgspec.Struct):
        return value
    kind = value.__struct_config__.tag
    said = {} if kind is None else {"kind": kind}
    for entry in msgspec.structs.fields(value):
        own = getattr(value, entry.name)
        default = entry.default_factory() if callable(entry.default_factory) else entry.default
        if own != default:
            said[entry.name] = _said(own)
    return said


def _convert(where: str, value: object, kind: type[_T] | Any) -> Any:  # noqa: ANN401 - of that kind
    """Return a section of its type.

    msgspec's messages say where and what was wanted; a key or a kind that is not known gets the nearest
    that is.
    """
    if kind is Smoothing and isinstance(value, dict):
        # A dataclass of the run-time side: msgspec would pass over keys that it does not know.
        for key in value:
            if key not in _names(kind):
                raise SettingsError(f"{where}: unknown key {key!r}{_hint(key, _names(kind))}")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        place = where + place.rstrip("`")
        unknown = _UNKNOWN.match(what)
        if unknown:
            key = unknown["key"]
            known = _known_keys(kind, _look_up(value, place.removeprefix(where)))
            raise SettingsError(f"{place}: unknown key {key!r}{_hint(key, known)}") from None
        missing = _MISSING.match(what)
        if missing:
            raise SettingsError(f"{place}: {missing['key']} is missing; wanted it there") from None
        tag = _INVALID_TAG.match(what)
        if tag and place.endswith(".kind"):
            # A member is of a kind that stands alone.
            near = _hint(tag["kind"], _known_kinds(Single if ".members" in place else kind))
            raise SettingsError(f"{place}: unknown kind {tag['kind']!r}{near}") from None
        found = _look_up(value, place.removeprefix(where))
        raise SettingsError(f"{place} is {found!r}: {what[0].lower()}{what[1:]}") from None


def _look_up(value: Any, place: str) -> object:  # noqa: ANN401 - whatever TOML holds
    """Return the part of a value that msgspec's path names: ``.steps[0].kind``."""
    for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", place):
        try:
            value = value[key] if key else value[int(index)]
        except (LookupError, TypeError):
            return value
    return value


def _hint(key: str, known: Iterable[str]) -> str:
    choices = sorted(set(known))
    near = get_close_matches(key, choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; wanted some of {', '.join(choices)}"


def _known_keys(kind: Any, found: object) -> list[str]:  # noqa: ANN401 - a type, or a union of types
    """Return the keys of what was found, if it says its kind, or else of a section and of those in it."""
    sections = _sections(kind)
    if isinstance(found, dict) and "kind" in found:
        sections = [one for one in sections if one.__struct_config__.tag == found["kind"]]
    return [name for section in sections for name in _names(section)]


def _known_kinds(kind: Any) -> list[str]:  # noqa: ANN401 - a type, or a union of types
    return [
        str(section.__struct_config__.tag) for section in _sections(kind) if section.__struct_config__.tag
    ]


def _names(section: type[Any]) -> list[str]:
    if issubclass(section, Section):
        return [entry.encode_name for entry in msgspec.structs.fields(section)]
    return [entry.name for entry in fields(section)]


def _sections(kind: Any) -> list[type[Any]]:  # noqa: ANN401 - a type, or a union of types
    """Return the sections that a type mentions, at any depth."""
    if isinstance(kind, type) and issubclass(kind, Section):
        inner = [part for entry in msgspec.structs.fields(kind) for part in _sections(entry.type)]
        return [kind, *inner]
    if kind is Smoothing:
        return [Smoothing]
    return [section for part in get_args(kind) for section in _sections(part)]


def _check_finite(where: str, value: object) -> None:
    """Refuse the numbers that TOML has and nobody can train with: every comparison with `nan` is false."""
    if isinstance(value, dict):
        for key, part in value.items():
            _check_finite(f"{where}.{key}".lstrip("."), part)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _check_finite(f"{where}[{index}]", part)
    elif isinstance(value, float) and not math.isfinite(value):
        raise SettingsError(f"{where} is {value}; wanted a finite number")
