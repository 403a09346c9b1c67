"""Unpack an archive that nobody is trusted for: file by file, each whole or not there at all."""

from __future__ import annotations

import re
import zipfile
import zlib
from contextlib import contextmanager
from io import FileIO
from stat import S_IFMT, S_IFREG
from typing import TYPE_CHECKING

import msgspec

from realtime.errors import CorpusError
from training.disk import require_room, write_all, writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from training.download import Watcher

_BLOCK = 1 << 16
_LARGEST_RATIO = 10
"""Recordings shrink to 0.4 of their size; a bomb of zeros to 0.001."""
_FORBIDDEN = re.compile(r'[\x00-\x1f\\:*?"<>|]|[. ]$')
"""In a part of a path: the folder above, separators and drives of other systems, what Windows cannot have."""
_ENCRYPTED = 0x1
_OF_MACOS = "__MACOSX"


class Member(msgspec.Struct, frozen=True):
    """A file of an archive.

    Parameters
    ----------
    path
        Below the folder it is unpacked to, with slashes.
    n_bytes
        Its length, unpacked.
    crc32
        Its checksum, unpacked.
    """

    path: str
    n_bytes: int
    crc32: int


def list_members(archive: Path) -> tuple[Member, ...]:
    """Return the files of a ZIP archive, in its order, after a look at what they would do.

    Raises
    ------
    CorpusError
        Where it is no ZIP archive, or holds what could do harm: a path that leads out of the folder, a link,
        a file twice, or more than ten times its own size.
    """
    members, seen = [], set()
    with _opened(archive) as file:
        for info in file.infolist():
            if info.is_dir() or info.filename.startswith(f"{_OF_MACOS}/"):
                continue
            _require_harmless(archive, info)
            # Two names of one file, where the disk does not tell "A" from "a".
            if info.filename.casefold() in seen:
                raise CorpusError(f"{archive} holds {info.filename!r} twice; wanted each file once")
            seen.add(info.filename.casefold())
            members.append(Member(info.filename, info.file_size, info.CRC))
    n_bytes, n_packed = sum(member.n_bytes for member in members), archive.stat().st_size
    if n_bytes > _LARGEST_RATIO * n_packed:
        raise CorpusError(
            f"{archive} would unpack to {n_bytes:,} bytes from {n_packed:,}; wanted {_LARGEST_RATIO} times "
            "as many at most: these are no recordings"
        )
    return tuple(members)


def is_sound(folder: Path, member: Member) -> bool:
    """Return whether a member was unpacked, and its file is as it was."""
    path = folder / member.path
    checksum = 0
    try:
        if path.stat().st_size != member.n_bytes:
            return False
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                checksum = zlib.crc32(block, checksum)
    except OSError:
        return False
    return checksum == member.crc32


def unpack(archive: Path, members: Sequence[Member], folder: Path, watcher: Watcher, *, task: str) -> None:
    """Unpack some of an archive's members.

    Each file appears when it is whole and its checksum is right, so what is there after an interrupt is
    sound. A file of that name that was there is replaced.

    Parameters
    ----------
    archive
        The ZIP archive.
    members
        Which, as `list_members` gives them.
    folder
        Where to; is made if need be.
    watcher
        Told how it goes on.
    task
        What the watcher is told that this is.

    Raises
    ------
    CorpusError
        Where there is no room, nothing can be written, or the archive is damaged.
    """
    n_bytes = sum(member.n_bytes for member in members)
    require_room(folder, n_bytes)
    watcher.begin(task, n_bytes, 0)
    n_done = 0
    with _opened(archive) as file:
        for member in members:
            path = folder / member.path
            partial = path.with_name(f"{path.name}.part")
            with writing(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with writing(partial):
                    target = FileIO(partial, "w")
                with target, file.open(member.path) as source:
                    # Ends at the announced length, whatever is packed there, and checks the CRC.
                    while block := source.read(_BLOCK):
                        with writing(partial):
                            write_all(target, block)
                        n_done += len(block)
                        watcher.reach(n_done)
                with writing(path):
                    partial.replace(path)
            finally:
                with writing(partial):
                    partial.unlink(missing_ok=True)


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive, and turn what is wrong with it into a `CorpusError`."""
    try:
        with zipfile.ZipFile(archive) as file:
            yield file
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise CorpusError(
            f"{archive} cannot be unpacked ({error}); wanted a sound ZIP archive: delete it, and the same "
            "command loads it anew"
        ) from None


def _require_harmless(archive: Path, info: zipfile.ZipInfo) -> None:
    """Refuse a member whose name or kind could write elsewhere than below the folder."""
    parts = info.filename.split("/")
    if any(not part or _FORBIDDEN.search(part) for part in parts):
        raise CorpusError(f"{archive} holds {info.filename!r}; wanted a path below the folder it unpacks to")
    # Archives made on Windows give no kind at all.
    kind = S_IFMT(info.external_attr >> 16)
    if kind not in {0, S_IFREG}:
        raise CorpusError(f"{archive} holds {info.filename!r}, a link or a device; wanted plain files")
    if info.flag_bits & _ENCRYPTED or info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise CorpusError(
            f"{archive} holds {info.filename!r}, encrypted or packed in a rare way; wanted deflate"
        )
