from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
import soundfile

from realtime.errors import CorpusError
from realtime.types import Smoothing
from training import abstention, protocols, ruler
from training import study as studies
from training.augmentation import CONDITIONS
from training.fit import fit
from training.judgement import Judged
from training.protocols import PROTOCOLS
from training.ruler import Measured, measure
from training.study import train_all
from training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.training.conftest import Notes
    from training.protocols import Protocol
    from training.study import Study

OWN = ["ravdess"]
SEEDS = (42, 43)
FEW = tuple(condition for condition in CONDITIONS if condition.name in {"noise-10db", "quiet"})
CROSS = ("cross/ravdess-to-nemo", "cross/nemo-to-ravdess")


class Silent:
    """A watcher that nobody asks."""

    def warn(self, line: str) -> None: ...
    def begin(self, title: str, n_steps: int) -> None: ...
    def advance(self, n_steps: int = 1, note: str = "") -> None: ...
    def end(self, note: str = "") -> None: ...


def run(
    study: Study,
    asked: Sequence[Protocol],
    *,
    own: Sequence[str] = OWN,
    seeds: Sequence[int] = (42,),
    n_jobs: int = 1,
    watcher: Any = None,
) -> Measured:
    return measure(
        study,
        own,
        asked,
        seeds,
        workers=Workers(n_jobs),
        fresh=False,
        with_cost=True,
        watcher=watcher or Silent(),
    )


