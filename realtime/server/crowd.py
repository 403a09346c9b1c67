"""Those who are not to stay: few at a time, but for those who just came; no sockets, one event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

RUSH: Final = 4
"""So many times as many may be there at one moment: a page asks for some forty files over six connections,
and many pages may be opened at once."""

GRACE_S: Final = 1.0
"""How long each may take while there are more than there should be, in seconds."""

# From a request that waits in the system to one that was read, a loop takes no more turns.
_N_TURNS: Final = 10


class Crowd(Generic[T]):
    """Holds what is to go soon by itself, and sends away the oldest where there is too much of it.

    More than `n` may be there for `grace_s` each; of more than four times as many the oldest goes at once,
    so that newcomers get through whoever else dawdles.

    Parameters
    ----------
    n
        How many may take their time.
    send_away
        Called with each that has to go, when it is out of the crowd.
    grace_s
        How long each may take where there are more, in seconds.
    """

    def __init__(self, n: int, send_away: Callable[[T], None], *, grace_s: float = GRACE_S) -> None:
        self._n = n
        self._send_away = send_away
        self._grace_s = grace_s
        # When each came, by the loop's clock, in that order.
        self._since_s: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._since_s)

    def __iter__(self) -> Iterator[T]:
        return iter(self._since_s)

    def __contains__(self, one: object) -> bool:
        return one in self._since_s

    def add(self, one: T) -> None:
        """Take in a newcomer."""
        self._since_s[one] = asyncio.get_running_loop().time()
        if len(self) > RUSH * self._n:
            self._drop_oldest()
        self._look_later()

    def discard(self, one: T) -> None:
        """Forget somebody, who may not be there."""
        self._since_s.pop(one, None)

    def _look_later(self) -> None:
        if len(self) > self._n and self._timer is None:
            due_s = next(iter(self._since_s.values())) + self._grace_s
            self._timer = asyncio.get_running_loop().call_at(due_s, self._look, _N_TURNS)

    def _look(self, n_turns: int) -> None:
        loop = asyncio.get_running_loop()
        if n_turns:
            # Where the loop is late, so is what it reads: that is nobody's fault.
            self._timer = loop.call_later(0.0, self._look, n_turns - 1)
            return
        self._timer = None
        come_s = loop.time() - self._grace_s
        while len(self) > self._n and next(iter(self._since_s.values())) <= come_s:
            self._drop_oldest()
        self._look_later()

    def _drop_oldest(self) -> None:
        oldest = next(iter(self._since_s))
        del self._since_s[oldest]
        self._send_away(oldest)
