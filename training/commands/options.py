"""Flags that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from realtime.errors import SettingsError
from realtime.types import LABELS
from training.corpora import LAYOUTS
from training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_DATA = ("ravdess",)
_LAST_SEED = 2**31 - 1
"""Scikit-learn and Keras take none from twice as many on, and members of ensembles have larger ones."""
_DATA_HELP = (
    f"a corpus: NAME ({', '.join(LAYOUTS)}; in the folder TONEWATCH_DATA or in ../shared/data), NAME=FOLDER, "
    "a folder, or a .csv file with the columns path,label,speaker"
)


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add the recipe's name (`arguments.recipe`)."""
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        help="a name (tonewatch-train recipes lists them), or the path of a recipe's .toml file",
    )


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add ``--out``."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="the model's folder (default: models/RECIPE)")


def add_fresh(parser: argparse.ArgumentParser) -> None:
    """Add ``--fresh``."""
    parser.add_argument("--fresh", action="store_true", help="train everything again, also what is kept")


def check_seed(seed: int) -> None:
    """Refuse a ``--seed`` that something random cannot begin with.

    Raises
    ------
    SettingsError
        Where that is so.
    """
    if not 0 <= seed <= _LAST_SEED:
        raise SettingsError(f"--seed is {seed}; wanted a whole number from 0 to {_LAST_SEED}")


class _Collect(argparse.Action):
    """Collects the values of a flag; the first one given replaces the default."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's signature
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,  # noqa: ARG002 - argparse's signature
    ) -> None:
        given = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*([] if given is self.default else given), values])


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which recordings: ``--data`` (`arguments.data`) and ``--map``."""
    parser.add_argument(
        "--data",
        action=_Collect,
        default=list(DEFAULT_DATA),
        metavar="DATA",
        help=f"{_DATA_HELP}; may be given several times (default: {' '.join(DEFAULT_DATA)})",
    )
    add_map(parser)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the same without a flag before each corpus, for the command that is about corpora alone."""
    parser.add_argument(
        "data",
        nargs="*",
        default=list(DEFAULT_DATA),
        metavar="DATA",
        help=f"{_DATA_HELP} (default: {' '.join(DEFAULT_DATA)})",
    )
    add_map(parser)


def add_map(parser: argparse.ArgumentParser) -> None:
    """Add ``--map``; `label_map` says what was given."""
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="LABEL=OURS",
        help=f"what a label of the corpus means here, one of {', '.join(LABELS)}; may be given several times",
    )


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Add ``--cache``; `cache_folder` says what it means."""
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder of what is kept between runs (default: the user's cache)",
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add ``--jobs`` and ``--cluster``; `workers` says what they mean."""
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes that work at the same time (default: one per core)",
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="a Dask scheduler whose workers work instead, such as tcp://host:8786; they need the same files",
    )


def label_map(arguments: argparse.Namespace) -> dict[str, str]:
    """Return which of our labels others mean.

    Raises
    ------
    SettingsError
        Where a ``--map`` is no LABEL=OURS, or maps a label twice.
    """
    meanings: dict[str, str] = {}
    for pair in arguments.map:
        label, _, ours = (part.strip() for part in pair.partition("="))
        if not label or ours not in LABELS:
            raise SettingsError(f"--map is {pair!r}; wanted LABEL=OURS, with one of {', '.join(LABELS)}")
        # As corpora are read: in small letters.
        label = label.lower()
        if meanings.setdefault(label, ours) != ours:
            raise SettingsError(
                f"--map maps {label!r} to {meanings[label]!r} and to {ours!r}; wanted one of both"
            )
    return meanings


def data_words(arguments: argparse.Namespace) -> list[str]:
    """Return the flags that name the same recordings again, for a command that repeats this one."""
    words = []
    if arguments.data != list(DEFAULT_DATA):
        words += [word for data in arguments.data for word in ("--data", data)]
    return words + [word for pair in arguments.map for word in ("--map", pair)]


def cache_folder(arguments: argparse.Namespace) -> Path:
    """Return the folder of what is kept between runs."""
    if arguments.cache is not None:
        return Path(arguments.cache)
    from platformdirs import user_cache_path  # noqa: PLC0415 - loaded when first needed

    return user_cache_path("tonewatch")


def workers(arguments: argparse.Namespace) -> Workers:
    """Return what shares the work.

    Raises
    ------
    SettingsError
        Where ``--jobs`` is below 1, or ``--cluster`` is no address.
    """
    if arguments.jobs < 1:
        raise SettingsError(f"--jobs is {arguments.jobs}; wanted a whole number from 1 up")
    if arguments.cluster is not None and "://" not in arguments.cluster:
        raise SettingsError(f"--cluster is {arguments.cluster!r}; wanted an address such as tcp://host:8786")
    return Workers(arguments.jobs, arguments.cluster)
