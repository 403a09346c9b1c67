"""A map of what the model makes of windows: its embedding, laid out on a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from training.report.style import SMALL_PT, Chart, colours_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.report.data import Embedding
    from training.report.style import Theme

N_LEAST = 20
"""Points below which there is no map to speak of."""
N_MOST = 1500
"""Points above which a sample is drawn: more take long, and hide one another."""
N_NEIGHBOURS = 10
_FOURS = (4, 7, 8)
"""Numbers of small maps that fill rows of four better than rows of three."""
_N_COMPONENTS, _PERPLEXITY, _SEED = 50, 30.0, 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Points on the map.

    Parameters
    ----------
    place : np.ndarray [shape=(n, 2), dtype=float64]
        Where each is drawn.
    label : np.ndarray [shape=(n,), dtype=int64]
        Its class.
    held_out : np.ndarray [shape=(n,), dtype=bool]
        Whether it belongs to the inner part.
    agreement : np.ndarray [shape=(n,), dtype=float64]
        Share of its nearest neighbours, among the embedding's own vectors that were trained on, of its class.
    """

    place: npt.NDArray[np.float64]
    label: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.bool_]
    agreement: npt.NDArray[np.float64]


def can_map(embedding: Embedding) -> bool:
    """Return whether there are points enough, of values that vary in more than one direction."""
    vectors = embedding.vectors
    return len(vectors) >= N_LEAST and int((np.ptp(vectors, axis=0) > 0).sum()) > 1


def lay_out(embedding: Embedding) -> Layout:
    """Return the map of an embedding, the same for the same vectors.

    Principal components first, where there are many values: they carry what varies, and leave out what is
    noise to distances.

    References
    ----------
    Van der Maaten & Hinton, "Visualizing data using t-SNE", Journal of Machine Learning Research 9, 2008.
    """
    from sklearn.decomposition import PCA  # noqa: PLC0415 - the map alone needs it
    from sklearn.manifold import TSNE  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

    vectors, label, held_out = embedding.vectors.astype(np.float64), embedding.label, embedding.held_out
    if len(vectors) > N_MOST:
        chosen = np.sort(np.random.default_rng(_SEED).permutation(len(vectors))[:N_MOST])
        vectors, label, held_out = vectors[chosen], label[chosen], held_out[chosen]
    # One thread: sums over several come out differently in their last bits, and t-SNE magnifies these.
    with threadpool_limits(1):
        agreement = _agreement(vectors, label, held_out)
        n_components = min(_N_COMPONENTS, *vectors.shape)
        reduced = PCA(n_components, svd_solver="full").fit_transform(vectors)
        reduced /= reduced[:, 0].std()
        perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
        place = TSNE(
            perplexity=perplexity, init="pca", learning_rate="auto", random_state=_SEED
        ).fit_transform(reduced)
    return Layout(np.asarray(place, dtype=np.float64), label, held_out, agreement)


def chart_map(
    embedding: Embedding, labels: tuple[str, ...], *, refitted: bool, has_strangers: bool = True
) -> Chart:
    """Return the map of the embedding, by class and by whether a window is of the inner part.

    Parameters
    ----------
    embedding
        What is mapped.
    labels
        Names of the classes.
    refitted
        Whether the model was trained on the inner part too, in the end.
    has_strangers
        Whether no recording of the inner part's speakers is trained on.
    """
    whom = "speaker" if has_strangers else "recording"
    layout = lay_out(embedding)
    n, n_held = len(layout.label), int(layout.held_out.sum())
    trained = layout.label[~layout.held_out] if n_held < n else layout.label
    share = np.bincount(trained, minlength=len(labels)) / len(trained)
    parts = [
        f"{layout.agreement[rows].mean():.1%} for {whose} (chance: {share[layout.label[rows]].mean():.1%})"
        for whose, rows in (
            (f"training {whom}s", ~layout.held_out),
            (f"{whom}s of the inner part", layout.held_out),
        )
        if rows.any()
    ]
    known = (
        f" The model was trained again on the inner part in the end: here its {whom}s are not new to it "
        "either."
        if refitted and n_held
        else ""
    )
    return Chart(
        key="embedding-map",
        title="Map of the embedding",
        alt=f"Scatter map of {n} windows, coloured by {len(labels)} classes, and one small map for each "
        "class.",
        reading=f"Each point is a window, as {embedding.source} describes it, {embedding.vectors.shape[1]} "
        f"values laid out on a plane by t-SNE (perplexity {min(_PERPLEXITY, (n - 1) / 3):g}, seed {_SEED}). "
        "Windows that lie close together are alike to the model; distances between clusters, and their "
        f"sizes, mean little. Dots are windows of training {whom}s, crosses those of {whom}s of the inner "
        "part. Each name stands at the middle of its class; below, each class alone, over all others in "
        "grey.",
        finding=f"{n:,} windows, {n_held:,} of them of the inner part. Of the {N_NEIGHBOURS} windows of "
        f"training {whom}s that are nearest to each, before the map is drawn, the share of the same class is "
        f"{' and '.join(parts)}. A training {whom}'s neighbours may be windows of the same recording."
        f"{known}",
        draw=lambda theme: _draw(theme, layout, labels, whom),
    )


