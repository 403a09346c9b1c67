from __future__ import annotations

from pathlib import Path

import pytest

from realtime.errors import CorpusError, SettingsError
from training import splits
from training.corpora import Clip
from training.search import plan_folds


def make_clips(n_speakers: int, n_each: int = 3) -> list[Clip]:
    return [
        Clip(Path(f"{speaker}-{number}.wav"), "happy", f"s{speaker:02d}", "made-up")
        for number in range(n_each)
        for speaker in range(n_speakers)
    ]


def make_folds(n_speakers: int, n_folds: int) -> list[tuple[str, ...]]:
    return [tuple(f"s{s:02d}" for s in range(n_speakers) if s % n_folds == fold) for fold in range(n_folds)]


@pytest.mark.parametrize(("n_speakers", "n_folds"), [(24, 6), (8, 4), (6, 3)])
def test_nobody_of_the_test_part_is_heard(n_speakers: int, n_folds: int) -> None:
    clips, folds = make_clips(n_speakers), make_folds(n_speakers, n_folds)
    for fold in plan_folds(clips, folds, n_folds):
        outer = splits.split_by_fold(clips, folds, fold.number - 1)
        parts = [
            {clips[i].speaker for i in part}
            for part in (outer.test, fold.judged, fold.split.train, fold.split.inner)
        ]
        # Each speaker in one of four parts, none of which is empty.
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)) == n_speakers
        assert not len(fold.split.test)
        assert set(fold.judged) == set(outer.inner)
        assert {*fold.split.train, *fold.split.inner} == set(outer.train)


def test_folds_are_spread_evenly() -> None:
    clips, folds = make_clips(24), make_folds(24, 6)
    assert [fold.number for fold in plan_folds(clips, folds, 3)] == [1, 3, 5]
    assert [fold.number for fold in plan_folds(clips, folds, 2)] == [1, 4]
    assert [fold.number for fold in plan_folds(clips, folds, 6)] == [1, 2, 3, 4, 5, 6]


def test_too_few_speakers_are_refused() -> None:
    with pytest.raises(CorpusError, match="speakers of 2 folds; wanted at least 3"):
        plan_folds(make_clips(4), make_folds(4, 2), 2)
    with pytest.raises(CorpusError, match="fold 1 leaves 0 clips to train and 3 to stop by"):
        plan_folds(make_clips(3), make_folds(3, 3), 1)
    for n_folds in (0, 4):
        with pytest.raises(SettingsError, match=f"--folds is {n_folds}; wanted 1 to 3"):
            plan_folds(make_clips(6), make_folds(6, 3), n_folds)
