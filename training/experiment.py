"""A whole fit: features, the protocols' models and their scores, the model that ships, its artifact."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from realtime import artifact
from realtime.artifact import FORMAT_VERSION, Artifact, Card, Training
from training import dataset, export, protocols, store
from training.fit import Epoch, Fitted, fit, predict, rebuild
from training.protocols import Study, Task, Trained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.corpora import Clip, Corpus
    from training.dataset import Windows
    from training.export import Quantisation
    from training.recipes import Recipe

_CODE = ("fit.py", "networks.py", "preprocess.py")
"""What, within `training`, decides about a trained model besides recipe, seed, split and windows."""
_PACKAGES = ("numpy", "soundfile", "soxr", "scikit-learn", "tensorflow", "tensorflow-cpu", "keras")
_N_PARITY = 1000
"""Windows on which Keras and TFLite are compared, at most."""


class Watcher(Protocol):
    """Told how a fit goes on."""

    def warn(self, line: str) -> None:
        """Take a line about a recording that was left out."""

    def extract(self, n_clips: int) -> None:
        """Note that the features of so many clips are wanted."""

    def extracted(self, n_clips: int) -> None:
        """Note that so many more clips are done."""

    def train(self, name: str, number: int, n_total: int, n_epochs: int) -> None:
        """Note that model `number` of `n_total` is begun, which takes `n_epochs` at most."""

    def epoch(self, epoch: Epoch) -> None:
        """Note that another epoch is done."""

    def trained(self, fitted: Fitted, *, kept: bool) -> None:
        """Note that the model is there, trained now or, if `kept`, by an earlier run."""


def run(
    recipe: Recipe,
    corpus: Corpus,
    out: Path,
    *,
    seed: int,
    cache: Path,
    quantisation: Quantisation,
    n_jobs: int,
    fresh: bool,
    watcher: Watcher,
) -> Card:
    """Train and score a recipe on a corpus and write the model; return its card.

    Parameters
    ----------
    recipe
        How.
    corpus
        The recordings.
    out
        Folder of the model; its name is the model's.
    seed
        Of everything random but the split of the random protocol.
    cache
        Folder of features and trained models that are kept between runs.
    quantisation
        Of the written model.
    n_jobs
        Processes that compute features.
    fresh
        Train everything again, also what is kept.
    watcher
        Told how it goes on.

    Raises
    ------
    CorpusError
        Where the recordings do not suffice.
    ArtifactError
        Where the written model would disagree with the trained one.
    """
    for line in corpus.warnings:
        watcher.warn(line)
    wanted = [clip for clip in corpus.clips if clip.label in recipe.labels]
    watcher.extract(len(wanted))
    extraction = dataset.extract(
        recipe, wanted, seed=seed, cache=cache, n_jobs=n_jobs, advance=watcher.extracted
    )
    for line in extraction.warnings:
        watcher.warn(line)
    clips, windows = extraction.clips, extraction.windows
    labels = np.asarray([recipe.labels.index(clip.label) for clip in clips], dtype=np.int64)
    tasks = protocols.plan(clips, corpus.folds)
    digest = _digest(recipe, windows, labels, seed)
    trained = []
    for number, task in enumerate(tasks, start=1):
        watcher.train(task.name, number, len(tasks), recipe.fitting.n_epochs)
        path = cache / "models" / f"{recipe.name}-{task.name}-{_digest_of_split(digest, task)}.npz"
        kept = None if fresh else store.load(path)
        fitted = kept or fit(recipe, windows, labels, task.split, seed=seed, watch=watcher.epoch)
        if kept is None:
            store.save(path, fitted)
        watcher.trained(fitted, kept=kept is not None)
        trained.append(Trained(task, fitted))
    study = Study(recipe, clips, windows, labels, tuple(trained))
    return _write(study, corpus, out, seed=seed, quantisation=quantisation)


def _digest(recipe: Recipe, windows: Windows, labels: npt.NDArray[np.int64], seed: int) -> str:
    """Return a digest of all that decides about a trained model but its split."""
    digest = hashlib.sha256(f"{recipe!r} {seed} {_versions()}".encode())
    for array in (windows.clip, windows.copy, windows.features, windows.voiced, labels):
        digest.update(np.ascontiguousarray(array).data)
    for name in _CODE:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()


def _digest_of_split(digest: str, task: Task) -> str:
    parts = (task.split.train.tolist(), task.split.inner.tolist())
    return hashlib.sha256(f"{digest} {parts}".encode()).hexdigest()[:16]


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _write(study: Study, corpus: Corpus, out: Path, *, seed: int, quantisation: Quantisation) -> Card:
    """Convert, check and write the last model of a study, with the scores of the others."""
    recipe, windows = study.recipe, study.windows
    shipped, fitted = study.trained[-1].task, study.trained[-1].fitted
    card = _card(study, corpus, out.resolve().name, seed=seed, quantisation=quantisation)
    rows = windows.rows(shipped.split.train, copies=True)
    representative = fitted.preprocessing(windows.features[rows])
    model = export.convert(rebuild(recipe, fitted), quantisation, representative)
    inner = windows.rows(shipped.split.inner, copies=False)[:_N_PARITY]
    parity = export.measure_parity(
        Artifact(out, card, recipe.features, fitted.preprocessing, model),
        windows.features[inner],
        predict(recipe, fitted, windows.features[inner]),
    )
    training = msgspec.structs.replace(card.training, parity=float(f"{parity:.3g}"))
    card = msgspec.structs.replace(card, training=training)
    return artifact.write(out, card=card, preprocessing=fitted.preprocessing, model=model)


def _card(study: Study, corpus: Corpus, name: str, *, seed: int, quantisation: Quantisation) -> Card:
    recipe = study.recipe
    shipped, fitted = study.trained[-1].task, study.trained[-1].fitted
    n_selected = len(fitted.preprocessing.selected)
    training = Training(
        recipe=recipe.name,
        command=f"tonewatch-train fit {recipe.name} --out models/{name} --seed {seed} "
        f"--quantise {quantisation}",
        corpora=[corpus.name],
        licence=corpus.licence,
        seed=seed,
        n_clips=len(shipped.split.train) + (len(shipped.split.inner) if recipe.fitting.refit else 0),
        n_windows=fitted.n_windows,
        versions=_versions(),
    )
    return Card(
        format_version=FORMAT_VERSION,
        name=name,
        description=recipe.description,
        labels=list(recipe.labels),
        features=recipe.features.to_dict(),
        window=recipe.window,
        hop=recipe.hop,
        n_features=recipe.features.n_values,
        n_selected=n_selected,
        smoothing=recipe.smoothing,
        temperature=fitted.temperature,
        thresholds=protocols.thresholds(study),
        input_shape=[1, n_selected],
        output_shape=[1, len(recipe.labels)],
        quantisation=quantisation,
        training=training,
        scores=protocols.score(study),
        scores_note=_note(study.clips, shipped, recipe),
        sha256={},
    )


def _note(clips: Sequence[Clip], shipped: Task, recipe: Recipe) -> str:
    inner = ", ".join(sorted({clips[index].speaker for index in shipped.split.inner}))
    if recipe.fitting.refit:
        shipped_note = (
            "The model in this folder was trained on all speakers; how long, and its temperature, were found "
            f"by training on all but {inner}."
        )
    else:
        shipped_note = (
            f"The model in this folder was trained on all speakers but {inner}, by whom its training was "
            "stopped and its temperature set."
        )
    return (
        "These are the scores of the protocols' own models, trained in the same way without their test "
        "parts. random: a stratified fifth of the clips, whose speakers the model knows. speaker: each fold "
        "of speakers, judged by a model that knows none of them; pooled. clips: the mean probabilities of a "
        "clip's windows. windows: every window of the recording, smoothed, as live. rooms: the windows of "
        f"varied copies of it, {_variation(recipe)}. Clips in which no voice is heard count as wrong. "
        f"{shipped_note} The training command measures all of this again."
    )


def _variation(recipe: Recipe) -> str:
    copies = recipe.copies
    room = "without noise"
    if copies.room_dbfs is not None:
        room = f"in a room's noise of {copies.room_dbfs[0]:g} to {copies.room_dbfs[1]:g} dBFS"
    return f"at other moments, up to {copies.gain_db:g} dB louder or softer, {room}"
