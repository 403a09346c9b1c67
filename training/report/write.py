"""Writes a report: the page, the text, the history and the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.report import curves, embedding, history, inputs, judgements, measures, recordings
from training.report.draw import render
from training.report.page import write_page
from training.report.summary import summarise

if TYPE_CHECKING:
    from pathlib import Path

    from training.report.data import ReportData
    from training.report.style import Chart

PAGE_FILE, HISTORY_FILE, SUMMARY_FILE, PICTURES_FOLDER = (
    "report.html",
    "history.json",
    "summary.txt",
    "pictures",
)


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where a report is.

    Parameters
    ----------
    page, history, summary
        ``report.html``, ``history.json`` and ``summary.txt``.
    pictures
        SVG and PNG files; of each PNG there is one for light and one for dark paper (``-dark``).
    """

    page: Path
    history: Path
    summary: Path
    pictures: tuple[Path, ...]


def write_report(data: ReportData, folder: Path) -> ReportFiles:
    """Write the report of a model into a folder; the same data give the same bytes.

    Pictures of an earlier report there, which this one does not have, are removed.
    """
    pictures = tuple(render(chart) for chart in charts(data))
    files = {
        f"{picture.chart.key}{suffix}.{picture.form}": content
        for picture in pictures
        for suffix, content in (("", picture.light), ("-dark", picture.dark))
        if content
    }
    shelf = folder / PICTURES_FOLDER
    shelf.mkdir(parents=True, exist_ok=True)
    for old in sorted(shelf.iterdir()):
        if old.suffix in {".svg", ".png"} and old.name not in files:
            old.unlink()
    for name, content in files.items():
        (shelf / name).write_bytes(content)
    page, epochs, summary = (folder / name for name in (PAGE_FILE, HISTORY_FILE, SUMMARY_FILE))
    epochs.write_bytes(history.encode(history.history_of(data)))
    summary.write_text(summarise(data, pictures), encoding="utf-8", newline="\n")
    # Last: whoever sees the page finds all the rest.
    page.write_text(write_page(data, pictures), encoding="utf-8", newline="\n")
    return ReportFiles(page, epochs, summary, tuple(shelf / name for name in files))


def charts(data: ReportData) -> tuple[Chart, ...]:
    """Return the charts that there are data for, in the order of the page."""
    judged, labels, features = data.judged, data.labels, data.features
    scores = measures.score_classes(measures.confusion(judged, len(labels)), labels)
    found = [
        judgements.chart_confusion(judged, labels),
        judgements.chart_classes(scores, judged.intervals, judged.unit),
        judgements.chart_reliability(judged),
    ]
    if data.history:
        found.append(
            curves.chart_training(data.history, data.n_networks, has_strangers=data.clips.has_strangers)
        )
    found += [recordings.chart_classes(data.clips, labels), recordings.chart_speakers(data.clips)]
    if features.importances is not None:
        found.append(inputs.chart_importances(features, features.importances))
        found.append(inputs.chart_families(features, features.importances))
    found.append(inputs.chart_histograms(features, labels))
    if data.embedding is not None and embedding.can_map(data.embedding):
        found.append(
            embedding.chart_map(
                data.embedding, labels, refitted=data.is_refitted, has_strangers=data.clips.has_strangers
            )
        )
    return tuple(found)
