from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from realtime.types import LABELS
from training.corpora import LAYOUTS
from training.corpora.known import TESS

if TYPE_CHECKING:
    from training.corpora import Layout


def test_every_name_tells_everything(layout: Layout, made_up: Any) -> None:
    clips = made_up.clips(layout.name, Path("somewhere"))
    assert [layout.parse(clip.path) for clip in clips] == clips


def test_the_examples_have_every_emotion(layout: Layout, made_up: Any) -> None:
    assert {clip.label for clip in made_up.clips(layout.name, Path())} == set(layout.labels)
    assert len(layout.labels) == len(set(layout.labels))
    ours = [label for label in LABELS if label in layout.labels]
    assert list(layout.labels[: len(ours)]) == ours


def test_no_other_corpus_takes_them_for_its_own(layout: Layout, made_up: Any) -> None:
    for clip in made_up.clips(layout.name, Path("somewhere")):
        assert [name for name, other in LAYOUTS.items() if other.parse(clip.path)] == [layout.name]


def test_published_names_are_believed(layout: Layout, made_up: Any) -> None:
    for clip in made_up.clips(layout.name, Path("somewhere")):
        assert layout.contradiction(clip.path) is None


@pytest.mark.parametrize("name", ["hello", "", "x{}", "{}x1", "{} (1)", "{}-copy"])
def test_other_names_carry_no_label(layout: Layout, made_up: Any, name: str) -> None:
    for clip in made_up.clips(layout.name, Path("somewhere")):
        stem = name.format(clip.path.stem)
        if stem != clip.path.stem:
            assert layout.parse(clip.path.with_name(f"{stem or '.'}.wav")) is None


def test_descriptions_are_whole(layout: Layout) -> None:
    assert re.fullmatch(r"[a-z-]+", layout.name)
    assert layout.licence.startswith(f"trained on {layout.title} (")
    assert re.search(r"(19|20)\d\d", layout.licence)
    assert "," in layout.example or "-" in layout.example
    assert sum(layout.n_clips.values()) > 400
    assert {"speaker", "emotion"} <= set(layout.pattern.groupindex)
    assert set(layout.folder_emotions.values()) <= set(layout.labels)
    if layout.folder is not None:
        assert set(layout.folder.groupindex) <= {"speaker", "emotion"}


@pytest.mark.parametrize(
    ("name", "path", "reason"),
    [
        ("ravdess", "Actor_05/03-01-05-01-01-01-06.wav", "is of ravdess-05, its name says ravdess-06"),
        ("ravdess", "Actor_01/03-01-01-02-01-01-01.wav", "neutral and strong"),
        ("ravdess", "Actor_01/03-02-07-01-01-01-01.wav", "song with disgust"),
        ("ravdess", "Actor_01/03-02-08-02-01-01-01.wav", "song with disgust or surprise"),
        ("nemo", "EB0/IC0_anger_1.flac", "is of nemo-EB0, its name says nemo-IC0"),
        ("tess", "OAF_Fear/OAF_back_happy.wav", "is of 'fearful', its name says 'happy'"),
        ("tess", "YAF_pleasant_surprised/YAF_back_sad.wav", "is of 'surprised', its name says 'sad'"),
        ("tess", "YAF_happy/OAF_back_happy.wav", "is of tess-YAF, its name says tess-OAF"),
        ("savee", "DC/JE_a01.wav", "is of savee-DC, its name says savee-JE"),
        ("emovo", "f1/dis-f2-b1.wav", "is of emovo-f1, its name says emovo-f2"),
    ],
)
def test_what_was_renamed_is_not_believed(name: str, path: str, reason: str) -> None:
    found = LAYOUTS[name].contradiction(Path("somewhere", path))
    assert found is not None
    assert reason in found


def test_folders_that_say_nothing_contradict_nothing() -> None:
    assert TESS.contradiction(Path("OAF_new/OAF_back_happy.wav")) is None
    assert TESS.contradiction(Path("hello.wav")) is None
