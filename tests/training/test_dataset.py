from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from realtime.activity import hears_voice
from realtime.errors import CorpusError, SourceError
from realtime.features import WindowExtractor
from realtime.sources.file import FileSource
from training import corpora, dataset

if TYPE_CHECKING:
    from training.corpora import Clip, Corpus
    from training.dataset import Extraction, Windows
    from training.recipes import Recipe


def same(first: Windows, second: Windows) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("clip", "copy", "features", "voiced")
    )


@pytest.fixture
def clips(corpus: Corpus) -> list[Clip]:
    return list(corpus.clips[:5])


def extract(recipe: Recipe, clips: list[Clip], cache: Path, *, seed: int = 1, n_jobs: int = 1) -> Extraction:
    return dataset.extract(recipe, clips, seed=seed, cache=cache, n_jobs=n_jobs)


def test_windows_are_those_that_a_stream_would_give(
    recipe: Recipe, clips: list[Clip], tmp_path: Path
) -> None:
    windows = extract(recipe, clips, tmp_path).windows
    for index, clip in enumerate(clips):
        live = WindowExtractor(recipe.features, window=recipe.window, hop=recipe.hop)
        with FileSource(clip.path, recipe.features.sample_rate, fast=True) as source:
            due = [window for chunk in source for window in live.push(chunk.samples)]
        due += live.finish()
        rows = (windows.clip == index) & (windows.copy == 0)
        assert np.array_equal(windows.features[rows], [window.features for window in due])
        assert windows.voiced[rows].tolist() == [
            hears_voice(window.rms, window.harmonicity) for window in due
        ]


def test_copies_differ_from_the_clip_and_from_each_other(
    recipe: Recipe, clips: list[Clip], tmp_path: Path
) -> None:
    two = replace(recipe, copies=replace(recipe.copies, n=2))
    windows = extract(two, clips, tmp_path).windows
    assert set(windows.copy) == {0, 1, 2}
    firsts = [windows.features[(windows.clip == 0) & (windows.copy == copy)][0] for copy in range(3)]
    assert not np.array_equal(firsts[0], firsts[1])
    assert not np.array_equal(firsts[1], firsts[2])


def test_a_second_run_reads_no_audio(
    recipe: Recipe, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = extract(recipe, clips, tmp_path)
    monkeypatch.setattr(dataset, "read_clip", lambda *_: pytest.fail("audio was read again"))
    assert same(first.windows, extract(recipe, clips, tmp_path).windows)


def test_what_is_kept_belongs_to_content_and_parameters(
    recipe: Recipe, clips: list[Clip], tmp_path: Path
) -> None:
    extract(recipe, clips[:1], tmp_path)
    n_kept = len(list(tmp_path.rglob("*.npy")))
    renamed = tmp_path / "03-01-01-01-01-01-24.flac"
    shutil.copy(clips[0].path, renamed)
    extract(recipe, [replace(clips[0], path=renamed)], tmp_path)
    assert len(list(tmp_path.rglob("*.npy"))) == n_kept
    extract(replace(recipe, hop=4_000), clips[:1], tmp_path)
    extract(recipe, clips[:1], tmp_path, seed=2)
    extract(replace(recipe, features=replace(recipe.features, power_floor=1e-6)), clips[:1], tmp_path)
    assert len(list(tmp_path.rglob("*.npy"))) == n_kept + 3


def test_what_is_cut_short_on_disk_is_computed_again(
    recipe: Recipe, clips: list[Clip], tmp_path: Path
) -> None:
    first = extract(recipe, clips, tmp_path)
    for n, path in enumerate(tmp_path.rglob("*.npy")):
        os.truncate(path, n * 40)
    assert same(first.windows, extract(recipe, clips, tmp_path).windows)


def test_several_processes_give_the_same(recipe: Recipe, corpus: Corpus, tmp_path: Path) -> None:
    clips = list(corpus.clips[:20])
    alone = extract(recipe, clips, tmp_path / "1")
    assert same(alone.windows, extract(recipe, clips, tmp_path / "2", n_jobs=2).windows)


def test_copies_do_not_depend_on_the_other_clips(recipe: Recipe, clips: list[Clip], tmp_path: Path) -> None:
    together = extract(recipe, clips, tmp_path / "1").windows
    alone = extract(recipe, clips[3:4], tmp_path / "2").windows
    assert np.array_equal(together.features[together.clip == 3], alone.features)


def test_unreadable_clips_are_named_and_left_out(recipe: Recipe, clips: list[Clip], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.flac"
    damaged.write_bytes(clips[1].path.read_bytes()[:3000])
    text = tmp_path / "text.flac"
    text.write_text("no audio")
    broken = [
        clips[0],
        *(replace(clips[1], path=path) for path in (damaged, text, tmp_path / "gone.flac")),
        clips[2],
    ]
    extraction = extract(recipe, broken, tmp_path / "cache")
    assert extraction.clips == (clips[0], clips[2])
    assert set(extraction.windows.clip) == {0, 1}
    assert same(extraction.windows, extract(recipe, [clips[0], clips[2]], tmp_path / "cache").windows)
    assert len(extraction.warnings) == 3
    for name, line in zip(("damaged.flac", "text.flac", "gone.flac"), extraction.warnings, strict=True):
        assert name in line


def test_nothing_readable_is_an_error(recipe: Recipe, clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="none of the 1 recordings can be read"):
        extract(recipe, [replace(clips[0], path=tmp_path / "gone.flac")], tmp_path)


def test_a_cache_that_cannot_be_written_is_an_error(
    recipe: Recipe, clips: list[Clip], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match="--cache"):
        extract(recipe, clips, tmp_path / "file")


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    samples = np.zeros(2000, dtype=np.float32)
    samples[1000] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(SourceError, match="not finite"):
        dataset.read_clip(tmp_path / "nan.wav", 16_000)


def test_rows_hold_voices_and_copies_where_asked(extraction: Extraction) -> None:
    windows = extraction.windows
    clips = np.array([0, 2])
    bare, all_ = windows.rows(clips, copies=False), windows.rows(clips, copies=True)
    assert set(windows.clip[all_]) == {0, 2}
    assert not windows.copy[bare].any()
    assert windows.copy[all_].any()
    assert windows.voiced[all_].all()
    assert len(all_) > len(bare) > 0


def test_silence_is_in_no_part(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "03-01-01-01-01-01-01.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    clip = corpora.parse_ravdess(path)
    assert clip is not None
    windows = extract(recipe, [clip], tmp_path / "cache").windows
    assert len(windows.clip)
    assert not len(windows.rows(np.array([0]), copies=True))
