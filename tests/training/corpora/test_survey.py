from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.corpora import Corpus, open_corpora, read_ravdess
from training.corpora.survey import MIN_PEAK_DBFS, Survey, survey
from training.workers import Workers


def name(actor: int, emotion: int = 3, repetition: int = 1) -> str:
    return f"Actor_{actor:02d}/03-01-{emotion:02d}-01-01-{repetition:02d}-{actor:02d}.wav"


@pytest.fixture
def folder(made_up: Any, tmp_path: Path) -> Path:
    """Three good recordings."""
    for actor in (1, 2, 3):
        made_up.write(tmp_path / "data" / name(actor), seed=actor)
    return tmp_path / "data"


def look(corpus: Corpus, folder: Path) -> Survey:
    found = survey(corpus, cache=folder.parent / "cache", workers=Workers())
    assert len(found.facts) == len(found.corpus.clips)
    assert len(found.facts) + len(found.left_out) == len(corpus.clips)
    return found


def bad(folder: Path, path: Path) -> str:
    """Return the one line about this path; the three good ones stay."""
    found = look(read_ravdess(folder), folder)
    assert len(found.corpus.clips) == 3
    assert path not in {clip.path for clip in found.corpus.clips}
    (line,) = found.left_out
    assert line.startswith(f"{path}: ")
    return line


def copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    return target


def test_good_recordings_stay_with_their_facts(folder: Path) -> None:
    corpus = read_ravdess(folder)
    found = look(corpus, folder)
    assert found.corpus == corpus
    assert not found.left_out
    for clip, facts in zip(found.corpus.clips, found.facts, strict=True):
        assert facts.file_sha256 == hashlib.sha256(clip.path.read_bytes()).hexdigest()
        assert (facts.n_samples, facts.sample_rate, facts.duration_s) == (4800, 16_000, 0.3)
        assert -22 < facts.level_dbfs < -18 < facts.peak_dbfs < 0


def test_the_second_time_is_the_same(folder: Path) -> None:
    copy(folder / name(1), folder / name(9)).write_bytes(b"no audio")
    corpus = read_ravdess(folder)
    assert look(corpus, folder) == look(corpus, folder)


def test_all_files_are_reported_as_done(folder: Path) -> None:
    done: list[int] = []
    for _ in range(2):
        survey(read_ravdess(folder), cache=folder.parent / "cache", workers=Workers(), advance=done.append)
    assert sum(done) == 6


def test_folds_stay(folder: Path, made_up: Any) -> None:
    made_up.write(folder / name(4), np.zeros(8000))
    corpus = read_ravdess(folder)
    assert look(corpus, folder).corpus.folds == corpus.folds


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b"hello", "cannot be read")])
def test_what_cannot_be_read_is_left_out(folder: Path, content: bytes, reason: str) -> None:
    path = copy(folder / name(1), folder / name(4))
    path.write_bytes(content)
    assert reason in bad(folder, path)


def test_what_is_cut_short_is_left_out(folder: Path, made_up: Any) -> None:
    path = made_up.write(folder / name(4), seed=4)
    path.write_bytes(path.read_bytes()[:-100])
    assert "cut short" in bad(folder, path)


def test_silence_is_left_out(folder: Path, made_up: Any) -> None:
    path = made_up.write(folder / name(4), np.zeros(8000))
    assert "is silent: its peak is -120 dBFS" in bad(folder, path)
    made_up.write(path, 10 ** ((MIN_PEAK_DBFS - 1) / 20) * np.sin(np.arange(9000)))
    assert "is silent: its peak is -61 dBFS" in bad(folder, path)


def test_soft_voices_stay(folder: Path, made_up: Any) -> None:
    made_up.write(folder / name(4), 10 ** ((MIN_PEAK_DBFS + 1) / 20) * np.sin(np.arange(8000)))
    assert not look(read_ravdess(folder), folder).left_out


