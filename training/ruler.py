"""The ruler: every recipe's models, trained and scored by the same protocols on the same recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from realtime.affect import EXCITED, QUIET
from realtime.errors import CorpusError
from training import networks, protocols
from training.abstention import find_thresholds, measure_coverage, measure_elsewhere, strangers_by_seed
from training.augmentation import CONDITIONS, Noises
from training.dataset import Degraded
from training.drafts import measure_cost
from training.evaluation import OF_TWO
from training.export import QUANTISATIONS
from training.judgement import (
    Judged,
    Truth,
    collapse,
    in_strength,
    join,
    judge,
    judge_exported,
    outcome_of_clips,
    outcome_of_windows,
    restrict,
)
from training.metrics import score
from training.study import Trained, train_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from realtime.artifact import Scores
    from realtime.card import Coverage
    from training.dataset import Windows
    from training.evaluation import Cost
    from training.export import Quantisation
    from training.progress import Watcher
    from training.protocols import Protocol, Task
    from training.study import Study
    from training.workers import Workers

_LEAST_CLASSES = 2
_CHANNELS = ("speech", "song")
ADAPTED = "/adapted"
"""Behind a protocol's name: with features normalised by the unheard speaker's other clips, unlabelled."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What an evaluation found.

    Parameters
    ----------
    scores
        By protocol, unit (``clips``, ``windows``) and part (``all``, ``speech``, ``song``), without empty
        parts.
    thresholds
        By precision, the smoothed probability from which on so large a share of labels is right, on
        strangers' voices; empty without the speaker protocol.
    coverage
        By precision, what these thresholds leave of strangers' windows that did not help to find them.
    coverage_elsewhere
        By direction of the cross protocol, what thresholds of one corpus leave of another's windows.
    cost
        Of the first model, where it was asked for.
    """

    scores: dict[str, dict[str, dict[str, Scores]]]
    thresholds: dict[str, float]
    coverage: dict[str, Coverage]
    coverage_elsewhere: dict[str, dict[str, Coverage]]
    cost: Cost | None


@dataclass(frozen=True, slots=True)
class _Job:
    """A trained model for another process to judge with."""

    study: Study
    trained: Trained
    view: str
    """What is judged: ``""`` the clips, ``/adapted``, ``/float16`` and ``/int8``, or a condition's name."""
    windows: Windows


def require(asked: Sequence[Protocol]) -> None:
    """Look for what the protocols need besides recordings, lest it be missed after an hour's training.

    Raises
    ------
    CorpusError
        Where there is no noise for the robust protocol.
    """
    if "robust" not in asked or not any(condition.needs_noise for condition in CONDITIONS):
        return
    try:
        Noises(part="testing").paths()
    except CorpusError as error:
        raise CorpusError(
            f"{error}; the protocol robust puts clips into noise: leave it out of --protocols to do without"
        ) from None


def measure(
    study: Study,
    own: Sequence[str],
    asked: Sequence[Protocol],
    seeds: Sequence[int],
    *,
    workers: Workers,
    fresh: bool,
    with_cost: bool,
    watcher: Watcher,
) -> Measured:
    """Train what the protocols need, and score it.

    Each model is kept as it is done, so that an evaluation that was interrupted goes on from there.

    Parameters
    ----------
    study
        The recipe and all recordings.
    own
        Names of the corpora that the recipe is for; the others serve the cross protocol alone.
    asked
        The protocols.
    seeds
        Each trains its own models; figures are means over them.
    workers
        Who trains and judges.
    fresh
        Train everything again, also what is kept.
    with_cost
        Measure what the first model costs where it runs.
    watcher
        Told how it goes on.

    Raises
    ------
    CorpusError
        Where the recordings do not suffice.
    TrainingError
        Where a model cannot be trained.
    """
    tasks = protocols.plan(study.corpus, own, asked, seeds)
    watcher.begin(f"{', '.join(asked)}: models", len(tasks) * study.recipe.trainings)
    found = train_all(study, tasks, workers, fresh=fresh, advance=watcher.advance)
    trained = [Trained(task, fitted) for task, fitted in found]
    watcher.end()
    # In the order of the plan, whoever was done first.
    trained.sort(key=lambda one: [task.name for task in tasks].index(one.task.name))
    judged = dict(_judge_clips(study, trained, asked, workers, watcher))
    if "robust" in asked:
        judged.update(_judge_conditions(study, trained, workers, watcher))
    scores: dict[str, dict[str, dict[str, Scores]]] = {}
    for name, by_seed in judged.items():
        scores |= _score(study, own, name, by_seed)
    strangers = strangers_by_seed(trained) if "speaker" in asked else []
    thresholds = find_thresholds(study, strangers)
    coverage = measure_coverage(study, strangers, judged["speaker"].judged, thresholds) if thresholds else {}
    crossed = {name: found.judged for name, found in judged.items() if _is_direction(name)}
    elsewhere = measure_elsewhere(study, trained, crossed)
    cost = measure_cost(study, trained[0].task, trained[0].fitted) if with_cost else None
    return Measured(scores, thresholds, coverage, elsewhere, cost)


