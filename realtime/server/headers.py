"""Headers of a request, and the origins that two of them name; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_HOST: Final = (
    r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?\.?)(?::(?P<port>\d{1,5}))?"
)
_AUTHORITY: Final = re.compile(_HOST, re.ASCII | re.IGNORECASE)
_ORIGIN: Final = re.compile(rf"(?P<scheme>https?)://{_HOST}", re.ASCII | re.IGNORECASE)


class Headers:
    """The headers of one request; names are compared as HTTP does, without regard to case.

    Parameters
    ----------
    fields
        Names and values, in the order sent; a name may come again.
    """

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name.lower(), []).append(value)

    def get(self, name: str) -> str | None:
        """Return the value of `name`, or None; values of one that came again are joined by commas.

        So a second `Host`, `Origin` or `Authorization` makes a value that no check lets pass.
        """
        values = self._values.get(name.lower())
        return None if values is None else ", ".join(values)

    def options(self, name: str) -> tuple[str, ...]:
        """Return the parts of a value that is a list."""
        return tuple(part.strip() for part in (self.get(name) or "").split(",") if part.strip())


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from: what a browser calls its origin.

    Parameters
    ----------
    scheme
        `http` or `https`.
    name
        A host's name in lower case, or its address; one of IPv6 in brackets.
    port
        Its port in digits.
    """

    scheme: str
    name: str
    port: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the origin that `text` names, as in `https://example.org:8443`, or None."""
        match = _ORIGIN.fullmatch(text)
        return None if match is None else cls._of(match["scheme"].lower(), match)

    @classmethod
    def of_host(cls, text: str, scheme: str) -> Self | None:
        """Return the origin of what a `Host` header names, as in `example.org:8443`, or None."""
        match = _AUTHORITY.fullmatch(text)
        return None if match is None else cls._of(scheme, match)

    @classmethod
    def _of(cls, scheme: str, match: re.Match[str]) -> Self:
        port = match["port"] or _DEFAULT_PORTS[scheme]
        return cls(scheme, match["name"].lower().removesuffix("."), str(int(port)))
