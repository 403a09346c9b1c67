from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from realtime import analysis, classifier
from realtime.errors import SourceError
from realtime.speaker import Voice, blend_others
from realtime.voices import know_voices

if TYPE_CHECKING:
    from realtime.analysis import Analysis
    from realtime.loaded import LoadedModel
    from tests.conftest import MakeVoice


def voice(value: float, heard_s: float, *, usual: list[float] | None = None) -> Voice:
    return Voice(
        np.full((2, 3), value, dtype=np.float32),
        heard_s,
        None if usual is None else np.asarray(usual, dtype=np.float32),
    )


def test_each_recording_is_told_of_the_others() -> None:
    found = blend_others([voice(1, 3), voice(2, 9), None, voice(4, 3)])
    assert [(v.moments[0, 0], v.heard_s) for v in found if v is not None] == [
        pytest.approx((2.5, 12)),
        pytest.approx((2.5, 6)),
        pytest.approx((33 / 15, 15)),
        pytest.approx((1.75, 12)),
    ]
    first = found[0]
    assert first is not None
    assert first.moments.shape == (2, 3)
    assert first.moments.dtype == np.float32
    assert first.usual is None


def test_usual_labels_are_of_the_others_too() -> None:
    found = blend_others(
        [voice(0, 3, usual=[1, 0]), voice(0, 3, usual=[0, 1]), voice(0, 6, usual=[0.5, 0.5])]
    )
    usual = [v.usual.tolist() for v in found if v is not None and v.usual is not None]
    assert usual == [pytest.approx([1 / 3, 2 / 3]), pytest.approx([2 / 3, 1 / 3]), pytest.approx([0.5, 0.5])]


def test_who_was_heard_nowhere_else_is_new() -> None:
    assert blend_others([]) == []
    assert blend_others([None, None]) == [None, None]
    lonely, deaf = blend_others([voice(1e6, 3), None])
    assert lonely is None
    assert deaf is not None
    assert deaf.heard_s == 3


def judged(path: Path) -> Analysis:
    """Hear of each file as much as its name says, and nothing in those without a number."""
    if path.stem == "broken":
        raise SourceError(f"{path}: no audio")
    heard = voice(float(path.stem), 3) if path.stem.isdigit() else None
    return analysis.Analysis(path, (), 3, (), "", 0, np.zeros(0, dtype=np.float32), None, heard)


def means(found: dict[Path, Voice | None]) -> dict[str, float | None]:
    return {str(path): None if one is None else float(one.moments[0, 0]) for path, one in found.items()}


def test_files_are_of_one_speaker_or_of_each_folders() -> None:
    files = [
        Path(name) for name in ("a/1.wav", "a/3.wav", "b/7.wav", "a/quiet.wav", "a/broken.wav", "a/1.wav")
    ]
    assert means(know_voices(files, judged, "folder")) == {
        "a/1.wav": 3,
        "a/3.wav": 1,
        "b/7.wav": None,
        "a/quiet.wav": 2,
        "a/broken.wav": 2,
    }
    assert means(know_voices(files, judged, "all"))["b/7.wav"] == 2


def test_folders_are_the_same_however_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / "a" / "1.wav", Path("a/3.wav"), Path("a/../a/5.wav")]
    assert [*means(know_voices(files, judged, "folder")).values()] == [4, 3, 2]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return classifier.load("pair-88")


def test_a_recording_is_heard_as_if_behind_the_others(
    model: LoadedModel, tmp_path: Path, make_voice: MakeVoice
) -> None:
    voices = [make_voice(3.0, seed=seed) for seed in (1, 2)]
    files = [tmp_path / "1.wav", tmp_path / "2.wav"]
    for path, samples in zip(files, voices, strict=True):
        soundfile.write(path, samples, 16_000, subtype="FLOAT")
    known = know_voices(files, lambda path: analysis.analyze(path, model), "all")
    found = analysis.analyze(files[1], model, voice=known[files[1]])
    # Two windows apart, of one stream.
    behind = tmp_path / "both.wav"
    soundfile.write(behind, np.concatenate(voices), 16_000, subtype="FLOAT")
    *_, last = analysis.analyze(behind, model, hop_s=3.0).predictions
    (alone,), (only,) = analysis.analyze(files[1], model).predictions, found.predictions
    np.testing.assert_allclose(only.probabilities, last.probabilities, atol=1e-3)
    assert np.abs(np.subtract(only.probabilities, alone.probabilities)).max() > 0.01
