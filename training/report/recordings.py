"""What the model was made from: classes by corpus and channel, and clips by speaker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.report.style import CELL, INNER, SMALL_PT, TRAINING, Chart, bare, colours_of, new_figure

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.report.data import Clips
    from training.report.style import Theme

_N_LEAST = 12
"""Bars for which there is room at the least: a few would be as wide as houses."""
_N_NAMED = 40
"""Up to so many speakers of a corpus are named below their bars."""


def chart_classes(clips: Clips, labels: tuple[str, ...]) -> Chart:
    """Return how many clips each class has, over all and by corpus and channel."""
    counts = np.bincount(clips.label, minlength=len(labels))
    groups, of_group = _groups(clips, labels)
    most, least = int(counts.argmax()), int(counts.argmin())
    missing = [
        f"{group} has no {', '.join(lacking)}"
        for column, group in enumerate(groups)
        if (lacking := [label for row, label in enumerate(labels) if not of_group[row, column]])
    ]
    holes = f" {'; '.join(missing)}." if missing else ""
    return Chart(
        key="class-distribution",
        title="Recordings by class",
        alt=f"Bar chart of the number of clips in each of {len(labels)} classes, and a table of it by corpus "
        f"and channel. The largest is {labels[most]} with {counts[most]:,}, the smallest {labels[least]} "
        f"with {counts[least]:,}.",
        reading="The bars count the recordings of each emotion"
        + (", the table beside them those of each corpus and channel." if len(groups) > 1 else "."),
        finding=f"There are {counts.sum():,} recordings: most of {labels[most]} ({counts[most]:,}), fewest "
        f"of {labels[least]} ({counts[least]:,}).{holes}",
        draw=lambda theme: _draw_classes(theme, counts, groups, of_group, labels),
    )


def chart_speakers(clips: Clips) -> Chart:
    """Return how many clips each speaker gave, by corpus, with the inner part's marked."""
    corpora = _by_corpus(clips)
    names, n_each = np.unique(np.asarray(clips.speaker), return_counts=True)
    held_out = sorted(set(np.asarray(clips.speaker)[clips.held_out].tolist()))
    n_held = int(clips.held_out.sum())
    if clips.has_strangers:
        whose = "whose speakers are kept from training, to decide when it stops and to judge by"
        of_them = f"{len(held_out)} of them with {n_held:,} recordings"
    else:
        whose = "kept from training to decide when it stops and to judge by; others of its speakers train"
        of_them = f"{n_held:,} recordings of {len(held_out)} of them"
    return Chart(
        key="speaker-distribution",
        title="Recordings by speaker",
        alt=f"Bar charts of the number of clips of each of {len(names)} speakers, by corpus; "
        f"the inner part is {of_them}.",
        reading=f"One bar for each speaker, most recordings first. Orange, hatched: the inner part, {whose}.",
        finding=f"{len(names)} speakers gave {n_each.min():,} to {n_each.max():,} recordings each, "
        f"{np.median(n_each):g} in the median. The inner part is {of_them}, "
        f"{n_held / len(clips.label):.1%} of all.",
        draw=lambda theme: _draw_speakers(theme, corpora),
    )


def _groups(clips: Clips, labels: tuple[str, ...]) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Return the corpora's channels that occur, and the clips of each class in each [n_labels, n_groups]."""
    names = list(zip(clips.corpus, clips.channel, strict=True))
    groups = sorted(set(names), key=lambda group: (group[0].casefold(), group))
    counts = np.zeros((len(labels), len(groups)), dtype=np.int64)
    np.add.at(counts, (clips.label, np.asarray([groups.index(name) for name in names])), 1)
    return tuple(f"{corpus} {channel}" for corpus, channel in groups), counts