def _is_direction(name: str) -> bool:
    return name.startswith("cross/") and not name.endswith(ADAPTED)


@dataclass(frozen=True, slots=True)
class _BySeed:
    """One protocol's predictions."""

    tested: npt.NDArray[np.int64]
    judged: tuple[Judged, ...]


def _judge_clips(
    study: Study, trained: Sequence[Trained], asked: Sequence[Protocol], workers: Workers, watcher: Watcher
) -> Iterable[tuple[str, _BySeed]]:
    """Yield each protocol's predictions of the clips as they are."""
    jobs = []
    for one in trained:
        views = [""]
        if one.task.group == "speaker":
            if "speaker" not in asked:
                # They are here for the robust protocol alone.
                continue
            views += [ADAPTED, *(f"/{quantisation}" for quantisation in _rounded_ones(study))]
        elif one.task.group.startswith("cross"):
            views += [ADAPTED]
        jobs += [_Job(study, one, view, study.examples.windows) for view in views]
    yield from _run(jobs, "test parts", workers, watcher)


def _judge_conditions(
    study: Study, trained: Sequence[Trained], workers: Workers, watcher: Watcher
) -> Iterable[tuple[str, _BySeed]]:
    """Yield the predictions of the speaker protocol's models under each condition."""
    strangers = [one for one in trained if one.task.group == "speaker"]
    # Those that are tested: recordings of other corpora are for the cross protocol alone.
    tested = np.unique(np.concatenate([one.task.split.test for one in strangers]))
    for condition in CONDITIONS:
        watcher.begin(f"features, {condition.name}", len(tested))
        variation = Degraded(condition, Noises(part="testing"))
        windows = study.extract(variation, tested, workers, watcher.advance)
        watcher.end()
        jobs = [_Job(study, one, f"robust/{condition.name}", windows) for one in strangers]
        yield from _run(jobs, f"test parts, {condition.name}", workers, watcher)


def _rounded_ones(study: Study) -> tuple[Quantisation, ...]:
    return tuple(q for q in QUANTISATIONS if q != "float32") if study.recipe.is_network else ()


def _run(
    jobs: Sequence[_Job], title: str, workers: Workers, watcher: Watcher
) -> Iterable[tuple[str, _BySeed]]:
    """Yield, by name, the pooled predictions of jobs."""
    watcher.begin(title, len(jobs))
    by_name: dict[str, dict[int, list[tuple[Task, Judged]]]] = {}
    tasks = {job.trained.task.name: job.trained.task for job in jobs}
    for name, view, judged in workers.map(_judge, jobs):
        task = tasks[name]
        pooled = view if view.startswith("robust/") else f"{task.group}{view}"
        by_name.setdefault(pooled, {}).setdefault(task.seed, []).append((task, judged))
        watcher.advance()
    watcher.end()
    for pooled in sorted(by_name):
        seeds = by_name[pooled]
        one = next(iter(seeds.values()))
        tested = np.sort(np.concatenate([task.split.test for task, _ in one]))
        yield (
            pooled,
            _BySeed(tested, tuple(join([judged for _, judged in seeds[seed]]) for seed in sorted(seeds))),
        )


def _judge(job: _Job) -> tuple[str, str, Judged]:
    study, task, fitted = job.study, job.trained.task, job.trained.fitted
    if study.recipe.is_network:
        networks.use_one_thread()
    if job.view in {"/float16", "/int8"}:
        judged = judge_exported(
            study.recipe,
            fitted,
            study.examples.windows,
            task.split,
            "int8" if job.view == "/int8" else "float16",
        )
    else:
        speakers = study.truth.speakers if job.view == ADAPTED else None
        judged = judge(study.recipe, fitted, job.windows, task.split.test, speakers=speakers)
    return task.name, job.view, judged


def _score(
    study: Study, own: Sequence[str], name: str, by_seed: _BySeed
) -> dict[str, dict[str, dict[str, Scores]]]:
    """Return a protocol's scores by name, unit and part."""
    if not name.startswith("cross/"):
        scores = {name: _score_units(study, own, by_seed)}
        if name in {"speaker", "random", "kfold"}:
            for which, classes in protocols.fewer_classes(study.recipe.labels).items():
                scores[f"{name}/{which}"] = _score_units(study, own, _restrict(study, by_seed, classes))
        if name in {"speaker", "speaker/adapted"}:
            scores |= _score_arousal(study, name, by_seed) | _score_intensity(study, name, by_seed)
        return scores
    group = name.removesuffix(ADAPTED)
    scores = {}
    for which, classes in protocols.cross_classes(study.corpus, group, study.recipe.labels).items():
        if np.count_nonzero(classes) < _LEAST_CLASSES:
            continue
        suffix = ADAPTED if name.endswith(ADAPTED) else ""
        scores[f"{group}/{which}{suffix}"] = _score_units(study, (), _restrict(study, by_seed, classes))
    return scores | _score_arousal(study, name, by_seed)


