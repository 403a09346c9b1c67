from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from realtime.errors import CorpusError
from training.corpora.tables import read_table


@pytest.fixture
def folder(made_up: Any, tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.wav", "deep/b.flac", "c.wav")):
        made_up.write(tmp_path / name, seed=seed)
    return tmp_path


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "Mine.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_lines_become_clips(folder: Path) -> None:
    corpus = read_table(table(folder, "path,label,speaker\na.wav,happy,anna\ndeep/b.flac, Boredom ,ben\n"))
    first, second = corpus.clips
    assert (first.path, first.label, first.speaker) == (folder / "a.wav", "happy", "anna")
    assert (first.corpus, first.channel, first.intensity) == ("mine", "speech", None)
    assert (second.path, second.label, second.speaker) == (folder / "deep/b.flac", "boredom", "ben")
    assert corpus.name == "mine"
    assert corpus.labels == {"mine": ("happy", "boredom")}
    assert {speaker for fold in corpus.folds for speaker in fold} == {"anna", "ben"}
    assert "Mine.csv" in corpus.licence


def test_spreadsheets_mark_order_and_channels(folder: Path) -> None:
    text = '\ufeffspeaker,notes,channel,label,path\r\nanna,"x, y",Song,sad,a.wav\r\nanna,,,sad,c.wav\r\n'
    corpus = read_table(table(folder, text))
    assert [clip.channel for clip in corpus.clips] == ["song", "speech"]
    assert {clip.speaker for clip in corpus.clips} == {"anna"}


def test_columns_are_named_in_any_case_with_spaces_around_them(folder: Path) -> None:
    (clip,) = read_table(table(folder, "Path, LABEL, Speaker, channel\na.wav, sad, anna, song\n")).clips
    assert (clip.path, clip.label, clip.speaker) == (folder / "a.wav", "sad", "anna")
    assert clip.channel == "song"


def test_absolute_paths_are_taken_as_they_are(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    corpus = read_table(table(other, f"path,label,speaker\n{folder / 'a.wav'},sad,anna\n"))
    assert corpus.clips[0].path == folder / "a.wav"


def test_it_may_be_named(folder: Path) -> None:
    corpus = read_table(table(folder, "path,label,speaker\na.wav,sad,anna\n"), "theirs")
    assert (corpus.name, corpus.clips[0].corpus, list(corpus.labels)) == ("theirs", "theirs", ["theirs"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column path nor label nor speaker in ''"),
        ("path,label\na.wav,sad\n", "line 1: no column speaker in 'path,label'; wanted path,label,speaker"),
        ("path;label;speaker\na.wav;sad;x\n", "separated by commas"),
        ("path,label,speaker\n", "lists no recording"),
        ("path,label,speaker\na.wav,sad,x\nb.wav,sad,x\n", "line 3: .*b.wav is not a file"),
        ("path,label,speaker\na.wav,sad,x\n\na.wav,sad, \n", "line 4: speaker empty"),
        ("path,label,speaker\na.wav\n", "line 2: label and speaker empty"),
        ("path,label,speaker\n,sad,x\n", "line 2: path empty"),
        ("path,label,speaker,channel\na.wav,sad,x,hum\n", "line 2: channel is 'hum'; wanted speech or song"),
        (b"path,label,speaker\na.wav,sad,M\xfcller\n", "not in UTF-8"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(folder: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=rf"Mine\.csv.*{message}"):
        read_table(table(folder, text))


def test_a_missing_table_is_refused(folder: Path) -> None:
    with pytest.raises(CorpusError, match=r"none\.csv cannot be opened: No such file"):
        read_table(folder / "none.csv")
