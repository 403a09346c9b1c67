"""What a subscriber asks for in its query, and whether a message is part of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from realtime.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS: Final = ("prediction", "segment", "status")
"""Types of message that can be left out; `hello` and `error` always come."""

_KEYS: Final = ("stream", "types", "min_probability", "since")
_LONGEST_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class Published:
    """A message as it goes to subscribers, with what filters look at.

    Parameters
    ----------
    data
        The message, encoded.
    sent
        When it was published.
    kind
        Its type.
    stream
        Name of its stream; None where it concerns everybody.
    probability
        Of a prediction; 1 for the rest, so that none is too unlikely.
    """

    data: bytes
    sent: datetime
    kind: str
    stream: str | None = None
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Filter:
    """What a subscriber wants; everything by default.

    Parameters
    ----------
    streams
        Names of streams; None for all.
    kinds
        Types of message.
    min_probability
        Predictions below this are left out.
    """

    streams: frozenset[str] | None = None
    kinds: frozenset[str] = frozenset(KINDS)
    min_probability: float = 0.0

    def wants(self, message: Published) -> bool:
        """Return whether `message` is part of it."""
        if message.kind not in KINDS:
            return True
        return (
            message.kind in self.kinds
            and (self.streams is None or message.stream in self.streams)
            and message.probability >= self.min_probability
        )


@dataclass(frozen=True, slots=True)
class Query:
    """A subscription: what is wanted, and what of the past.

    Parameters
    ----------
    filter
        What is wanted.
    since
        Messages after this date are wanted too; None for none.
    """

    filter: Filter = Filter()
    since: datetime | None = None


def parse_query(text: str, now: datetime) -> Query:
    """Return what the query of an address asks for.

    Parameters
    ----------
    text
        What stands behind the question mark: `stream` (may be repeated), `types`, `min_probability`, `since`.
    now
        The date from which `since=600` counts back.

    Raises
    ------
    ProtocolError
        Where a name or a value is not understood: leaving it out would send what was not asked for.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=1000)
    except (ValueError, UnicodeError) as error:
        raise _bad(f"the query {text[:60]!r}", "name=value pairs joined by &") from error
    streams: list[str] = []
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in _KEYS:
            raise _bad(f"{name[:60]!r} in the query", f"one of {', '.join(_KEYS)}")
        if name == "stream":
            streams.append(value)
        elif name in values:
            raise _bad(f"{name} twice in the query", "it once")
        else:
            values[name] = value
    return Query(
        Filter(
            frozenset(streams) if streams else None,
            _kinds(values["types"].split(",")) if "types" in values else frozenset(KINDS),
            _probability(values.get("min_probability", "0")),
        ),
        _date(values["since"], now) if "since" in values else None,
    )


def _kinds(names: Sequence[str]) -> frozenset[str]:
    # Those who list everything list `hello` and `error` too, which come anyway.
    for name in names:
        if name not in (*KINDS, "hello", "error"):
            raise _bad(f"the type {name[:60]!r}", f"{', '.join(KINDS)}, joined by commas")
    return frozenset(names) & frozenset(KINDS)


def _probability(text: str) -> float:
    number = _number(text)
    if number is None or not 0 <= number <= 1:
        raise _bad(f"min_probability {text[:60]!r}", "a number from 0 to 1")
    return number


def _date(text: str, now: datetime) -> datetime:
    seconds = _number(text)
    if seconds is not None and 0 <= seconds <= _LONGEST_S:
        return now - timedelta(seconds=seconds)
    try:
        # A plus sign that was not escaped comes out as a space.
        date = datetime.fromisoformat(text.replace(" ", "+"))
        if date.tzinfo is not None:
            return date.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _bad(f"since {text[:60]!r}", "a number of seconds, or a date as in 2026-01-31T12:00:00.000001Z")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _bad(found: str, wanted: str) -> ProtocolError:
    return ProtocolError("bad_message", f"found {found}; wanted {wanted}")
