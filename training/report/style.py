"""How pictures look: colours for light and dark, type, and the sizes that phones can still show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from realtime.sinks.palette import look_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN: Final = 5.2
"""Of every picture, in inches: narrow, so that its type stays readable where a phone shrinks it."""
SMALL_PT: Final = 7.0
CELL: Final = "#1f6fb2"
"""Of a whole share in tables: darker, so that white can be read on it."""
TRAINING, INNER = "#2f86c9", "#d9622b"
"""Blue and vermilion, which people with any kind of colour vision tell apart, on white and on black."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of everything that is not data.

    Parameters
    ----------
    ink, muted, grid, paper
        Of text, of lesser text, of lines behind the data, and of the background; each as `#rrggbb`, and each
        of another value than any colour of data, so that one theme's can be found and exchanged in an SVG.
    """

    ink: str
    muted: str
    grid: str
    paper: str


LIGHT: Final = Theme(ink="#1f2328", muted="#59636e", grid="#d5dae0", paper="#fdfdfe")
DARK: Final = Theme(ink="#e8eaed", muted="#a3adb8", grid="#3b434c", paper="#15181d")


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture before it is drawn, and what is said of it.

    Parameters
    ----------
    key
        Its file's name.
    title
        Its heading.
    alt
        What who cannot see it should know.
    reading
        How to read it.
    finding
        What it shows, in numbers.
    draw
        Draws it in a theme.
    """

    key: str
    title: str
    alt: str
    reading: str
    finding: str
    draw: Callable[[Theme], Figure]


def new_figure(height_in: float) -> Figure:
    """Return an empty figure of the common width.

    Without pyplot: nothing global is touched, so that reports can be written from any thread.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - pictures alone need it

    return Figure(figsize=(WIDTH_IN, height_in), layout="constrained")


def settings(theme: Theme) -> dict[str, object]:
    """Return matplotlib's settings of a theme, for `matplotlib.rc_context` over its defaults."""
    return {
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
        "font.size": 8.5,
        "axes.titlesize": 9.0,
        "axes.titlelocation": "left",
        "axes.labelsize": 8.5,
        "xtick.labelsize": 8.0,
        "ytick.labelsize": 8.0,
        "legend.fontsize": 8.0,
        "legend.frameon": False,
        "text.color": theme.ink,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "axes.edgecolor": theme.muted,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.7,
        "axes.axisbelow": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.7,
        "hatch.linewidth": 0.7,
        "hatch.color": theme.paper,
        "lines.linewidth": 1.6,
        "svg.fonttype": "path",  # a viewer without these fonts shows the same
        "svg.hashsalt": "tonewatch",  # else identifiers are drawn by chance
    }


def colours_of(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes' colours, those of the console and of the dashboard."""
    return tuple(look_of(label).colour for label in labels)


def bare(axes: Axes, *, spines: tuple[str, ...] = ("left", "bottom")) -> None:
    """Take an axes' tick marks and the named spines away: their labels say enough."""
    axes.tick_params(length=0)
    for spine in spines:
        axes.spines[spine].set_visible(False)


def percent_axis(axes: Axes, *, which: str = "y") -> None:
    """Let an axis of shares count in percent."""
    from matplotlib.ticker import PercentFormatter  # noqa: PLC0415 - pictures alone need it

    (axes.yaxis if which == "y" else axes.xaxis).set_major_formatter(PercentFormatter(1.0, decimals=0))
