"""Which clips train, which decide when to stop, and which test; none does two of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from realtime.errors import CorpusError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from training.corpora import Clip

TEST_SHARE = 0.2
"""Share of the clips that the random protocol tests on."""
INNER_SHARE = 0.125
"""Share of the other clips that decides when its training stops: a tenth of all."""
RANDOM_SEED = 42
"""Of the random protocol's split: fixed, so that any seed is tested on the same clips."""
SHIPPED_INNER = ("ravdess-01", "ravdess-04", "ravdess-19", "ravdess-24")
"""Speakers who decide how long the shipped model is trained and how sure it is.

Two men and two women of four different folds, so that they are alike in number and kind to the fold that
does this in the speaker protocol. All four both speak and sing.
"""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of clips, in order; no index stands in two parts.

    Parameters
    ----------
    train : np.ndarray [shape=(n_train,), dtype=int64]
        What features are selected on, scaled by, and the network is trained on.
    inner : np.ndarray [shape=(n_inner,), dtype=int64]
        What early stopping, the learning rate and the temperature look at.
    test : np.ndarray [shape=(n_test,), dtype=int64]
        What only scoring sees; may be empty.
    """

    train: npt.NDArray[np.int64]
    inner: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def split_randomly(clips: Sequence[Clip]) -> Split:
    """Split clips at random, each label in proportion.

    Speakers stand in several parts: scores on the test part tell how well voices are judged that the model
    knows.

    Raises
    ------
    CorpusError
        Where a label has fewer than ten clips.
    """
    labels = _labels_of_enough(clips)
    rest, test = _take_off(np.arange(len(clips)), labels, TEST_SHARE)
    train, inner = _take_off(rest, labels, INNER_SHARE)
    return Split(np.sort(train), np.sort(inner), np.sort(test))


def split_off(clips: Sequence[Clip]) -> Split:
    """Split a tenth off as the inner part, at random, each label in proportion; nothing tests.

    Raises
    ------
    CorpusError
        Where a label has fewer than ten clips.
    """
    labels = _labels_of_enough(clips)
    train, inner = _take_off(np.arange(len(clips)), labels, INNER_SHARE * (1 - TEST_SHARE))
    return Split(np.sort(train), np.sort(inner), np.arange(0))


def split_in_folds(clips: Sequence[Clip], n_folds: int) -> tuple[Split, ...]:
    """Split clips at random into folds, each label in proportion, each fold the test part once.

    As `split_randomly`, speakers stand in several parts.

    Raises
    ------
    CorpusError
        Where a label has fewer than ten clips.
    """
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415 - training alone needs it

    labels = _labels_of_enough(clips)
    parts = StratifiedKFold(n_folds, shuffle=True, random_state=RANDOM_SEED).split(labels, labels)
    splits = []
    for rest, test in parts:
        train, inner = _take_off(rest, labels, INNER_SHARE)
        splits.append(Split(np.sort(train), np.sort(inner), np.sort(test)))
    return tuple(splits)


def split_across(clips: Sequence[Clip], folds: Sequence[Sequence[str]], *, train: str, test: str) -> Split:
    """Split clips by corpus: one trains, but for its last fold of speakers, by whom it stops; one tests.

    Raises
    ------
    CorpusError
        Where a part is left without clips.
    """
    own = [clip for clip in clips if clip.corpus == train]
    both = {clip.speaker for clip in own} & {clip.speaker for clip in clips if clip.corpus == test}
    if both:
        raise CorpusError(
            f"the speaker {min(both)!r} is in {train} and in {test}; wanted strangers in each: give "
            "different people different names, or leave out the cross protocol"
        )
    inner = _last_fold(own, folds)
    part = np.asarray(
        [
            (1 if clip.speaker in inner else 0) if clip.corpus == train else 2 if clip.corpus == test else 3
            for clip in clips
        ]
    )
    split = Split(*(np.flatnonzero(part == number) for number in range(3)))
    if not len(split.train) or not len(split.inner) or not len(split.test):
        raise CorpusError(
            f"a split from {train} to {test} leaves {len(split.train)} clips to train, {len(split.inner)} to "
            f"stop by and {len(split.test)} to test; wanted some in each"
        )
    return split


def split_by_fold(clips: Sequence[Clip], folds: Sequence[Sequence[str]], index: int) -> Split:
    """Split clips by speaker: fold `index` tests, the next is the inner part, the others train.

    Speakers of no fold train.

    Raises
    ------
    CorpusError
        Where a part is left without clips.
    """
    test, inner = folds[index], folds[(index + 1) % len(folds)]
    return split_by_speakers(clips, inner=inner, test=test)


def split_by_speakers(clips: Sequence[Clip], *, inner: Collection[str], test: Collection[str] = ()) -> Split:
    """Split clips by speaker: the named ones to the inner and the test part, the others train.

    Raises
    ------
    CorpusError
        Where a speaker is in both parts, or a part is left without clips.
    """
    both = sorted(set(inner) & set(test))
    if both:
        raise CorpusError(f"the speakers {both} are in the inner and in the test part; wanted each in one")
    part = np.asarray([1 if clip.speaker in inner else 2 if clip.speaker in test else 0 for clip in clips])
    split = Split(*(np.flatnonzero(part == number) for number in range(3)))
    if not test and not (len(split.train) and len(split.inner)):
        raise CorpusError(
            f"the speakers leave {len(split.train)} clips to train and {len(split.inner)} to stop by; wanted "
            "some in each: give recordings of more speakers, or let clips decide: --hold-out clips"
        )
    if test and not (len(split.train) and len(split.inner) and len(split.test)):
        raise CorpusError(
            f"a split by speaker leaves {len(split.train)} clips to train, {len(split.inner)} to stop by and "
            f"{len(split.test)} to test; wanted some in each: the corpus needs speakers of three folds"
        )
    return split


def present_folds(clips: Sequence[Clip], folds: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Return the folds without the speakers of whom there is no clip, and without folds left empty."""
    speakers = {clip.speaker for clip in clips}
    present = (tuple(speaker for speaker in fold if speaker in speakers) for fold in folds)
    return tuple(fold for fold in present if fold)


