"""What a recipe is trained and scored on: recordings, their windows, and models trained once and kept."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from realtime import activity
from realtime.errors import CorpusError
from training import dataset, networks, packages, recipes, store
from training.augmentation import Noises
from training.dataset import AsItIs, Copies
from training.fit import Examples, Fitted, fit, forget
from training.joining import join
from training.judgement import Truth
from training.recipes.schema import Ensemble, Speakers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from training.corpora import Clip, Corpus
    from training.dataset import Variation, Windows
    from training.epochs import Epoch
    from training.progress import Watcher
    from training.protocols import Task
    from training.recipes import Recipe
    from training.workers import Workers

COPIES_SEED = 42
"""Of the varied copies: fixed, so that models of other seeds are trained on the same ones."""
_CODE = (
    "adaptation.py",
    "augmentation/inputs.py",
    "epochs.py",
    "estimators.py",
    "fit.py",
    "preprocess.py",
    "targets.py",
)
"""What, within `training`, decides about a trained model besides recipe, seed, split and windows."""
_RUNNING_CODE = ("activity.py", "estimator.py", "loaded.py", "preprocessing.py", "speaker.py", "voting.py")
"""What, within `realtime`, decides about it."""
_STRENGTHS: dict[str | None, float] = {"normal": 0.0, "strong": 1.0}
"""Of each intensity that a corpus may tell."""


@dataclass(frozen=True, slots=True)
class Study:
    """A recipe, with everything that its models are trained on and judged by.

    Parameters
    ----------
    recipe
        How.
    corpus
        The recordings that can be used and carry one of the recipe's labels.
    digests
        SHA-256 of each recording's file.
    examples
        Their windows, varied copies among them, and classes.
    truth
        Their classes and speakers.
    digest
        Of all that decides about a trained model but its seed and its split.
    cache
        Folder of what is kept between runs.
    """

    recipe: Recipe
    corpus: Corpus
    digests: tuple[str, ...]
    examples: Examples
    truth: Truth
    digest: str
    cache: Path

    @property
    def clips(self) -> tuple[Clip, ...]:
        """The recordings."""
        return self.corpus.clips

    def extract(
        self,
        variation: Variation,
        indices: npt.NDArray[np.int64],
        workers: Workers,
        advance: Callable[[int], None] = lambda _n: None,
    ) -> Windows:
        """Return the windows of some recordings after some variation, each under its recording's index."""
        windows = dataset.extract(
            self.recipe,
            [self.clips[index] for index in indices],
            [self.digests[index] for index in indices],
            variation=variation,
            cache=self.cache,
            workers=workers,
            advance=advance,
        )
        return replace(windows, clip=indices[windows.clip])

    def data_sha256(self, corpora: Sequence[str]) -> str:
        """Return a digest of these corpora's recordings, their labels and speakers."""
        pairs = zip(self.clips, self.digests, strict=True)
        lines = sorted(f"{d} {c.label} {c.speaker}" for c, d in pairs if c.corpus in corpora)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def path(self, task: Task) -> Path:
        """Return where a trained model is kept: named by everything that decides about it."""
        parts = [self.digest, str(task.seed)]
        for indices in (task.split.train, task.split.inner):
            parts += [self._describe(index) for index in indices]
            parts.append("")
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        return self.cache / "models" / f"{self.recipe.name}-{task.name}-{key}.npz"

    def _describe(self, index: int) -> str:
        """Return what of a recording decides about a model that is trained on it."""
        clip = self.clips[index]
        said = f"{self.digests[index]} {clip.label} {self.examples.known[index].tolist()}"
        if self.recipe.speakers is not None:
            said += f" {clip.speaker}"
        return f"{said} {clip.intensity}" if self.recipe.tells_intensity else said


