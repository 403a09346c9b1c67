"""Which of a recipe's keys are searched, and among which values: a TOML file, checked key by key."""

from __future__ import annotations

import math
import tomllib
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from realtime.errors import FeatureError, SettingsError
from training.recipes import parse_recipe
from training.recipes.schema import Section
from training.search.recipe import keys_of, override

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from training.search.recipe import Source

Value: TypeAlias = bool | int | float | str
"""Of one key."""
_TINY = 1e-6


class Between(Section, frozen=True, kw_only=True):
    """Values from `low` to `high`, both included: whole numbers where both are."""

    low: int | float
    high: int | float
    step: int | float | None = None
    """Between two neighbours; any value where there is none."""
    log: bool = False
    """Whether each factor is as likely as another, instead of each difference."""

    def __post_init__(self) -> None:
        """Refuse what holds no values."""
        if not self.low < self.high:
            raise ValueError(f"low is {self.low}, high {self.high}; wanted low below high")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low} with log; wanted it above 0")
        if self.step is not None and (self.log or self.step <= 0):
            raise ValueError(f"step is {self.step}; wanted one above 0, and none with log")
        if self.step is not None and abs(math.remainder(self.high - self.low, self.step)) > _TINY * self.step:
            raise ValueError(f"step is {self.step}; wanted one that leads from {self.low} to {self.high}")

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers."""
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 0))


class Choices(Section, frozen=True, kw_only=True):
    """Some values, none of them nearer to another than the rest."""

    choices: tuple[Value, ...]

    def __post_init__(self) -> None:
        """Refuse a choice of nothing."""
        if not self.choices or len(set(map(repr, self.choices))) < len(self.choices):
            raise ValueError(f"choices are {list(self.choices)}; wanted one or more, each once")


@dataclass(frozen=True, slots=True)
class Dimension:
    """One key and its values.

    Parameters
    ----------
    key
        Dotted, as in ``model.layers.0.units``: the names of tables, the number in a list, the key.
    values
        Which it may have.
    """

    key: str
    values: Between | Choices


@dataclass(frozen=True, slots=True)
class Space:
    """All that is searched.

    Parameters
    ----------
    dimensions
        By key, in the order of the file.
    """

    dimensions: tuple[Dimension, ...]


def read_space(path: Path, source: Source) -> Space:
    """Read a space's file and check it against a recipe.

    Raises
    ------
    SettingsError
        Where it cannot be read, is no TOML, or names a key or a value that the recipe cannot have.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; wanted the TOML file of a space") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    try:
        space = Space(tuple(_dimension(key, table) for key, table in _flatten(plain)))
        check_space(space, source)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    return space


def check_space(space: Space, source: Source) -> None:
    """Refuse a key that the recipe does not have, and a value that it cannot have.

    Raises
    ------
    SettingsError
        Names the key, and the nearest there is.
    """
    if not space.dimensions:
        raise SettingsError('nothing is searched; wanted tables such as ["fitting.learning_rate"]')
    known = tuple(keys_of(source.recipe))
    for dimension in space.dimensions:
        if dimension.key not in known:
            raise SettingsError(
                f"unknown key {dimension.key!r} of {source.recipe.name}{_hint(dimension.key, known)}"
            )
        for value in _samples(dimension.values):
            plain = deepcopy(source.plain)
            override(plain, source.recipe, dimension.key, value)
            try:
                parse_recipe(source.recipe.name, plain)
            except (SettingsError, FeatureError) as error:
                raise SettingsError(f"{dimension.key} = {value!r} cannot be: {error}") from None


def space_to_toml(space: Space) -> str:
    """Return the text of a file that `read_space` reads to an equal space."""
    import tomlkit  # noqa: PLC0415 - only a search writes TOML

    document = tomlkit.document()
    for dimension in space.dimensions:
        table = tomlkit.table()
        for name, value in msgspec.to_builtins(dimension.values).items():
            if value is not None and value is not False:
                table[name] = list(value) if isinstance(value, tuple | list) else value
        document[dimension.key] = table
    return tomlkit.dumps(document)


def _flatten(plain: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield keys and tables: ``["a.b"]`` and ``[a.b]`` are the same."""
    for key, table in plain.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{before}{key} is {table!r}; wanted a table with low and high, or choices")
        if table and all(isinstance(value, dict) for value in table.values()):
            yield from _flatten(table, f"{before}{key}.")
        else:
            yield before + key, table


def _dimension(key: str, table: Mapping[str, Any]) -> Dimension:
    kind: type[Between | Choices] = Choices if "choices" in table else Between
    known = [entry.name for entry in msgspec.structs.fields(kind)]
    for name in table:
        if name not in known:
            raise SettingsError(f"{key}: unknown key {name!r}{_hint(name, known)}")
    try:
        return Dimension(key, msgspec.convert(table, kind))
    except msgspec.ValidationError as error:
        what = str(error)
        raise SettingsError(f"{key}: {what[0].lower()}{what[1:]}; wanted low and high, or choices") from None


def _samples(values: Between | Choices) -> tuple[Value, ...]:
    """Return values that show whether those between can be, too: none is of another type."""
    if isinstance(values, Choices):
        return values.choices
    number = int if values.is_whole else float
    return number(values.low), number(values.high)


def _hint(key: str, known: tuple[str, ...] | list[str]) -> str:
    within = [name for name in known if name.startswith(f"{key}.")]
    if within:
        return f", which holds several; wanted one of them, such as {within[0]!r}"
    near = get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; wanted some of {', '.join(known)}"
