"""Scores as tables of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime.artifact import Card, Scores


def print_scores(scores: dict[str, dict[str, dict[str, Scores]]]) -> None:
    """Print every protocol's figures on all clips and windows, with 95% intervals, to standard output."""
    width = max(len(protocol) for protocol in ("protocol", *scores)) + 2
    print(f"{'protocol':{width}}{'unit':9}{'n':>6}{'accuracy':>22}{'UAR':>22}{'macro F1':>10}{'ECE':>8}")
    for protocol, units in scores.items():
        for unit, parts in units.items():
            if figures := parts.get("all"):
                accuracy, uar = (_with_interval(figures, name) for name in ("accuracy", "uar"))
                row = f"{protocol:{width}}{unit:9}{figures.n:6d}{accuracy:>22}{uar:>22}"
                print(f"{row}{figures.macro_f1:10.3f}{figures.ece:8.3f}")


def _with_interval(figures: Scores, name: str) -> str:
    value = getattr(figures, name)
    interval = figures.ci95.get(name)
    return f"{value:.1%}" + (f" ({interval[0]:.1%}-{interval[1]:.1%})" if interval else "")


def print_exports(card: Card) -> None:
    """Print what each way to store a model's weights costs, to standard output."""
    print(f"{card.name}: trained on {card.training.n_clips} clips, written as {_stored(card)}")
    for name, export in card.exports.items():
        accuracy = (
            "" if export.accuracy is None else f", {export.accuracy:.1%} of unheard speakers' clips right"
        )
        print(f"  {name:8} {export.n_bytes / 1e3:8.1f} kB, within {export.parity:.1g}{accuracy}")


def _stored(card: Card) -> str:
    return card.quantisation if card.runtime == "tflite" else card.runtime
