from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from realtime.errors import CorpusError
from realtime.types import LABELS
from training.corpora import Clip, default_folder, parse_ravdess, read_ravdess


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_a_name_tells_everything() -> None:
    path = Path("a/03-02-06-02-01-02-11.flac")
    assert parse_ravdess(path) == Clip(path, "fearful", "ravdess-11", "ravdess", "song", "strong")


def test_every_emotion_has_its_label() -> None:
    found = [parse_ravdess(Path(f"03-01-{number:02d}-01-01-01-01.wav")) for number in range(1, 9)]
    assert tuple(clip.label for clip in found if clip is not None) == LABELS


@pytest.mark.parametrize(
    "name",
    [
        "hello",
        "03-01-09-01-01-01-01",
        "03-01-00-01-01-01-01",
        "01-01-01-01-01-01-01",
        "03-03-01-01-01-01-01",
        "03-01-01-01-01-01-01 (1)",
    ],
)
def test_other_names_carry_no_label(name: str) -> None:
    assert parse_ravdess(Path(f"{name}.wav")) is None


def test_the_order_does_not_depend_on_folders(tmp_path: Path) -> None:
    touch(tmp_path / "z", "03-01-01-01-01-01-01.flac")
    touch(tmp_path / "a", "03-01-02-01-01-01-01.wav")
    assert [clip.label for clip in read_ravdess(tmp_path).clips] == ["neutral", "calm"]


def test_what_carries_no_label_is_named_and_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "03-01-01-01-01-01-01.flac", "hello.wav", "notes.txt")
    corpus = read_ravdess(tmp_path)
    assert len(corpus.clips) == 1
    assert len(corpus.warnings) == 1
    assert "hello.wav" in corpus.warnings[0]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"is not a folder; wanted the RAVDESS .*as ravdess=FOLDER"):
        read_ravdess(tmp_path / "nowhere")


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no RAVDESS recording; wanted"):
        read_ravdess(tmp_path)
    touch(tmp_path, "hello.wav")
    with pytest.raises(CorpusError, match=r"1 names carry no label"):
        read_ravdess(tmp_path)


def test_folds_come_from_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "03-01-01-01-01-01-01.flac")
    (tmp_path / "folds.json").write_text(json.dumps({"test_actors": [[1, 2], [3]]}))
    assert read_ravdess(tmp_path).folds == (("ravdess-01", "ravdess-02"), ("ravdess-03",))


def test_without_a_file_the_folds_are_the_published_ones(tmp_path: Path) -> None:
    touch(tmp_path, "03-01-01-01-01-01-01.flac")
    folds = read_ravdess(tmp_path).folds
    assert [len(fold) for fold in folds] == [4] * 6
    assert {speaker for fold in folds for speaker in fold} == {f"ravdess-{n:02d}" for n in range(1, 25)}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"test_actors": 3}', '{"test_actors": [["1"]]}', '{"test_actors": [[1], [1]]}']
)
def test_folds_that_cannot_be_used_are_refused(tmp_path: Path, text: str) -> None:
    touch(tmp_path, "03-01-01-01-01-01-01.flac")
    (tmp_path / "folds.json").write_text(text)
    with pytest.raises(CorpusError, match=r"folds\.json"):
        read_ravdess(tmp_path)


def test_the_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONEWATCH_DATA", "/somewhere")
    assert default_folder("ravdess") == Path("/somewhere/ravdess")
    monkeypatch.delenv("TONEWATCH_DATA")
    assert default_folder("ravdess") == Path("../shared/data/ravdess")


@pytest.mark.corpus
def test_the_whole_corpus_is_read(ravdess: Path) -> None:
    corpus = read_ravdess(ravdess)
    assert not corpus.warnings
    assert Counter(clip.channel for clip in corpus.clips) == {"speech": 1440, "song": 1009}
    counts = Counter(clip.label for clip in corpus.clips)
    assert [counts[label] for label in LABELS] == [187, 375, 375, 376, 376, 376, 192, 192]
    assert len({clip.speaker for clip in corpus.clips}) == 24
    # The folds in the folder are the published ones, which stand in the code.
    from training.corpora import LAYOUTS

    assert corpus.folds == LAYOUTS["ravdess"].folds
