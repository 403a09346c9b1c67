"""From charts to files: SVG that follows the reader's colour scheme, or a PNG for each where SVG is large."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from training.report.style import DARK, LIGHT, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training.report.style import Chart, Theme

_N_BYTES_SVG = 200_000
"""Above this a picture is a PNG: one of 1000 points is a tenth of its SVG."""
_DPI = 200
_DOCTYPE = re.compile(r"<!DOCTYPE[^>]*>\s*")


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart, drawn.

    Parameters
    ----------
    chart
        What is said of it.
    form
        The kind of its files.
    light
        The file for light paper; an SVG adapts itself to dark.
    dark
        The file for dark paper, of a PNG; empty of an SVG.
    width, height
        In CSS pixels, 96 to the inch.
    """

    chart: Chart
    form: Literal["svg", "png"]
    light: bytes
    dark: bytes
    width: int
    height: int


def render(chart: Chart) -> Picture:
    """Draw a chart; the same chart gives the same bytes."""
    from matplotlib import style  # noqa: PLC0415 - pictures alone need it

    # From matplotlib's own defaults, whatever the user's matplotlibrc says.
    with style.context(["default", settings(LIGHT)]):
        figure = chart.draw(LIGHT)
        width, height = (round(96 * float(inches)) for inches in figure.get_size_inches())
        svg = _svg(figure)
        if len(svg) <= _N_BYTES_SVG:
            return Picture(chart, "svg", svg, b"", width, height)
        light = _png(figure, LIGHT)
    with style.context(["default", settings(DARK)]):
        dark = _png(chart.draw(DARK), DARK)
    return Picture(chart, "png", light, dark, width, height)


def _svg(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    # Without the document type, whose address nobody needs to look up.
    svg = _DOCTYPE.sub("", file.getvalue().decode())
    # Browsers exchange the theme's colours by this rule; other viewers show the light theme.
    return svg.replace("</defs>", f"  <style>{_dark_rules()}</style>\n </defs>", 1).encode()


def _dark_rules() -> str:
    rules = [
        f'[style*="{kind}: {light}"]{{{kind}:{dark} !important}}'
        for light, dark in zip(_colours(LIGHT), _colours(DARK), strict=True)
        for kind in ("fill", "stroke")
    ]
    return f"@media (prefers-color-scheme: dark) {{{''.join(rules)}}}"


def _colours(theme: Theme) -> tuple[str, ...]:
    return theme.ink, theme.muted, theme.grid, theme.paper


def _png(figure: Figure, theme: Theme) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, facecolor=theme.paper, metadata={"Software": None})
    return file.getvalue()