@pytest.fixture(scope="module", autouse=True)
def few_conditions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two conditions, one of them with made-up noise."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "noise").mkdir()
    for number in range(4):
        noise = 0.1 * np.random.default_rng(number).standard_normal(32_000)
        soundfile.write(folder / "noise" / f"{number}.wav", noise, 16_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONEWATCH_DATA", str(folder))
        patch.setattr(ruler, "CONDITIONS", FEW)
        yield


@pytest.fixture(scope="module")
def measured(both_forest: Study) -> Measured:
    """What every protocol finds of a small forest."""
    return run(both_forest, PROTOCOLS, seeds=SEEDS)


@pytest.fixture(scope="module")
def of_network(both_study: Study) -> Measured:
    return run(both_study, ["speaker"])


@pytest.fixture
def n_trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the recipes that are trained."""
    names: list[str] = []

    def spy(recipe: Any, *arguments: Any, **others: Any) -> Any:
        names.append(recipe.name)
        return fit(recipe, *arguments, **others)

    monkeypatch.setattr(studies, "fit", spy)
    return names


@pytest.fixture
def knowing(both_forest: Study, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Models that know every label, but take the first window of the test parts for the next label."""

    def know(_recipe: Any, _fitted: Any, windows: Any, clips: Any, *, speakers: Any = None) -> Judged:
        assert speakers is None or len(speakers) == len(both_forest.clips)
        rows = windows.rows(clips, copies=False)
        probabilities = np.eye(3, dtype=np.float32)[both_forest.truth.labels[windows.clip[rows]]]
        if len(rows) and rows[0] == windows.rows(np.arange(len(both_forest.clips)), copies=False)[0]:
            probabilities[0] = np.roll(probabilities[0], 1)
        return Judged(windows.clip[rows], rows, probabilities)

    monkeypatch.setattr(ruler, "judge", know)
    return both_forest


def test_every_protocol_has_its_scores(measured: Measured) -> None:
    assert set(measured.scores) == {
        "random",
        "kfold",
        "speaker",
        "speaker/adapted",
        *(f"robust/{condition.name}" for condition in FEW),
        *(f"{group}/{name}" for group in CROSS for name in ("four", "shared", "arousal")),
        *(f"{group}/{name}/adapted" for group in CROSS for name in ("four", "shared", "arousal")),
        "speaker/arousal",
        "speaker/arousal/adapted",
    }
    for name, units in measured.scores.items():
        assert list(units) == ["clips", "windows"]
        song = "-to-nemo" not in name
        for parts in units.values():
            assert list(parts) == (["all", "speech", "song"] if song else ["all", "speech"])
            assert parts["all"].n == sum(part.n for key, part in parts.items() if key != "all")
            for figures in parts.values():
                assert figures.n_seeds == 2
                assert set(figures.sd) == {"accuracy", "uar", "macro_f1", "ece"}
                assert np.sum(figures.confusion) == 2 * (figures.n - figures.n_unheard)
        assert units["windows"]["all"].n > units["clips"]["all"].n


def test_every_protocol_tests_its_clips(measured: Measured) -> None:
    n = {name: units["clips"]["all"].n for name, units in measured.scores.items()}
    assert n["random"] == 9
    assert n["kfold"] == n["speaker"] == n["speaker/adapted"] == n["robust/quiet"] == 45
    # Neutral and happy alone: nobody there is calm.
    assert n["cross/ravdess-to-nemo/four"] == n["cross/ravdess-to-nemo/shared/adapted"] == 12
    assert n["cross/nemo-to-ravdess/four"] == 30
    # Neutral and calm against happy: what is voiced high and low of the classes here.
    arousal = measured.scores["cross/nemo-to-ravdess/arousal"]["clips"]["all"]
    assert np.asarray(arousal.confusion).shape == (2, 2)
    assert set(arousal.classes) == {"low", "high"}
    assert measured.scores["speaker/arousal"]["clips"]["all"].n == n["speaker"]
    classes = measured.scores["cross/nemo-to-ravdess/four"]["clips"]["all"].classes
    assert set(classes) == {"neutral", "happy"}
    confusion = np.asarray(measured.scores["cross/nemo-to-ravdess/four"]["clips"]["all"].confusion)
    assert not confusion[:, 1].any()
    assert set(measured.scores["speaker"]["clips"]["all"].classes) == {"neutral", "calm", "happy"}


def test_it_learns_something(measured: Measured) -> None:
    assert measured.scores["speaker"]["clips"]["all"].accuracy > 0.6
    assert measured.scores["random"]["clips"]["all"].accuracy > 0.6
    # A speaker's own mean hides no emotion here.
    assert measured.scores["speaker/adapted"]["clips"]["all"].accuracy > 0.6
    for unit in ("clips", "windows"):
        assert measured.scores["speaker/adapted"][unit] != measured.scores["speaker"][unit]


def test_a_network_is_judged_as_it_would_be_shipped_too(of_network: Measured) -> None:
    names = [
        "speaker",
        "speaker/adapted",
        "speaker/arousal",
        "speaker/arousal/adapted",
        "speaker/float16",
        "speaker/int8",
    ]
    assert sorted(of_network.scores) == names
    found = {name: of_network.scores[name]["clips"]["all"] for name in names}
    assert {figures.n for figures in found.values()} == {45}
    assert found["speaker/float16"].accuracy == pytest.approx(found["speaker"].accuracy, abs=0.05)
    assert found["speaker/float16"] != found["speaker/adapted"]
    assert found["speaker"].n_seeds == 1
    assert found["speaker"].sd == {}


def test_intensity_is_scored_on_the_clips_that_tell_one(both_study: Study) -> None:
    recipe = replace(
        both_study.recipe, fitting=msgspec.structs.replace(both_study.recipe.fitting, intensity=0.5)
    )
    strengths = np.where(np.arange(len(both_study.clips)) % 2, 1, 0).astype(np.float32)
    strengths[::5] = np.nan
    examples = replace(both_study.examples, intensities=strengths)
    found = run(replace(both_study, recipe=recipe, examples=examples, digest="other"), ["speaker"])
    assert {"speaker/intensity", "speaker/intensity/adapted"} < set(found.scores)
    own = np.asarray([clip.corpus == "ravdess" for clip in both_study.clips])
    emotional = np.asarray([clip.label != "neutral" for clip in both_study.clips])
    of_clips = found.scores["speaker/intensity"]["clips"]["all"]
    assert of_clips.n == np.count_nonzero(own & emotional & ~np.isnan(strengths))
    assert set(of_clips.classes) == {"normal", "strong"}
    assert np.asarray(of_clips.confusion).shape == (2, 2)
    assert found.scores["speaker"]["clips"]["all"].n == 45


def test_fewer_classes_are_scored_among_themselves(
    both_forest: Study, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "SIX", ("neutral", "happy"))
    found = run(both_forest, PROTOCOLS, seeds=SEEDS).scores
    names = {"random/six", "kfold/six", "speaker/six"}
    assert set(found) == set(measured.scores) | names
    calm = both_forest.recipe.labels.index("calm")
    for name in names:
        fewer, whole = (found[key]["clips"]["all"] for key in (name, name.partition("/")[0]))
        assert set(fewer.classes) == {"neutral", "happy"}
        assert fewer.n == whole.n - whole.classes["calm"].n
        assert not np.asarray(fewer.confusion)[:, calm].any()
        # What was taken for calm has two classes left to be.
        assert fewer.accuracy >= sum(whole.confusion[i][i] for i in (0, 2)) / (2 * fewer.n) - 1e-3


def test_models_have_their_cost(measured: Measured, of_network: Measured) -> None:
    for found in (measured, of_network):
        assert found.cost is not None
        assert found.cost.n_bytes > 1000
        assert 0 < found.cost.us_per_prediction < 1e6


def test_robust_alone_brings_no_other_scores(both_forest: Study, measured: Measured, watcher: Notes) -> None:
    found = run(both_forest, ["robust"], seeds=SEEDS, watcher=watcher)
    assert set(found.scores) == {"robust/quiet", "robust/noise-10db"}
    assert found.thresholds == {}
    for name, units in found.scores.items():
        assert units == measured.scores[name]
    # Of clips that are tested alone: those of the other corpus are not.
    assert watcher.n_done["features, quiet"] == 45


def test_conditions_make_a_difference(measured: Measured) -> None:
    assert measured.scores["robust/noise-10db"] != measured.scores["robust/quiet"]
    assert measured.scores["robust/noise-10db"] != measured.scores["speaker"]


def test_each_seed_counts(both_forest: Study, measured: Measured) -> None:
    singles = [run(both_forest, ["speaker"], seeds=[seed]) for seed in SEEDS]
    accuracies = [single.scores["speaker"]["clips"]["all"].accuracy for single in singles]
    both = measured.scores["speaker"]["clips"]["all"]
    assert both.accuracy == pytest.approx(np.mean(accuracies), abs=1e-4)
    assert both.sd["accuracy"] == pytest.approx(np.std(accuracies), abs=1e-4)
    confusions = [single.scores["speaker"]["clips"]["all"].confusion for single in singles]
    assert both.confusion == np.sum(confusions, axis=0).tolist()


def test_what_is_kept_is_not_trained_again(
    both_forest: Study, measured: Measured, n_trained: list[str], watcher: Notes
) -> None:
    found = run(both_forest, PROTOCOLS, seeds=SEEDS, watcher=watcher)
    assert (found.scores, found.thresholds) == (measured.scores, measured.thresholds)
    assert not n_trained
    assert watcher.stages[0] == "random, kfold, speaker, robust, cross: models"
    assert watcher.n_done[watcher.stages[0]] == 22


def test_an_interrupted_evaluation_goes_on_without_training_again(
    both_forest: Study, tmp_path: Path, n_trained: list[str], watcher: Notes
) -> None:
    study = replace(both_forest, cache=tmp_path)
    watcher.interrupt_at = "speaker-2-seed-42"
    with pytest.raises(KeyboardInterrupt):
        run(study, ["random", "speaker"], watcher=watcher)
    assert len(n_trained) == 3
    found = run(study, ["random", "speaker"])
    assert len(n_trained) == 4
    assert found.scores == run(both_forest, ["random", "speaker"]).scores


def test_results_do_not_depend_on_who_works(both_forest: Study, tmp_path: Path) -> None:
    asked: list[Protocol] = ["speaker", "cross"]
    shared = run(replace(both_forest, cache=tmp_path), asked, n_jobs=2)
    alone = run(both_forest, asked)
    assert (shared.scores, shared.thresholds) == (alone.scores, alone.thresholds)
    assert shared.cost is not None
    assert alone.cost is not None
    assert shared.cost.n_bytes == alone.cost.n_bytes


def test_several_corpora_of_ones_own_are_scored_apart_too(both_forest: Study) -> None:
    found = run(both_forest, ["random"], own=["ravdess", "nemo"])
    parts = found.scores["random"]["clips"]
    assert list(parts) == ["all", "speech", "song", "ravdess", "ravdess-speech", "ravdess-song", "nemo"]
    assert parts["ravdess"].n == parts["ravdess-speech"].n + parts["ravdess-song"].n
    assert parts["all"].n == parts["ravdess"].n + parts["nemo"].n


def test_corpora_with_one_class_in_common_are_not_scored(both_forest: Study) -> None:
    labels = {"ravdess": ("neutral", "calm", "happy"), "nemo": ("happy", "angry")}
    corpus = replace(both_forest.corpus, labels=labels)
    assert run(replace(both_forest, corpus=corpus), ["cross"]).scores == {}


def test_windows_are_scored_as_live_and_clips_by_their_means(knowing: Study) -> None:
    speaker = run(knowing, ["speaker"]).scores["speaker"]
    everything = np.asarray([i for i, clip in enumerate(knowing.clips) if clip.corpus == "ravdess"])
    assert speaker["windows"]["all"].n == len(knowing.examples.windows.rows(everything, copies=False))
    assert speaker["windows"]["song"].accuracy == 1.0
    # Smoothing carries the one error to later windows of its clip at the most.
    assert 0.9 < speaker["windows"]["all"].accuracy < 1.0
    assert speaker["clips"]["all"].accuracy >= 44 / 45 - 1e-4
    assert speaker["clips"]["song"].accuracy == 1.0


def test_clips_without_a_voice_count_as_wrong(knowing: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    # They are of models that heard a voice in it.
    monkeypatch.setattr(ruler, "find_thresholds", lambda *_: {})
    windows = knowing.examples.windows
    silent = replace(windows, voiced=windows.voiced & (windows.clip != 5))
    before = run(knowing, ["random", "speaker"]).scores
    deaf = replace(knowing, examples=replace(knowing.examples, windows=silent))
    after = run(deaf, ["random", "speaker"]).scores
    first, second = before["speaker"]["clips"]["all"], after["speaker"]["clips"]["all"]
    assert (first.n, first.n_unheard, second.n, second.n_unheard) == (45, 0, 45, 1)
    assert second.accuracy < first.accuracy
    assert after["speaker"]["windows"]["all"].n < before["speaker"]["windows"]["all"].n


def test_thresholds_come_from_inner_parts_alone(both_forest: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    windows, labels = both_forest.examples.windows, both_forest.truth.labels
    unsmoothed = replace(both_forest, recipe=replace(both_forest.recipe, smoothing=Smoothing(method="none")))

    def pretend(study: Study, tasks: Any, *_: Any, **__: Any) -> Iterator[tuple[Any, Any]]:
        assert study is unsmoothed
        for task, fitted in train_all(both_forest, tasks, Workers()):
            # Right where it is sure, wrong where it is not.
            rows = windows.rows(task.split.inner, copies=False)
            inner = 0.9 * np.eye(3, dtype=np.float32)[labels[windows.clip[rows]]]
            inner[::4] = 0.4 * np.roll(inner[::4], 1, axis=1) / 0.9
            yield task, replace(fitted, inner_probabilities=inner)

    monkeypatch.setattr(ruler, "train_all", pretend)
    monkeypatch.setattr(abstention, "N_PRECISE", 5)
    assert run(unsmoothed, ["random", "speaker"]).thresholds == {
        "0.6": pytest.approx(0.4, abs=2e-4),
        "0.7": pytest.approx(0.4, abs=2e-4),
        "0.8": pytest.approx(0.9, abs=2e-4),
        "0.9": pytest.approx(0.9, abs=2e-4),
    }
    assert run(unsmoothed, ["random"]).thresholds == {}


def test_thresholds_are_tried_on_test_parts(measured: Measured) -> None:
    assert set(measured.coverage) == set(measured.thresholds)
    windows = measured.scores["speaker"]["windows"]["all"]
    by_precision = [measured.coverage[name] for name in sorted(measured.coverage)]
    assert [measured.thresholds[name] for name in sorted(measured.thresholds)] == sorted(
        measured.thresholds.values()
    )
    shares = [kept.share for kept in by_precision]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= kept.precision <= 1 for kept in by_precision)
    # What is left, and right, is a part of all that is right.
    assert all(kept.share * kept.precision <= windows.accuracy + 1e-3 for kept in by_precision)
    assert by_precision[0].share > 0


def test_thresholds_are_tried_on_the_other_corpus(
    both_forest: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abstention, "N_PRECISE", 5)
    measured = run(both_forest, ["cross"])
    assert not measured.thresholds
    assert not measured.coverage
    assert set(measured.coverage_elsewhere) == set(CROSS)
    for kept in (one for found in measured.coverage_elsewhere.values() for one in found.values()):
        assert 0 < kept.share <= 1
        assert 0 <= kept.precision <= 1


def test_no_speaker_is_judged_by_thresholds_that_he_helped_to_find(
    both_forest: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[int]] = []
    find = abstention._find

    def spy(study: Study, strangers: Any) -> dict[str, float]:
        asked.append(set(np.concatenate([one.task.split.inner for one in strangers]).tolist()))
        return find(study, strangers)

    monkeypatch.setattr(abstention, "_find", spy)
    monkeypatch.setattr(abstention, "N_PRECISE", 5)
    measured = run(both_forest, ["speaker"])
    everyone, *of_others = asked
    assert measured.coverage.keys() == measured.thresholds.keys()
    assert of_others
    # Each left out the inner part that is some test part, and each of these once.
    left_out = [everyone - inner for inner in of_others]
    assert all(left_out)
    assert sum(map(len, left_out)) == len(everyone)


def test_noise_is_missed_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONEWATCH_DATA", str(tmp_path))
    monkeypatch.setattr(ruler, "CONDITIONS", FEW)
    with pytest.raises(CorpusError, match=r"noise is not a folder; .*leave it out of --protocols"):
        ruler.require(["speaker", "robust"])
    ruler.require(["speaker"])


def test_no_part_takes_the_place_of_another() -> None:
    corpora = ["all", "corpus-all", "ravdess", "ravdess-speech"]
    clips = [
        SimpleNamespace(corpus=name, channel=channel) for name in corpora for channel in ("speech", "song")
    ]
    study: Any = SimpleNamespace(clips=clips)
    parts = ruler._parts(study, corpora)
    names = [name for name, _ in parts]
    assert len(set(names)) == len(names) == 3 + 4 * 3
    members = dict(parts)
    of_corpus = [clip.corpus == "ravdess-speech" for clip in clips]
    assert members["ravdess-speech"].tolist() == of_corpus
    assert members["corpus-ravdess-speech"].tolist() == [
        clip.corpus == "ravdess" and clip.channel == "speech" for clip in clips
    ]
