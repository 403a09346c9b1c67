"""The report's tables, as text: the page and the summary both show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from realtime.card import is_of_rounded_weights
from training.metrics import N_CONFIDENCE_BINS
from training.report import measures

if TYPE_CHECKING:
    from realtime.artifact import Scores
    from training.report.data import ClassIntervals, ReportData

    _Measure = Literal["accuracy", "uar", "macro_f1"]
    _ClassMeasure = Literal["precision", "recall", "f1"]

_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text.

    Parameters
    ----------
    caption
        What it shows.
    head
        Names of the columns.
    rows
        As long as the head, each.
    n_text
        Number of columns, from the left, that hold words; the others hold numbers.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_text: int


def scores(data: ReportData) -> Table:
    """Return the card's scores, with deviations and intervals where they are known."""
    every = [
        (protocol, unit, part, own)
        for protocol, units in data.card.scores.items()
        if not is_of_rounded_weights(protocol)
        for unit, parts in units.items()
        for part, own in parts.items()
    ]
    notes = ["Scores by protocol, unit and part."]
    if any(own.ci95 for *_, own in every):
        notes.append("In brackets: 95% intervals, by a bootstrap over speakers.")
    n_seeds = max((own.n_seeds for *_, own in every), default=1)
    if n_seeds > 1:
        notes.append(f"Behind ±: the standard deviation over {n_seeds} trainings, each with its own seed.")
    return Table(
        " ".join(notes),
        ("protocol", "unit", "part", "n", "accuracy", "UAR", "macro F1", "ECE"),
        tuple(
            (
                protocol,
                unit,
                part,
                f"{own.n:,}",
                _score(own, "accuracy"),
                _score(own, "uar"),
                _score(own, "macro_f1"),
                f"{own.ece:.3f}",
            )
            for protocol, unit, part, own in every
        ),
        n_text=3,
    )


def classes(data: ReportData) -> Table:
    """Return each class's scores on the inner part, with intervals where they are known."""
    found = measures.score_classes(measures.confusion(data.judged, len(data.labels)), data.labels)
    intervals = data.judged.intervals
    note = f" In brackets: 95% intervals ({intervals.method})." if intervals else ""
    return Table(
        f"Scores of each class on the inner part.{note}",
        ("class", data.judged.unit, "precision", "recall", "F1"),
        tuple(
            (
                own.label,
                f"{own.n_true:,}",
                _class_score(own.precision, intervals, "precision", row),
                _class_score(own.recall, intervals, "recall", row),
                _class_score(own.f1, intervals, "f1", row),
            )
            for row, own in enumerate(found)
        ),
        n_text=1,
    )


def confusion(data: ReportData) -> Table:
    """Return how often each class was said to be each class, on the inner part."""
    counts = measures.confusion(data.judged, len(data.labels)).tolist()
    return Table(
        "Rows: true emotion; columns: answer.",
        ("true emotion", *data.labels),
        tuple((label, *(f"{n:,}" for n in row)) for label, row in zip(data.labels, counts, strict=True)),
        n_text=1,
    )


def reliability(data: ReportData) -> Table:
    """Return the bins of confidence that hold anything."""
    found = measures.calibrate(data.judged)
    edges = np.linspace(0, 1, N_CONFIDENCE_BINS + 1)
    return Table(
        "Bins of confidence.",
        ("confidence", data.judged.unit, "mean confidence", "accuracy"),
        tuple(
            (
                f"{edges[i]:.0%} to {edges[i + 1]:.0%}",
                f"{n:,}",
                f"{found.confidence[i]:.1%}",
                f"{found.accuracy[i]:.1%}",
            )
            for i, n in enumerate(found.n.tolist())
            if n
        ),
        n_text=1,
    )


def epochs(data: ReportData) -> Table:
    """Return the training history."""
    return Table(
        "Epochs." if data.n_networks == 1 else f"Epochs of the first of {data.n_networks} networks.",
        ("epoch", "loss", "accuracy", "inner loss", "inner accuracy", "learning rate"),
        tuple(
            (
                f"{e.number}",
                f"{e.loss:.4f}",
                f"{e.accuracy:.1%}",
                f"{e.inner_loss:.4f}",
                f"{e.inner_accuracy:.1%}",
                f"{e.learning_rate:.3g}",
            )
            for e in data.history
        ),
        n_text=0,
    )


def exports(data: ReportData) -> Table:
    """Return what each way to store the weights costs."""
    return Table(
        "Ways to store the weights; the difference is the largest of a probability from the trained model's.",
        ("weights", "size", "difference", "accuracy", "UAR"),
        tuple(
            (
                name,
                f"{own.n_bytes / 1e3:,.0f} kB",
                f"{own.parity:.1g}",
                _NOTHING if own.accuracy is None else f"{own.accuracy:.1%}",
                _NOTHING if own.uar is None else f"{own.uar:.1%}",
            )
            for name, own in data.card.exports.items()
        ),
        n_text=1,
    )


def settings(data: ReportData) -> Table:
    """Return what the recipe says."""
    rows = tuple((setting.name, str(setting.value)) for setting in data.settings)
    return Table("What the recipe says.", ("setting", "value"), rows, n_text=2)


def _score(own: Scores, measure: _Measure) -> str:
    text = f"{getattr(own, measure):.1%}"
    if measure in own.sd:
        text += f" ± {own.sd[measure]:.1%}"
    if measure in own.ci95:
        low, high = own.ci95[measure]
        text += f" ({low:.1%} to {high:.1%})"
    return text


def _class_score(value: float, intervals: ClassIntervals | None, measure: _ClassMeasure, row: int) -> str:
    if not np.isfinite(value):
        return _NOTHING
    low, high = (np.nan, np.nan) if intervals is None else getattr(intervals, measure)[row]
    return f"{value:.1%} ({low:.1%} to {high:.1%})" if np.isfinite(low + high) else f"{value:.1%}"
