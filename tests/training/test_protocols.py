from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from realtime.errors import CorpusError
from realtime.types import LABELS as ALL
from training import protocols
from training.protocols import PROTOCOLS, fewer_classes, plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.corpora import Corpus
    from training.protocols import Protocol, Task

OWN = ["ravdess"]
LABELS = ("neutral", "calm", "happy")


@pytest.fixture(scope="module")
def used(both: Corpus) -> Corpus:
    """Those clips of both corpora that the recipe has classes for."""
    return replace(both, clips=tuple(clip for clip in both.clips if clip.label in LABELS))


def names(corpus: Corpus, asked: Sequence[Protocol], seeds: Sequence[int] = (42,)) -> list[str]:
    return [task.name for task in plan(corpus, OWN, asked, seeds)]


def speakers(corpus: Corpus, task: Task) -> list[set[str]]:
    parts = (task.split.train, task.split.inner, task.split.test)
    return [{corpus.clips[index].speaker for index in part} for part in parts]


def test_each_protocol_has_its_models(used: Corpus) -> None:
    assert names(used, ["random"]) == ["random-seed-42"]
    folds = [f"speaker-{number}-seed-42" for number in (1, 2, 3)]
    assert names(used, ["speaker"]) == names(used, ["robust"]) == names(used, ["speaker", "robust"]) == folds
    assert names(used, ["kfold"]) == [f"kfold-{number}-seed-42" for number in range(1, 6)]
    assert names(used, ["cross"]) == ["cross-ravdess-to-nemo-seed-42", "cross-nemo-to-ravdess-seed-42"]
    every = names(used, PROTOCOLS)
    assert len(set(every)) == len(every) == 1 + 5 + 3 + 2


def test_every_seed_has_the_same_splits_and_whole_ones_come_first(used: Corpus) -> None:
    tasks = plan(used, OWN, ["random", "speaker"], [3, 4])
    assert [task.seed for task in tasks] == [3] * 4 + [4] * 4
    for first, second in zip(tasks[:4], tasks[4:], strict=True):
        assert first.group == second.group
        assert first.name.removesuffix("-seed-3") == second.name.removesuffix("-seed-4")
        assert np.array_equal(first.split.train, second.split.train)
        assert np.array_equal(first.split.inner, second.split.inner)
        assert np.array_equal(first.split.test, second.split.test)


def test_own_corpora_alone_are_split_but_across(used: Corpus) -> None:
    own = [index for index, clip in enumerate(used.clips) if clip.corpus == "ravdess"]
    for task in plan(used, OWN, ["random", "kfold", "speaker"], [42]):
        together = np.concatenate((task.split.train, task.split.inner, task.split.test))
        assert sorted(together.tolist()) == own
    # Wherever they stand among the others.
    turned = replace(used, clips=used.clips[::-1])
    for task in plan(turned, OWN, ["random", "kfold", "speaker"], [42]):
        tested = [turned.clips[index].corpus for index in task.split.test]
        assert set(tested) == {"ravdess"}


@pytest.mark.parametrize("protocol", ["kfold", "speaker"])
def test_every_clip_is_tested_once(used: Corpus, protocol: Protocol) -> None:
    tasks = plan(used, OWN, [protocol], [42])
    assert {task.group for task in tasks} == {protocol}
    tested = np.concatenate([task.split.test for task in tasks])
    assert sorted(tested.tolist()) == [i for i, clip in enumerate(used.clips) if clip.corpus == "ravdess"]


@pytest.mark.parametrize("protocol", ["speaker", "cross"])
def test_no_speaker_is_in_two_parts(used: Corpus, protocol: Protocol) -> None:
    for task in plan(used, OWN, [protocol], [42]):
        parts = speakers(used, task)
        assert all(parts)
        assert len(set.union(*parts)) == sum(len(part) for part in parts)


def test_across_corpora_each_direction_trains_on_one_alone(used: Corpus) -> None:
    tasks = {task.group: task for task in plan(used, OWN, ["cross"], [42])}
    assert list(tasks) == ["cross/ravdess-to-nemo", "cross/nemo-to-ravdess"]
    split = tasks["cross/nemo-to-ravdess"].split
    for part, corpus in ((split.train, "nemo"), (split.inner, "nemo"), (split.test, "ravdess")):
        assert {used.clips[index].corpus for index in part} == {corpus}
    assert len(split.test) == sum(clip.corpus == "ravdess" for clip in used.clips)


