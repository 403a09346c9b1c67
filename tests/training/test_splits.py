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
MIXED_FOLDS = (("a0", "b0", "b3"), ("a1", "b1"), ("a2", "b2"), ("nobody",))


def make_clips(
    n_speakers: int = 6,
    n_each: int = 4,
    labels: tuple[str, ...] = LABELS[:3],
    *,
    prefix: str = "s",
    corpus: str = "x",
) -> list[Clip]:
    return [
        Clip(Path(f"{prefix}{speaker}-{label}-{i}"), label, f"{prefix}{speaker}", corpus)
        for speaker in range(n_speakers)
        for label in labels
        for i in range(n_each)
    ]


def two_corpora() -> list[Clip]:
    return [*make_clips(3, prefix="a", corpus="a"), *make_clips(4, prefix="b", corpus="b")]


def speakers(clips: list[Clip], part: npt.NDArray[Any]) -> set[str]:
    return {clips[index].speaker for index in part}


def parts(split: splits.Split) -> tuple[npt.NDArray[np.int64], ...]:
    return split.train, split.inner, split.test


def assert_apart(split: splits.Split, n_clips: int) -> None:
    together = np.concatenate(parts(split))
    assert len(set(together.tolist())) == len(together) <= n_clips
    for part in parts(split):
        assert (np.diff(part) > 0).all()


def assert_apart_by_speaker(split: splits.Split, clips: list[Clip]) -> None:
    assert_apart(split, len(clips))
    everyone = [speakers(clips, part) for part in parts(split)]
    assert len(set.union(*everyone)) == sum(len(some) for some in everyone)


@given(st.integers(3, 8), st.integers(4, 6))
def test_a_random_split_uses_every_clip_once(n_speakers: int, n_each: int) -> None:
    clips = make_clips(n_speakers, n_each)
    split = splits.split_randomly(clips)
    assert_apart(split, len(clips))
    assert sum(len(part) for part in parts(split)) == len(clips)
    assert len(split.test) == int(np.ceil(0.2 * len(clips)))


def test_a_random_split_keeps_labels_in_proportion_and_is_fixed() -> None:
    clips = make_clips(10, 10)
    split = splits.split_randomly(clips)
    for part, n in zip(parts(split), (70, 10, 20), strict=True):
        assert [sum(clips[index].label == label for index in part) for label in LABELS[:3]] == [n] * 3
    np.random.seed(1)  # noqa: NPY002 - what libraries draw from
    again = splits.split_randomly(clips)
    assert all(np.array_equal(a, b) for a, b in zip(parts(split), parts(again), strict=True))


def test_folds_of_clips_test_each_once_and_keep_labels_in_proportion() -> None:
    clips = make_clips(10, 10)
    folds = splits.split_in_folds(clips, 5)
    assert len(folds) == 5
    tested = np.concatenate([split.test for split in folds])
    assert sorted(tested.tolist()) == list(range(len(clips)))
    for split in folds:
        assert_apart(split, len(clips))
        assert sum(len(part) for part in parts(split)) == len(clips)
        assert [sum(clips[index].label == label for index in split.test) for label in LABELS[:3]] == [20] * 3
    again = splits.split_in_folds(clips, 5)
    assert all(np.array_equal(a.train, b.train) for a, b in zip(folds, again, strict=True))


@pytest.mark.parametrize("split", [splits.split_randomly, lambda clips: splits.split_in_folds(clips, 5)])
def test_a_label_with_few_clips_is_refused(split: Any) -> None:
    few = [*make_clips(labels=("neutral",)), *make_clips(2, 1, labels=("calm",))]
    with pytest.raises(CorpusError, match="the label 'calm' has 2 clips; wanted at least 10"):
        split(few)
    # Ten are enough, of however many labels.
    assert split(make_clips(10, 1, labels=LABELS))


@pytest.mark.parametrize("index", range(3))
def test_no_speaker_is_in_two_parts(index: int) -> None:
    clips = make_clips()
    split = splits.split_by_fold(clips, FOLDS, index)
    assert_apart_by_speaker(split, clips)
    train, inner, test = (speakers(clips, part) for part in parts(split))
    assert test == set(FOLDS[index])
    assert inner == set(FOLDS[(index + 1) % 3])
    assert train == set(FOLDS[(index + 2) % 3])


def test_every_speaker_is_tested_once() -> None:
    clips = make_clips()
    tested = [index for fold in range(3) for index in splits.split_by_fold(clips, FOLDS, fold).test]
    assert sorted(tested) == list(range(len(clips)))


