"""The search itself: trials chosen as workers become free, until there are enough of them."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from realtime.errors import TrainingError
from training.search.recipe import override
from training.search.trial import Job, try_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from training.progress import Watcher
    from training.search.journal import Journal, Tried
    from training.search.recipe import Source
    from training.search.space import Value
    from training.search.trial import Bench, Outcome
    from training.workers import Workers

_AS_IT_IS = -1
"""Number of the trial of the recipe as it is."""
_N_HOPELESS = 10
"""Failures without one success from which on it is no use to go on."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Parameters
    ----------
    own
        Scores of the recipe as it is, by fold; empty where it failed.
    tried
        All trials, also those of before.
    """

    own: tuple[float, ...]
    tried: tuple[Tried, ...]

    @property
    def ranked(self) -> tuple[Tried, ...]:
        """The trials that were judged on all folds, the best first."""
        whole = [tried for tried in self.tried if tried.state == "whole"]
        return tuple(sorted(whole, key=lambda tried: (-tried.score, tried.number)))

    @property
    def is_better(self) -> bool:
        """Whether the best trial is better than the recipe as it is, where that could be judged."""
        return not self.own or self.ranked[0].score > sum(self.own) / len(self.own)


def search(
    bench: Bench,
    source: Source,
    journal: Journal,
    *,
    n_trials: int,
    timeout_s: float | None,
    workers: Workers,
    watcher: Watcher,
) -> Found:
    """Try values until there are enough trials; what was tried before counts.

    Parameters
    ----------
    bench
        What trials are judged by.
    source
        The recipe.
    journal
        What is tried, and what came of it so far.
    n_trials
        In all.
    timeout_s
        Time after which no trial is begun any more, in seconds; as long as it takes where None.
    workers
        Who trains.
    watcher
        Told how it goes on.

    Raises
    ------
    TrainingError
        Where no trial succeeds, or the journal cannot be written.
    """
    n_before = len(journal.tried)
    watcher.begin("trials", max(0, n_trials - n_before))
    jobs = _jobs(bench, source, journal, n_trials=n_trials, timeout_s=timeout_s)
    for outcome in workers.stream(try_recipe, jobs):
        if outcome.number == _AS_IT_IS:
            _note_own(outcome, journal, watcher)
            continue
        tried = journal.tell(outcome)
        if tried.state == "failed":
            watcher.warn(f"trial {tried.number} failed: {tried.problem} (with {_in_words(tried.values)})")
        found = Found(journal.own, journal.tried)
        watcher.advance(note=_best_so_far(found))
        _check_hope(found)
    found = Found(journal.own, journal.tried)
    watcher.end(_best_so_far(found))
    if not found.ranked:
        last = f", the last one since {found.tried[-1].problem}" if found.tried else ""
        raise TrainingError(
            f"none of {len(found.tried)} trials was judged on all {len(bench.folds)} folds{last}; wanted "
            "one: give more with --trials, or more time with --timeout-s"
        )
    return found


def _jobs(
    bench: Bench, source: Source, journal: Journal, *, n_trials: int, timeout_s: float | None
) -> Iterator[Job]:
    """Yield jobs; what each tries depends on what came of those before."""
    begun_s = time.monotonic()
    n_begun = len(journal.tried)
    left = journal.unfinished()
    if not journal.own and n_begun < n_trials:
        # First, so that whatever else is done, there is something to compare with.
        yield Job(bench, _AS_IT_IS, source.plain)
    while n_begun < n_trials and (timeout_s is None or time.monotonic() - begun_s < timeout_s):
        number, values = left[0] if left else journal.ask()
        left = left[1:]
        n_begun += 1
        yield Job(bench, number, _with(source, values), journal.bars())


def _with(source: Source, values: Mapping[str, Value]) -> Mapping[str, object]:
    plain = deepcopy(dict(source.plain))
    for key, value in values.items():
        override(plain, source.recipe, key, value)
    return plain


def _note_own(outcome: Outcome, journal: Journal, watcher: Watcher) -> None:
    if outcome.problem:
        watcher.warn(f"the recipe as it is failed: {outcome.problem}")
        return
    journal.tell_own(outcome.scores)
    watcher.advance(0, f"as it is {np.mean(outcome.scores):.1%}")


def _best_so_far(found: Found) -> str:
    if not found.ranked:
        return ""
    best = found.ranked[0]
    own = f", as it is {np.mean(found.own):.1%}" if found.own else ""
    return f"best {best.score:.1%} (trial {best.number}){own}"


def _check_hope(found: Found) -> None:
    if len(found.tried) >= _N_HOPELESS and all(tried.state == "failed" for tried in found.tried):
        raise TrainingError(
            f"all of the first {len(found.tried)} trials failed, the last one since {found.tried[-1].problem}"
            "; wanted a space in which some succeed: narrow it with --space"
        )


def _in_words(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{key} = {value!r}" for key, value in values.items())
