"""Measurements of files, kept on disk, so that a file is read again only when it has changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from realtime.errors import CorpusError
from training.corpora.measurement import Measurement, measure
from training.disk import put

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from training.workers import Workers

FILE = "survey.msgpack"
"""Within the cache's folder."""
_VERSION = 2
"""To be raised whenever `measurement` finds other values in the same file."""
_FILES_PER_TASK = 32


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """One file as it was: path in the system's bytes, size in bytes, date of change, what was found."""

    path: bytes
    size: int
    mtime_ns: int
    measurement: Measurement


class _Memory(msgspec.Struct, frozen=True):
    version: int
    entries: list[_Entry]


def measure_all(
    paths: Sequence[Path], cache: Path, workers: Workers, advance: Callable[[int], None]
) -> list[Measurement]:
    """Return what is in each file, in their order; read only those that are not kept as they are.

    Parameters
    ----------
    paths
        The files.
    cache
        Folder of what is kept; made where it is missing.
    workers
        Processes that read.
    advance
        Called with the number of files done since the last call.

    Raises
    ------
    CorpusError
        Where `cache` cannot be written.
    """
    kept = _load(cache / FILE)
    stamps = [_stamp(path) for path in paths]
    due = [path for path, stamp in zip(paths, stamps, strict=True) if not _is_kept(kept, stamp)]
    advance(len(paths) - len(due))
    measured: dict[bytes, Measurement] = {}
    tasks = [due[start : start + _FILES_PER_TASK] for start in range(0, len(due), _FILES_PER_TASK)]
    try:
        for results in workers.map(_measure_some, tasks):
            measured.update(results)
            advance(len(results))
    finally:
        # What was read before an interruption need not be read again.
        if measured:
            fresh = {
                stamp[0]: _Entry(*stamp, measured[stamp[0]])
                for stamp in stamps
                # What cannot be read is tried again: a file's rights, say, change without its date.
                if stamp is not None and stamp[0] in measured and not measured[stamp[0]].problem
            }
            _save(cache / FILE, kept | fresh)
    return [measured[key] if (key := _key(path)) in measured else kept[key].measurement for path in paths]


def _measure_some(paths: list[Path]) -> list[tuple[bytes, Measurement]]:
    return [(_key(path), measure(path)) for path in paths]


def _key(path: Path) -> bytes:
    # Bytes: names need not be UTF-8.
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100 - does not ask the disk about every folder


def _stamp(path: Path) -> tuple[bytes, int, int] | None:
    """Return a file's absolute path, size and date of change; None where there is no such file any more."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _key(path), status.st_size, status.st_mtime_ns


def _is_kept(kept: dict[bytes, _Entry], stamp: tuple[bytes, int, int] | None) -> bool:
    if stamp is None:
        return False
    entry = kept.get(stamp[0])
    return entry is not None and (entry.path, entry.size, entry.mtime_ns) == stamp


def _load(path: Path) -> dict[bytes, _Entry]:
    """Return what is kept; nothing where there is no such file, another version's, or a damaged one."""
    try:
        memory = msgspec.msgpack.decode(path.read_bytes(), type=_Memory)
    except (OSError, msgspec.DecodeError):
        return {}
    return {entry.path: entry for entry in memory.entries} if memory.version == _VERSION else {}


def _save(path: Path, entries: dict[bytes, _Entry]) -> None:
    """Write what is kept; the file is replaced when the new one is whole."""
    try:
        put(path, msgspec.msgpack.encode(_Memory(_VERSION, list(entries.values()))))
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be written: {error.strerror}; give a folder that can be with --cache"
        ) from error
