from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from realtime.errors import CorpusError
from training.corpora import memory
from training.corpora.measurement import Measurement, measure
from training.workers import Workers


class Counting:
    """Measures files, and notes which of them were read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        self.read: list[str] = []
        self.n_done = 0
        self.cache = cache
        monkeypatch.setattr(memory, "measure", self._measure)

    def __call__(self, *paths: Path) -> list[Measurement]:
        self.read, self.n_done = [], 0
        found = memory.measure_all(paths, self.cache, Workers(), self._advance)
        assert self.n_done == len(paths)
        assert found == [measure(path) for path in paths]
        return found

    def _measure(self, path: Path) -> Measurement:
        self.read.append(path.name)
        return measure(path)

    def _advance(self, n: int) -> None:
        self.n_done += n


@pytest.fixture
def measure_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counting:
    return Counting(monkeypatch, tmp_path / "deep" / "cache")


@pytest.fixture
def paths(made_up: Any, tmp_path: Path) -> list[Path]:
    return [made_up.write(tmp_path / f"{i}.wav", seed=i) for i in range(3)]


def test_what_is_kept_is_not_read_again(measure_all: Counting, paths: list[Path]) -> None:
    measure_all(*paths)
    assert measure_all.read == ["0.wav", "1.wav", "2.wav"]
    measure_all(*reversed(paths))
    assert measure_all.read == []


def test_what_changed_is_read_again(measure_all: Counting, paths: list[Path], made_up: Any) -> None:
    measure_all(*paths)
    made_up.write(paths[1], made_up.sound(99, seconds=0.4))
    os.utime(paths[2], ns=(0, 0))
    measure_all(*paths)
    assert measure_all.read == ["1.wav", "2.wav"]


def test_other_files_stay_kept(measure_all: Counting, paths: list[Path]) -> None:
    measure_all(paths[0])
    measure_all(paths[1], paths[2])
    assert measure_all.read == ["1.wav", "2.wav"]
    measure_all(*paths)
    assert measure_all.read == []


def test_problems_are_tried_again(measure_all: Counting, paths: list[Path]) -> None:
    paths[1].write_bytes(b"no audio")
    measure_all(*paths)
    measure_all(*paths)
    assert measure_all.read == ["1.wav"]
    measure_all(paths[0], paths[0].with_name("gone.wav"))
    assert measure_all.read == ["gone.wav"]


def test_a_path_may_be_told_from_anywhere(
    measure_all: Counting, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_all(*paths)
    monkeypatch.chdir(paths[0].parent)
    measure_all(Path("0.wav"))
    assert measure_all.read == []


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_need_not_be_utf_8(measure_all: Counting, paths: list[Path]) -> None:
    path = paths[0].with_name(os.fsdecode(b"M\xfcller.wav"))
    try:
        paths[0].rename(path)
    except OSError:
        pytest.skip("this file system takes no such name")
    measure_all(path)
    measure_all(path)
    assert measure_all.read == []


@pytest.mark.parametrize("content", [b"", b"hello", b"\x81\xa7version\x01"])
def test_a_damaged_memory_is_made_anew(measure_all: Counting, paths: list[Path], content: bytes) -> None:
    measure_all(*paths)
    (measure_all.cache / memory.FILE).write_bytes(content)
    measure_all(*paths)
    assert len(measure_all.read) == 3


def test_another_version_s_memory_is_made_anew(
    measure_all: Counting, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_all(*paths)
    monkeypatch.setattr(memory, "_VERSION", 999)
    measure_all(*paths)
    assert len(measure_all.read) == 3


def test_nothing_half_written_is_left(measure_all: Counting, paths: list[Path]) -> None:
    measure_all(*paths)
    assert [path.name for path in measure_all.cache.iterdir()] == [memory.FILE]


def test_what_was_read_before_an_interruption_is_kept(
    measure_all: Counting, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_FILES_PER_TASK", 1)

    def interrupt(n: int) -> None:
        if n:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memory.measure_all(paths, measure_all.cache, Workers(), interrupt)
    measure_all(*paths)
    assert measure_all.read == ["1.wav", "2.wav"]


def test_a_cache_that_cannot_be_written_is_refused(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match=r"cannot be written: .*--cache"):
        memory.measure_all(paths, tmp_path / "file", Workers(), lambda _n: None)


def test_processes_find_the_same(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_FILES_PER_TASK", 1)
    found = memory.measure_all(paths, tmp_path / "cache", Workers(2), lambda _n: None)
    assert found == [measure(path) for path in paths]
