"""The report as one HTML page: nothing outside it, no scripts, pictures within."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from training.report import tables
from training.report.facts import caveats, facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from training.report.data import ReportData
    from training.report.draw import Picture
    from training.report.tables import Table

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What a browser may load: the pictures and the style within the page, and nothing from anywhere."""
_SECTIONS = (
    ("judged", "How it does on speakers kept from training", ("confusion", "classes", "reliability")),
    ("training-section", "How it was trained", ("training",)),
    ("recordings", "What it was made from", ("class-distribution", "speaker-distribution")),
    ("features", "What it sees", ("importances", "importance-families", "histograms")),
    ("embedding", "What it makes of it", ("embedding-map",)),
)
_SHOWN: dict[str, Callable[[ReportData], Table]] = {"classes": tables.classes}
_FOLDED: dict[str, Callable[[ReportData], Table]] = {
    "confusion": tables.confusion,
    "reliability": tables.reliability,
    "training": tables.epochs,
}
"""The numbers behind pictures, for those who cannot see these or want them exactly; long ones are folded."""
_MEASURES = (
    "<p>UAR, the unweighted average recall, is the mean over classes of the share recognised; macro F1 the "
    "mean over classes of F1; ECE, the expected calibration error, how far confidence and accuracy lie "
    "apart.</p>"
)
_MIME = {"svg": "image/svg+xml", "png": "image/png"}


@dataclass(frozen=True, slots=True)
class _Section:
    """A part of the page.

    Parameters
    ----------
    key
        What links to it name.
    title
        Its heading.
    body
        HTML.
    pictures
        Those in it, which the table of contents names.
    """

    key: str
    title: str
    body: str
    pictures: tuple[Picture, ...] = ()


def write_page(data: ReportData, pictures: Sequence[Picture]) -> str:
    """Return the page."""
    sections = list(_sections(data, pictures))
    style = resources.files("training.report").joinpath("page.css").read_text(encoding="utf-8")
    body = "\n".join(
        f'<section aria-labelledby="{s.key}">\n<h2 id="{s.key}">{escape(s.title)}</h2>\n{s.body}\n</section>'
        for s in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="color-scheme" content="light dark">
<title>{escape(data.name)}: report</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{escape(data.name)}</h1>
<p class="lead">{escape(data.description)}</p>
</header>
{_contents(sections)}
<main>
{body}
</main>
</body>
</html>
"""


def _sections(data: ReportData, pictures: Sequence[Picture]) -> Iterable[_Section]:
    yield _Section("model", "Model", _facts(data))
    if data.card.scores:
        yield _Section("scores", "Scores", f"{_MEASURES}\n{_table(tables.scores(data))}")
    by_key = {picture.chart.key: picture for picture in pictures}
    for key, title, keys in _SECTIONS:
        own = tuple(by_key[name] for name in keys if name in by_key)
        body = "\n".join(_figure(data, picture) for picture in own)
        if key == "training-section" and not own:
            body = "<p>It was fitted in one step: there are no epochs to show.</p>"
        if key == "features" and data.features.importances is None:
            body = f"<p>How important each feature is was not measured.</p>\n{body}"
        if body:
            yield _Section(key, title, body, own)
    if data.card.exports:
        yield _Section("exports", "Exports", _table(tables.exports(data)))
    yield _Section("caveats", "To keep in mind", _list(caveats(data)))
    if data.settings:
        yield _Section("settings", "Settings", _table(tables.settings(data)))


def _contents(sections: Sequence[_Section]) -> str:
    entries = []
    for section in sections:
        inner = "".join(
            f'<li><a href="#{picture.chart.key}">{escape(picture.chart.title)}</a></li>'
            for picture in section.pictures
            if len(section.pictures) > 1
        )
        below = f"<ul>{inner}</ul>" if inner else ""
        entries.append(f'<li><a href="#{section.key}">{escape(section.title)}</a>{below}</li>')
    listed = f"<ul>{''.join(entries)}</ul>"
    return f'<nav aria-labelledby="contents">\n<h2 id="contents">Contents</h2>\n{listed}\n</nav>'


def _facts(data: ReportData) -> str:
    rows = []
    for name, value in facts(data):
        text = f"<code>{escape(value)}</code>" if name == "Made by" else escape(value)
        rows.append(f"<dt>{escape(name)}</dt><dd>{text}</dd>")
    return f"<dl>{''.join(rows)}</dl>"


def _figure(data: ReportData, picture: Picture) -> str:
    chart = picture.chart
    image = (
        f'<img src="{_uri(picture.form, picture.light)}" width="{picture.width}" height="{picture.height}" '
        f'alt="{escape(chart.alt)}">'
    )
    if picture.dark:
        dark = f'<source srcset="{_uri(picture.form, picture.dark)}" media="(prefers-color-scheme: dark)">'
        image = f"<picture>{dark}{image}</picture>"
    numbers = ""
    if chart.key in _SHOWN:
        numbers = _table(_SHOWN[chart.key](data))
    elif chart.key in _FOLDED:
        table = _table(_FOLDED[chart.key](data))
        numbers = f"<details><summary>The numbers as a table</summary>\n{table}\n</details>"
    return f"""<h3 id="{chart.key}">{escape(chart.title)}</h3>
<figure>
{image}
<figcaption>
<p><b>How to read it.</b> {escape(chart.reading)}</p>
<p><b>What it shows.</b> {escape(chart.finding)}</p>
</figcaption>
</figure>
{numbers}"""


def _table(table: Table) -> str:
    """Return a table that scrolls by itself where it is too wide for the page."""
    top = "".join(
        f'<th scope="col"{_side(table, i)}>{escape(name)}</th>' for i, name in enumerate(table.head)
    )
    body = "\n".join(
        f"<tr>{''.join(_cell(table, i, text) for i, text in enumerate(row))}</tr>" for row in table.rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.caption)}">\n<table>\n'
        f"<caption>{escape(table.caption)}</caption>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n"
        "</table>\n</div>"
    )


def _side(table: Table, i: int) -> str:
    return ' class="text"' if i < table.n_text else ""


def _cell(table: Table, i: int, text: str) -> str:
    """Return a cell; of a number with an interval, the interval stands below."""
    value, bracket, interval = text.partition(" (")
    shown = escape(text)
    if bracket and i >= table.n_text:
        shown = f'{escape(value)}<span class="range">({escape(interval)}</span>'
    return f"<td{_side(table, i)}>{shown}</td>"


def _list(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def _uri(form: str, content: bytes) -> str:
    return f"data:{_MIME[form]};base64,{base64.b64encode(content).decode()}"
