"""The last minutes, for those who come later; bounded in time, per stream and in all."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from realtime.server.filters import Filter, Published

_date_of = attrgetter("sent")


class History:
    """Remembers messages of streams, in the order in which they were published.

    Streams that ended are remembered as long as their messages. Where there is too much in all, the
    stream with the most gives way: a busy one never pushes out a quiet one.

    Parameters
    ----------
    length_s
        How long a message is remembered, in seconds.
    n_per_hop
        Messages remembered of a stream at the most, for each of its hops in that time. It holds back streams
        that are told faster than they were spoken.
    n_total
        Messages remembered in all at the most.
    hop_s_of
        Returns the seconds between the predictions of the stream of that name.
    """

    def __init__(
        self, length_s: float, n_per_hop: int, n_total: int, hop_s_of: Callable[[str], float]
    ) -> None:
        self._length = timedelta(seconds=length_s)
        self._n_per_hop = n_per_hop
        self._n_total = n_total
        self._hop_s_of = hop_s_of
        self._n = 0
        self._streams: dict[str, deque[Published]] = {}

    def __len__(self) -> int:
        return self._n

    def add(self, message: Published) -> None:
        """Remember `message`, which is newer than all others; one of no stream is not remembered."""
        if message.stream is None:
            return
        self._forget(message.sent - self._length)
        past = self._streams.setdefault(message.stream, deque())
        past.append(message)
        self._n += 1
        n_hops = math.ceil(self._length.total_seconds() / self._hop_s_of(message.stream))
        if len(past) > self._n_per_hop * n_hops:
            self._drop(message.stream, past)
        elif self._n > self._n_total:
            self._drop(*max(self._streams.items(), key=lambda item: len(item[1])))

    def since(self, date: datetime, wanted: Filter) -> list[Published]:
        """Return what is wanted and was published after `date`, in order."""
        newer = (
            itertools.dropwhile(lambda message: message.sent <= date, past)
            for name, past in self._streams.items()
            if wanted.streams is None or name in wanted.streams
        )
        return [message for message in heapq.merge(*newer, key=_date_of) if wanted.wants(message)]

    def _forget(self, date: datetime) -> None:
        """Drop what is older than `date`."""
        # Each stream is looked at each time: there are few, and most have nothing to drop.
        for name, past in tuple(self._streams.items()):
            while past and past[0].sent < date:
                self._drop(name, past)

    def _drop(self, name: str, past: deque[Published]) -> None:
        past.popleft()
        self._n -= 1
        if not past:
            del self._streams[name]
