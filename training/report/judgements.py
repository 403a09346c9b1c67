"""How the inner part was judged: confusion matrix, scores of each class, reliability diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from training.metrics import N_CONFIDENCE_BINS
from training.report import measures
from training.report.style import (
    CELL,
    INNER,
    SMALL_PT,
    Chart,
    bare,
    colours_of,
    new_figure,
    percent_axis,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from training.report.data import ClassIntervals, Judged
    from training.report.measures import Calibration, ClassScores
    from training.report.style import Theme

_WHITE_FROM = 0.85
"""Share from which on a cell is so blue that white reads better than the theme's ink."""


def chart_confusion(judged: Judged, labels: tuple[str, ...]) -> Chart:
    """Return the confusion matrix of the inner part."""
    counts = measures.confusion(judged, len(labels))
    n, n_right = int(counts.sum()), int(np.trace(counts))
    wrong = counts - np.diag(np.diag(counts))
    shares = _row_shares(wrong, counts)
    true, said = np.unravel_index(int(shares.argmax()), shares.shape)
    worst = (
        f"The commonest confusion, as a share of its row: {labels[true]} taken for {labels[said]}, "
        f"{wrong[true, said]} of {counts[true].sum()} ({shares[true, said]:.1%})."
        if wrong.any()
        else "Nothing was confused."
    )
    return Chart(
        key="confusion",
        title="Confusion matrix",
        alt=f"Confusion matrix of {len(labels)} classes: {n_right} of {n} {judged.unit} on the diagonal. "
        f"{worst}",
        reading="Rows are the true emotions, columns the answers. Each cell gives the share of its row and, "
        f"below it, the number of {judged.unit}; below each row's name stands how many it has. The "
        "diagonal is right; empty cells have none.",
        finding=f"Of {n:,} {judged.unit}, {n_right:,} ({n_right / n:.1%}) are right. {worst}",
        draw=lambda theme: _draw_confusion(theme, counts, labels),
    )


def chart_classes(scores: Sequence[ClassScores], intervals: ClassIntervals | None, unit: str) -> Chart:
    """Return precision, recall and F1 of each class."""
    known = [entry for entry in scores if entry.n_true]
    best, worst = (pick(known, key=lambda entry: entry.f1) for pick in (max, min))
    mean = float(np.mean([entry.f1 for entry in known]))
    bars = f" The bars are 95% intervals ({intervals.method})." if intervals else ""
    return Chart(
        key="classes",
        title="Scores of each class",
        alt=f"Dot chart of precision, recall and F1 of {len(scores)} classes. F1 is highest for "
        f"{best.label}, {best.f1:.2f}, and lowest for {worst.label}, {worst.f1:.2f}.",
        reading="Precision: of the answers with this emotion, the share that is right. Recall: of what is "
        f"this emotion, the share that was answered so. F1 is their harmonic mean.{bars}",
        finding=f"F1 runs from {worst.f1:.2f} ({worst.label}) to {best.f1:.2f} ({best.label}); the mean over "
        f"the classes that occur is {mean:.3f}. The rarest of them has {min(e.n_true for e in known):,} "
        f"{unit}.",
        draw=lambda _theme: _draw_classes(scores, intervals),
    )


def chart_reliability(judged: Judged) -> Chart:
    """Return the reliability diagram of the inner part."""
    found = measures.calibrate(judged)
    excess = found.mean_confidence - found.mean_accuracy
    sure = "surer than it is right" if excess > 0 else "right more often than it is sure"
    n_sure = int(found.n[-1])
    top = (
        f" Above 90% confidence there are {n_sure:,} {judged.unit}, of which {found.accuracy[-1]:.1%} are "
        "right."
        if n_sure
        else " Never is it more than 90% confident."
    )
    return Chart(
        key="reliability",
        title="Reliability",
        alt="Reliability diagram: accuracy by confidence in ten bins, with the diagonal of perfect "
        f"agreement. Expected calibration error {found.ece:.3f}.",
        reading="Confidence is the highest of an answer's probabilities. Dots on the diagonal mean that it "
        "can be believed: of answers with 70%, 70% are right. Dots below it: too sure; above it: not sure "
        f"enough. The bars count the {judged.unit} in each bin; bins of few tell little.",
        finding=f"The expected calibration error (ECE) is {found.ece:.3f}: so far do confidence and accuracy "
        f"lie apart on average. Over all, the mean confidence is {found.mean_confidence:.1%} and the "
        f"accuracy {found.mean_accuracy:.1%}: the model is {sure}.{top}",
        draw=lambda theme: _draw_reliability(theme, found, judged),
    )


