"""What a report is made of: plain arrays and text, so that its pictures can be made without training."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from realtime.artifact import Card
    from training.epochs import Epoch

Value = str | int | float | bool
Unit = Literal["clips", "windows"]
_MEMBER = re.compile(r"model\.members\.\d+\.kind")


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that a recipe says.

    Parameters
    ----------
    name
        With its section: ``fitting.learning_rate``.
    value
        As the recipe has it.
    """

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Clips:
    """The recordings that the model was made from.

    Parameters
    ----------
    label : np.ndarray [shape=(n_clips,), dtype=int64]
        Class of each.
    speaker, corpus, channel
        Of each, `n_clips` long.
    held_out : np.ndarray [shape=(n_clips,), dtype=bool]
        Whether it belongs to the inner part: kept from training, to stop and to judge by.
    """

    label: npt.NDArray[np.int64]
    speaker: tuple[str, ...]
    corpus: tuple[str, ...]
    channel: tuple[str, ...]
    held_out: npt.NDArray[np.bool_]

    @property
    def has_strangers(self) -> bool:
        """Whether no recording of the inner part's speakers is trained on."""
        speaker = np.asarray(self.speaker)
        return not np.intersect1d(speaker[self.held_out], speaker[~self.held_out]).size


@dataclass(frozen=True, slots=True)
class ClassIntervals:
    """The 95% intervals of each class's scores.

    Parameters
    ----------
    precision, recall, f1 : np.ndarray [shape=(n_labels, 2), dtype=floating]
        Low and high end of each, 0 to 1; nan where a class does not occur.
    method
        How they were found, for people: ``bootstrap over speakers, 2000 draws``.
    """

    precision: npt.NDArray[np.floating[Any]]
    recall: npt.NDArray[np.floating[Any]]
    f1: npt.NDArray[np.floating[Any]]
    method: str


@dataclass(frozen=True, slots=True)
class Judged:
    """The inner part, judged by a model whose training it had no part in.

    Parameters
    ----------
    truth : np.ndarray [shape=(n,), dtype=int64]
        Classes.
    probabilities : np.ndarray [shape=(n, n_labels), dtype=floating]
        Tempered, as the model gives them when it runs.
    unit
        What a row is.
    intervals
        Of each class's precision, recall and F1, where they were found.
    """

    truth: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.floating[Any]]
    unit: Unit = "windows"
    intervals: ClassIntervals | None = None


@dataclass(frozen=True, slots=True)
class Features:
    """What the model sees.

    Parameters
    ----------
    names
        Of the selected features, `n_selected` of them, as `FeatureSpec.names` gives them.
    inputs : np.ndarray [shape=(n, n_selected), dtype=floating]
        A sample of training windows, selected and scaled; where frames are the input, their means over time.
        A thousand rows of float16 draw the same pictures as all of them.
    label : np.ndarray [shape=(n,), dtype=int64]
        Classes of the sample.
    importances : np.ndarray [shape=(n_selected,), dtype=floating] or None
        How much each feature matters.
    importance_method
        What was measured, for people: ``mean decrease in impurity of the selection's random forest``.
    """

    names: tuple[str, ...]
    inputs: npt.NDArray[np.floating[Any]]
    label: npt.NDArray[np.int64]
    importances: npt.NDArray[np.floating[Any]] | None = None
    importance_method: str = ""


@dataclass(frozen=True, slots=True)
class Embedding:
    """What the model makes of windows before it decides.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n, n_values), dtype=floating]
        One for each window of a sample.
    label : np.ndarray [shape=(n,), dtype=int64]
        Their classes.
    held_out : np.ndarray [shape=(n,), dtype=bool]
        Whether it belongs to the inner part.
    source
        Where they come from, for people: ``the last hidden layer``.
    """

    vectors: npt.NDArray[np.floating[Any]]
    label: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.bool_]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything that a report of one artifact shows.

    Parameters
    ----------
    name, description
        The artifact's.
    card
        The artifact's, with its checksums.
    settings
        What its recipe says: `settings_of`.
    labels
        The classes, in the card's order.
    clips
        The recordings.
    history
        The epochs, of an ensemble those of its first member; empty for estimators, which have none.
    judged
        The inner part's predictions.
    features
        What the model sees.
    embedding
        What it makes of it; None where it makes nothing before its decision.

    Raises
    ------
    ValueError
        Where lengths or classes do not fit each other; the message says what was found and what was wanted.
    """

    name: str
    description: str
    card: Card
    settings: tuple[Setting, ...]
    labels: tuple[str, ...]
    clips: Clips
    history: tuple[Epoch, ...]
    judged: Judged
    features: Features
    embedding: Embedding | None = None

    @property
    def n_networks(self) -> int:
        """Number of networks that are asked together; one for an estimator too."""
        return max(1, sum(_MEMBER.fullmatch(setting.name) is not None for setting in self.settings))

    def __post_init__(self) -> None:
        if list(self.labels) != self.card.labels:
            raise ValueError(f"labels are {list(self.labels)}; wanted the card's, {self.card.labels}")
        n_clips, n_judged = len(self.clips.label), len(self.judged.truth)
        n_sampled, n_selected = len(self.features.label), len(self.features.names)
        for what, n in (("clips", n_clips), ("judged rows", n_judged), ("sampled inputs", n_sampled)):
            if not n:
                raise ValueError(f"there are no {what}; wanted some")
        for what in ("speaker", "corpus", "channel", "held_out"):
            _check_shape(f"clips.{what}", np.shape(getattr(self.clips, what)), (n_clips,))
        n_labels = len(self.labels)
        _check_shape("judged.probabilities", self.judged.probabilities.shape, (n_judged, n_labels))
        if (per_class := self.judged.intervals) is not None:
            for what in ("precision", "recall", "f1"):
                _check_shape(f"judged.intervals.{what}", getattr(per_class, what).shape, (n_labels, 2))
        _check_shape("features.inputs", self.features.inputs.shape, (n_sampled, n_selected))
        if self.features.importances is not None:
            _check_shape("features.importances", self.features.importances.shape, (n_selected,))
        if self.embedding is not None:
            n_points = len(self.embedding.label)
            _check_shape("embedding.vectors", self.embedding.vectors.shape[:1], (n_points,))
            _check_shape("embedding.held_out", self.embedding.held_out.shape, (n_points,))
        self._check_values()

    @property
    def is_refitted(self) -> bool:
        """Whether the model, once it was judged, was trained again on the inner part too."""
        return any(setting.name == "fitting.refit" and setting.value is True for setting in self.settings)

    def _check_values(self) -> None:
        embedding = self.embedding
        classes = {
            "clips.label": self.clips.label,
            "judged.truth": self.judged.truth,
            "features.label": self.features.label,
            **({} if embedding is None else {"embedding.label": embedding.label}),
        }
        for what, label in classes.items():
            if len(label) and not (label.min() >= 0 and label.max() < len(self.labels)):
                raise ValueError(
                    f"{what} runs from {label.min()} to {label.max()}; wanted 0 to {len(self.labels) - 1}"
                )
        numbers = {
            "judged.probabilities": self.judged.probabilities,
            "features.inputs": self.features.inputs,
            "features.importances": self.features.importances,
            "embedding.vectors": None if embedding is None else embedding.vectors,
        }
        for what, array in numbers.items():
            if array is not None and not np.isfinite(array).all():
                raise ValueError(f"{what} holds values that are not finite; wanted none")


def _check_shape(what: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        raise ValueError(f"{what} is of shape {found}; wanted {wanted}")
