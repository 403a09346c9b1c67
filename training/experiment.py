"""A whole fit: features, the model that ships, what its exports cost, its artifact and its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from realtime import artifact
from realtime.artifact import Artifact, Card, Export
from realtime.classifier import Classifier
from realtime.errors import TrainingError
from realtime.estimator import Estimator
from training import evaluation, export, networks, protocols, study
from training.drafts import draft_card
from training.estimators import make_probe
from training.fit import predict, rebuild
from training.judgement import representative_inputs
from training.recipes import digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.corpora import Corpus
    from training.epochs import Epoch
    from training.evaluation import Evaluation
    from training.export import Quantisation
    from training.fit import Fitted
    from training.progress import Watcher
    from training.protocols import HoldOut, Task
    from training.recipes import Recipe
    from training.study import Study
    from training.workers import Workers

REPORT_FOLDER = "report"
_N_PARITY = 1000
"""Windows on which the trained and the written model are compared, at most."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A trained model, with all that it comes from."""

    gathered: Study
    task: Task
    fitted: Fitted


def run(
    recipe: Recipe,
    corpus: Corpus,
    digests: Sequence[str],
    out: Path,
    *,
    seed: int,
    hold_out: HoldOut,
    cache: Path,
    quantisation: Quantisation,
    workers: Workers,
    fresh: bool,
    with_report: bool,
    command: str,
    watcher: Watcher,
) -> Card:
    """Train a recipe on all of a corpus and write the model, with the scores that were measured before.

    Parameters
    ----------
    recipe
        How.
    corpus
        The recordings that can be used.
    digests
        SHA-256 of each one's file.
    out
        Folder of the model; its name is the model's. Where it holds scores of the same recipe and corpora,
        they go into the card.
    seed
        Of everything random.
    hold_out
        Who decides how long it is trained and how sure it is.
    cache
        Folder of features and trained models that are kept between runs.
    quantisation
        Of the written model.
    workers
        Who computes features.
    fresh
        Train again, also what is kept.
    with_report
        Write its report too, into the folder ``report`` beside the model.
    command
        What makes the model again, for its card.
    watcher
        Told how it goes on.

    Raises
    ------
    CorpusError
        Where the recordings do not suffice.
    TrainingError
        Where the loss is no number any more, or the disk is full.
    ArtifactError
        Where the written model would disagree with the trained one.
    """
    # First: what is wrong with it should not be told after an hour's training.
    measured = evaluation.read(out)
    gathered = study.gather(recipe, corpus, digests, cache=cache, workers=workers, watcher=watcher)
    task = protocols.shipped(gathered.corpus, seed, hold_out)
    if recipe.is_network:
        # As evaluation's models are trained: on several, operations that keep an order take twice the time.
        networks.use_one_thread()
    n_members = len(recipe.members)
    fitted = _train(gathered, task, workers, fresh=fresh, watcher=watcher)
    best = max((epoch.inner_accuracy for epoch in fitted.history), default=None)
    whose = f" (the first of {n_members} networks)" if n_members > 1 else ""
    watcher.end("" if best is None else f"inner accuracy {best:.3f} at best{whose}")
    if measured is not None and not measured.is_of(
        digest(recipe), list(corpus.labels), gathered.data_sha256(list(corpus.labels))
    ):
        watcher.warn(
            f"{out / evaluation.SCORES_FILE} is of another recipe or other corpora; left out of the card"
        )
        measured = None
    made = _Made(gathered, task, fitted)
    card = draft_card(gathered, task, fitted, out.resolve().name, command=command, quantisation=quantisation)
    written = _write(made, card, measured, out, watcher)
    if with_report:
        _report(made, written, out, watcher)
    return written


def _train(gathered: Study, task: Task, workers: Workers, *, fresh: bool, watcher: Watcher) -> Fitted:
    """Train the model; the caller says that it is over, and how good it is."""
    recipe = gathered.recipe
    if recipe.trainings > 1 and (workers.n_jobs > 1 or workers.cluster is not None):
        watcher.begin("trainings", recipe.trainings)
        ((_, fitted),) = study.train_all(gathered, [task], workers, fresh=fresh, advance=watcher.advance)
        return fitted
    watcher.begin("training", len(recipe.members) * recipe.fitting.n_epochs if recipe.is_network else 1)

    def watch(epoch: Epoch) -> None:
        watcher.advance(note=f"loss {epoch.loss:.3f}, inner accuracy {epoch.inner_accuracy:.3f}")

    fitted = study.train_one(gathered, task, fresh=fresh, watch=watch)
    if not recipe.is_network:
        watcher.advance()
    return fitted


def _report(made: _Made, card: Card, out: Path, watcher: Watcher) -> None:
    # Here, since they load matplotlib: who wants no pictures need not have it.
    from training import report, reporting  # noqa: PLC0415

    watcher.begin("report", 1)
    data = reporting.describe_fit(made.gathered, made.task, made.fitted, card)
    folder = out / REPORT_FOLDER
    try:
        report.save_data(data, folder)
        files = report.write_report(data, folder)
    except OSError as error:
        raise TrainingError(
            f"{folder}: {error.strerror or error}; the model is written, wanted its report there: make room, "
            "and give the same command again"
        ) from None
    watcher.advance()
    watcher.end(str(files.page))


def _write(made: _Made, card: Card, measured: Evaluation | None, out: Path, watcher: Watcher) -> Card:
    """Convert, check and write the model."""
    task, fitted = made.task, made.fitted
    recipe, windows = made.gathered.recipe, made.gathered.examples.windows
    inner = windows.features[windows.rows(task.split.inner, copies=False)[:_N_PARITY]]
    expected = predict(recipe, fitted, fitted.preprocessing(inner))
    if recipe.is_network:
        representative = representative_inputs(recipe, fitted, windows, task.split.train)
        network = rebuild(recipe, fitted, windows.features.shape[1])
        watcher.begin("exports", 1)
        made_in = export.convert_all(
            network, representative, fitted.preprocessing(inner), n_labels=len(recipe.labels)
        )
        watcher.advance()
        watcher.end(", ".join(exported.quantisation for exported in made_in))
        exports = {
            str(exported.quantisation): Export(
                n_bytes=len(exported.model), parity=float(f"{exported.parity:.3g}")
            )
            for exported in made_in
        }
        (model,) = (e.model for e in made_in if e.quantisation == card.quantisation)
        probe = None
        draft = Artifact(out, card, recipe.features, fitted.preprocessing, model)
        parity = export.measure_parity(Classifier(draft), inner, expected)
    else:
        model = fitted.weights[0].tobytes()
        probe = make_probe(model, fitted.preprocessing(inner))
        draft = Artifact(out, card, recipe.features, fitted.preprocessing, model, probe)
        parity = export.measure_parity(Estimator(draft), inner, expected)
        exports = {"skops": Export(n_bytes=len(model), parity=float(f"{parity:.3g}"))}
    training = msgspec.structs.replace(card.training, parity=float(f"{parity:.3g}"))
    card = msgspec.structs.replace(card, training=training, exports=exports)
    if measured is not None:
        card = evaluation.into_card(card, measured)
    return artifact.write(out, card=card, preprocessing=fitted.preprocessing, model=model, probe=probe)
