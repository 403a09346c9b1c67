from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import CorpusError
from realtime.types import LABELS
from training import splits
from training.corpora import Clip, read_ravdess

FOLDS = (("s0", "s1"), ("s2", "s3"), ("s4", "s5"))


def make_clips(n_speakers: int = 6, n_each: int = 4, labels: tuple[str, ...] = LABELS[:3]) -> list[Clip]:
    return [
        Clip(Path(f"{speaker}-{label}-{i}"), label, f"s{speaker}", "speech", "normal")
        for speaker in range(n_speakers)
        for label in labels
        for i in range(n_each)
    ]


def speakers(clips: list[Clip], part: npt.NDArray[Any]) -> set[str]:
    return {clips[index].speaker for index in part}


def assert_apart(split: splits.Split, n_clips: int) -> None:
    together = np.concatenate((split.train, split.inner, split.test))
    assert len(set(together.tolist())) == len(together) <= n_clips
    for part in (split.train, split.inner, split.test):
        assert (np.diff(part) > 0).all()


@given(st.integers(3, 8), st.integers(4, 6))
def test_a_random_split_uses_every_clip_once(n_speakers: int, n_each: int) -> None:
    clips = make_clips(n_speakers, n_each)
    split = splits.split_randomly(clips)
    assert_apart(split, len(clips))
    assert len(split.train) + len(split.inner) + len(split.test) == len(clips)
    assert len(split.test) == int(np.ceil(0.2 * len(clips)))


def test_a_random_split_keeps_labels_in_proportion_and_is_fixed() -> None:
    clips = make_clips(10, 10)
    split = splits.split_randomly(clips)
    counts = [sum(clips[index].label == label for index in split.test) for label in LABELS[:3]]
    assert counts == [20, 20, 20]
    assert np.array_equal(split.test, splits.split_randomly(clips).test)


def test_a_label_with_few_clips_is_refused() -> None:
    with pytest.raises(CorpusError, match="the label 'calm' has 2 clips; wanted at least 10"):
        splits.split_randomly([*make_clips(labels=("neutral",)), *make_clips(2, 1, labels=("calm",))])


@pytest.mark.parametrize("index", range(3))
def test_no_speaker_is_in_two_parts(index: int) -> None:
    clips = make_clips()
    split = splits.split_by_fold(clips, FOLDS, index)
    assert_apart(split, len(clips))
    parts = [speakers(clips, part) for part in (split.train, split.inner, split.test)]
    assert parts[2] == set(FOLDS[index])
    assert parts[1] == set(FOLDS[(index + 1) % 3])
    assert parts[0] == set(FOLDS[(index + 2) % 3])


def test_every_speaker_is_tested_once() -> None:
    clips = make_clips()
    tested = [index for fold in range(3) for index in splits.split_by_fold(clips, FOLDS, fold).test]
    assert sorted(tested) == list(range(len(clips)))


def test_a_speaker_in_two_parts_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"s1.*in the inner and in the test part"):
        splits.split_by_speakers(make_clips(), inner=["s0", "s1"], test=["s1"])


def test_a_part_without_clips_is_refused() -> None:
    with pytest.raises(CorpusError, match="leaves 0 clips to train"):
        splits.split_by_speakers(make_clips(2), inner=["s0"], test=["s1"])


def test_folds_keep_the_speakers_there_are() -> None:
    assert splits.present_folds(make_clips(3), FOLDS) == (("s0", "s1"), ("s2",))


def test_the_shipped_model_holds_out_a_fold_where_its_own_speakers_are_missing() -> None:
    assert splits.shipped_inner(make_clips(), FOLDS) == ("s4", "s5")


@pytest.mark.corpus
def test_the_corpus_splits_by_speaker_and_the_shipped_inner_part_is_balanced(ravdess: Path) -> None:
    corpus = read_ravdess(ravdess)
    clips = list(corpus.clips)
    for index in range(len(corpus.folds)):
        split = splits.split_by_fold(clips, corpus.folds, index)
        parts = [speakers(clips, part) for part in (split.train, split.inner, split.test)]
        assert len(set.union(*parts)) == sum(len(part) for part in parts)
        assert [len(part) for part in parts] == [16, 4, 4]
    inner = splits.shipped_inner(clips, corpus.folds)
    assert inner == splits.SHIPPED_INNER
    assert (
        len({index for speaker in inner for index, fold in enumerate(corpus.folds) if speaker in fold}) == 4
    )
    assert sum(int(speaker[-2:]) % 2 for speaker in inner) == 2