def _row_shares(part: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    n_true = counts.sum(axis=1, keepdims=True)
    return np.divide(part, n_true, out=np.zeros(part.shape), where=n_true > 0)


def _draw_confusion(theme: Theme, counts: npt.NDArray[np.int64], labels: tuple[str, ...]) -> Figure:
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - pictures alone need it

    n_labels = len(labels)
    figure = new_figure(1.3 + 0.47 * n_labels)
    axes = figure.subplots()
    shares = _row_shares(counts, counts)
    for row, column in np.ndindex(n_labels, n_labels):
        share, n = shares[row, column], counts[row, column]
        # Transparent where there is little, so that the page's own colour shows, light or dark.
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=CELL, alpha=share, linewidth=0))
        if n:
            ink = "#ffffff" if share >= _WHITE_FROM else theme.ink
            axes.text(column, row - 0.05, f"{share:.0%}", ha="center", va="bottom", color=ink, fontsize=8.5)
            axes.text(column, row + 0.07, f"{n}", ha="center", va="top", color=ink, fontsize=SMALL_PT)
    axes.set_xlim(-0.5, n_labels - 0.5)
    axes.set_ylim(n_labels - 0.5, -0.5)
    edges = np.arange(n_labels + 1) - 0.5
    axes.hlines(edges, -0.5, n_labels - 0.5, color=theme.grid, linewidth=0.7)
    axes.vlines(edges, -0.5, n_labels - 0.5, color=theme.grid, linewidth=0.7)
    axes.set_xticks(range(n_labels), labels, rotation=40, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    n_true = counts.sum(axis=1)
    axes.set_yticks(range(n_labels), [f"{label}\n{n:,}" for label, n in zip(labels, n_true, strict=True)])
    axes.set_xlabel("Answer")
    axes.set_ylabel("True emotion")
    bare(axes)
    return figure


def _draw_classes(scores: Sequence[ClassScores], intervals: ClassIntervals | None) -> Figure:
    labels = tuple(entry.label for entry in scores)
    figure = new_figure(0.9 + 0.3 * len(labels))
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    colours = colours_of(labels)
    for axes, measure, title in zip(
        panels, ("precision", "recall", "f1"), ("Precision", "Recall", "F1"), strict=True
    ):
        for row, entry in enumerate(scores):
            value = getattr(entry, measure)
            if intervals is not None:
                low, high = getattr(intervals, measure)[row]
                axes.plot([low, high], [row, row], color=colours[row], linewidth=2.2, alpha=0.55)
            axes.plot([value], [row], "o", color=colours[row], markersize=6)
            if np.isfinite(value):
                axes.annotate(
                    f"{value:.0%}",
                    (value, row),
                    xytext=(0, 5),
                    textcoords="offset points",
                    ha="center",
                    fontsize=SMALL_PT,
                )
        axes.set_title(title)
        axes.set_xlim(-0.04, 1.06)
        axes.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
        axes.grid(axis="both")
        bare(axes)
    panels[0].set_ylim(len(labels) - 0.5, -0.7)
    panels[0].set_yticks(range(len(labels)), labels)
    return figure


def _draw_reliability(theme: Theme, found: Calibration, judged: Judged) -> Figure:
    figure = new_figure(4.8)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    some = found.n > 0
    upper.plot([0, 1], [0, 1], color=theme.muted, linewidth=0.9, linestyle=":")
    upper.text(
        0.01,
        0.035,
        "as sure as right",
        rotation=45,
        rotation_mode="anchor",
        transform_rotates_text=True,
        fontsize=SMALL_PT + 0.5,
        color=theme.muted,
    )
    upper.vlines(
        found.confidence[some],
        found.confidence[some],
        found.accuracy[some],
        color=INNER,
        linewidth=2.2,
        alpha=0.55,
    )
    upper.plot(found.confidence[some], found.accuracy[some], "o-", color=INNER, markersize=5.5, linewidth=1)
    upper.set_ylim(-0.02, 1.02)
    upper.set_ylabel("Accuracy")
    upper.text(0.03, 0.95, f"ECE {found.ece:.3f}", transform=upper.transAxes, va="top", fontsize=10)
    percent_axis(upper)
    centres = (np.arange(N_CONFIDENCE_BINS) + 0.5) / N_CONFIDENCE_BINS
    lower.bar(centres, found.n, width=0.94 / N_CONFIDENCE_BINS, color=INNER, alpha=0.75)
    for centre, n in zip(centres, found.n, strict=True):
        if n:
            lower.annotate(
                f"{n:,}",
                (centre, n),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=SMALL_PT,
            )
    lower.set_ylim(0, 1.2 * float(found.n.max()))
    lower.set_yticks([])
    lower.set_ylabel(judged.unit.capitalize())
    lower.set_xlabel("Confidence")
    lower.set_xlim(0, 1)
    lower.set_xticks(np.linspace(0, 1, 6))
    percent_axis(lower, which="x")
    upper.grid(axis="both")
    for axes in (upper, lower):
        bare(axes, spines=("left",))
    return figure