def shipped_inner(clips: Sequence[Clip], folds: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the inner speakers of a model to ship.

    Of RAVDESS these are `SHIPPED_INNER`, where all are there; of each other corpus those of its last fold,
    but nobody of a corpus of one voice beside others: it would not be learnt at all.
    """
    inner: list[str] = []
    corpora = sorted({clip.corpus for clip in clips})
    for corpus in corpora:
        own = [clip for clip in clips if clip.corpus == corpus]
        speakers = {clip.speaker for clip in own}
        if len(speakers) == 1 and len(corpora) > 1:
            continue
        inner += SHIPPED_INNER if speakers.issuperset(SHIPPED_INNER) else _last_fold(own, folds)
    return tuple(inner)


def _last_fold(clips: Sequence[Clip], folds: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the last fold of which speakers are there; nobody where there is none."""
    present = present_folds(clips, folds)
    return present[-1] if present else ()


def _take_off(
    indices: npt.NDArray[np.int64], labels: npt.NDArray[np.str_], share: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return what is left of clips, and a share of them, taken at random, each label in proportion."""
    from sklearn.model_selection import train_test_split  # noqa: PLC0415 - training alone needs it

    rest, taken = train_test_split(
        indices, test_size=share, random_state=RANDOM_SEED, stratify=labels[indices]
    )
    return rest, taken


def _labels_of_enough(clips: Sequence[Clip]) -> npt.NDArray[np.str_]:
    labels = np.asarray([clip.label for clip in clips])
    names, counts = np.unique(labels, return_counts=True)
    wanted = 10
    if counts.min() < wanted:
        raise CorpusError(
            f"the label {names[counts.argmin()]!r} has {counts.min()} clips; wanted at least {wanted}, so "
            "that each part of a random split has some"
        )
    return labels
