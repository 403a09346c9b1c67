from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from realtime.errors import CorpusError
from training.corpora import LAYOUTS, read_folder
from training.corpora.folders import find_gaps, recognise

if TYPE_CHECKING:
    from training.corpora import Layout


def test_every_corpus_is_read(layout: Layout, made_up: Any, tmp_path: Path) -> None:
    corpus = read_folder(layout, made_up.corpus(layout.name, tmp_path))
    expected = made_up.clips(layout.name, tmp_path)
    assert sorted(corpus.clips, key=str) == sorted(expected, key=str)
    assert (corpus.name, corpus.licence) == (layout.title, layout.licence)
    assert corpus.labels == {layout.name: layout.labels}
    assert not corpus.warnings
    speakers = {clip.speaker for clip in corpus.clips}
    if not layout.folds:
        assert {speaker for fold in corpus.folds for speaker in fold} == speakers


def test_the_order_does_not_depend_on_folders(layout: Layout, made_up: Any, tmp_path: Path) -> None:
    names = [clip.path.name for clip in read_folder(layout, made_up.corpus(layout.name, tmp_path)).clips]
    assert names == sorted(names)


def test_a_missing_folder_is_refused(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=f"not a folder; wanted the {layout.title} .*{layout.name}=FOLDER"):
        read_folder(layout, tmp_path / "nowhere")


def test_an_empty_folder_is_refused(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=f"holds no {layout.title} recording; wanted FLAC or WAV"):
        read_folder(layout, tmp_path)


def test_what_carries_no_label_is_named(layout: Layout, made_up: Any, tmp_path: Path) -> None:
    made_up.corpus(layout.name, tmp_path)
    made_up.write(tmp_path / "hello.wav")
    (tmp_path / "notes.txt").touch()
    # What macOS puts into archives beside each file.
    (tmp_path / "._hello.wav").touch()
    (line,) = read_folder(layout, tmp_path).warnings
    assert line.startswith(str(tmp_path / "hello.wav"))
    assert layout.example in line


def test_each_is_recognised(layout: Layout, made_up: Any, tmp_path: Path) -> None:
    assert recognise(made_up.corpus(layout.name, tmp_path)) is layout


def test_what_is_none_or_several_is_not_recognised(made_up: Any, tmp_path: Path) -> None:
    made_up.write(tmp_path / "hello.wav")
    with pytest.raises(CorpusError, match=r"1 FLAC and WAV files of other names; wanted .*ravdess.*\.csv"):
        recognise(tmp_path)
    made_up.corpus("tess", tmp_path / "a")
    made_up.corpus("emodb", tmp_path / "b")
    with pytest.raises(CorpusError, match=r"names of tess and of emodb; wanted .*NAME="):
        recognise(tmp_path)


def test_gaps_are_told_in_numbers(layout: Layout, made_up: Any, tmp_path: Path) -> None:
    corpus = read_folder(layout, made_up.corpus(layout.name, tmp_path))
    lines = find_gaps(layout, tmp_path, corpus.clips)
    assert len(lines) == len(layout.n_clips)
    for (channel, n), line in zip(layout.n_clips.items(), lines, strict=True):
        n_there = sum(clip.channel == channel for clip in corpus.clips)
        assert f"{n_there} of {n} {channel} recordings are there, {n - n_there} are missing" in line


def test_channels_that_are_not_there_at_all_are_no_gap(made_up: Any, tmp_path: Path) -> None:
    made_up.write(tmp_path / "03-01-01-01-01-01-01.wav")
    layout = LAYOUTS["ravdess"]
    (line,) = find_gaps(layout, tmp_path, read_folder(layout, tmp_path).clips)
    assert "1 of 1440 speech" in line


def test_copies_fill_no_gap(made_up: Any, tmp_path: Path) -> None:
    for folder in "ab":
        made_up.write(tmp_path / folder / "03-01-01-01-01-01-01.wav")
    layout = LAYOUTS["ravdess"]
    (line,) = find_gaps(layout, tmp_path, read_folder(layout, tmp_path).clips)
    assert "1 of 1440 speech" in line


@pytest.mark.parametrize("place", ["savee/x.part", "savee/deep/x.part", "savee.zip.part", "SAVEE.tar.part"])
def test_downloads_that_go_on_are_told(made_up: Any, tmp_path: Path, place: str) -> None:
    folder = made_up.corpus("savee", tmp_path / "savee")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).touch()
    (tmp_path / "tess.zip.part").touch()
    layout = LAYOUTS["savee"]
    first, _ = find_gaps(layout, folder, read_folder(layout, folder).clips)
    assert "1 file not downloaded to the end" in first
    assert Path(place).name in first
