"""How training went: loss, accuracy and learning rate by epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from training.epochs import best_epoch
from training.report.style import INNER, SMALL_PT, TRAINING, Chart, bare, new_figure, percent_axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.epochs import Epoch
    from training.report.style import Theme

_N_MARKED = 15
"""Up to so many epochs are points on the line too."""


def chart_training(history: tuple[Epoch, ...], n_networks: int = 1, *, has_strangers: bool = True) -> Chart:
    """Return the training curves of a network, or of the first of several.

    Parameters
    ----------
    history
        Its epochs.
    n_networks
        How many there are.
    has_strangers
        Whether no recording of the inner part's speakers is trained on.
    """
    whom = "speakers" if has_strangers else "recordings"
    whose = "" if n_networks == 1 else f" of the first of {n_networks} networks"
    best, last = best_epoch(history), history[-1]
    n_epochs = f"{len(history)} epoch{'s' * (len(history) > 1)}"
    gap = best.accuracy - best.inner_accuracy
    return Chart(
        key="training",
        title="Training",
        alt=f"Line charts over {n_epochs}{whose}: loss, accuracy and learning rate. Accuracy on the "
        f"inner part is highest, {best.inner_accuracy:.1%}, in epoch {best.number}.",
        reading="One point for each epoch, a pass over the training windows. Blue is measured on windows "
        "that the network is being trained on, with dropout and noise; orange on the inner part, whose "
        f"{whom} it does not train on. Where blue goes on improving and orange does not, the network learns "
        f"its {whom} by heart. The weights of the marked epoch are kept."
        + (" The other networks were trained alike, each from a seed of its own." if whose else ""),
        finding=f"Of {n_epochs}{whose}, number {best.number} was best: accuracy "
        f"{best.inner_accuracy:.1%} on the inner part and {best.accuracy:.1%} in training, "
        f"{abs(100 * gap):.1f} percentage points {'more' if gap >= 0 else 'less'}; loss "
        f"{best.inner_loss:.3f} and {best.loss:.3f}. The learning rate went from "
        f"{history[0].learning_rate:.2g} to {last.learning_rate:.2g}.",
        draw=lambda theme: _draw(theme, history, best),
    )


def _draw(theme: Theme, history: Sequence[Epoch], best: Epoch) -> Figure:
    figure = new_figure(5.2)
    loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.3))
    epochs = [epoch.number for epoch in history]
    marker = "o" if len(epochs) <= _N_MARKED else ""
    for axes, training, inner in (
        (loss, [e.loss for e in history], [e.inner_loss for e in history]),
        (accuracy, [e.accuracy for e in history], [e.inner_accuracy for e in history]),
    ):
        axes.plot(epochs, training, color=TRAINING, label="training", marker=marker, markersize=3)
        axes.plot(epochs, inner, color=INNER, label="inner part", marker=marker, markersize=3, linestyle="--")
    rate.plot(epochs, [e.learning_rate for e in history], color=theme.muted, drawstyle="steps-mid")
    loss.set_title("Loss (cross-entropy)")
    accuracy.set_title("Accuracy")
    percent_axis(accuracy)
    rates = [e.learning_rate for e in history]
    if min(rates) > 0 and max(rates) > 4 * min(rates):
        _scale_by_tens(rate, rates)
        rate.set_title("Learning rate (logarithmic)")
    else:
        rate.set_ylim(0, 1.15 * max(rates))
        rate.set_title("Learning rate")
    for axes in (loss, accuracy, rate):
        axes.grid(axis="y")
        axes.axvline(best.number, color=theme.ink, linewidth=0.8, linestyle=":")
        bare(axes, spines=("left",))
    accuracy.plot([best.number], [best.inner_accuracy], "o", color=INNER, markersize=5)
    left = best.number > (epochs[0] + epochs[-1]) / 2
    accuracy.annotate(
        f"best: epoch {best.number}, {best.inner_accuracy:.1%}",
        (best.number, accuracy.get_ylim()[0]),
        xytext=(-5 if left else 5, 4),
        textcoords="offset points",
        ha="right" if left else "left",
        fontsize=SMALL_PT + 1,
    )
    loss.legend(loc="lower right", ncols=2, handlelength=2.6, bbox_to_anchor=(1.0, 1.0), borderpad=0.2)
    rate.set_xlabel("Epoch")
    _count_epochs(rate, epochs)
    return figure


def _scale_by_tens(axes: Axes, rates: Sequence[float]) -> None:
    from matplotlib.ticker import LogFormatterMathtext, LogLocator, NullLocator  # noqa: PLC0415 - pictures alone

    axes.set_yscale("log")
    axes.set_ylim(10 ** math.floor(math.log10(min(rates))), 1.6 * max(rates))
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_major_formatter(LogFormatterMathtext())
    axes.yaxis.set_minor_locator(NullLocator())


def _count_epochs(axes: Axes, epochs: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - pictures alone need it

    # Epochs are whole numbers, and there may be one alone.
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
