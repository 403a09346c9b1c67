"""``tonewatch models``: which models there are, and what a model's card says."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from realtime.commands.options import EXIT_BAD_INPUT, report
from realtime.errors import TonewatchError

if TYPE_CHECKING:
    import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "models",
        help="list the models, or show one's card",
        description="List the models, or show everything that one's card says.",
    )
    parser.add_argument("name", nargs="?", metavar="MODEL", help="a model's name, or the path of its folder")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the models, or one's card; those that cannot be used are told of."""
    from rich.console import Console  # noqa: PLC0415 - help is quick

    from realtime import artifact, reports  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else 120)
    if arguments.name is not None:
        reports.print_card(console, artifact.read(artifact.find(arguments.name)).card)
        return 0
    cards, broken = [], []
    for name in artifact.model_names():
        try:
            cards.append(artifact.read(artifact.find(name)).card)
        except TonewatchError as error:
            broken.append(str(error))
    reports.print_models(console, cards, artifact.DEFAULT_MODEL)
    for text in broken:
        report(text)
    return EXIT_BAD_INPUT if broken else 0
