from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from realtime.artifact import Preprocessing
from realtime.errors import CorpusError
from realtime.types import Smoothing
from training import protocols
from training.fit import Fitted
from training.protocols import Study, Trained

if TYPE_CHECKING:
    from training.corpora import Corpus
    from training.dataset import Extraction
    from training.recipes import Recipe


@pytest.fixture
def study(recipe: Recipe, corpus: Corpus, extraction: Extraction, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Models that know every window's label, but take the first voiced window for the next label."""
    windows = extraction.windows
    labels = np.asarray([recipe.labels.index(clip.label) for clip in extraction.clips])
    answers = {row.tobytes(): labels[clip] for row, clip in zip(windows.features, windows.clip, strict=True)}
    odd = windows.features[np.flatnonzero(windows.voiced & (windows.copy == 0))[0]].tobytes()
    answers[odd] = (answers[odd] + 1) % 3

    def know(_recipe: Recipe, _fitted: Fitted, features: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.eye(3, dtype=np.float32)[[answers[row.tobytes()] for row in features]]

    monkeypatch.setattr(protocols, "predict", know)
    nothing = np.zeros(1, dtype=np.float32)
    preprocessing = Preprocessing(np.zeros(1, dtype=np.int64), nothing, nothing + 1)
    trained = []
    for task in protocols.plan(extraction.clips, corpus.folds):
        rows = windows.rows(task.split.inner, copies=False)
        # Right where it is sure, wrong where it is not.
        inner = 0.9 * np.eye(3, dtype=np.float32)[labels[windows.clip[rows]]]
        inner[::4] = 0.4 * np.roll(inner[::4], 1, axis=1) / 0.9
        trained.append(Trained(task, Fitted(preprocessing, (), 1.0, 0, inner, ())))
    return Study(recipe, extraction.clips, windows, labels, tuple(trained))


def test_the_plan_has_every_model(extraction: Extraction, corpus: Corpus) -> None:
    tasks = protocols.plan(extraction.clips, corpus.folds)
    assert [task.name for task in tasks] == ["random", "speaker-1", "speaker-2", "speaker-3", "shipped"]
    tested = np.concatenate([task.split.test for task in tasks if task.protocol == "speaker"])
    assert sorted(tested.tolist()) == list(range(len(extraction.clips)))
    assert not len(tasks[-1].split.test)
    assert len(tasks[-1].split.train) + len(tasks[-1].split.inner) == len(extraction.clips)


def test_too_few_folds_are_refused(extraction: Extraction) -> None:
    with pytest.raises(CorpusError, match="speakers of 2 folds; wanted at least 3"):
        protocols.plan(extraction.clips, (("ravdess-01",), ("ravdess-02",), ("nobody",)))


def test_scores_have_every_protocol_unit_and_part(study: Study) -> None:
    scores = protocols.score(study)
    assert list(scores) == ["random", "speaker"]
    for units in scores.values():
        assert list(units)[:2] == ["clips", "windows"]
        for parts in units.values():
            assert list(parts) == ["all", "speech", "song"]
            assert parts["all"].n == parts["speech"].n + parts["song"].n
    speaker = scores["speaker"]
    assert speaker["clips"]["all"].n == len(study.clips)
    assert speaker["windows"]["all"].n == len(study.windows.rows(np.arange(len(study.clips)), copies=False))
    assert speaker["windows"]["song"].accuracy == 1.0
    # Smoothing carries the one error to later windows of its clip at the most.
    assert 0.9 < speaker["windows"]["speech"].accuracy < 1.0
    n_varied = int(np.count_nonzero(study.windows.voiced & (study.windows.copy > 0)))
    assert ("rooms" in scores["speaker"]) == (n_varied > 0)
    if n_varied:
        assert scores["speaker"]["rooms"]["all"].n == n_varied
    assert len(study.trained[0].task.split.test) == scores["random"]["clips"]["all"].n


def test_clips_without_a_voice_count_as_wrong(study: Study) -> None:
    windows = study.windows
    silent = replace(windows, voiced=windows.voiced & (windows.clip != 5))
    before, after = protocols.score(study), protocols.score(replace(study, windows=silent))
    first, second = before["speaker"]["clips"]["all"], after["speaker"]["clips"]["all"]
    assert (first.n, first.n_unheard, second.n, second.n_unheard) == (first.n, 0, first.n, 1)
    assert second.accuracy < first.accuracy
    assert after["speaker"]["windows"]["all"].n < before["speaker"]["windows"]["all"].n


def test_thresholds_come_from_inner_parts_alone(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "predict", lambda *_: pytest.fail("a test part was looked at"))
    monkeypatch.setattr(protocols, "_N_PRECISE", 5)
    unsmoothed = replace(study, recipe=replace(study.recipe, smoothing=Smoothing(method="none")))
    assert protocols.thresholds(unsmoothed) == {
        "0.6": pytest.approx(0.4, abs=2e-4),
        "0.7": pytest.approx(0.4, abs=2e-4),
        "0.8": pytest.approx(0.9, abs=2e-4),
        "0.9": pytest.approx(0.9, abs=2e-4),
    }
