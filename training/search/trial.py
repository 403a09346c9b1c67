"""One trial: a recipe with other values, trained on some folds, judged by speakers that it did not hear."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from realtime.errors import TonewatchError
from training import networks, recipes
from training.disk import put
from training.fit import fit, forget
from training.judgement import judge, outcome_of_clips, outcome_of_windows
from training.metrics import score
from training.protocols import Task
from training.recipes import parse_recipe
from training.study import gather
from training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from training.recipes import Recipe
    from training.search.folds import Fold
    from training.study import Study

Unit: TypeAlias = Literal["clips", "windows"]
"""What is counted: whole clips, or windows as they are smoothed live."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all trials of a search share.

    Parameters
    ----------
    study
        The recipe as it is, and the recordings.
    folds
        By which trials are judged, in this order.
    seed
        Of all trainings.
    unit
        What is counted.
    kept
        Folder of each fold's score, so that a trial that was interrupted goes on from there.
    """

    study: Study
    folds: tuple[Fold, ...]
    seed: int
    unit: Unit
    kept: Path


@dataclass(frozen=True, slots=True)
class Job:
    """A trial for another process.

    Parameters
    ----------
    bench
        What it is tried on.
    number
        The trial's.
    plain
        The recipe, as TOML holds it.
    bars
        By number of folds done, less one: a trial whose mean is below that is given up.
    """

    bench: Bench
    number: int
    plain: Mapping[str, Any]
    bars: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial.

    Parameters
    ----------
    number
        The trial's.
    scores
        Unweighted average recall (0 to 1) of each fold's judging speakers; fewer than there are folds where
        it was given up.
    problem
        Why there is no more; empty where nothing went wrong.
    """

    number: int
    scores: tuple[float, ...]
    problem: str = ""


def try_recipe(job: Job) -> Outcome:
    """Train a trial's models and judge them, fold by fold, until it is plain that others are better."""
    bench = job.bench
    scores: list[float] = []
    try:
        recipe = parse_recipe(bench.study.recipe.name, job.plain)
        study = _study(bench, recipe)
        for fold in bench.folds:
            scores.append(_score_fold(bench, study, fold))
            if len(scores) <= len(job.bars) and np.mean(scores) < job.bars[len(scores) - 1]:
                break
    except TonewatchError as error:
        return Outcome(job.number, tuple(scores), str(error))
    except Exception as error:  # noqa: BLE001 - values that nobody tried before fail in ways nobody foresaw
        lines = str(error).strip().splitlines() or [""]
        return Outcome(job.number, tuple(scores), f"{type(error).__name__}: {lines[0]}")
    return Outcome(job.number, tuple(scores))


def _study(bench: Bench, recipe: Recipe) -> Study:
    """Return a recipe's study: of the same windows, unless it wants others."""
    base = bench.study
    if _windows_of(recipe) == _windows_of(base.recipe):
        digest = hashlib.sha256(f"{base.digest} {recipes.digest(recipe)}".encode()).hexdigest()
        return replace(base, recipe=recipe, digest=digest)
    return gather(recipe, base.corpus, base.digests, cache=base.cache, workers=Workers(), watcher=_Nobody())


def _windows_of(recipe: Recipe) -> tuple[object, ...]:
    """Return what a recipe's windows depend on."""
    copies = recipe.augmentation
    return (recipe.features, recipe.window, recipe.hop, recipe.labels, copies.n_copies, copies.steps)


def _score_fold(bench: Bench, study: Study, fold: Fold) -> float:
    """Return the score of one fold: kept from before, or measured now."""
    task = Task(f"search-{fold.number}", "search", fold.split, bench.seed)
    path = bench.kept / f"{study.path(task).stem}-{bench.unit}.json"
    kept = _read(path)
    if kept is not None:
        return kept
    if study.recipe.is_network:
        networks.use_one_thread()
    unfinished = path.with_suffix(".unfinished.npz")
    fitted = fit(study.recipe, study.examples, fold.split, seed=bench.seed, kept=unfinished)
    judged = judge(study.recipe, fitted, study.examples.windows, fold.judged)
    if bench.unit == "clips":
        outcome = outcome_of_clips(judged, study.truth, fold.judged)
    else:
        outcome = outcome_of_windows(judged, study.truth, fold.judged, study.recipe.smoothing)
    value = score([outcome], study.recipe.labels).uar
    _write(path, value)
    forget(unfinished)
    return value


def _read(path: Path) -> float | None:
    try:
        return float(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, value: float) -> None:
    # Where there is no room, the journal says so, of which more depends.
    with suppress(OSError):
        put(path, json.dumps(value).encode())


class _Nobody:
    """A watcher that tells nobody: trials work side by side."""

    def warn(self, line: str) -> None:
        """Take a line."""

    def begin(self, title: str, n_steps: int) -> None:
        """Note that a stage begins."""

    def advance(self, n_steps: int = 1, note: str = "") -> None:
        """Note that so many more steps are done."""

    def end(self, note: str = "") -> None:
        """Note that the stage is over."""