def test_short_ones_are_left_out(folder: Path, made_up: Any) -> None:
    path = made_up.write(folder / name(4), made_up.sound(4, seconds=0.09))
    assert "is too short: 0.090 s" in bad(folder, path)


def test_clipped_ones_are_left_out(folder: Path, made_up: Any) -> None:
    time_s = np.arange(16_000) / 16_000
    voice = np.sin(2 * np.pi * 150 * time_s) * (0.3 + np.abs(np.sin(2 * np.pi * time_s)))
    path = made_up.write(folder / name(4), np.clip(voice, -0.7, 0.7))
    assert "is clipped: " in bad(folder, path)
    made_up.write(path, 0.5 * voice[:15_000])
    assert not look(read_ravdess(folder), folder).left_out


def test_a_flat_top_here_and_there_is_no_loss(folder: Path, made_up: Any) -> None:
    samples = made_up.sound(4, seconds=2)
    samples[1000:1010] = np.abs(samples).max()
    made_up.write(folder / name(4), samples)
    assert not look(read_ravdess(folder), folder).left_out


def test_twins_are_left_out_and_named(folder: Path) -> None:
    path = copy(folder / name(1), folder / name(1, repetition=2))
    assert bad(folder, path).endswith(f"sounds exactly as {folder / name(1)}")


def test_twins_that_contradict_each_other_say_so(folder: Path) -> None:
    path = copy(folder / name(1), folder / name(1, emotion=4))
    assert "with the label 'happy' there and 'sad' here: one of them is wrong" in bad(folder, path)
    path.unlink()
    path = copy(folder / name(1), folder / name(4, emotion=4))
    assert "the label 'happy' there and 'sad' here and the speaker 'ravdess-01' there" in bad(folder, path)


def test_copies_in_another_folder_are_left_out(folder: Path) -> None:
    # As one distribution of RAVDESS holds all its folders twice.
    path = copy(folder / name(1), folder / "nested" / name(1))
    assert "sounds exactly as" in bad(folder, path)


def test_what_cannot_be_used_is_nobody_s_twin(folder: Path, made_up: Any) -> None:
    for actor in (4, 5):
        made_up.write(folder / name(actor), np.zeros(8000))
    assert all("silent" in line for line in look(read_ravdess(folder), folder).left_out)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("Actor_05/03-01-03-01-01-01-06.wav", "its folder Actor_05 is of ravdess-05"),
        ("Actor_05/03-01-01-02-01-01-05.wav", "neutral and strong"),
    ],
)
def test_what_was_renamed_is_left_out(folder: Path, made_up: Any, path: str, reason: str) -> None:
    assert reason in bad(folder, made_up.write(folder / path, seed=9))


def test_lists_are_believed_whatever_names_say(folder: Path, made_up: Any) -> None:
    path = folder / "mine.csv"
    made_up.write(folder / "OAF_Fear/OAF_back_happy.wav", seed=8)
    path.write_text("path,label,speaker\nOAF_Fear/OAF_back_happy.wav,sad,x\n")
    assert not look(open_corpora([str(path)]), folder).left_out
    path.write_text("path,label,speaker\n" + 2 * "OAF_Fear/OAF_back_happy.wav,sad,x\n")
    assert "is listed twice" in look(open_corpora([str(path)]), folder).left_out[0]


@pytest.mark.corpus
@pytest.mark.slow
def test_of_the_real_recordings_one_is_a_twin(ravdess: Path, tmp_path: Path) -> None:
    corpus = read_ravdess(ravdess)
    found = survey(corpus, cache=tmp_path, workers=Workers(2))
    (line,) = found.left_out
    # So they were published: the same sound under two names.
    assert "03-01-03-01-02-02-07" in line
    assert "03-01-03-01-02-01-07" in line
    start_s = time.perf_counter()
    assert survey(corpus, cache=tmp_path, workers=Workers(2)) == found
    assert time.perf_counter() - start_s < 0.5
