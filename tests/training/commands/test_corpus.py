from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from realtime.errors import CorpusError, SettingsError
from training.commands import corpus


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wav").mkdir()
    for seed, name in enumerate(("03a01Fa", "03a01Ld", "08a01Wa")):
        samples = 0.1 * np.random.default_rng(seed).standard_normal(8000)
        soundfile.write(tmp_path / "wav" / f"{name}.wav", samples, 16_000)
    soundfile.write(tmp_path / "wav" / "08a01Ta.wav", np.zeros(8000), 16_000)
    return tmp_path


def run(folder: Path, *arguments: str) -> None:
    parser = argparse.ArgumentParser()
    corpus.add(parser.add_subparsers())
    parsed = parser.parse_args(["corpus", *arguments, "--cache", str(folder / "cache"), "--jobs", "1"])
    parsed.run(parsed)


def test_people_get_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, str(folder / "wav"))
    text = capsys.readouterr().out
    assert text.startswith("EmoDB: 2 clips")
    assert "08a01Ta.wav: is silent" in text
    assert "--map boredom=LABEL" in text
    assert (folder / "cache").is_dir()


def test_programs_get_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, f"emodb={folder / 'wav'}", "--json", "--map", "boredom=calm")
    found = json.loads(capsys.readouterr().out)
    assert found["n_clips"] == 3
    assert found["parts"][0]["n_by_label"] == {
        "calm": {"speech": 1},
        "happy": {"speech": 1},
        "angry": {"speech": 1},
    }
    assert len(found["left_out"]) == 1


def test_ravdess_is_looked_for_where_nothing_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONEWATCH_DATA", str(folder / "nowhere"))
    with pytest.raises(CorpusError, match=r"nowhere.ravdess is not a folder"):
        run(folder)


def test_what_cannot_be_is_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="--map is 'boredom'"):
        run(folder, str(folder / "wav"), "--map", "boredom")


def test_help_comes_without_loading_what_reads_audio() -> None:
    program = (
        "import argparse, sys; from training.commands import corpus; "
        "corpus.add(argparse.ArgumentParser().add_subparsers()); "
        "print(sorted({'numpy', 'soundfile', 'rich', 'joblib', 'tensorflow'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) <= {"[]", "['numpy']"}
