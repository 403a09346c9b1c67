"""What was tried: an Optuna study in a file, from which the same search goes on."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from realtime.errors import TrainingError
from training.search.space import Between, Choices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import optuna

    from training.search.space import Dimension, Space, Value
    from training.search.trial import Outcome

State: TypeAlias = Literal["whole", "given up", "failed"]
"""Of a trial: judged on all folds; given up after some of them; something went wrong."""
_N_RANDOM = 10
"""Trials that are drawn at random before Optuna models which values are good."""
_N_BEFORE_BARS = 5
"""Trials to compare with before one is given up."""
_N_DIGITS = 4
"""Of numbers that are chosen: enough, and short in a recipe."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial that is over.

    Parameters
    ----------
    number
        From 0.
    values
        By key.
    scores
        Of the folds done.
    state
        How it ended.
    problem
        Of a failed one: what went wrong.
    """

    number: int
    values: Mapping[str, Value]
    scores: tuple[float, ...]
    state: State
    problem: str

    @property
    def score(self) -> float:
        """Mean over folds (0 to 1)."""
        return float(np.mean(self.scores)) if self.scores else 0.0


class Journal:
    """A search's trials, on disk.

    Parameters
    ----------
    path
        Its file; made where it is missing.
    space
        What is searched.
    seed
        Of what is chosen. Each choice is seeded by the trial's number too, so that a search that was
        interrupted goes on as if it had not been.
    n_folds
        Of which a trial is judged.

    Raises
    ------
    TrainingError
        Where the file cannot be read or written; so do all methods.
    """

    def __init__(self, path: Path, space: Space, *, seed: int, n_folds: int) -> None:
        import optuna  # noqa: PLC0415 - only a search needs it
        from optuna.storages import JournalStorage  # noqa: PLC0415
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock  # noqa: PLC0415

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._path = path
        self._space = space
        self._seed = seed
        self._n_folds = n_folds
        with self._touching():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Only this process writes; the lock keeps a second one, started by mistake, from mixing lines.
            backend = JournalFileBackend(str(path), JournalFileOpenLock(str(path)))
            try:
                self._study = optuna.create_study(
                    storage=JournalStorage(backend),
                    study_name="search",
                    direction="maximize",
                    load_if_exists=True,
                )
            except (ValueError, KeyError, TypeError):
                raise TrainingError(
                    f"{path}: damaged; wanted the journal of a search: remove it to begin the search again"
                ) from None

    @property
    def own(self) -> tuple[float, ...]:
        """Scores of the recipe as it is; empty until they are told."""
        with self._touching():
            return tuple(self._study.user_attrs.get("own", ()))

    @property
    def tried(self) -> tuple[Tried, ...]:
        """All trials that are over, by number."""
        with self._touching():
            trials = self._study.get_trials(deepcopy=False)
        return tuple(self._tried(trial) for trial in trials if trial.state.is_finished())

    def unfinished(self) -> tuple[tuple[int, Mapping[str, Value]], ...]:
        """Return number and values of the trials that an interrupt left in the middle."""
        with self._touching():
            trials = self._study.get_trials(deepcopy=False)
        return tuple(
            (trial.number, self._values(trial.params))
            for trial in trials
            if not trial.state.is_finished() and len(trial.params) == len(self._space.dimensions)
        )

    def ask(self) -> tuple[int, Mapping[str, Value]]:
        """Choose the values of another trial; return its number and them."""
        from optuna.samplers import TPESampler  # noqa: PLC0415 - loaded by now

        with self._touching():
            number = len(self._study.get_trials(deepcopy=False))
            seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
            self._study.sampler = TPESampler(seed=seed, n_startup_trials=_N_RANDOM, constant_liar=True)
            trial = self._study.ask()
            params = {dimension.key: _suggest(trial, dimension) for dimension in self._space.dimensions}
        return trial.number, self._values(params)

    def tell(self, outcome: Outcome) -> Tried:
        """Note what came of a trial."""
        from optuna.trial import Trial, TrialState  # noqa: PLC0415 - loaded by now

        with self._touching():
            frozen = self._study.get_trials(deepcopy=False)[outcome.number]
            trial = Trial(self._study, frozen._trial_id)  # noqa: SLF001 - it has no other name
            trial.set_user_attr("scores", list(outcome.scores))
            if outcome.problem:
                trial.set_user_attr("problem", outcome.problem)
                told = self._study.tell(outcome.number, state=TrialState.FAIL)
            elif len(outcome.scores) < self._n_folds:
                # Of a trial that was given up, Optuna learns how it stood.
                trial.report(float(np.mean(outcome.scores)), step=len(outcome.scores))
                told = self._study.tell(outcome.number, state=TrialState.PRUNED)
            else:
                told = self._study.tell(outcome.number, float(np.mean(outcome.scores)))
        return self._tried(told)

    def tell_own(self, scores: tuple[float, ...]) -> None:
        """Note the scores of the recipe as it is."""
        with self._touching():
            self._study.set_user_attr("own", list(scores))

    def bars(self) -> tuple[float, ...]:
        """Return, by number of folds done, less one, the median of the trials that came so far."""
        sums = [np.cumsum(tried.scores) for tried in self.tried if tried.state != "failed"]
        bars = []
        for n_done in range(1, self._n_folds):
            means = [own[n_done - 1] / n_done for own in sums if len(own) >= n_done]
            if len(means) < _N_BEFORE_BARS:
                break
            bars.append(float(np.median(means)))
        return tuple(bars)

    def _tried(self, trial: optuna.trial.FrozenTrial) -> Tried:
        states: dict[str, State] = {"COMPLETE": "whole", "PRUNED": "given up", "FAIL": "failed"}
        return Tried(
            trial.number,
            self._values(trial.params),
            tuple(trial.user_attrs.get("scores", ())),
            states[trial.state.name],
            trial.user_attrs.get("problem", ""),
        )

    def _values(self, params: Mapping[str, Any]) -> dict[str, Value]:
        """Return the values of parameters, as a recipe gets them."""
        return {d.key: _short(params[d.key], d.values) for d in self._space.dimensions if d.key in params}

    @contextmanager
    def _touching(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{self._path}: {error.strerror or error}; wanted to keep the search there: free some space, "
                "or give another folder with --cache"
            ) from None


def _suggest(trial: optuna.Trial, dimension: Dimension) -> Value:
    key, values = dimension.key, dimension.values
    if isinstance(values, Choices):
        return cast("Value", trial.suggest_categorical(key, values.choices))
    if values.is_whole:
        return trial.suggest_int(
            key, int(values.low), int(values.high), step=int(values.step or 1), log=values.log
        )
    step = None if values.step is None else float(values.step)
    return trial.suggest_float(key, float(values.low), float(values.high), step=step, log=values.log)


def _short(value: Value, values: Between | Choices) -> Value:
    """Return a number with few digits, within its limits."""
    if isinstance(values, Choices) or not isinstance(value, float):
        return value
    return min(max(float(f"{value:.{_N_DIGITS}g}"), float(values.low)), float(values.high))
