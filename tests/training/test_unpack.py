from __future__ import annotations

import errno
import random
import stat
import zipfile
import zlib
from io import FileIO
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from realtime.errors import CorpusError
from training import unpack as module
from training.unpack import Member, is_sound, list_members, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import ReadableBuffer

RANDOM = random.Random(3)
FILES = {f"Actor_{i:02d}/{i}.wav": RANDOM.randbytes(100_000 + i) for i in range(3)}


class Seen:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int, int]] = []
        self.reached: list[int] = []

    def say(self, line: str) -> None:
        raise AssertionError(line)

    def begin(self, task: str, n_bytes: int, n_done: int) -> None:
        self.begun.append((task, n_bytes, n_done))

    def reach(self, n_done: int) -> None:
        self.reached.append(n_done)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.mkdir("Actor_00")
        for name, content in FILES.items():
            file.writestr(name, content)
        file.writestr("__MACOSX/Actor_00/._0.wav", b"what a Mac adds")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_members_are_the_files(archive: Path) -> None:
    assert list_members(archive) == tuple(
        Member(name, len(content), zlib.crc32(content)) for name, content in FILES.items()
    )


def test_members_are_unpacked_and_sound(archive: Path, tmp_path: Path) -> None:
    folder, members, seen = tmp_path / "new" / "out", list_members(archive), Seen()
    assert not any(is_sound(folder, member) for member in members)
    unpack(archive, members, folder, seen, task="unpacking")
    assert contents(folder) == FILES
    assert all(is_sound(folder, member) for member in members)
    n_bytes = sum(map(len, FILES.values()))
    assert seen.begun == [("unpacking", n_bytes, 0)]
    assert seen.reached == sorted(seen.reached)
    assert seen.reached[-1] == n_bytes


def test_damage_is_told_and_put_right(archive: Path, tmp_path: Path) -> None:
    members = list_members(archive)
    unpack(archive, members, tmp_path / "out", Seen(), task="unpacking")
    damaged = tmp_path / "out" / "Actor_01" / "1.wav"
    # Of the same length.
    damaged.write_bytes(bytes(100_001))
    shorter = tmp_path / "out" / "Actor_02" / "2.wav"
    shorter.write_bytes(shorter.read_bytes()[:-1])
    unsound = [member for member in members if not is_sound(tmp_path / "out", member)]
    assert unsound == list(members[1:])
    unpack(archive, unsound, tmp_path / "out", Seen(), task="unpacking")
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize(
    "name",
    [
        "../evil.wav",
        "a/../../evil.wav",
        "/etc/evil.wav",
        "a//evil.wav",
        "./evil.wav",
        "C:/evil.wav",
        "a\\..\\..\\evil.wav",
        "a/evil\x1b[31m.wav",
        "a./evil.wav",
        "evil.wav ",
    ],
)
def test_no_path_leads_out(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("Actor_01/good.wav", b"good")
        file.writestr(name, b"evil")
    with pytest.raises(CorpusError, match="wanted a path below the folder") as caught:
        list_members(path)
    # What is named is shown as it is, and does nothing to the terminal.
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_no_links_and_no_devices(kind: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    info = zipfile.ZipInfo("link")
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(CorpusError, match="a link or a device; wanted plain files"):
        list_members(path)


def test_a_bomb_is_not_set_off(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros.wav", bytes(10_000_000))
    with pytest.raises(
        CorpusError, match=r"would unpack to 10,000,000 bytes .*; wanted 10 times as many at most"
    ):
        list_members(path)


def test_a_bomb_that_lies_about_its_length_ends_there(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros.wav", bytes(10_000_000))
    # The length in the directory, which stands last: 10,000,000 becomes 90,000.
    raw = path.read_bytes()
    at = raw.rindex((10_000_000).to_bytes(4, "little"))
    path.write_bytes(raw[:at] + (90_000).to_bytes(4, "little") + raw[at + 4 :])
    seen = Seen()
    with pytest.raises(CorpusError, match="CRC"):
        unpack(path, list_members(path), tmp_path / "out", seen, task="unpacking")
    assert 0 < max(seen.reached) <= 90_000
    assert contents(tmp_path / "out") == {}


def test_no_file_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.wav", b"one")
        file.writestr("A.wav", b"two")
    with pytest.raises(CorpusError, match=r"holds 'A.wav' twice"):
        list_members(path)


def test_no_encryption_and_no_rare_packing(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a.wav", RANDOM.randbytes(1000))
    with pytest.raises(CorpusError, match="packed in a rare way; wanted deflate"):
        list_members(path)


def test_no_archive_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"<html>")
    with pytest.raises(
        CorpusError, match=r"a.zip cannot be unpacked \(File is not a zip file\); wanted a sound"
    ):
        list_members(path)


def test_damage_within_leaves_no_file(archive: Path, tmp_path: Path) -> None:
    raw = bytearray(archive.read_bytes())
    # Within the second file's data, which is random and so as good as stored.
    raw[150_000] ^= 0xFF
    archive.write_bytes(raw)
    with pytest.raises(CorpusError, match="cannot be unpacked"):
        unpack(archive, list_members(archive), tmp_path / "out", Seen(), task="unpacking")
    assert list(contents(tmp_path / "out")) == ["Actor_00/0.wav"]


def test_a_full_disk_leaves_what_is_whole(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_left = 150_000

    class Full(FileIO):
        def write(self, block: ReadableBuffer, /) -> int:
            nonlocal n_left
            if n_left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            n_written = super().write(memoryview(block)[:n_left])
            n_left -= n_written
            return n_written

    monkeypatch.setattr(module, "FileIO", Full)
    with pytest.raises(CorpusError, match="no room is left on the disk; what is there is kept"):
        unpack(archive, list_members(archive), tmp_path / "out", Seen(), task="unpacking")
    assert contents(tmp_path / "out") == {"Actor_00/0.wav": FILES["Actor_00/0.wav"]}


def test_room_is_asked_for_before_anything_is_written(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=250_000))
    with pytest.raises(CorpusError, match=r"0.2 MB are free on its disk; wanted 0.3 MB: make room"):
        unpack(archive, list_members(archive), tmp_path / "out", Seen(), task="unpacking")
    assert not (tmp_path / "out").exists()


def test_an_interrupt_leaves_what_is_whole(archive: Path, tmp_path: Path) -> None:
    class Interrupted(Seen):
        def reach(self, n_done: int) -> None:
            if n_done > 150_000:
                raise KeyboardInterrupt

    members = list_members(archive)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, members, tmp_path / "out", Interrupted(), task="unpacking")
    assert contents(tmp_path / "out") == {"Actor_00/0.wav": FILES["Actor_00/0.wav"]}
    assert [is_sound(tmp_path / "out", member) for member in members] == [True, False, False]
