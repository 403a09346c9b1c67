"""The process's heap, as many small signals in a row want it."""

from __future__ import annotations

from typing import Final

import numpy as np

_N_BYTES: Final = 4 << 20
"""More than any array that a hop needs; less than who has little memory would miss."""


def keep_freed() -> None:
    """Have arrays of up to four megabytes taken from what was freed before, not from the system.

    A hop's arrays have some hundred kilobytes each. GNU's allocator asks the system for every one of that
    size, which hands it out page by page as it is written to, and gives it back at once: hop after hop, and
    that takes as long as all that is computed in it. Once a larger piece was freed, it looks for pieces up
    to that size in its own heap. So one is asked for and freed here, without being written to. With other
    allocators it changes nothing.

    References
    ----------
    mallopt(3): ``M_MMAP_THRESHOLD``, which is dynamic by default.
    """
    room = np.empty(_N_BYTES, dtype=np.uint8)
    del room