def gather(
    recipe: Recipe,
    corpus: Corpus,
    digests: Sequence[str],
    *,
    cache: Path,
    workers: Workers,
    watcher: Watcher,
    own: Collection[str] | None = None,
) -> Study:
    """Return what a recipe is trained on: the windows of all recordings that carry one of its labels.

    Parameters
    ----------
    recipe
        How.
    corpus
        The recordings that can be used.
    digests
        SHA-256 of each one's file.
    cache
        Folder of what is kept between runs.
    workers
        Who computes features.
    watcher
        Told how it goes on.
    own
        Names of the corpora that the recipe is for; the others are for the cross protocol alone. All by
        default.

    Raises
    ------
    CorpusError
        Where no recording carries one of the recipe's labels, or one cannot be read.
    """
    chosen = [index for index, clip in enumerate(corpus.clips) if clip.label in recipe.labels]
    if not chosen:
        found = sorted({clip.label for clip in corpus.clips})
        raise CorpusError(
            f"the recordings of {corpus.name} carry the labels {found}; wanted some of the recipe's: "
            f"{list(recipe.labels)}"
        )
    left = sorted({clip.label for clip in corpus.clips} - set(recipe.labels))
    if left:
        n_left = len(corpus.clips) - len(chosen)
        watcher.warn(f"{n_left} recordings carry labels that the recipe does not have: {', '.join(left)}")
    clips = tuple(corpus.clips[index] for index in chosen)
    used = tuple(digests[index] for index in chosen)
    variations = _variations(recipe)
    # First: noise that is missing is told of before minutes of features.
    digest = _digest(recipe, variations)
    tables = []
    for variation, title in zip(variations, ("features", "features of varied copies"), strict=False):
        watcher.begin(title, len(clips))
        tables.append(
            dataset.extract(
                recipe,
                clips,
                used,
                variation=variation,
                cache=cache,
                workers=workers,
                advance=watcher.advance,
            )
        )
        watcher.end()
    copied = len(tables) > 1
    windows = (
        dataset.with_copies(tables[0], tables[1], cache) if copied else dataset.on_disk(tables[0], cache)
    )
    tables.clear()
    told_by = _told_by(recipe, corpus, corpus.labels if own is None else own)
    known = np.asarray([_told_apart(recipe, clip, told_by[clip.corpus]) for clip in clips])
    labels = np.asarray([recipe.labels.index(clip.label) for clip in clips], dtype=np.int64)
    speakers = sorted({clip.speaker for clip in clips})
    numbers = {speaker: number for number, speaker in enumerate(speakers)}
    truth = Truth(labels, np.asarray([numbers[clip.speaker] for clip in clips], dtype=np.int64))
    usable = replace(corpus, clips=clips)
    told = [_STRENGTHS.get(clip.intensity, np.nan) for clip in clips]
    if recipe.tells_intensity and np.isnan(told).all():
        raise CorpusError(
            f"no recording of {corpus.name} says how strong its emotion is, and fitting.intensity is "
            f"{recipe.fitting.intensity:g}; wanted some that do, such as RAVDESS's or CREMA-D's, or 0"
        )
    examples = Examples(windows, labels, known, truth.speakers, np.asarray(told, dtype=np.float32))
    return Study(recipe, usable, used, examples, truth, digest, cache)


def _told_by(recipe: Recipe, corpus: Corpus, own: Collection[str]) -> dict[str, set[str]]:
    """Return between which labels each corpus tells: those that it has, and those that no own corpus has.

    Of these a model hears no voice: masked out for all, they would keep what chance they began with, and be
    answered with.
    """
    lacking = set(recipe.labels).difference(*(corpus.labels[name] for name in own))
    return {name: {*labels, *(lacking if name in own else ())} for name, labels in corpus.labels.items()}


def _told_apart(recipe: Recipe, clip: Clip, of_corpus: Collection[str]) -> list[bool]:
    """Return between which labels a clip tells anything: its corpus's, and those that it cannot be."""
    kind_of = recipe.fitting.kind_of
    # What a corpus lacks it may have called by the name of which that is a kind.
    return [label in of_corpus or kind_of.get(label, clip.label) != clip.label for label in recipe.labels]


@dataclass(frozen=True, slots=True)
class Trained:
    """A task with its model."""

    task: Task
    fitted: Fitted


@dataclass(frozen=True, slots=True)
class _Job:
    """A training for another process."""

    study: Study
    task: Task
    fresh: bool
    model: str
    """Name of the task that it is for, which may have several."""


def train_all(
    study: Study,
    tasks: Sequence[Task],
    workers: Workers,
    *,
    fresh: bool = False,
    advance: Callable[[int, str], None] = lambda _n, _name: None,
) -> Iterator[tuple[Task, Fitted]]:
    """Yield each task with its model, as each is done; those that are kept from before come first.

    Parameters
    ----------
    study
        What they are trained on.
    tasks
        The models; where the recipe's members are trained several times, each time is shared out by itself.
    workers
        Who trains them.
    fresh
        Train again, also what is kept.
    advance
        Told how many more trainings are done, and whose: all of a model that was kept.

    Raises
    ------
    TrainingError
        Where a loss is no number any more, or the disk is full.
    """
    once = _once(study)
    missing: dict[str, tuple[Task, ...]] = {}
    for task in tasks:
        kept = None if fresh else store.load(study.path(task))
        if kept is None:
            missing[task.name] = _trainings(study, task)
        else:
            advance(study.recipe.trainings, task.name)
            yield task, kept
    by_name = {task.name: task for task in tasks}
    jobs = [_Job(once, one, fresh, name) for name, trainings in missing.items() for one in trainings]
    found: dict[str, dict[str, Fitted]] = {name: {} for name in missing}
    for model, name, fitted in workers.map(_train, jobs):
        advance(1, name)
        found[model][name] = fitted
        if len(found[model]) == len(missing[model]):
            task, done = by_name[model], found.pop(model)
            yield task, _join(study, task, [done[one.name] for one in missing[model]])


