"""The ways to score a recipe: which models are trained for it, and what their predictions are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from realtime.errors import CorpusError
from training import evaluate, splits
from training.fit import predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.artifact import Scores
    from realtime.types import FloatArray
    from training.corpora import Clip
    from training.dataset import Windows
    from training.fit import Fitted
    from training.recipes import Recipe
    from training.splits import Split

_CHANNELS = ("speech", "song")
_PRECISIONS = (0.6, 0.7, 0.8, 0.9)
_N_PRECISE = 50
"""Windows that a threshold must leave, at the least: fewer tell no precision."""


@dataclass(frozen=True, slots=True)
class Task:
    """One model to train.

    Parameters
    ----------
    name
        Names it on the screen and on disk.
    protocol
        What it is for.
    split
        Which clips are for what.
    """

    name: str
    protocol: Literal["random", "speaker", "shipped"]
    split: Split


@dataclass(frozen=True, slots=True)
class Trained:
    """A task that is done.

    Parameters
    ----------
    task
        What was asked for.
    fitted
        The model.
    """

    task: Task
    fitted: Fitted


@dataclass(frozen=True, slots=True)
class Study:
    """What scoring needs: everything that was trained, and on what.

    Parameters
    ----------
    recipe
        How.
    clips
        The recordings.
    windows
        Theirs.
    labels : np.ndarray [shape=(n_clips,), dtype=int64]
        Class of each clip.
    trained
        One model for each task.
    """

    recipe: Recipe
    clips: tuple[Clip, ...]
    windows: Windows
    labels: npt.NDArray[np.int64]
    trained: tuple[Trained, ...]


@dataclass(frozen=True, slots=True)
class _Judged:
    """Predictions of voiced windows, each by a model that was not trained on its clip.

    Parameters
    ----------
    clip : np.ndarray [shape=(n,), dtype=int64]
        The clip of each window.
    probabilities, smoothed : np.ndarray [shape=(n, n_labels), dtype=float32]
        Of each window alone, and smoothed over its clip as live.
    """

    clip: npt.NDArray[np.int64]
    probabilities: FloatArray
    smoothed: FloatArray


def plan(clips: Sequence[Clip], folds: Sequence[Sequence[str]]) -> tuple[Task, ...]:
    """Return the models to train: the random protocol's, one for each fold of speakers, and the shipped one.

    Raises
    ------
    CorpusError
        Where the recordings do not suffice for the splits.
    """
    present = splits.present_folds(clips, folds)
    wanted = 3
    if len(present) < wanted:
        raise CorpusError(
            f"the recordings hold speakers of {len(present)} folds; wanted at least {wanted}: to train, to "
            "stop by and to test"
        )
    inner = splits.shipped_inner(clips, present)
    return (
        Task("random", "random", splits.split_randomly(clips)),
        *(
            Task(f"speaker-{index + 1}", "speaker", splits.split_by_fold(clips, present, index))
            for index in range(len(present))
        ),
        Task("shipped", "shipped", splits.split_by_speakers(clips, inner=inner)),
    )


def score(study: Study) -> dict[str, dict[str, dict[str, Scores]]]:
    """Return the scores by protocol, unit and part, as a card holds them, without empty parts.

    The units are whole ``clips``; their ``windows``; and ``rooms``, the windows of their varied copies,
    which were made as those that training saw, of other clips: at other moments, levels and in noise.
    """
    scores = {}
    for protocol in ("random", "speaker"):
        tested = np.concatenate([t.task.split.test for t in study.trained if t.task.protocol == protocol])
        judged, varied = (_judge_tests(study, protocol, varied=varied) for varied in (False, True))
        units = {
            "clips": _score_clips(study, tested, judged),
            "windows": _score_windows(study, judged),
            "rooms": _score_windows(study, varied),
        }
        scores[protocol] = {unit: parts for unit, parts in units.items() if parts}
    return scores


def thresholds(study: Study) -> dict[str, float]:
    """Return, by precision, the smoothed probability from which on so large a share of labels is right.

    Measured on strangers' voices: the inner parts of the speaker protocol, judged before they were trained
    on, so that its test parts stay unseen. A precision that no threshold reaches is left out.
    """
    trained = [t for t in study.trained if t.task.protocol == "speaker"]
    rows = [study.windows.rows(t.task.split.inner, copies=False) for t in trained]
    judged = _join(study, rows, [t.fitted.inner_probabilities for t in trained])
    right = judged.smoothed.argmax(axis=1) == study.labels[judged.clip]
    return evaluate.thresholds(judged.smoothed.max(axis=1), right, _PRECISIONS, n_least=_N_PRECISE)


def _judge_tests(study: Study, protocol: str, *, varied: bool) -> _Judged:
    """Return each model's predictions of its test part, as it is or its varied copies, together."""
    windows = study.windows
    trained = [t for t in study.trained if t.task.protocol == protocol]
    rows = [windows.rows(t.task.split.test, copies=varied) for t in trained]
    if varied:
        rows = [own[windows.copy[own] > 0] for own in rows]
    judged = [
        predict(study.recipe, t.fitted, windows.features[own]) for t, own in zip(trained, rows, strict=True)
    ]
    return _join(study, rows, judged)


def _join(
    study: Study, rows: Sequence[npt.NDArray[np.int64]], probabilities: Sequence[FloatArray]
) -> _Judged:
    windows = study.windows
    joined = np.concatenate(rows)
    order = np.argsort(joined, kind="stable")
    joined, ordered = joined[order], np.concatenate(probabilities)[order]
    # Each copy is a stream of its own.
    stream = windows.clip[joined] * (windows.copy.max(initial=0) + 1) + windows.copy[joined]
    smoothed = evaluate.smooth(ordered, stream, joined, study.recipe.smoothing)
    return _Judged(clip=windows.clip[joined], probabilities=ordered, smoothed=smoothed)


def _score_clips(study: Study, tested: npt.NDArray[np.int64], judged: _Judged) -> dict[str, Scores]:
    """Return the scores of whole clips, by part: of all that were tested, heard or not."""
    heard, probabilities = evaluate.by_clip(judged.probabilities, judged.clip)
    unheard = np.setdiff1d(tested, heard)
    scores = {}
    for part, own in _parts(study):
        if own[tested].any():
            chosen = own[heard]
            scores[part] = evaluate.score(
                probabilities[chosen],
                study.labels[heard[chosen]],
                study.labels[unheard[own[unheard]]],
                len(study.recipe.labels),
            )
    return scores


def _score_windows(study: Study, judged: _Judged) -> dict[str, Scores]:
    """Return the scores of smoothed windows, by part.

    A window without a voice is no window that a label was asked for: none is unheard.
    """
    scores = {}
    for part, own in _parts(study):
        rows = own[judged.clip]
        if rows.any():
            labels = study.labels[judged.clip[rows]]
            scores[part] = evaluate.score(
                judged.smoothed[rows], labels, study.labels[:0], len(study.recipe.labels)
            )
    return scores


def _parts(study: Study) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Return the parts that are scored apart, each with which clips belong to it [shape=(n_clips,)]."""
    channels = np.asarray([clip.channel for clip in study.clips])
    everything = np.ones(len(channels), dtype=np.bool_)
    return [("all", everything), *((part, channels == part) for part in _CHANNELS)]