def _restrict(study: Study, by_seed: _BySeed, classes: npt.NDArray[np.bool_]) -> _BySeed:
    """Return predictions among some classes alone, of the clips that have one of them."""
    tested = by_seed.tested[classes[study.truth.labels[by_seed.tested]]]
    return _BySeed(tested, tuple(restrict(judged, classes) for judged in by_seed.judged))


def _score_arousal(study: Study, name: str, by_seed: _BySeed) -> dict[str, dict[str, dict[str, Scores]]]:
    """Return how well high arousal is told from low, by name, unit and part; nothing where one is missing."""
    groups = [np.asarray([label in group for label in study.recipe.labels]) for group in (QUIET, EXCITED)]
    if name.startswith("cross/"):
        # What one of the corpora lacks was never learnt, or is never asked for.
        group = name.removesuffix(ADAPTED)
        shared = protocols.cross_classes(study.corpus, group, study.recipe.labels)["shared"]
        groups = [each & shared for each in groups]
    of_label = np.select(groups, [0, 1], -1)
    labels = of_label[study.truth.labels]
    tested = by_seed.tested[labels[by_seed.tested] >= 0]
    if len(np.unique(labels[tested])) < len(groups):
        return {}
    judged = tuple(collapse(one, groups) for one in by_seed.judged)
    measured = _score_units(
        study,
        (),
        _BySeed(tested, judged),
        truth=Truth(labels, study.truth.speakers),
        labels=OF_TWO["arousal"],
    )
    suffix = ADAPTED if name.endswith(ADAPTED) else ""
    return {f"{name.removesuffix(ADAPTED)}/arousal{suffix}": measured}


def _score_intensity(study: Study, name: str, by_seed: _BySeed) -> dict[str, dict[str, dict[str, Scores]]]:
    """Return how well strong emotions are told from normal ones, by name, unit and part.

    Nothing where the model does not tell, or no clip says. A neutral voice knows no strength: it is left out.
    """
    judged = tuple(told for told in map(in_strength, by_seed.judged) if told is not None)
    strength = study.examples.intensities
    emotional = np.asarray([label != "neutral" for label in study.recipe.labels])[study.truth.labels]
    labels = np.where(emotional & ~np.isnan(strength), strength == 1, -1).astype(np.int64)
    tested = by_seed.tested[labels[by_seed.tested] >= 0]
    if not judged or len(np.unique(labels[tested])) < _LEAST_CLASSES:
        return {}
    measured = _score_units(
        study,
        (),
        _BySeed(tested, judged),
        truth=Truth(labels, study.truth.speakers),
        labels=OF_TWO["intensity"],
    )
    suffix = ADAPTED if name.endswith(ADAPTED) else ""
    return {f"{name.removesuffix(ADAPTED)}/intensity{suffix}": measured}


def _score_units(
    study: Study,
    own: Sequence[str],
    by_seed: _BySeed,
    *,
    truth: Truth | None = None,
    labels: Sequence[str] = (),
) -> dict[str, dict[str, Scores]]:
    """Return a protocol's scores by unit and part: of the study's classes, or of others in their place."""
    truth, labels, smoothing = truth or study.truth, labels or study.recipe.labels, study.recipe.smoothing
    units: dict[str, dict[str, Scores]] = {"clips": {}, "windows": {}}
    for part, members in _parts(study, own):
        tested = by_seed.tested[members[by_seed.tested]]
        if not len(tested):
            continue
        clips = [outcome_of_clips(judged, truth, tested) for judged in by_seed.judged]
        units["clips"][part] = score(clips, labels)
        windows = [outcome_of_windows(judged, truth, tested, smoothing) for judged in by_seed.judged]
        if len(windows[0].truth):
            units["windows"][part] = score(windows, labels)
    return units


def _parts(study: Study, own: Sequence[str]) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Return the parts that are scored apart, each with which clips belong to it [shape=(n_clips,)]."""
    channels = np.asarray([clip.channel for clip in study.clips])
    corpora = np.asarray([clip.corpus for clip in study.clips])
    parts = [("all", np.ones(len(channels), dtype=np.bool_))]
    parts += [(channel, channels == channel) for channel in _CHANNELS]
    if len(own) > 1:
        # A list may be called anything: none may take the place of a part.
        taken = {name for name, _ in parts}
        for name, shown in [(name, _free(name, taken)) for name in own]:
            of_corpus = corpora == name
            parts.append((shown, of_corpus))
            both = [(channel, of_corpus & (channels == channel)) for channel in _CHANNELS]
            # Where it has one of them alone, that is the corpus itself.
            if all(members.any() for _, members in both):
                parts += [(_free(f"{shown}-{channel}", taken), members) for channel, members in both]
    return parts


def _free(name: str, taken: set[str]) -> str:
    """Return a name that is not taken yet, and take it."""
    while name in taken:
        name = f"corpus-{name}"
    taken.add(name)
    return name
