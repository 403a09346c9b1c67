"""The command ``tonewatch-train report``: make a model's report again from what its training left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from realtime import artifact
from realtime.errors import ArtifactError, SettingsError

if TYPE_CHECKING:
    import argparse

FOLDER = "report"
"""Of a model's report, within the model's folder."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of ``tonewatch-train``."""
    parser = commands.add_parser(
        "report",
        help="make a model's report again: a page, pictures, a text, the training history",
        description="Make a model's report again, without training, from the data that its training left in "
        "the report's folder.",
    )
    parser.add_argument("model", metavar="MODEL", help="name of a model, or path of its folder")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the report (default: MODEL/report)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    # Here, since it imports what trains: `--help` stays quick.
    from training.report import load_data, write_report  # noqa: PLC0415

    model = artifact.find(arguments.model)
    card = artifact.read(model).card
    source = model / FOLDER
    data = load_data(source)
    if data.card.sha256 != card.sha256:
        raise ArtifactError(
            f"{source}: these are the data of another training of {data.name!r}: the checksums of its card "
            f"differ from those in {model / artifact.CARD_FILE}; train again"
        )
    # Scores may have been measured since it was trained: the card has them.
    data = replace(data, card=card)
    try:
        files = write_report(data, arguments.out or source)
    except OSError as error:
        raise SettingsError(
            f"{arguments.out or source}: {error.strerror or error}; wanted a folder that can be written to: "
            "name another with --out"
        ) from None
    for path in (files.page, files.summary, files.history):
        print(path)
    print(f"{len(files.pictures)} pictures in {files.pictures[0].parent}")
