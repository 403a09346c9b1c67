"""What trained models say of clips that they were not trained on: predictions, from which scores are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from training import export
from training.adaptation import follow_labels
from training.evaluate import by_clip, smooth
from training.fit import inputs_of, predict_both, rebuild, take_apart
from training.metrics import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.artifact import Preprocessing
    from realtime.types import FloatArray, Smoothing
    from training.dataset import Windows
    from training.export import Quantisation
    from training.fit import Fitted
    from training.recipes import Recipe
    from training.splits import Split


@dataclass(frozen=True, slots=True)
class Judged:
    """Predictions of voiced windows, in the order of the clips and of time.

    Parameters
    ----------
    clip : np.ndarray [shape=(n,), dtype=int64]
        The clip of each window.
    position : np.ndarray [shape=(n,), dtype=int64]
        Number of each window among all windows.
    probabilities : np.ndarray [shape=(n, n_labels), dtype=float32]
        Of each window alone, tempered; less what is usual for the speaker, where the recipe says so.
    intensities : np.ndarray [shape=(n,), dtype=float32]
        How strong the emotion is, 0 to 1; None of a model that does not tell it.
    """

    clip: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    probabilities: FloatArray
    intensities: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """What predictions are compared with.

    Parameters
    ----------
    labels, speakers : np.ndarray [shape=(n_clips,), dtype=int64]
        Class and number of the speaker of each clip.
    """

    labels: npt.NDArray[np.int64]
    speakers: npt.NDArray[np.int64]


def judge(
    recipe: Recipe,
    fitted: Fitted,
    windows: Windows,
    clips: npt.NDArray[np.int64],
    *,
    speakers: npt.NDArray[np.int64] | None = None,
) -> Judged:
    """Return a model's predictions of these clips' windows.

    Parameters
    ----------
    recipe, fitted
        The model.
    windows
        Of all clips.
    clips : np.ndarray [shape=(n,), dtype=int64]
        Those to judge: a test part.
    speakers : np.ndarray [shape=(n_clips,), dtype=int64]
        Of all clips; where they are given, features are normalised by those of the speaker's other clips in
        the test part, whose labels nobody looks at, instead of by those of the training part. A model that
        gets used to speakers by itself has then heard these clips before.
    """
    rows = windows.rows(clips, copies=False)
    clip = windows.clip[rows]
    speaker = None if speakers is None else speakers[clip]
    if speaker is None or recipe.speakers is not None:
        inputs = inputs_of(recipe, fitted.preprocessing, windows, rows, speaker=speaker)
    else:
        inputs = normalise_by_speaker(windows.features[rows], fitted.preprocessing, clip, speaker)
    return adjust_labels(recipe, Judged(clip, rows, *predict_both(recipe, fitted, inputs)), speaker)


def adjust_labels(recipe: Recipe, judged: Judged, speaker: npt.NDArray[np.int64] | None = None) -> Judged:
    """Return the predictions less what is usual for whoever speaks, where the recipe says so.

    Parameters
    ----------
    recipe
        Says whether, and how much.
    judged
        What a model says of windows.
    speaker : np.ndarray [shape=(n,), dtype=int64]
        Who speaks in each window, where the speaker's other clips were judged before.
    """
    if recipe.speakers is None:
        return judged
    probabilities = follow_labels(
        judged.probabilities,
        judged.clip,
        judged.position,
        recipe.speakers,
        window_s=recipe.window_s,
        hop_s=recipe.hop_s,
        speaker=speaker,
    )
    return replace(judged, probabilities=probabilities)


def normalise_by_speaker(
    features: FloatArray,
    preprocessing: Preprocessing,
    clip: npt.NDArray[np.int64],
    speaker: npt.NDArray[np.int64],
) -> FloatArray:
    """Return the selected features, each clip's by mean and deviation of its speaker's other clips.

    Parameters
    ----------
    features : np.ndarray [shape=(n, ..., n_features), dtype=float32]
        Of windows.
    preprocessing
        Says which features; its mean and scale stand in where a speaker has no other clip.
    clip, speaker : np.ndarray [shape=(n,), dtype=int64]
        Of each window.
    """
    selected = features[..., preprocessing.selected]
    inputs = np.empty(selected.shape, dtype=np.float32)
    for one in np.unique(speaker):
        own = np.flatnonzero(speaker == one)
        values = selected[own].astype(np.float64)
        axes = tuple(range(1, values.ndim - 1))
        per_window = np.prod(values.shape[1:-1], dtype=np.int64)
        sums, squares = values.sum(axis=axes), (values**2).sum(axis=axes)
        for each in np.unique(clip[own]):
            of_clip = clip[own] == each
            n = int((~of_clip).sum() * per_window)
            if not n:
                inputs[own[of_clip]] = preprocessing(features[own[of_clip]])
                continue
            mean = sums[~of_clip].sum(axis=0) / n
            variance = np.maximum(squares[~of_clip].sum(axis=0) / n - mean**2, 0)
            # What hardly varies within a voice would be blown up: it keeps a share of the corpus's scale.
            scale = np.maximum(np.sqrt(variance), 0.1 * preprocessing.scale)
            inputs[own[of_clip]] = (values[of_clip] - mean) / scale
    return inputs


def restrict(judged: Judged, classes: npt.NDArray[np.bool_]) -> Judged:
    """Return the predictions as if there were these classes alone [shape=(n_labels,)]."""
    probabilities = np.where(classes, judged.probabilities, 0)
    total = probabilities.sum(axis=1, keepdims=True)
    # Where none of them has any probability, each is as likely as another.
    even = classes / classes.sum()
    shares = np.where(total > 0, probabilities / np.where(total > 0, total, 1), even)
    return Judged(judged.clip, judged.position, shares.astype(np.float32))


def collapse(judged: Judged, groups: Sequence[npt.NDArray[np.bool_]]) -> Judged:
    """Return the predictions of groups of classes [shape=(n_labels,) each] in place of classes.

    Classes that are in no group are out of the question, as if they were not there.
    """
    within = restrict(judged, np.any(groups, axis=0))
    columns = [within.probabilities[:, group].sum(axis=1) for group in groups]
    return Judged(judged.clip, judged.position, np.stack(columns, axis=1))


def in_strength(judged: Judged) -> Judged | None:
    """Return how likely the emotion is normal, and how likely strong, in place of the labels' probabilities.

    None of a model that does not tell it.
    """
    if judged.intensities is None:
        return None
    strong = judged.intensities
    return Judged(judged.clip, judged.position, np.stack((1 - strong, strong), axis=1))


def join(parts: Sequence[Judged]) -> Judged:
    """Return the predictions of several test parts as one."""
    clip = np.concatenate([part.clip for part in parts])
    position = np.concatenate([part.position for part in parts])
    probabilities = np.concatenate([part.probabilities for part in parts])
    order = np.argsort(position, kind="stable")
    told = [part.intensities for part in parts if part.intensities is not None]
    intensities = np.concatenate(told)[order] if len(told) == len(parts) else None
    return Judged(clip[order], position[order], probabilities[order], intensities)


def outcome_of_clips(judged: Judged, truth: Truth, tested: npt.NDArray[np.int64]) -> Outcome:
    """Return what is scored of whole clips: of all that were tested, heard or not.

    Parameters
    ----------
    judged
        Predictions.
    truth
        Of all clips.
    tested : np.ndarray [shape=(n,), dtype=int64]
        The clips that count.
    """
    counted = np.isin(judged.clip, tested)
    heard, probabilities = by_clip(judged.probabilities[counted], judged.clip[counted])
    unheard = np.setdiff1d(tested, heard)
    return Outcome(
        probabilities,
        truth.labels[heard],
        truth.speakers[heard],
        truth.labels[unheard],
        truth.speakers[unheard],
    )


def outcome_of_windows(
    judged: Judged, truth: Truth, tested: npt.NDArray[np.int64], smoothing: Smoothing
) -> Outcome:
    """Return what is scored of windows, smoothed as live.

    A window without a voice is no window that a label was asked for: none is unheard.
    """
    smoothed = smooth(judged.probabilities, judged.clip, judged.position, smoothing)
    counted = np.isin(judged.clip, tested)
    clip = judged.clip[counted]
    nobody = np.zeros(0, dtype=np.int64)
    return Outcome(smoothed[counted], truth.labels[clip], truth.speakers[clip], nobody, nobody)


def representative_inputs(
    recipe: Recipe, fitted: Fitted, windows: Windows, clips: npt.NDArray[np.int64]
) -> FloatArray:
    """Return a network's inputs of some of these clips' windows, as many as show a converter every range."""
    # Who is got used to is so by clips as they are, window after window.
    rows = windows.rows(clips, copies=recipe.speakers is None)
    step = max(1, len(rows) // export.N_REPRESENTATIVE)
    if recipe.speakers is None:
        return fitted.preprocessing(windows.features[rows[::step]])
    return inputs_of(recipe, fitted.preprocessing, windows, rows)[::step]


def judge_exported(
    recipe: Recipe, fitted: Fitted, windows: Windows, split: Split, quantisation: Quantisation
) -> Judged:
    """Return the predictions of a split's test part by the model as it would be shipped.

    Parameters
    ----------
    recipe, fitted
        The model, a network.
    windows
        Of all clips.
    split
        Its training part shows the converter the range of every tensor; its test part is judged.
    quantisation
        Of the exported model.
    """
    representative = representative_inputs(recipe, fitted, windows, split.train)
    network = rebuild(recipe, fitted, windows.features.shape[1])
    model = export.convert(network, quantisation, representative)
    rows = windows.rows(split.test, copies=False)
    raw = export.run_exported(model, inputs_of(recipe, fitted.preprocessing, windows, rows))
    return adjust_labels(recipe, Judged(windows.clip[rows], rows, *take_apart(recipe, fitted, raw)))
