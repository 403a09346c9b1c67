"""``tonewatch-train corpus``: what recordings there are, and which of them cannot be trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.commands import options
from training.commands.recordings import survey_recordings

if TYPE_CHECKING:
    import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "corpus",
        help="check recordings and count them",
        description="Read every recording once, name those that cannot be trained on and why, and count the "
        "others: by label, by speaker, by length. What was read is kept: the next time is quick.",
    )
    options.add_data_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    options.add_cache(parser)
    options.add_jobs(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Survey the corpora and print what they hold.

    Raises
    ------
    TonewatchError
        For what the user can set right.
    """
    # Here, since they load numpy and rich: `--help` stays quick.
    from rich.console import Console  # noqa: PLC0415

    from training.corpora.report import describe, encode, print_report  # noqa: PLC0415
    from training.progress import Screen  # noqa: PLC0415

    with Screen() as screen:
        surveyed = survey_recordings(arguments.data, arguments, screen)
    report = describe(surveyed)
    if arguments.json:
        print(encode(report))
    else:
        print_report(Console(), report)
