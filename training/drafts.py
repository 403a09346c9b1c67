"""Trained models as they would ship, before they are on disk: their card, and what they cost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from realtime.artifact import FORMAT_VERSION, Artifact, Card, Training
from realtime.classifier import Classifier
from realtime.estimator import Estimator
from training import evaluation, export, study
from training.estimators import make_probe
from training.evaluation import Cost
from training.fit import rebuild
from training.recipes import digest

if TYPE_CHECKING:
    from realtime.loaded import LoadedModel
    from training.export import Quantisation
    from training.fit import Fitted
    from training.protocols import Task
    from training.study import Study

_N_TIMED, _N_ROUNDS = 50, 5
"""Predictions that are timed, and how often."""


def measure_cost(gathered: Study, task: Task, fitted: Fitted) -> Cost:
    """Return what a trained model costs: its size, and the time of a prediction without its features."""
    model = _load(gathered, task, fitted)
    windows = gathered.examples.windows.features[:_N_TIMED]
    taken = []
    for _ in range(_N_ROUNDS):
        before = time.perf_counter()
        for window in windows:
            model.predict(window)
        taken.append((time.perf_counter() - before) / len(windows))
    # The quickest round tells what the machine can do, whatever else it does meanwhile.
    return Cost(n_bytes=len(model.artifact.model), us_per_prediction=float(f"{1e6 * min(taken):.3g}"))


def _load(gathered: Study, task: Task, fitted: Fitted) -> LoadedModel:
    """Return a trained model as the recognizer would load it."""
    recipe = gathered.recipe
    card = draft_card(gathered, task, fitted, recipe.name)
    nowhere = Path(recipe.name)
    inputs = fitted.preprocessing(gathered.examples.windows.features[:_N_TIMED])
    if recipe.is_network:
        network = rebuild(recipe, fitted, inputs.shape[1])
        converted = export.convert(network, "float32", inputs)
        return Classifier(Artifact(nowhere, card, recipe.features, fitted.preprocessing, converted))
    archive = fitted.weights[0].tobytes()
    probe = make_probe(archive, inputs)
    return Estimator(Artifact(nowhere, card, recipe.features, fitted.preprocessing, archive, probe))


def draft_card(
    gathered: Study,
    task: Task,
    fitted: Fitted,
    name: str,
    *,
    command: str = "",
    quantisation: Quantisation = "float32",
) -> Card:
    """Return a trained model's card, without scores, exports and checksums.

    Parameters
    ----------
    gathered, task, fitted
        The model, and what it was trained on.
    name
        The model's.
    command
        What makes it again.
    quantisation
        Of its weights, where it is a network.
    """
    recipe, corpus = gathered.recipe, gathered.corpus
    n_selected = len(fitted.preprocessing.selected)
    n_frames = recipe.features.n_frames(recipe.window)
    training = Training(
        recipe=recipe.name,
        recipe_sha256=digest(recipe),
        command=command,
        corpora=list(corpus.labels),
        data_sha256=gathered.data_sha256(list(corpus.labels)),
        labels={
            name: [label for label in recipe.labels if label in known]
            for name, known in corpus.labels.items()
        },
        licence=corpus.licence,
        seed=task.seed,
        n_clips=len(task.split.train) + (len(task.split.inner) if recipe.fitting.refit else 0),
        n_windows=fitted.n_windows,
        versions=study.versions(),
        note=_note(gathered, task),
    )
    return Card(
        format_version=FORMAT_VERSION,
        name=name,
        description=recipe.description,
        runtime="tflite" if recipe.is_network else "skops",
        labels=list(recipe.labels),
        features=recipe.features.to_dict(),
        window=recipe.window,
        hop=recipe.hop,
        n_features=recipe.features.n_values,
        n_selected=n_selected,
        smoothing=recipe.smoothing,
        adaptation=None if recipe.speakers is None else recipe.speakers.adaptation,
        intensity=recipe.tells_intensity,
        temperature=fitted.temperature,
        input_shape=[1, n_frames, n_selected] if recipe.sees_frames else [1, n_selected],
        output_shape=[1, len(recipe.labels) + recipe.tells_intensity],
        quantisation=quantisation if recipe.is_network else "float32",
        training=training,
        scores_note=evaluation.MISSING_NOTE,
        sha256={},
    )


def _note(gathered: Study, task: Task) -> str:
    known, apart = (
        {gathered.clips[index].speaker for index in part} for part in (task.split.train, task.split.inner)
    )
    if apart <= known:
        everyone, others, whom = "clips", f"{len(task.split.inner)} of them", "which"
    else:
        everyone, others, whom = "speakers", ", ".join(sorted(apart)), "whom"
    if gathered.recipe.fitting.refit:
        return f"trained on all {everyone}; how long, and its temperature, by training on all but {others}"
    return (
        f"trained on all {everyone} but {others}, by {whom} its training was stopped and its temperature set"
    )
