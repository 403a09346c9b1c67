from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from realtime.errors import CorpusError, TrainingError
from training import dataset, networks, protocols, recipes, store
from training import study as studies
from training.augmentation import CONDITIONS, Noises
from training.dataset import AsItIs, Degraded
from training.recipes.schema import Speakers
from training.splits import Split
from training.study import train_all, train_one
from training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.training.conftest import Gather, Notes
    from training.corpora import Corpus
    from training.fit import Fitted
    from training.protocols import Task
    from training.recipes import Recipe
    from training.study import Study


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the recipes that were trained; nothing is."""
    names: list[str] = []

    def pretend(recipe: Recipe, *_: object, seed: int, **__: object) -> Any:
        names.append(f"{recipe.name} {seed}")
        return seed

    monkeypatch.setattr(studies, "fit", pretend)
    monkeypatch.setattr(networks, "use_one_thread", lambda: None)
    kept: dict[Path, Fitted] = {}
    monkeypatch.setattr(store, "save", kept.__setitem__)
    monkeypatch.setattr(store, "load", kept.get)
    return names


def tasks(study: Study, *asked: Any, seeds: Sequence[int] = (42,)) -> tuple[Task, ...]:
    own = [name for name in study.corpus.labels if name == "ravdess"]
    return protocols.plan(study.corpus, own, asked or ("speaker",), seeds)


def test_a_study_has_the_recordings_of_its_labels(study: Study, corpus: Corpus) -> None:
    wanted = [clip for clip in corpus.clips if clip.label in study.recipe.labels]
    assert list(study.clips) == wanted
    assert len(study.digests) == len(wanted) == 45
    assert [study.recipe.labels[label] for label in study.truth.labels] == [clip.label for clip in wanted]
    assert np.array_equal(study.examples.labels, study.truth.labels)
    names = sorted({clip.speaker for clip in wanted})
    assert [names[number] for number in study.truth.speakers] == [clip.speaker for clip in wanted]
    assert set(study.examples.windows.clip) == set(range(45))
    assert set(study.examples.windows.copy) == {0, 1}
    assert study.examples.known.all()


def test_a_corpus_knows_its_own_classes_alone(both_study: Study) -> None:
    for clip, known in zip(both_study.clips, both_study.examples.known, strict=True):
        wanted = [True, True, True] if clip.corpus == "ravdess" else [True, False, True]
        assert known.tolist() == wanted


def test_what_no_own_corpus_has_is_told_apart_lest_it_be_answered(
    recipe: Recipe, both: Corpus, both_study: Study, cache: Path, watcher: Notes
) -> None:
    # The calm of RAVDESS is tested alone: no voice that is trained on has it.
    found = studies.gather(
        recipe,
        replace(both, clips=both_study.clips),
        both_study.digests,
        cache=cache,
        workers=Workers(),
        watcher=watcher,
        own=["nemo"],
    )
    assert found.examples.known.all()


def test_who_lacks_a_kind_of_neutral_says_of_others_that_they_are_none(
    recipe: Recipe, both: Corpus, gather_study: Gather, cache: Path
) -> None:
    knowing = replace(recipe, fitting=msgspec.structs.replace(recipe.fitting, kind_of={"calm": "neutral"}))
    found = gather_study(knowing, both, cache)
    known = {
        (clip.corpus, clip.label): row.tolist()
        for clip, row in zip(found.clips, found.examples.known, strict=True)
    }
    assert known.pop(("nemo", "neutral")) == [True, False, True]
    assert ("nemo", "happy") in known
    assert np.all(list(known.values()))


def test_stages_are_told(recipe: Recipe, forest: Recipe, corpus: Corpus, cache: Path, watcher: Notes) -> None:
    digests = [f"{i:064x}" for i in range(len(corpus.clips))]
    for own, stages in ((recipe, ["features", "features of varied copies"]), (forest, ["features"])):
        watcher.stages.clear()
        studies.gather(own, corpus, digests, cache=cache, workers=Workers(), watcher=watcher)
        assert watcher.stages == stages
        assert [watcher.n_done[stage] for stage in stages] == [45] * len(stages)


def test_recordings_of_other_labels_are_refused(
    recipe: Recipe, corpus: Corpus, cache: Path, gather_study: Gather
) -> None:
    other = replace(recipe, labels=("disgust", "surprised"))
    with pytest.raises(CorpusError) as caught:
        gather_study(other, corpus, cache)
    message = str(caught.value)
    assert "RAVDESS carry the labels ['calm', 'happy', 'neutral', 'sad']" in message
    assert "wanted some of the recipe's: ['disgust', 'surprised']" in message


def test_windows_after_a_variation_keep_their_clips_indices(study: Study) -> None:
    indices = np.array([3, 7, 8])
    found = study.extract(AsItIs(), indices, Workers())
    assert set(found.clip) == {3, 7, 8}
    rows = np.isin(study.examples.windows.clip, indices) & (study.examples.windows.copy == 0)
    assert np.array_equal(found.features, study.examples.windows.features[rows])
    quiet = next(condition for condition in CONDITIONS if condition.name == "quiet")
    degraded = study.extract(Degraded(quiet, Noises()), indices, Workers())
    assert np.array_equal(degraded.clip, found.clip)
    assert not np.array_equal(degraded.features, found.features)


def test_the_path_does_not_change_with_corpora_that_only_stand_beside(
    quick: Recipe, corpus: Corpus, both_study: Study, cache: Path, gather_study: Gather
) -> None:
    alone = gather_study(quick, corpus, cache)
    assert alone.digest == both_study.digest
    pairs = zip(tasks(alone, "random", "speaker"), tasks(both_study, "random", "speaker"), strict=True)
    assert all(alone.path(one) == both_study.path(other) for one, other in pairs)


def test_the_path_changes_with_what_decides(study: Study, cache: Path) -> None:
    task = tasks(study)[0]
    path = study.path(task)
    assert path.parent == cache / "models"
    assert path.name.startswith("tiny-speaker-1-seed-42-")
    split = task.split
    others = [
        study.path(replace(task, seed=43)),
        study.path(replace(task, split=replace(split, train=split.train[1:]))),
        study.path(replace(task, split=replace(split, inner=split.inner[1:]))),
        study.path(replace(task, split=replace(split, train=split.inner, inner=split.train))),
        study.path(
            replace(task, split=Split(np.append(split.train, split.inner[0]), split.inner[1:], split.test))
        ),
        replace(study, digest="other").path(task),
        replace(study, digests=tuple(f"{i:064x}" for i in range(45))).path(task),
    ]
    known = study.examples.known.copy()
    known[split.train[0], 1] = False
    others.append(replace(study, examples=replace(study.examples, known=known)).path(task))
    clips = (*study.clips[: split.train[0]], replace(study.clips[split.train[0]], label="happy"))
    clips += study.clips[len(clips) :]
    others.append(replace(study, corpus=replace(study.corpus, clips=clips)).path(task))
    assert len({path, *others}) == 1 + len(others)
    # The test part decides about nothing, nor do folders and names.
    moved = tuple(replace(clip, path=clip.path.with_name("other.flac")) for clip in study.clips)
    assert replace(study, corpus=replace(study.corpus, clips=moved)).path(task) == path
    assert study.path(replace(task, split=replace(split, test=split.test[1:]))) == path


def test_intensities_decide_where_they_are_told(study: Study) -> None:
    task = tasks(study)[0]
    first = task.split.train[0]
    clips = list(study.clips)
    clips[first] = replace(clips[first], intensity="strong")
    clips[first + 1] = replace(clips[first + 1], intensity="normal")
    other = replace(study, corpus=replace(study.corpus, clips=tuple(clips)))
    assert other.path(task) == study.path(task)
    telling = replace(study.recipe, fitting=msgspec.structs.replace(study.recipe.fitting, intensity=0.5))
    assert replace(other, recipe=telling).path(task) != replace(study, recipe=telling).path(task)


def test_speakers_decide_where_the_model_gets_used_to_them(study: Study) -> None:
    task = tasks(study)[0]
    clips = list(study.clips)
    clips[task.split.train[0]] = replace(clips[task.split.train[0]], speaker="another")
    other = replace(study, corpus=replace(study.corpus, clips=tuple(clips)))
    assert other.path(task) == study.path(task)
    following = replace(study.recipe, speakers=Speakers())
    assert replace(other, recipe=following).path(task) != replace(study, recipe=following).path(task)


def test_recipes_that_tell_intensities_need_some(
    recipe: Recipe, corpus: Corpus, gather_study: Gather, cache: Path
) -> None:
    telling = replace(recipe, fitting=msgspec.structs.replace(recipe.fitting, intensity=0.5))
    silent = replace(corpus, clips=tuple(replace(clip, intensity=None) for clip in corpus.clips))
    with pytest.raises(CorpusError, match=r"says how strong its emotion is, and fitting\.intensity is 0\.5"):
        gather_study(telling, silent, cache)


def test_the_digest_changes_with_recipe_code_and_packages(
    corpus: Corpus, gather_study: Gather, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = study.recipe

    def digest(own: Recipe) -> str:
        return gather_study(own, corpus, study.cache).digest

    assert digest(recipe) == study.digest
    assert digest(replace(recipe, description="otherwise")) == study.digest
    assert digest(replace(recipe, balance="none")) != study.digest
    with monkeypatch.context() as patch:
        patch.setattr(studies, "_CODE", (*studies._CODE, "metrics.py"))
        assert digest(recipe) != study.digest
    with monkeypatch.context() as patch:
        patch.setattr(studies, "versions", lambda: {"numpy": "0"})
        assert digest(recipe) != study.digest
    with monkeypatch.context() as patch:
        patch.setattr(dataset, "code_digest", lambda _: "other")
        assert digest(recipe) != study.digest
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "digest", lambda _: "other")
        assert digest(recipe) != study.digest


def test_each_model_is_trained_once(study: Study, trained: list[str]) -> None:
    asked = tasks(study, "random", "speaker")
    first = dict(train_all_by_name(study, asked[:2]))
    assert list(first) == ["random-seed-42", "speaker-1-seed-42"]
    assert len(trained) == 2
    # Those that are kept come first; the others follow.
    again = dict(train_all_by_name(study, asked))
    assert list(again) == [task.name for task in asked]
    assert len(trained) == 4
    dict(train_all_by_name(study, asked))
    assert len(trained) == 4
    dict(train_all_by_name(study, asked, fresh=True))
    assert len(trained) == 8


def train_all_by_name(
    study: Study, asked: Sequence[Task], *, fresh: bool = False
) -> list[tuple[str, Fitted]]:
    return [(task.name, fitted) for task, fitted in train_all(study, asked, Workers(), fresh=fresh)]


def test_an_interrupted_evaluation_goes_on(study: Study, trained: list[str]) -> None:
    asked = tasks(study)
    done = []
    for task, _ in train_all(study, asked, Workers()):
        done.append(task.name)
        if len(done) == 2:
            break
    assert len(trained) == 2
    dict(train_all_by_name(study, asked))
    assert len(trained) == 3


def test_training_anew_forgets_what_an_interrupt_left(
    both_forest: Study, tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = replace(both_forest, cache=tmp_path)
    task = tasks(study)[0]
    path = study.path(task)
    path.parent.mkdir(parents=True)
    left = [path.with_suffix(suffix) for suffix in (".unfinished.npz", ".unfinished.again.npz")]
    found: list[int] = []
    pretend = vars(studies)["fit"]

    def look(*arguments: Any, **settings: Any) -> Any:
        found.append(sum(own.exists() for own in left))
        return pretend(*arguments, **settings)

    monkeypatch.setattr(studies, "fit", look)
    for fresh in (False, True):
        for own in left:
            own.touch()
        train_one(study, task, fresh=fresh)
        # What is done needs neither any more.
        assert not any(own.exists() for own in left)
    assert found == [2, 0]
    assert len(trained) == 2


def test_a_model_that_is_kept_is_the_one_that_was_trained(both_forest: Study, tmp_path: Path) -> None:
    study = replace(both_forest, cache=tmp_path)
    task = tasks(study)[0]
    first, kept = train_one(study, task), train_one(study, task)
    assert study.path(task).exists()
    assert kept.weights[0].tobytes() == first.weights[0].tobytes()
    assert kept.temperature == first.temperature
    anew = train_one(study, task, fresh=True)
    assert anew.weights[0].tobytes() == first.weights[0].tobytes()


def test_a_training_that_fails_says_why(study: Study, recipe: Recipe, tmp_path: Path) -> None:
    fitting = msgspec.structs.replace(recipe.fitting, learning_rate=1e30)
    hopeless = replace(study, recipe=replace(recipe, fitting=fitting), cache=tmp_path, digest="hopeless")
    with pytest.raises(TrainingError, match="recipe tiny: the loss is nan in epoch 1"):
        list(train_all(hopeless, tasks(study), Workers()))
    assert not list(tmp_path.rglob("*.npz"))


def test_versions_name_the_packages_that_decide() -> None:
    found = studies.versions()
    assert {"python", "numpy", "soundfile", "soxr", "scikit-learn", "keras"} <= set(found)
    assert found["numpy"] == np.__version__