def _train(job: _Job) -> tuple[str, str, Fitted]:
    if job.study.recipe.is_network:
        networks.use_one_thread()
    return job.model, job.task.name, train_one(job.study, job.task, fresh=job.fresh)


def train_one(
    study: Study, task: Task, *, fresh: bool = False, watch: Callable[[Epoch], None] = lambda _epoch: None
) -> Fitted:
    """Return a task's model: kept from before, or trained now, from where an interrupt left it."""
    path = study.path(task)
    kept = None if fresh else store.load(path)
    if kept is not None:
        return kept
    if study.recipe.trainings > 1:
        once = _once(study)
        found = [train_one(once, one, fresh=fresh, watch=watch) for one in _trainings(study, task)]
        return _join(study, task, found)
    unfinished = path.with_suffix(".unfinished.npz")
    if fresh:
        forget(unfinished)
    fitted = fit(study.recipe, study.examples, task.split, seed=task.seed, watch=watch, kept=unfinished)
    store.save(path, fitted)
    forget(unfinished)
    return fitted


def _once(study: Study) -> Study:
    """Return the study of the recipe with one training of each member, whose models others are made of."""
    model = study.recipe.model
    if not isinstance(model, Ensemble) or model.trainings == 1:
        return study
    recipe = replace(study.recipe, model=model.once)
    return replace(study, recipe=recipe, digest=_digest(recipe, _variations(recipe)))


def _trainings(study: Study, task: Task) -> tuple[Task, ...]:
    """Return the models, of `_once`, that a task's model is made of: of one seed after the other."""
    stem = task.name.removesuffix(str(task.seed))
    seeds = range(task.seed, task.seed + study.recipe.trainings)
    return tuple(replace(task, name=f"{stem}{seed}", seed=seed) for seed in seeds)


def _join(study: Study, task: Task, found: Sequence[Fitted]) -> Fitted:
    """Return the model that asks each of several trainings, or the only one, and keep it."""
    if study.recipe.trainings == 1:
        return found[0]
    fitted = join(found, study.examples, task.split)
    store.save(study.path(task), fitted)
    return fitted


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide about a trained model."""
    names = (*packages.FEATURES, *packages.COPIES, *packages.MODELS)
    return {"python": platform.python_version(), **packages.versions_of(names)}


def _variations(recipe: Recipe) -> tuple[Variation, ...]:
    """Return what becomes of recordings before they are trained on."""
    n_copies = recipe.augmentation.n_copies
    copies = Copies(recipe.augmentation.steps, n_copies, COPIES_SEED, Noises(part="training"))
    return (AsItIs(), copies) if n_copies else (AsItIs(),)


def _digest(recipe: Recipe, variations: Sequence[Variation]) -> str:
    """Return a digest of all that decides about a trained model but its recordings, seed and split."""
    if recipe.speakers is not None:
        # What becomes of a model's answers changes nothing in the model.
        usual = Speakers()
        unadjusted = msgspec.structs.replace(
            recipe.speakers, logit_adjustment=usual.logit_adjustment, label_prior_s=usual.label_prior_s
        )
        recipe = replace(recipe, speakers=unadjusted)
    digest = hashlib.sha256(f"{recipes.digest(recipe)} {versions()}".encode())
    for variation in variations:
        digest.update(f"{variation.describe()} {dataset.code_digest(variation)}".encode())
    folder = Path(__file__).parent
    paths = [folder / name for name in _CODE]
    if recipe.is_network:
        paths += sorted(Path(str(networks.__file__)).parent.glob("*.py"))
    # What hears a voice decides which windows are trained on; what runs estimators, their temperature.
    paths += [Path(str(activity.__file__)).parent / name for name in _RUNNING_CODE]
    if recipe.trainings > 1:
        paths.append(folder / "joining.py")
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
