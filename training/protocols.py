"""The ways to score a recipe: which models are trained for each, and which clips they are scored on.

``random``
    A stratified fifth of the clips, whose speakers the model knows: what most projects report.
``kfold``
    Five stratified folds of clips, each tested once, pooled: speakers are known too.
``speaker``
    The corpus's folds of speakers, each tested once, pooled: nobody in the test part is known.
``robust``
    The same models on the same clips in noise, in a room, over a telephone, from afar, compressed.
``cross``
    Trained on one corpus, tested on another: nobody, no room and maybe no word is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from realtime.errors import CorpusError
from training import splits
from training.splits import Split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.corpora import Corpus

Protocol: TypeAlias = Literal["random", "kfold", "speaker", "robust", "cross"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
HoldOut: TypeAlias = Literal["speakers", "clips"]
N_FOLDS = 5
FOUR = ("neutral", "happy", "sad", "angry")
"""The classes that almost every corpus has."""
SEVEN = ("neutral", "calm", "happy", "sad", "angry", "fearful", "surprised")
SIX = ("neutral", "calm", "happy", "sad", "angry", "fearful")
"""The classes of published systems that leave some out: fewer are easier, so these are scored on them too."""
_LEAST_FOLDS = 3


@dataclass(frozen=True, slots=True)
class Task:
    """One model to train.

    Parameters
    ----------
    name
        Names it on the screen and on disk.
    group
        What its predictions are pooled with: a protocol, or a direction of the cross protocol.
    split
        Which clips are for what.
    seed
        Of its training.
    """

    name: str
    group: str
    split: Split
    seed: int


def plan(
    corpus: Corpus, own: Sequence[str], protocols: Sequence[Protocol], seeds: Sequence[int]
) -> tuple[Task, ...]:
    """Return the models to train.

    Parameters
    ----------
    corpus
        All recordings.
    own
        Names of the corpora that the recipe is for; the others are for the cross protocol alone.
    protocols
        What is asked for.
    seeds
        Each trains its own models.

    Raises
    ------
    CorpusError
        Where the recordings do not suffice.
    """
    indices = np.asarray([index for index, clip in enumerate(corpus.clips) if clip.corpus in own])
    clips = [corpus.clips[index] for index in indices]
    if not clips:
        raise CorpusError(
            f"no clip of {', '.join(own)} carries one of the recipe's labels; wanted some to train on"
        )
    groups: list[tuple[str, str, Split]] = []
    if "random" in protocols:
        groups.append(("random", "random", _among(indices, splits.split_randomly(clips))))
    if "speaker" in protocols or "robust" in protocols:
        groups += [
            (f"speaker-{number}", "speaker", _among(indices, split))
            for number, split in enumerate(_split_by_speaker(corpus, own), start=1)
        ]
    if "cross" in protocols:
        groups += [
            (f"cross-{train}-to-{test}", f"cross/{train}-to-{test}", split)
            for train, test, split in _split_across(corpus)
        ]
    if "kfold" in protocols:
        groups += [
            (f"kfold-{number}", "kfold", _among(indices, split))
            for number, split in enumerate(splits.split_in_folds(clips, N_FOLDS), start=1)
        ]
    # Seed by seed, so that an evaluation that is broken off has whole ones.
    return tuple(
        Task(f"{name}-seed-{seed}", group, split, seed) for seed in seeds for name, group, split in groups
    )


def shipped(corpus: Corpus, seed: int, hold_out: HoldOut = "speakers") -> Task:
    """Return the model to ship: trained on all but what decides how long, and how sure it is.

    Parameters
    ----------
    corpus
        All recordings.
    seed
        Of everything random.
    hold_out
        ``speakers``: a few decide, as strangers in the speaker protocol; ``clips``: a tenth of everybody's,
        as in the random protocol, for a model that is to know its voices.

    Raises
    ------
    CorpusError
        Where the recordings do not suffice.
    """
    if hold_out == "clips":
        return Task(f"shipped-clips-seed-{seed}", "shipped", splits.split_off(corpus.clips), seed)
    inner = splits.shipped_inner(corpus.clips, corpus.folds)
    split = splits.split_by_speakers(corpus.clips, inner=inner)
    return Task(f"shipped-seed-{seed}", "shipped", split, seed)


def cross_classes(corpus: Corpus, group: str, labels: Sequence[str]) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the classes that a direction of the cross protocol is scored on [shape=(n_labels,)].

    ``four``: neutral, happy, sad and angry; ``shared``: all that both corpora have. A recipe that lacks some
    of them is scored on the others.
    """
    # By comparison: a corpus may be named "-to-" anything.
    train, test = next(
        pair for pair in permutations(corpus.labels, 2) if group == f"cross/{pair[0]}-to-{pair[1]}"
    )
    both = set(corpus.labels[train]) & set(corpus.labels[test])
    chosen = {"four": both.intersection(FOUR), "shared": both}
    return {name: np.asarray([label in classes for label in labels]) for name, classes in chosen.items()}


def fewer_classes(labels: Sequence[str]) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the classes that a recipe is scored on besides all of its own [shape=(n_labels,)].

    ``seven``: all but disgust; ``six``: all but disgust and surprised. Only where it has these and others.
    """
    return {
        name: np.asarray([label in classes for label in labels])
        for name, classes in {"seven": SEVEN, "six": SIX}.items()
        if set(classes) < set(labels)
    }


def _split_by_speaker(corpus: Corpus, own: Sequence[str]) -> list[Split]:
    clips = [clip for clip in corpus.clips if clip.corpus in own]
    present = splits.present_folds(clips, corpus.folds)
    if len(present) < _LEAST_FOLDS:
        raise CorpusError(
            f"the recordings hold speakers of {len(present)} folds; wanted at least {_LEAST_FOLDS}: to "
            "train, to stop by and to test"
        )
    return [splits.split_by_fold(clips, present, index) for index in range(len(present))]


def _split_across(corpus: Corpus) -> list[tuple[str, str, Split]]:
    names = sorted({clip.corpus for clip in corpus.clips}, key=list(corpus.labels).index)
    few = 2
    if len(names) < few:
        raise CorpusError(
            f"the cross protocol has the corpus {', '.join(names)} alone; wanted two: name one with --cross"
        )
    return [
        (train, test, splits.split_across(corpus.clips, corpus.folds, train=train, test=test))
        for train in names
        for test in names
        if train != test
    ]


def _among(indices: npt.NDArray[np.int64], split: Split) -> Split:
    """Return a split of some clips as one of all."""
    return Split(indices[split.train], indices[split.inner], indices[split.test])
