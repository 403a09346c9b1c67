"""Audio that waits to be sent: bounded, and what is lost of it is counted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_BLOCK: Final = 32_768
_PATIENCE_S: Final = 2.0


class Backlog:
    """Holds raw samples in whole frames, in order.

    When it is full, live audio pushes out the oldest, and a recording has to wait. So does what claims to
    be live but comes faster than time passes: it is a recording, and there is no need to lose any of it.

    Parameters
    ----------
    sample_rate
        Frames per second, in Hz.
    n_frame_bytes
        Bytes of a frame.
    length_s
        What it holds at the most, in seconds.
    is_live
        Whether the audio comes as time passes.
    clock
        Monotonic time in seconds.
    """

    def __init__(
        self,
        sample_rate: int,
        n_frame_bytes: int,
        length_s: float,
        *,
        is_live: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.n_frame_bytes = n_frame_bytes
        self.when_overflowing: Callable[[], object] | None = None
        """Called when live audio is lost."""
        self.has_ended = False
        self._n_second_bytes = sample_rate * n_frame_bytes
        self._n_longest = max(1, _LONGEST_BLOCK // n_frame_bytes) * n_frame_bytes
        # At least two blocks, so that there is always one that can be pushed out.
        self._n_max = max(int(length_s * self._n_second_bytes), 2 * self._n_longest)
        self._is_live = is_live
        self._clock = clock
        self._blocks: deque[bytes] = deque()
        self._n_bytes = 0
        self._rest = b""
        self._n_lost = 0
        self._due_s = clock()
        self._has_some = asyncio.Event()
        self._has_room = asyncio.Event()

    @property
    def seconds(self) -> float:
        """Length of what is held, in seconds."""
        return self._n_bytes / self._n_second_bytes

    async def put(self, data: bytes) -> None:
        """Add samples, of any length; waits while there is no room, unless they are live."""
        data = self._rest + data
        n_whole = len(data) - len(data) % self.n_frame_bytes
        self._rest = data[n_whole:]
        for begin in range(0, n_whole, self._n_longest):
            await self._add(data[begin : min(begin + self._n_longest, n_whole)])

    def end(self) -> None:
        """Say that nothing more comes; what is left of a frame goes with the rest, for the server to tell."""
        if self._rest:
            self._append(self._rest)
            self._rest = b""
        self.has_ended = True
        self._has_some.set()

    async def wait(self) -> None:
        """Wait until there is something, or the end."""
        await self._has_some.wait()

    async def take(self) -> bytes | None:
        """Return the next block, when it is there; None at the end."""
        await self.wait()
        if not self._blocks:
            return None
        block = self._blocks.popleft()
        self._n_bytes -= len(block)
        self._has_room.set()
        if not (self._blocks or self.has_ended):
            self._has_some.clear()
        return block

    def put_back(self, block: bytes) -> None:
        """Return a block that was taken and could not be sent."""
        self._blocks.appendleft(block)
        self._n_bytes += len(block)
        self._has_some.set()

    def take_lost(self) -> int:
        """Return the number of frames lost since it was last asked."""
        n_lost, self._n_lost = self._n_lost, 0
        return n_lost

    async def _add(self, block: bytes) -> None:
        # Time that a live source let pass is not made up for without end.
        length_s = len(block) / self._n_second_bytes
        self._due_s = max(self._due_s + length_s, self._clock() - _PATIENCE_S)
        while self._n_bytes + len(block) > self._n_max:
            ahead_s = self._due_s - self._clock()
            if self._is_live and ahead_s <= 0:
                self._lose()
                continue
            self._has_room.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ahead_s if self._is_live else None):
                    await self._has_room.wait()
        self._append(block)

    def _append(self, block: bytes) -> None:
        self._blocks.append(block)
        self._n_bytes += len(block)
        self._has_some.set()

    def _lose(self) -> None:
        block = self._blocks.popleft()
        self._n_bytes -= len(block)
        self._n_lost += len(block) // self.n_frame_bytes
        if self.when_overflowing is not None:
            self.when_overflowing()
