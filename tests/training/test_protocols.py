from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from realtime.artifact import Preprocessing
from realtime.errors import CorpusError
from training import protocols
from training.fit import Fitted
from training.protocols import Study, Trained

if TYPE_CHECKING:
    from training.corpora import Corpus
    from training.dataset import Extraction
    from training.recipes import Recipe


@pytest.fixture
def study(recipe: Recipe, corpus: Corpus, extraction: Extraction, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Models that know each window's label, but for the first voiced window, which they take for the next label."""
    windows = extraction.windows
    labels = np.asarray([recipe.labels.index(clip.label) for clip in extraction.clips])
    answers = {row.tobytes(): labels[clip] for row, clip in zip(windows.features, windows.clip, strict=True)}
    odd = windows.features[np.flatnonzero(windows.voiced & (windows.copy == 0))[0]].tobytes()
    answers[odd] = (answers[odd] + 1) % 3

    def know(_recipe: Recipe, _fitted: Fitted, features: np.ndarray) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[[answers[row.tobytes()] for row in features]]

    monkeypatch.setattr(protocols, "predict", know)
    nothing = np.zeros(1, dtype=np.float32)
    fitted = Fitted(Preprocessing(np.zeros(1, dtype=np.int64), nothing, nothing + 1), (), 1.0, 0, ())
    tasks = protocols.plan(extraction.clips, corpus.folds)
    return Study(recipe, extraction.clips, windows, labels, tuple(Trained(task, fitted) for task in tasks))


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
        assert list(units) == ["clips", "windows"]
        for parts in units.values():
            assert list(parts) == ["all", "speech", "song"]
            assert parts["all"].n == parts["speech"].n + parts["song"].n
    speaker = scores["speaker"]
    assert speaker["clips"]["all"].n == len(study.clips)
    assert speaker["windows"]["all"].n == len(study.windows.rows(np.arange(len(study.clips)), copies=False))
    assert speaker["windows"]["song"].accuracy == 1.0
    # Smoothing carries the one error to later windows of its clip at the most.
    assert 0.9 < speaker["windows"]["speech"].accuracy < 1.0
    assert len(study.trained[0].task.split.test) == scores["random"]["clips"]["all"].n


def test_clips_without_a_voice_count_as_wrong(study: Study) -> None:
    windows = study.windows
    silent = replace(windows, voiced=windows.voiced & (windows.clip != 5))
    before, after = protocols.score(study), protocols.score(replace(study, windows=silent))
    first, second = before["speaker"]["clips"]["all"], after["speaker"]["clips"]["all"]
    assert (first.n, first.n_unheard, second.n, second.n_unheard) == (first.n, 0, first.n, 1)
    assert second.accuracy < first.accuracy
    assert after["speaker"]["windows"]["all"].n < before["speaker"]["windows"]["all"].n


def test_thresholds_look_at_inner_parts_alone(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = protocols._judge

    def spy(study: Study, parts: list[tuple[Fitted, np.ndarray]]) -> object:
        seen.extend(index for _, clips in parts for index in clips.tolist())
        return original(study, parts)

    monkeypatch.setattr(protocols, "_judge", spy)
    monkeypatch.setattr(protocols, "_N_PRECISE", 5)
    assert list(protocols.thresholds(study)) == ["0.6", "0.7", "0.8", "0.9"]
    inner = [t.task.split.inner.tolist() for t in study.trained if t.task.protocol == "speaker"]
    assert seen == [index for part in inner for index in part]
