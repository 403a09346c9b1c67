from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from realtime.types import LABELS
from training.corpora import Corpus, open_corpora
from training.corpora.report import Report, describe, encode, print_report
from training.corpora.survey import Survey, survey
from training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def surveyed(made_up: Any, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    folder = tmp_path_factory.mktemp("report")
    for name in ("ravdess", "emodb"):
        made_up.corpus(name, folder / name)
    made_up.write(folder / "ravdess" / "03-01-03-01-01-01-11.wav", made_up.sound(500, seconds=2), rate=8000)
    made_up.write(folder / "ravdess" / "03-01-03-01-01-01-12.wav", np.zeros(8000))
    corpus = open_corpora([f"{name}={folder / name}" for name in ("ravdess", "emodb")])
    return survey(corpus, cache=folder / "cache", workers=Workers())


@pytest.fixture(scope="module")
def report(surveyed: Survey) -> Report:
    return describe(surveyed)


@pytest.fixture
def show() -> Callable[[Report], str]:
    def show(report: Report) -> str:
        file = io.StringIO()
        print_report(Console(file=file, width=80), report)
        return file.getvalue()

    return show


def test_numbers_add_up(surveyed: Survey, report: Report) -> None:
    n = len(surveyed.corpus.clips)
    assert report.n_clips == n == 9 + 6
    assert sum(part.n_clips for part in report.parts) == n
    assert sum(speaker.n_clips for speaker in report.speakers) == n
    assert sum(report.n_by_fold) == n
    for part in report.parts:
        assert sum(sum(own.values()) for own in part.n_by_label.values()) == part.n_clips
        assert sum(part.n_by_rate.values()) == part.n_clips
    for speaker in report.speakers:
        assert sum(speaker.n_by_label.values()) == speaker.n_clips
    assert report.lengths.total_h == pytest.approx(sum(own.duration_s for own in surveyed.facts) / 3600)


def test_parts_say_what_they_hold(report: Report) -> None:
    ravdess, emodb = report.parts
    assert (ravdess.name, emodb.name) == ("ravdess", "emodb")
    assert ravdess.n_by_label["happy"] == {"speech": 1, "song": 1}
    assert ravdess.n_by_rate == {8000: 1, 16_000: 8}
    assert ravdess.lengths.min_s == pytest.approx(0.3)
    assert ravdess.lengths.median_s == pytest.approx(0.3)
    assert ravdess.lengths.max_s == pytest.approx(4.0)
    assert (ravdess.lacks, ravdess.missing) == ((), ())
    assert (emodb.lacks, emodb.missing) == (("calm", "surprised"), ())


def test_labels_that_should_be_there_are_told(surveyed: Survey) -> None:
    kept = [i for i, clip in enumerate(surveyed.corpus.clips) if clip.label != "sad"]
    fewer = Survey(
        replace(surveyed.corpus, clips=tuple(surveyed.corpus.clips[i] for i in kept)),
        tuple(surveyed.facts[i] for i in kept),
        (),
    )
    assert [part.missing for part in describe(fewer).parts] == [("sad",), ("sad",)]


def test_speakers_have_their_fold(surveyed: Survey, report: Report) -> None:
    names = [speaker.name for speaker in report.speakers]
    assert names == sorted({clip.speaker for clip in surveyed.corpus.clips})
    for speaker in report.speakers:
        assert speaker.fold is not None
        assert speaker.name in surveyed.corpus.folds[speaker.fold - 1]


def test_json_has_everything(report: Report) -> None:
    text = encode(report)
    assert msgspec.json.decode(text, type=Report) == report
    assert list(json.loads(text)) == list(Report.__struct_fields__)


def test_people_see_everything_in_80_columns(report: Report, show: Callable[[Report], str]) -> None:
    text = show(report)
    assert "…" not in text
    for label in LABELS:
        assert label in text
    for speaker in report.speakers:
        assert speaker.name in text
    for line in (*report.left_out, *report.warnings, report.licence, "emodb has no calm, surprised"):
        assert line in text
    assert "16000 Hz (8)" in " ".join(text.split())


def test_people_see_the_first_of_many(report: Report, show: Callable[[Report], str]) -> None:
    text = show(msgspec.structs.replace(report, left_out=tuple(f"file {i}" for i in range(50))))
    assert "file 19\n" in text
    assert "file 20\n" not in text
    assert "and 30 more; --json has all" in text


def test_nothing_left_is_told_as_such(show: Callable[[Report], str]) -> None:
    report = describe(Survey(Corpus("x", "y", (), (), {"emodb": ("sad",)}), (), ("all of it is silent",)))
    assert (report.n_clips, report.lengths.total_h, report.parts[0].missing) == (0, 0, ("sad",))
    assert "emodb should have sad, but no such clip is there" in show(report)
