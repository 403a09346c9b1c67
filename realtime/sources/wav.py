"""How much of a WAV file's samples is missing, of which libsndfile says nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import BinaryIO

_UNKNOWN_SIZE: Final = 0x7FFF_0000
"""Sizes from here up, in bytes, stand in headers that were written before the length was known."""


def missing_bytes(stream: BinaryIO) -> tuple[int, int]:
    """Return how many bytes of samples a file lacks that its header says, and how many are there.

    Parameters
    ----------
    stream
        The file, of any format: only WAV has such a header, and of others nothing is said to be missing.

    Returns
    -------
    tuple[int, int]
        Bytes that are missing, and bytes that are there; two zeros where there is nothing to tell.
    """
    n_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if stream.read(4) != b"RIFF":
        return 0, 0
    stream.seek(12)
    while len(head := stream.read(8)) == 8:  # noqa: PLR2004 - a chunk's name and its size
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            n_there = n_bytes - stream.tell()
            return (size - n_there, n_there) if n_there < size < _UNKNOWN_SIZE else (0, 0)
        # A chunk of odd length is padded.
        stream.seek(size + size % 2, os.SEEK_CUR)
    return 0, 0