def test_the_shipped_model_is_trained_on_all(corpus: Corpus) -> None:
    task = protocols.shipped(corpus, 7)
    assert (task.name, task.group, task.seed) == ("shipped-seed-7", "shipped", 7)
    assert not len(task.split.test)
    assert len(task.split.train) + len(task.split.inner) == len(corpus.clips)
    assert speakers(corpus, task)[1] == {"ravdess-05", "ravdess-06"}


def test_a_model_that_is_to_know_its_voices_holds_out_clips(corpus: Corpus) -> None:
    task = protocols.shipped(corpus, 7, "clips")
    assert (task.name, task.group, task.seed) == ("shipped-clips-seed-7", "shipped", 7)
    train, inner, test = (
        set(part.tolist()) for part in (task.split.train, task.split.inner, task.split.test)
    )
    assert not test
    assert not train & inner
    assert train | inner == set(range(len(corpus.clips)))
    assert len(inner) == pytest.approx(0.1 * len(corpus.clips), abs=1)
    assert speakers(corpus, task)[0] == {clip.speaker for clip in corpus.clips}
    # One voice is enough.
    own = replace(corpus, clips=tuple(replace(clip, speaker="me") for clip in corpus.clips), folds=(("me",),))
    assert speakers(own, protocols.shipped(own, 7, "clips")) == [{"me"}, {"me"}, set()]
    with pytest.raises(CorpusError, match="--hold-out clips"):
        protocols.shipped(own, 7)


def test_classes_that_both_corpora_have(used: Corpus) -> None:
    found = protocols.cross_classes(used, "cross/nemo-to-ravdess", LABELS)
    assert {name: classes.tolist() for name, classes in found.items()} == {
        "four": [True, False, True],
        "shared": [True, False, True],
    }
    more = ("neutral", "calm", "sad", "fearful", "disgust")
    found = protocols.cross_classes(used, "cross/ravdess-to-nemo", more)
    assert found["four"].tolist() == [True, False, True, False, False]
    assert found["shared"].tolist() == [True, False, True, True, False]


def test_fewer_classes_are_some_of_a_recipes_own() -> None:
    def left_out(labels: Sequence[str]) -> dict[str, list[str]]:
        found = fewer_classes(labels)
        return {name: [labels[i] for i in np.flatnonzero(~classes)] for name, classes in found.items()}

    assert left_out(ALL) == {"seven": ["disgust"], "six": ["disgust", "surprised"]}
    assert left_out([label for label in ALL if label != "disgust"]) == {"six": ["surprised"]}
    assert left_out(ALL[:6]) == left_out(ALL[1:]) == {}


def test_corpora_may_be_named_as_one_likes(used: Corpus) -> None:
    odd = replace(used, labels={"a-to-b": ("happy",), "c": ("happy", "sad")})
    found = protocols.cross_classes(odd, "cross/a-to-b-to-c", ("happy", "sad"))
    assert found["shared"].tolist() == [True, False]


def test_too_few_folds_are_refused(used: Corpus) -> None:
    few = replace(used, folds=(("ravdess-01",), ("ravdess-02",), ("nobody",)))
    with pytest.raises(CorpusError, match="speakers of 2 folds; wanted at least 3"):
        plan(few, OWN, ["robust"], [42])


def test_a_speaker_in_two_folds_is_refused(used: Corpus) -> None:
    twice = replace(used, folds=(("ravdess-01",), ("ravdess-01", "ravdess-02"), ("ravdess-03",)))
    with pytest.raises(CorpusError, match=r"ravdess-01.*wanted each in one"):
        plan(twice, OWN, ["speaker"], [42])


def test_too_few_clips_are_refused(used: Corpus) -> None:
    few = replace(used, clips=tuple(clip for clip in used.clips if clip.corpus == "nemo"))
    with pytest.raises(CorpusError, match="the label 'happy' has 6 clips; wanted at least 10"):
        plan(few, ["nemo"], ["random"], [42])
    with pytest.raises(CorpusError, match="no clip of ravdess carries one of the recipe's labels"):
        plan(few, OWN, ["random"], [42])


def test_one_corpus_alone_cannot_be_crossed(corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match=r"the cross protocol has the corpus ravdess alone.*--cross"):
        plan(corpus, OWN, ["cross"], [42])
