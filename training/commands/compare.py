"""``tonewatch-train compare``: all recipes in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from realtime.errors import SettingsError, TrainingError

if TYPE_CHECKING:
    import argparse

_FORMATS = (".md", ".csv", ".json")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "compare",
        help="put all recipes into one table",
        description="Print one table of all recipes: what their authors report, what evaluate has measured, "
        "size, and microseconds per prediction.",
    )
    parser.add_argument(
        "--models",
        type=Path,
        default=Path("models"),
        metavar="DIR",
        help="folder of the models and their scores (default: models)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="also save it; the ending says how: .md, .csv or .json"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print and save the table.

    Raises
    ------
    TonewatchError
        For what the user can set right.
    """
    from rich.console import Console  # noqa: PLC0415 - loaded when first needed
    from rich.measure import Measurement  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from training import comparison  # noqa: PLC0415

    out = arguments.out
    writers = dict(
        zip(_FORMATS, (comparison.to_markdown, comparison.to_csv, comparison.to_json), strict=True)
    )
    if out is not None and out.suffix not in writers:
        raise SettingsError(f"--out is {str(out)!r}; wanted a file that ends in {', '.join(_FORMATS)}")
    if not arguments.models.is_dir():
        raise SettingsError(f"--models is {str(arguments.models)!r}, no folder; wanted that of the models")
    rows = comparison.compare(arguments.models)
    console = Console()
    table = Table(*comparison.COLUMNS, caption=comparison.NOTE)
    for row in rows:
        table.add_row(*comparison.cells(row))
    # Cut figures are none: where the table does not fit, its rows are wrapped by the terminal.
    if console.is_terminal and Measurement.get(console, console.options, table).maximum <= console.width:
        console.print(table)
    else:
        print(comparison.to_markdown(rows) + f"\n{comparison.NOTE}")
    if out is not None:
        try:
            out.write_text(writers[out.suffix](rows), encoding="utf-8")
        except OSError as error:
            raise TrainingError(f"{out}: {error.strerror}; wanted to write the table there") from None
