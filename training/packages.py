"""The packages that decide about results, and which versions of them are installed."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

FEATURES: Final[tuple[str, ...]] = ("numpy", "soundfile", "soxr")
"""About features of recordings as they are."""
COPIES: Final[tuple[str, ...]] = ("scipy", "audiomentations", "pyroomacoustics")
"""About what becomes of recordings that are varied, beside those."""
MODELS: Final[tuple[str, ...]] = ("scikit-learn", "skops", "tensorflow", "tensorflow-cpu", "keras")
"""About models that are trained on either."""


def versions_of(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each package that is installed, by name."""
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
