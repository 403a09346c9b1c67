"""What the model sees: which features matter, and how their values differ between the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from training.report import measures
from training.report.style import SMALL_PT, TRAINING, Chart, bare, colours_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.report.data import Features
    from training.report.measures import FamilySum
    from training.report.style import Theme

_N_BARS, _N_HISTOGRAMS, _N_BINS = 30, 6, 32
_TAIL = 0.5
"""Percent of the values, at either end, that histograms leave out: a few far ones would flatten them."""

FloatArray = npt.NDArray[np.floating[Any]]


def chart_importances(features: Features, importances: FloatArray) -> Chart:
    """Return the most important features."""
    order = _most_important(features, importances)[:_N_BARS]
    names = [features.names[i] for i in order]
    total, shown = (
        float(importances.astype(np.float64).sum()),
        float(importances[order].astype(np.float64).sum()),
    )
    share = (
        f" These {len(order)} of {len(features.names)} features hold {shown / total:.1%} of the sum."
        if importances.min() >= 0 and total > 0
        else ""
    )
    return Chart(
        key="importances",
        title="Most important features",
        alt=f"Bar chart of the {len(order)} most important features; the first are {', '.join(names[:3])}.",
        reading=f"The longer the bar, the more the feature matters: {_method(features)}. Features that say "
        "the same share their importance, so that each of them looks less important than it is.",
        finding=f"First come {_listed(names[:3])}.{share}",
        draw=lambda _theme: _draw_importances(names, importances[order]),
    )


def chart_families(features: Features, importances: FloatArray) -> Chart:
    """Return the importances summed over families of features."""
    sums = measures.sum_families(features.names, importances)
    total = sum(entry.importance for entry in sums)
    with_shares = importances.min() >= 0 and total > 0
    first = sums[0]
    share = f", {first.importance / total:.1%} of the sum" if with_shares else f", {first.importance:.3g}"
    each = max(sums, key=lambda entry: entry.importance / entry.n)
    return Chart(
        key="importance-families",
        title="Importance of the families of features",
        alt=f"Bar chart of importances summed over {len(sums)} families of features; the largest is "
        f"{first.family}{share}.",
        reading="The same importances, summed over each family; the number of its features stands behind its "
        "name, since a family of many features gathers more.",
        finding=f"The most important family is {first.family} with {first.n} features{share}. Per feature it "
        f"is {each.family}, with {each.importance / each.n:.2g} each.",
        draw=lambda _theme: _draw_families(sums, total if with_shares else 0.0),
    )


def chart_histograms(features: Features, labels: tuple[str, ...]) -> Chart:
    """Return histograms of the most important features, by class."""
    separations = measures.separations(features.inputs, features.label)
    ranks = separations if features.importances is None else features.importances
    order = _most_important(features, ranks)[:_N_HISTOGRAMS]
    by = "apart from one another" if features.importances is None else "important"
    parts = [f"{features.names[i]} {separations[i]:.0%}" for i in order]
    return Chart(
        key="histograms",
        title="Values of the most important features",
        alt=f"Histograms by class of {len(order)} features: {', '.join(features.names[i] for i in order)}.",
        reading=f"The {len(order)} features that are most {by}. Each row is one class's histogram, of equal "
        "area; values are as the model sees them, in standard deviations from the mean of its training "
        "windows. A class whose hill stands aside of the others can be told by that feature alone. The "
        f"upright line is the mean of all; the outermost {_TAIL:g}% of the values at either end are not "
        "shown.",
        finding=f"Share of each feature's variance that lies between the classes: {_listed(parts)}. Measured "
        f"on {len(features.label):,} windows.",
        draw=lambda theme: _draw_histograms(theme, features, order, labels),
    )


def _most_important(features: Features, importances: FloatArray) -> npt.NDArray[np.int64]:
    assert len(features.names) == len(importances)
    return np.argsort(-importances.astype(np.float64), kind="stable")


def _method(features: Features) -> str:
    return features.importance_method or "how it was measured is not known"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _draw_importances(names: list[str], importances: FloatArray) -> Figure:
    figure = new_figure(0.6 + 0.19 * len(names))
    axes = figure.subplots()
    axes.barh(range(len(names)), importances, height=0.7, color=TRAINING)
    axes.set_yticks(range(len(names)), names, fontsize=SMALL_PT + 0.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("Importance")
    axes.grid(axis="x")
    bare(axes)
    return figure


def _draw_families(sums: tuple[FamilySum, ...], total: float) -> Figure:
    figure = new_figure(0.6 + 0.26 * len(sums))
    axes = figure.subplots()
    values = [entry.importance for entry in sums]
    axes.barh(range(len(sums)), values, height=0.7, color=TRAINING)
    for row, value in enumerate(values):
        axes.annotate(
            f"{value / total:.1%}" if total else f"{value:.3g}",
            (max(value, 0.0), row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL_PT + 0.5,
        )
    axes.set_yticks(range(len(sums)), [f"{entry.family} ({entry.n})" for entry in sums])
    axes.set_ylim(len(sums) - 0.4, -0.6)
    axes.margins(x=0.14)
    axes.set_xlabel("Sum of importances")
    bare(axes)
    return figure


def _draw_histograms(
    theme: Theme, features: Features, order: npt.NDArray[np.int64], labels: tuple[str, ...]
) -> Figure:
    n_columns = min(2, len(order))
    n_rows = -(-len(order) // n_columns)
    figure = new_figure(0.3 + n_rows * (0.6 + 0.2 * len(labels)))
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    for axes, i in zip(panels, order, strict=False):
        _draw_ridges(theme, axes, features.inputs[:, i].astype(np.float64), features.label, labels)
        axes.set_title(features.names[i])
    for axes in panels[len(order) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(order) - n_columns) : len(order)]:
        axes.set_xlabel("Standard deviations from the mean", fontsize=SMALL_PT + 0.5)
    return figure


def _draw_ridges(
    theme: Theme,
    axes: Axes,
    values: npt.NDArray[np.float64],
    label: npt.NDArray[np.int64],
    labels: tuple[str, ...],
) -> None:
    low, high = np.percentile(values, [_TAIL, 100 - _TAIL])
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _N_BINS + 1)
    shares = np.zeros((len(labels), _N_BINS))
    for i in range(len(labels)):
        own = values[label == i]
        if len(own):
            shares[i] = np.histogram(own, edges)[0] / len(own)
    # One scale for all classes of a panel: equal areas, so that hills compare.
    heights = 0.92 * shares / max(float(shares.max()), 1e-12)
    for i, colour in enumerate(colours_of(labels)):
        base = len(labels) - 1 - i
        axes.stairs(base + heights[i], edges, baseline=base, fill=True, color=colour, alpha=0.8, linewidth=0)
        axes.plot([low, high], [base, base], color=theme.muted, linewidth=0.5)
    axes.axvline(0, color=theme.ink, linewidth=0.7, linestyle=":")
    axes.set_xlim(min(low, 0.0), max(high, 0.0))
    axes.set_ylim(-0.05, len(labels))
    axes.set_yticks(np.arange(len(labels))[::-1] + 0.35, labels)
    bare(axes, spines=("left", "bottom"))
