"""What a search found, in words: a table for the screen, and comments for the recipe's file."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from training.search.space import Between, Choices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.search.run import Found
    from training.search.space import Space
    from training.search.trial import Bench

_N_SHOWN = 5
_WIDTH = 108


def table(found: Found) -> str:
    """Return the best trials as a table, the recipe as it is below."""
    lines = [f"{'trial':>9}{'UAR':>8}{'sd':>7}  values"]
    for tried in found.ranked[:_N_SHOWN]:
        values = ", ".join(f"{key} = {value!r}" for key, value in tried.values.items())
        lines.append(f"{tried.number:9d}{tried.score:8.1%}{np.std(tried.scores):7.1%}  {values}")
    if found.own:
        lines.append(f"{'as it is':>9}{np.mean(found.own):8.1%}{np.std(found.own):7.1%}")
    return "\n".join(lines)


def explain(found: Found, bench: Bench, space: Space, command: str) -> tuple[str, ...]:
    """Return the comments in front of the recipe found: what was searched, how it was judged, and how well.

    Parameters
    ----------
    found
        With one whole trial or more.
    bench
        By what trials were judged.
    space
        What was searched.
    command
        That makes the same search.
    """
    best = found.ranked[0]
    n_whole, n_failed = len(found.ranked), sum(tried.state == "failed" for tried in found.tried)
    n_given_up = len(found.tried) - n_whole - n_failed
    study = bench.study
    numbers = ", ".join(str(fold.number) for fold in bench.folds)
    unit = "whole clips" if bench.unit == "clips" else "windows"
    own = (
        f"The recipe as it is, judged alike: {_scores(found.own)}."
        if found.own
        else "The recipe as it is could not be judged."
    )
    if not found.is_better:
        own += " Nothing better than that was found."
    judges = sorted({study.clips[i].speaker for fold in bench.folds for i in fold.judged})
    trials = (
        f"The recipe {study.recipe.name} with values found by a search of {len(found.tried)} trials: "
        f"{n_whole} judged on all folds, {n_given_up} given up before, {n_failed} failed."
    )
    scores = (
        f"Unweighted average recall of {unit} of {study.corpus.name}, mean (and standard deviation) over "
        f"folds: {_scores(best.scores)}, trial {best.number}. {own}"
    )
    care = (
        f"Judged by the inner speakers of folds {numbers} of the speaker protocol, by models that stopped by "
        "others and saw neither these nor the folds' test speakers. The best of many trials looks better "
        "than it is, and those who judge here test in other folds of that protocol: they are "
        f"{', '.join(judges)}."
    )
    paragraphs = (trials, "", scores, "", care, "", "Searched:")
    lines = [line for text in paragraphs for line in (wrap(text, _WIDTH) or [""])]
    lines += [f"  {d.key}: {_range(d.values)}" for d in space.dimensions]
    return (*lines, "", "Command:", f"  {command}")


def _scores(scores: Sequence[float]) -> str:
    each = ", ".join(f"{score:.1%}" for score in scores)
    return f"{np.mean(scores):.1%} ({np.std(scores):.1%}; {each})"


def _range(values: Between | Choices) -> str:
    if isinstance(values, Choices):
        return " ".join(map(str, values.choices))
    step = (
        f", step {values.step}"
        if values.step is not None
        else ", on a logarithmic scale"
        if values.log
        else ""
    )
    return f"{values.low} to {values.high}{step}"