def test_speakers_of_no_fold_train() -> None:
    clips = make_clips(8)
    for index in range(3):
        split = splits.split_by_fold(clips, FOLDS, index)
        assert {"s6", "s7"} <= speakers(clips, split.train)


def test_across_corpora_one_trains_and_the_other_tests() -> None:
    clips = two_corpora()
    split = splits.split_across(clips, MIXED_FOLDS, train="b", test="a")
    assert_apart_by_speaker(split, clips)
    assert speakers(clips, split.train) == {"b0", "b1", "b3"}
    # Of the last fold that has some of its speakers.
    assert speakers(clips, split.inner) == {"b2"}
    assert speakers(clips, split.test) == {"a0", "a1", "a2"}
    assert len(np.concatenate(parts(split))) == len(clips)


@pytest.mark.parametrize(("train", "test"), [("a", "c"), ("c", "a"), ("d", "a")])
def test_across_corpora_something_is_wanted_in_each_part(train: str, test: str) -> None:
    # Of "d" there is one speaker, of no fold.
    clips = [*two_corpora(), *make_clips(1, prefix="d", corpus="d")]
    with pytest.raises(CorpusError, match=rf"a split from {train} to {test} leaves"):
        splits.split_across(clips, MIXED_FOLDS, train=train, test=test)


def test_a_speaker_in_two_parts_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"s1.*in the inner and in the test part"):
        splits.split_by_speakers(make_clips(), inner=["s0", "s1"], test=["s1"])


def test_a_speaker_in_two_folds_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"s1.*in the inner and in the test part"):
        splits.split_by_fold(make_clips(), (("s0", "s1"), ("s1", "s2"), ("s3",)), 0)


def test_a_part_without_clips_is_refused() -> None:
    with pytest.raises(CorpusError, match="leaves 0 clips to train"):
        splits.split_by_speakers(make_clips(2), inner=["s0"], test=["s1"])


def test_where_nothing_tests_no_third_fold_is_asked_for() -> None:
    with pytest.raises(CorpusError, match=r"leave 0 clips to train .* --hold-out clips") as caught:
        splits.split_by_speakers(make_clips(1), inner=["s0"])
    assert "test" not in str(caught.value)


def test_folds_keep_the_speakers_there_are() -> None:
    assert splits.present_folds(make_clips(3), FOLDS) == (("s0", "s1"), ("s2",))


def test_the_shipped_model_holds_out_a_fold_of_each_corpus() -> None:
    assert splits.shipped_inner(make_clips(), FOLDS) == ("s4", "s5")
    assert splits.shipped_inner(two_corpora(), MIXED_FOLDS) == ("a2", "b2")
    # But a voice that is all there is of a corpus, one's own maybe, is to be learnt.
    own = make_clips(1, prefix="me", corpus="own")
    assert splits.shipped_inner([*two_corpora(), *own], (*MIXED_FOLDS, ("me0",))) == ("a2", "b2")
    assert splits.shipped_inner(own, (("me0",),)) == ("me0",)


def test_a_corpus_in_no_fold_holds_out_nobody() -> None:
    assert splits.shipped_inner(make_clips(2), (("nobody",),)) == ()
    with pytest.raises(CorpusError, match="0 to stop by"):
        splits.split_by_speakers(make_clips(2), inner=())


@pytest.mark.corpus
def test_the_corpus_splits_by_speaker_and_the_shipped_inner_part_is_balanced(ravdess: Path) -> None:
    corpus = read_ravdess(ravdess)
    clips = list(corpus.clips)
    for index in range(len(corpus.folds)):
        split = splits.split_by_fold(clips, corpus.folds, index)
        assert_apart_by_speaker(split, clips)
        assert [len(speakers(clips, part)) for part in parts(split)] == [16, 4, 4]
    inner = splits.shipped_inner(clips, corpus.folds)
    assert inner == splits.SHIPPED_INNER
    assert (
        len({index for speaker in inner for index, fold in enumerate(corpus.folds) if speaker in fold}) == 4
    )
    assert sum(int(speaker[-2:]) % 2 for speaker in inner) == 2


def test_a_speaker_of_both_corpora_is_no_stranger() -> None:
    clips = [
        Clip(
            Path(f"{corpus}-{number}.wav"),
            "happy",
            "the same" if number == 3 else f"{corpus}-{number}",
            corpus,
        )
        for corpus in ("one", "other")
        for number in range(4)
    ]
    folds = [("one-0", "other-0"), ("one-1", "other-1"), ("one-2", "other-2"), ("the same",)]
    with pytest.raises(CorpusError, match="'the same' is in one and in other"):
        splits.split_across(clips, folds, train="one", test="other")
