"""From a fit to its report: what the report shows, taken from the recordings and the trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from training import judgement, networks
from training.fit import inputs_of, predict, rebuild
from training.report import Clips, Embedding, Features, Judged, ReportData, settings_of

if TYPE_CHECKING:
    from realtime.artifact import Card
    from realtime.types import FloatArray
    from training.fit import Fitted
    from training.protocols import Task
    from training.study import Study

_N_SAMPLED = 1000
_SEED = 0
_RANKED_BY = {
    "forest": "mean decrease in impurity of the selection's random forest",
    "mutual-information": "mutual information with the class, by which features were selected",
}


def describe_fit(gathered: Study, task: Task, fitted: Fitted, card: Card) -> ReportData:
    """Return everything that the report of a fit shows.

    Parameters
    ----------
    gathered
        The recipe and its recordings.
    task
        Which of them trained the model, and which stopped it.
    fitted
        The model.
    card
        As it was written.
    """
    recipe, windows = gathered.recipe, gathered.examples.windows
    labels, selected = gathered.truth.labels, fitted.preprocessing.selected
    held_out = np.zeros(len(labels), dtype=np.bool_)
    held_out[task.split.inner] = True
    inner = windows.rows(task.split.inner, copies=False)
    everything = windows.rows(np.union1d(task.split.train, task.split.inner), copies=False)
    sampled, inputs = _sample_inputs(gathered, fitted, everything)
    names = np.asarray(recipe.features.names())[selected]
    of_row = labels[windows.clip[sampled]]
    importances, method = fitted.importances, _RANKED_BY.get(recipe.selection.method, "")
    if not len(importances):
        importances, method = _permute(gathered, fitted, inner)
    told = judgement.adjust_labels(
        recipe, judgement.Judged(windows.clip[inner], inner, fitted.inner_probabilities)
    )
    return ReportData(
        name=card.name,
        description=card.description,
        card=card,
        settings=settings_of(recipe),
        labels=recipe.labels,
        clips=Clips(
            label=labels,
            speaker=tuple(clip.speaker for clip in gathered.clips),
            corpus=tuple(clip.corpus for clip in gathered.clips),
            channel=tuple(clip.channel for clip in gathered.clips),
            held_out=held_out,
        ),
        history=fitted.history,
        judged=Judged(labels[windows.clip[inner]], told.probabilities, "windows"),
        features=Features(
            names=tuple(names.tolist()),
            inputs=_compact(inputs.mean(axis=1) if recipe.sees_frames else inputs),
            label=of_row,
            importances=importances,
            importance_method=method,
        ),
        embedding=_embed(gathered, fitted, inputs, of_row, held_out[windows.clip[sampled]]),
    )


def _compact(inputs: FloatArray) -> npt.NDArray[np.float16]:
    """Return what pictures are drawn of, in half precision, whose largest value is 65,504."""
    return np.clip(inputs, -6e4, 6e4).astype(np.float16)


def _sample(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return some of the rows, in order: as many as pictures can show."""
    if len(rows) <= _N_SAMPLED:
        return rows
    return np.sort(np.random.default_rng(_SEED).choice(rows, _N_SAMPLED, replace=False))


def _sample_inputs(
    gathered: Study, fitted: Fitted, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return some of the rows, in order, and what the model sees of them where it runs."""
    sampled = _sample(rows)
    windows, preprocessing = gathered.examples.windows, fitted.preprocessing
    if gathered.recipe.speakers is None:
        return sampled, preprocessing(windows.features[sampled])
    # A speaker is got used to by all windows before.
    inputs = inputs_of(gathered.recipe, preprocessing, windows, rows)
    return sampled, inputs[np.searchsorted(rows, sampled)]


def _permute(gathered: Study, fitted: Fitted, rows: npt.NDArray[np.int64]) -> tuple[FloatArray, str]:
    """Return how much accuracy on the inner part each feature is worth: by mixing its values among windows.

    References
    ----------
    Breiman, "Random forests", 2001, section 10.
    """
    windows, rng = gathered.examples.windows, np.random.default_rng(_SEED)
    rows, inputs = _sample_inputs(gathered, fitted, rows)
    truth = gathered.truth.labels[windows.clip[rows]]
    n_features = inputs.shape[-1]
    # All mixed copies are judged together: a network is rebuilt once, not once a feature.
    whole = predict(gathered.recipe, fitted, inputs)
    right = float((whole.argmax(axis=1) == truth).mean())
    importances = np.zeros(n_features, dtype=np.float32)
    together = max(1, 20_000 // len(rows))
    for first in range(0, n_features, together):
        chosen = range(first, min(n_features, first + together))
        mixed = np.concatenate([_mix(inputs, feature, rng) for feature in chosen])
        guesses = predict(gathered.recipe, fitted, mixed).argmax(axis=1).reshape(len(chosen), len(rows))
        importances[first : first + len(chosen)] = right - (guesses == truth).mean(axis=1)
    method = "accuracy lost on the inner part's windows when its values are mixed among them"
    if gathered.recipe.fitting.refit:
        method += ", by the final model, which was trained on these windows too"
    return importances, method


def _mix(inputs: FloatArray, feature: int, rng: np.random.Generator) -> FloatArray:
    mixed = inputs.copy()
    mixed[..., feature] = inputs[rng.permutation(len(inputs))][..., feature]
    return mixed


def _embed(
    gathered: Study,
    fitted: Fitted,
    inputs: FloatArray,
    labels: npt.NDArray[np.int64],
    held_out: npt.NDArray[np.bool_],
) -> Embedding:
    if not gathered.recipe.is_network:
        return Embedding(inputs, labels, held_out, "the selected and scaled features")
    model = networks.embedding(rebuild(gathered.recipe, fitted, inputs.shape[1]))
    vectors = np.asarray(model.predict(inputs, batch_size=512, verbose=0), dtype=np.float32)
    return Embedding(vectors, labels, held_out, "the network's last hidden layer")
