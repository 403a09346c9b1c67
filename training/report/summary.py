"""The report as plain text: ``summary.txt``."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from training.report import tables
from training.report.facts import caveats, facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.report.data import ReportData
    from training.report.draw import Picture
    from training.report.tables import Table

_WIDTH = 100


def summarise(data: ReportData, pictures: Sequence[Picture]) -> str:
    """Return the text: what, data, scores, classes, findings of the pictures, caveats."""
    parts = [
        f"{data.name}\n{'=' * len(data.name)}\n{_wrap(data.description)}",
        _section("Model", "\n".join(_entry(name, value) for name, value in facts(data))),
    ]
    for title, table in (
        ("Scores", tables.scores(data)),
        ("Exports", tables.exports(data)),
        ("Classes", tables.classes(data)),
        ("Confusion matrix of the inner part", tables.confusion(data)),
    ):
        if table.rows:
            parts.append(_section(title, f"{_wrap(table.caption)}\n\n{_set(table)}"))
    findings = [f"{picture.chart.title}. {picture.chart.finding}" for picture in pictures]
    parts.append(_section("What the pictures show", "\n".join(_bullet(text) for text in findings)))
    parts.append(_section("To keep in mind", "\n".join(_bullet(text) for text in caveats(data))))
    return "\n\n".join(parts) + "\n"


def _section(title: str, text: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{text}"


def _wrap(text: str, indent: str = "", first: str | None = None) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        # A command stays one that can be copied.
        break_long_words=False,
        break_on_hyphens=False,
    )


def _entry(name: str, value: str) -> str:
    return _wrap(value, indent=" " * 10, first=f"{name + ':':10}")


def _bullet(text: str) -> str:
    return _wrap(text, indent="  ", first="- ")


def _set(table: Table) -> str:
    """Return a table in columns, words to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < table.n_text else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (table.head, *table.rows)
    )