def _agreement(
    vectors: npt.NDArray[np.float64], label: npt.NDArray[np.int64], held_out: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415 - the map alone needs it

    known = np.flatnonzero(~held_out)
    if len(known) <= N_NEIGHBOURS:
        known = np.arange(len(vectors))
    _, near = NearestNeighbors(n_neighbors=N_NEIGHBOURS + 1).fit(vectors[known]).kneighbors(vectors)
    near = known[near]
    same = label[near] == label[:, np.newaxis]
    # A point of the training part finds itself too: it is left out, or else the farthest.
    itself = near == np.arange(len(vectors))[:, np.newaxis]
    itself[~itself.any(axis=1), -1] = True
    return np.asarray((same & ~itself).sum(axis=1) / N_NEIGHBOURS, dtype=np.float64)


def _draw(theme: Theme, layout: Layout, labels: tuple[str, ...], whom: str) -> Figure:
    n_columns = 4 if len(labels) in _FOURS else min(3, len(labels))
    n_rows = -(-len(labels) // n_columns)
    figure = new_figure(5.0 + 1.42 * n_rows)
    grid = figure.add_gridspec(1 + n_rows, n_columns, height_ratios=[4.4, *[1.35] * n_rows])
    large = figure.add_subplot(grid[0, :])
    colours = colours_of(labels)
    everything = np.ones(len(layout.label), dtype=np.bool_)
    # In an order of chance, so that no class lies on top of all others.
    order = np.random.default_rng(_SEED).permutation(len(layout.label))
    _draw_points(large, layout, [colours[i] for i in layout.label], everything, order, size=13)
    for i, label in enumerate(labels):
        own = layout.label == i
        if own.any():
            _name(theme, large, np.median(layout.place[own], axis=0), label)
    for i, label in enumerate(labels):
        axes = figure.add_subplot(grid[1 + i // n_columns, i % n_columns])
        own = layout.label == i
        axes.scatter(layout.place[~own, 0], layout.place[~own, 1], s=1.2, color=theme.grid, linewidth=0)
        _draw_points(axes, layout, [colours[i]] * len(own), own, order, size=5)
        axes.set_title(label, fontsize=8)
        _frame(theme, axes)
    _frame(theme, large)
    _explain(theme, large, whom)
    return figure


def _draw_points(
    axes: Axes,
    layout: Layout,
    colours: list[str],
    chosen: npt.NDArray[np.bool_],
    order: npt.NDArray[np.int64],
    *,
    size: float,
) -> None:
    for held_out, marker, width in ((False, "o", 0.0), (True, "x", 0.9)):
        rows = order[(chosen & (layout.held_out == held_out))[order]]
        axes.scatter(
            layout.place[rows, 0],
            layout.place[rows, 1],
            s=size * (1.3 if held_out else 1.0),
            c=[colours[row] for row in rows],
            marker=marker,
            linewidth=width,
            alpha=0.85,
        )


def _name(theme: Theme, axes: Axes, place: npt.NDArray[np.float64], label: str) -> None:
    from matplotlib.patheffects import withStroke  # noqa: PLC0415 - pictures alone need it

    axes.text(
        float(place[0]),
        float(place[1]),
        label,
        ha="center",
        va="center",
        fontsize=9.5,
        fontweight="bold",
        color=theme.ink,
        path_effects=[withStroke(linewidth=2.6, foreground=theme.paper)],
    )


def _frame(theme: Theme, axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.03)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(theme.grid)


def _explain(theme: Theme, axes: Axes, whom: str) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - pictures alone need it

    axes.legend(
        handles=[
            Line2D([], [], color=theme.ink, marker="o", linestyle="", markersize=4, label=f"training {whom}"),
            Line2D(
                [],
                [],
                color=theme.ink,
                marker="x",
                linestyle="",
                markersize=4.5,
                label=f"{whom} of the inner part",
            ),
        ],
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=2,
        fontsize=SMALL_PT + 1,
        borderpad=0.1,
    )
