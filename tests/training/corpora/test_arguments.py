from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from realtime.errors import CorpusError
from realtime.types import LABELS
from training.corpora import LAYOUTS, open_corpora

if TYPE_CHECKING:
    from training.corpora import Layout


@pytest.fixture
def data(made_up: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with every known corpus, and a list."""
    for name in LAYOUTS:
        made_up.corpus(name, tmp_path / name)
    made_up.write(tmp_path / "own" / "a.wav", seed=7777)
    (tmp_path / "own" / "mine.csv").write_text("path,label,speaker\na.wav,happy,anna\n")
    monkeypatch.setenv("TONEWATCH_DATA", str(tmp_path))
    return tmp_path


def test_every_corpus_is_found_in_each_way(layout: Layout, data: Path, made_up: Any) -> None:
    named = open_corpora([layout.name], {"boredom": "calm"})
    assert {clip.path for clip in named.clips} == {
        clip.path for clip in made_up.clips(layout.name, data / layout.name)
    }
    assert named == open_corpora([f"{layout.name}={data / layout.name}"], {"boredom": "calm"})
    assert named == open_corpora([str(data / layout.name)], {"boredom": "calm"})
    assert all(clip.label in LABELS for clip in named.clips)


def test_all_are_combined(data: Path) -> None:
    arguments = [*LAYOUTS, str(data / "own" / "mine.csv")]
    corpus = open_corpora(arguments)
    assert corpus.name == "RAVDESS + nEMO + CREMA-D + TESS + SAVEE + EmoDB + EMOVO + mine"
    assert list(corpus.labels) == [*LAYOUTS, "mine"]
    assert all(layout.licence in corpus.licence for layout in LAYOUTS.values())
    ones = [open_corpora([argument]) for argument in arguments]
    assert corpus.clips == tuple(clip for one in ones for clip in one.clips)
    assert len(corpus.folds) == 6
    for i, fold in enumerate(corpus.folds):
        assert fold == tuple(speaker for one in ones if i < len(one.folds) for speaker in one.folds[i])
    speakers = [speaker for fold in corpus.folds for speaker in fold]
    assert len(speakers) == len(set(speakers))
    assert {clip.speaker for clip in corpus.clips} <= set(speakers)


def test_the_order_of_the_arguments_does_not_matter(data: Path) -> None:
    own = str(data / "own" / "mine.csv")
    assert open_corpora([own, "tess", "ravdess"]) == open_corpora(["ravdess", own, "tess"])


def test_labels_say_what_a_corpus_could_have(data: Path) -> None:
    labels = open_corpora(["nemo", "ravdess", str(data / "own" / "mine.csv")]).labels
    assert labels["ravdess"] == LABELS
    assert labels["nemo"] == ("neutral", "happy", "sad", "angry", "fearful", "surprised")
    assert labels["mine"] == ("happy",)


@pytest.mark.usefixtures("data")
def test_foreign_labels_are_left_out_with_one_line() -> None:
    corpus = open_corpora(["emodb"])
    assert {clip.label for clip in corpus.clips} <= set(LABELS)
    assert len(corpus.clips) == 6
    (line,) = [line for line in corpus.warnings if "boredom" in line]
    assert "1 clip of emodb" in line
    assert "--map boredom=LABEL" in line
    assert corpus.labels == {"emodb": ("neutral", "happy", "sad", "angry", "fearful", "disgust")}


@pytest.mark.usefixtures("data")
def test_a_map_gives_them_ours() -> None:
    corpus = open_corpora(["emodb", "ravdess"], {"Boredom": "calm", "calm": "neutral"})
    assert len([clip for clip in corpus.clips if clip.corpus == "emodb"]) == 7
    assert not [line for line in corpus.warnings if "boredom" in line]
    # Maps are not applied twice: boredom is calm, and calm is neutral.
    assert {clip.label for clip in corpus.clips if "03a01L" in clip.path.name} == {"calm"}
    assert "calm" in corpus.labels["emodb"]
    assert corpus.labels["ravdess"] == tuple(label for label in LABELS if label != "calm")
    assert not [clip for clip in corpus.clips if clip.corpus == "ravdess" and clip.label == "calm"]


@pytest.mark.usefixtures("data")
def test_folds_do_not_depend_on_the_map() -> None:
    assert open_corpora(["emodb"]).folds == open_corpora(["emodb"], {"boredom": "sad"}).folds


@pytest.mark.usefixtures("data")
def test_maps_of_nothing_are_told() -> None:
    (line,) = [line for line in open_corpora(["tess"], {"boredem": "calm"}).warnings if "boredem" in line]
    assert "no corpus has it" in line


@pytest.mark.usefixtures("data")
def test_maps_to_nothing_are_refused() -> None:
    with pytest.raises(CorpusError, match="'boredom' is mapped to 'bored'; wanted one of neutral"):
        open_corpora(["emodb"], {"boredom": "bored"})


def test_a_list_of_nothing_known_is_refused(data: Path) -> None:
    path = data / "own" / "foreign.csv"
    path.write_text("path,label,speaker\na.wav,joy,anna\n")
    with pytest.raises(CorpusError, match=r"no clip of foreign .*1 clip .*'joy'.*--map joy=LABEL"):
        open_corpora([str(path)])
    assert open_corpora([str(path)], {"joy": "happy"}).clips[0].label == "happy"


@pytest.mark.usefixtures("data")
def test_gaps_are_told_first() -> None:
    lines = open_corpora(["ravdess"]).warnings
    assert "1440 speech" in lines[0]
    assert "1012 song" in lines[1]


def test_a_corpus_is_given_once(data: Path) -> None:
    with pytest.raises(CorpusError, match="tess is given twice"):
        open_corpora(["tess", f"tess={data / 'tess'}"])
    other = data / "mine.csv"
    other.write_text("path,label,speaker\nown/a.wav,happy,ben\n")
    with pytest.raises(CorpusError, match=r"mine is given twice.*NAME=FILE\.csv"):
        open_corpora([str(other), str(data / "own" / "mine.csv")])
    corpus = open_corpora([f"other={other}", str(data / "own" / "mine.csv")])
    assert list(corpus.labels) == ["mine", "other"]


def test_a_speaker_in_two_folds_is_refused(data: Path, made_up: Any) -> None:
    (data / "ravdess" / "folds.json").write_text(json.dumps({"test_actors": [[1, 2], [3]]}))
    path = data / "own" / "again.csv"
    rows = ["path,label,speaker"]
    for speaker in ("a", "b", "ravdess-01"):
        made_up.write(data / "own" / f"{speaker}.wav")
        rows.append(f"{speaker}.wav,sad,{speaker}")
    path.write_text("\n".join(rows))
    with pytest.raises(CorpusError, match="'ravdess-01' is in several corpora and would stand in two folds"):
        open_corpora(["ravdess", str(path)])
    # In the same fold of both there is nothing against it.
    path.write_text("path,label,speaker\na.wav,sad,ravdess-01\n")
    assert open_corpora(["ravdess", str(path)]).folds[0] == ("ravdess-01", "ravdess-02")


@pytest.mark.parametrize("argument", ["nothing", "nothing=here", "", "tess="])
def test_what_is_nothing_is_refused(argument: str) -> None:
    with pytest.raises(CorpusError, match=r"is no corpus, folder or \.csv file; wanted one of ravdess"):
        open_corpora([argument])


def test_no_argument_is_refused() -> None:
    with pytest.raises(CorpusError, match="no corpus is named"):
        open_corpora([])


@pytest.mark.corpus
def test_the_real_recordings_are_opened(ravdess: Path) -> None:
    corpus = open_corpora([str(ravdess)])
    assert len(corpus.clips) == 2449
    (line,) = corpus.warnings
    assert "1009 of 1012 song recordings are there, 3 are missing" in line
