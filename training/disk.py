"""Room on the disk and what is done when there is none: errors that a user can act upon."""

from __future__ import annotations

import errno
import os
import platform
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from realtime.errors import CorpusError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)


def put(path: Path, content: bytes) -> None:
    """Write a file, which appears when it is whole, in a folder that is made where it is missing.

    Parameters
    ----------
    path
        Its place; what stands there is replaced.
    content
        What is in it.

    Raises
    ------
    OSError
        Where that cannot be: what stood there stands there still, and nothing beside it.
    """
    # Of this machine and process: others may write the same file at the same time, on a shared disk too.
    partial = path.with_suffix(f".{platform.node()}-{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file on this machine into a `CorpusError`.

    Nothing but files may be touched within: a broken connection is an `OSError` too, and would be taken
    for a broken disk.

    Parameters
    ----------
    path
        The file or folder that the message names.

    Raises
    ------
    CorpusError
        In place of any `OSError`.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise CorpusError(
                f"{path}: no room is left on the disk; what is there is kept: make room, and the same "
                "command goes on from there"
            ) from None
        raise CorpusError(
            f"{path}: {error.strerror or error}; wanted a place to write to: give another with --to"
        ) from None


def write_all(file: FileIO, block: bytes) -> None:
    """Write a block to a file without a buffer, which may take less than it is given at a time.

    Without a buffer, so that what is in the file when the disk is full or the user interrupts is known:
    everything that was written.
    """
    left = memoryview(block)
    while left:
        left = left[file.write(left) :]


def require_room(folder: Path, n_bytes: int) -> None:
    """Refuse what would not fit on the disk, before any of it is written.

    Parameters
    ----------
    folder
        Where it will be written; need not exist yet.
    n_bytes
        How much.

    Raises
    ------
    CorpusError
        Where less is free.
    """
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    with writing(existing):
        n_free = shutil.disk_usage(existing).free
    if n_free < n_bytes:
        raise CorpusError(
            f"{existing}: {megabytes(n_free)} are free on its disk; wanted {megabytes(n_bytes)}: make room, "
            "or give another folder with --to"
        )


def megabytes(n_bytes: int) -> str:
    """Return a size as users read it, in megabytes of a million bytes.

    Examples
    --------
    >>> megabytes(208_468_073)
    '208.5 MB'
    """
    return f"{n_bytes / 1e6:.1f} MB"
