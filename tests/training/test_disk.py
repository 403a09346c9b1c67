from __future__ import annotations

import errno
import os
import shutil
from io import FileIO
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from realtime.errors import CorpusError
from training.disk import megabytes, put, require_room, write_all, writing

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "a.zip: no room is left on the disk; what is there is kept: make room, and the same"),
        (errno.EDQUOT, "a.zip: no room is left on the disk"),
        (errno.EACCES, "a.zip: Permission denied; wanted a place to write to: give another with --to"),
        (errno.EROFS, "a.zip: Read-only file system; wanted"),
    ],
)
def test_what_goes_wrong_is_one_line(number: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught, writing(tmp_path / "a.zip"):
        raise OSError(number, os.strerror(number))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_of_ours_passes(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="ours"), writing(tmp_path):
        raise CorpusError("ours")


def test_a_block_is_written_whole_however_little_is_taken_at_a_time(tmp_path: Path) -> None:
    class Slow(FileIO):
        def write(self, block: ReadableBuffer, /) -> int:
            return super().write(memoryview(block)[:7])

    with Slow(tmp_path / "a", "w") as file:
        write_all(file, bytes(range(100)))
    assert (tmp_path / "a").read_bytes() == bytes(range(100))


def test_room_is_that_of_the_nearest_folder_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=2_000_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    require_room(tmp_path / "new" / "newer", 2_000_000)
    with pytest.raises(
        CorpusError, match=rf"{tmp_path}: 2.0 MB are free on its disk; wanted 2.1 MB: make room"
    ):
        require_room(tmp_path / "new" / "newer", 2_100_000)
    assert asked == [tmp_path, tmp_path]


def test_megabytes() -> None:
    assert megabytes(208_468_073) == "208.5 MB"


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "one.bin"
    put(path, b"first")
    put(path, b"second")
    assert path.read_bytes() == b"second"

    def fill(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="No space left"):
        put(path, b"third")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]