def _draw_classes(
    theme: Theme,
    counts: npt.NDArray[np.int64],
    groups: tuple[str, ...],
    of_group: npt.NDArray[np.int64],
    labels: tuple[str, ...],
) -> Figure:
    n_labels, n_groups = of_group.shape
    with_table = n_groups > 1
    figure = new_figure((1.5 if with_table else 0.7) + 0.3 * n_labels)
    share = min(0.42 * n_groups, 3.0)
    panels = figure.subplots(
        1,
        1 + with_table,
        sharey=True,
        width_ratios=(4.2 - share, share) if with_table else None,
        squeeze=False,
    )[0]
    bars: Axes = panels[0]
    bars.barh(range(n_labels), counts, height=0.72, color=colours_of(labels))
    for row, n in enumerate(counts):
        bars.annotate(
            f"{n:,}", (n, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=SMALL_PT + 1
        )
    bars.set_yticks(range(n_labels), labels)
    bars.set_ylim(n_labels - 0.5, -0.5)
    bars.set_xlim(0, 1.22 * max(1, int(counts.max())))
    bars.set_xticks([])
    bars.set_xlabel("Clips")
    bare(bars)
    if with_table:
        _draw_table(theme, panels[1], groups, of_group)
    return figure


def _draw_table(theme: Theme, axes: Axes, groups: tuple[str, ...], of_group: npt.NDArray[np.int64]) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - pictures alone need it

    highest = int(of_group.max())
    for row, column in np.ndindex(of_group.shape):
        n = of_group[row, column]
        axes.add_patch(
            Rectangle(
                (column - 0.48, row - 0.44),
                0.96,
                0.88,
                facecolor=CELL,
                alpha=0.45 * n / highest,
                linewidth=0,
            )
        )
        axes.text(
            column,
            row,
            f"{n:,}" if n else "none",
            ha="center",
            va="center",
            fontsize=SMALL_PT,
            color=theme.ink if n else theme.muted,
        )
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_xticks(range(len(groups)), groups, rotation=40, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.tick_params(labelleft=False)
    bare(axes)


def _by_corpus(clips: Clips) -> tuple[tuple[str, tuple[tuple[str, int, int], ...]], ...]:
    """Return each corpus with its speakers, their numbers of clips and of those that are held out."""
    speaker, corpus = np.asarray(clips.speaker), np.asarray(clips.corpus)
    found = []
    for name in sorted(set(clips.corpus), key=str.casefold):
        own = corpus == name
        names, number, n_each = np.unique(speaker[own], return_inverse=True, return_counts=True)
        n_held = np.bincount(number[clips.held_out[own]], minlength=len(names))
        rows = zip(names.tolist(), n_each.tolist(), n_held.tolist(), strict=True)
        found.append((name, tuple(sorted(rows, key=lambda row: (-row[1], row[0])))))
    return tuple(found)


def _draw_speakers(theme: Theme, corpora: tuple[tuple[str, tuple[tuple[str, int, int], ...]], ...]) -> Figure:
    from matplotlib.patches import Patch  # noqa: PLC0415 - pictures alone need it
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    few_corpora = 3
    figure = new_figure(0.5 + (1.75 if len(corpora) <= few_corpora else 1.35) * len(corpora))
    panels = figure.subplots(len(corpora), 1, squeeze=False)[:, 0]
    for axes, (corpus, speakers) in zip(panels, corpora, strict=True):
        places = range(len(speakers))
        n_inner = [n_held for _, _, n_held in speakers]
        n_training = [n - n_held for _, n, n_held in speakers]
        axes.bar(places, n_training, width=0.82, color=TRAINING, linewidth=0)
        axes.bar(
            places,
            n_inner,
            bottom=n_training,
            width=0.82,
            color=INNER,
            hatch="////",
            edgecolor=theme.paper,
            linewidth=0,
        )
        few = len(speakers) <= _N_NAMED
        names = [name.removeprefix(f"{corpus.lower()}-") for name, _, _ in speakers]
        if few:
            # Short names stand upright, and long ones lie along the bars' direction.
            upright = max(map(len, names)) <= 2  # noqa: PLR2004 - two digits
            axes.set_xticks(range(len(names)), names, rotation=0 if upright else 90, fontsize=SMALL_PT)
        else:
            axes.set_xticks([])
        axes.set_title(f"{corpus}: {len(speakers)} speakers")
        axes.set_xlim(-0.7, max(len(speakers), _N_LEAST) - 0.3)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_ylabel("Clips")
        axes.grid(axis="y")
        bare(axes, spines=("left",))
    panels[-1].set_xlabel("Speaker")
    figure.legend(
        handles=[
            Patch(facecolor=TRAINING, label="training"),
            Patch(facecolor=INNER, hatch="////", edgecolor=theme.paper, linewidth=0, label="inner part"),
        ],
        loc="outside upper right",
        ncols=2,
    )
    return figure
