"""What goes on in an event loop, for threads that wait: the commands, which interrupts must reach."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

Item = TypeVar("Item")

POLL_S: Final = 0.2
"""Longest wait in one go, in seconds: on Windows Ctrl-C is noticed in between only."""

_N_WAITING: Final = 1000
_CLOSE_WITHIN_S: Final = 2.0


class Background(Generic[Item]):
    """Iterates over an asynchronous generator in a thread, for those who may wait.

    Parameters
    ----------
    items
        What to iterate over.
    """

    def __init__(self, items: AsyncGenerator[Item, None]) -> None:
        self._items = items
        self._found: queue.SimpleQueue[Item | _End] = queue.SimpleQueue()
        self._end: _End | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._iterate()), name="tonewatch-remote", daemon=True
        )
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether everything was taken."""
        return self._end is not None

    def take(self, timeout_s: float | None = None) -> Item | None:
        """Return the next item; None at the end, or where none came in time.

        Parameters
        ----------
        timeout_s
            How long to wait, in seconds; for ever where None.

        Raises
        ------
        Exception
            What the generator raised.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while self._end is None:
            rest_s = POLL_S if until_s is None else min(POLL_S, until_s - time.monotonic())
            try:
                item = self._found.get(timeout=rest_s) if rest_s > 0 else self._found.get_nowait()
            except queue.Empty:
                if rest_s <= 0:
                    return None
                continue
            if not isinstance(item, _End):
                return item
            self._end = item
            if item.error is not None:
                raise item.error
        return None

    def __iter__(self) -> Iterator[Item]:
        """Yield the items until the end."""
        while (item := self.take()) is not None:
            yield item

    def close(self) -> None:
        """Break off; returns when that is done, or after two seconds. May be called twice."""
        if self._loop is not None and self._task is not None:
            # RuntimeError: the loop has ended before.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(_CLOSE_WITHIN_S)

    async def _iterate(self) -> None:
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        error: Exception | None = None
        try:
            async with contextlib.aclosing(self._items) as items:
                async for item in items:
                    self._found.put(item)
                    while self._found.qsize() > _N_WAITING:  # noqa: ASYNC110 - a thread takes them
                        # Who shows them is held up; then the server is not read any further.
                        await asyncio.sleep(POLL_S)
        except asyncio.CancelledError:
            pass
        except Exception as found:  # noqa: BLE001 - raised again by whoever takes
            error = found
        finally:
            self._found.put(_End(error))


@dataclass(frozen=True, slots=True)
class _End:
    """Stands behind the last item."""

    error: Exception | None
