from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from training.corpora import Clip
from training.corpora.folds import spread_speakers


def clips(counts: dict[str, int]) -> list[Clip]:
    return [Clip(Path(f"{i}.wav"), "sad", speaker, "x") for speaker, n in counts.items() for i in range(n)]


SPEAKERS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.integers(1, 30), min_size=1, max_size=20
)


@given(SPEAKERS)
def test_everyone_stands_in_one_fold(counts: dict[str, int]) -> None:
    folds = spread_speakers(clips(counts))
    assert len(folds) == min(6, len(counts))
    assert all(folds)
    assert Counter(speaker for fold in folds for speaker in fold) == dict.fromkeys(counts, 1)


@given(SPEAKERS)
def test_folds_differ_by_one_speaker_at_most(counts: dict[str, int]) -> None:
    sizes = [sum(counts[speaker] for speaker in fold) for fold in spread_speakers(clips(counts))]
    assert max(sizes) - min(sizes) <= max(counts.values())


@given(SPEAKERS, st.randoms())
def test_the_order_of_the_clips_does_not_matter(counts: dict[str, int], random: object) -> None:
    shuffled = clips(counts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert spread_speakers(shuffled) == spread_speakers(clips(counts))


def test_equal_speakers_make_equal_folds() -> None:
    folds = spread_speakers(clips({f"{i:02d}": 10 for i in range(12)}))
    assert [len(fold) for fold in folds] == [2] * 6


def test_the_largest_stands_alone() -> None:
    folds = spread_speakers(clips({f"s{i}": 10 for i in range(10)} | {"z": 50}))
    assert ("z",) in folds
