"""Fan-out to subscribers of different speed; asyncio only, no sockets.

Each subscriber has a bounded queue. Publishing never waits: where a queue is full its oldest message
goes, for that subscriber alone, and the next thing it gets is an `error` that says how many went.

References
----------
"Broadcasting", websockets' documentation, section "Per-client queues".
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from realtime import messages
from realtime.server.filters import Filter, Published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

QUEUE_LENGTH: Final = 64
"""Messages kept for a subscriber: about half a minute of predictions."""


class Subscriber:
    """One end of the fan-out: an asynchronous iterator of encoded messages, for one consumer.

    Parameters
    ----------
    n_queued
        Messages kept at the most; infinity keeps all, for those whose source is held back instead.
    wanted
        What it wants; everything by default.
    past
        What it gets first. Until it has caught up, as many messages more are kept for it.
    """

    def __init__(self, n_queued: float, wanted: Filter | None = None, past: Sequence[bytes] = ()) -> None:
        self.wanted = wanted or Filter()
        self._n_queued = n_queued
        self._n_kept = n_queued + len(past)
        self._queue = deque(past)
        self._n_dropped = 0
        self._ended = False
        self._is_waiting = False
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Whether its consumer has got everything and waits for more."""
        return self._is_waiting and not self._queue and not self._ended

    @property
    def n_dropped(self) -> int:
        """Messages dropped that it has not been told of."""
        return self._n_dropped

    def push(self, data: bytes) -> None:
        """Queue one encoded message; the oldest goes where the queue is full."""
        if len(self._queue) >= self._n_kept:
            self._queue.popleft()
            self._n_dropped += 1
        self._queue.append(data)
        self._news.set()

    def end(self) -> None:
        """End the iteration after what is queued."""
        self._ended = True
        self._news.set()

    def __aiter__(self) -> Subscriber:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next message, or the notice that some were dropped before it."""
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            self._n_kept = self._n_queued
            self._news.clear()
            self._is_waiting = True
            try:
                await self._news.wait()
            finally:
                self._is_waiting = False
        if self._n_dropped:
            n_dropped, self._n_dropped = self._n_dropped, 0
            return messages.encode(slow_subscriber(n_dropped))
        return self._queue.popleft()


class Subscribers:
    """All subscribers of one server; to be used in one event loop.

    Parameters
    ----------
    n_queued
        Messages kept for each at the most.
    """

    def __init__(self, n_queued: int = QUEUE_LENGTH) -> None:
        if n_queued < 1:
            raise ValueError(f"found a queue of {n_queued} messages; wanted 1 or more")
        self._n_queued = n_queued
        self._members: set[Subscriber] = set()
        # Those who want some streams only, by stream: with many streams most have nothing to do with most.
        self._by_stream: dict[str, set[Subscriber]] = {}
        self._of_all: set[Subscriber] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._members)

    def add(self, wanted: Filter | None = None, past: Sequence[bytes] = ()) -> Subscriber:
        """Return a new subscriber, which gets `past`, then what it wants of what is published from now on."""
        subscriber = Subscriber(self._n_queued, wanted, past)
        if self._ended:
            subscriber.end()
        self._members.add(subscriber)
        if subscriber.wanted.streams is None:
            self._of_all.add(subscriber)
        for name in subscriber.wanted.streams or ():
            self._by_stream.setdefault(name, set()).add(subscriber)
        return subscriber

    def remove(self, subscriber: Subscriber) -> None:
        """Forget `subscriber`; does nothing where it is not known."""
        self._members.discard(subscriber)
        self._of_all.discard(subscriber)
        for name in subscriber.wanted.streams or ():
            others = self._by_stream.get(name, set())
            others.discard(subscriber)
            if not others:
                self._by_stream.pop(name, None)

    def publish(self, message: Published, send_now: Callable[[Subscriber], bool] = lambda _: False) -> int:
        """Queue one message for everyone who wants it; never waits.

        Parameters
        ----------
        message
            The message.
        send_now
            Asked for each subscriber that waits for more: returns whether the message is on its way to it
            already, which spares its queue and its consumer.

        Returns
        -------
        int
            Messages dropped by that.
        """
        n_dropped = 0
        for subscriber in self._interested(message.stream):
            if not subscriber.wanted.wants(message) or (subscriber.is_idle and send_now(subscriber)):
                continue
            before = subscriber.n_dropped
            subscriber.push(message.data)
            n_dropped += subscriber.n_dropped - before
        return n_dropped

    def end(self) -> None:
        """End everyone's iteration after what is queued."""
        self._ended = True
        for subscriber in self._members:
            subscriber.end()

    def _interested(self, stream: str | None) -> Iterable[Subscriber]:
        if stream is None:
            return self._members
        if stream in self._by_stream:
            return self._of_all | self._by_stream[stream]
        return self._of_all


def slow_subscriber(n_dropped: int) -> messages.Error:
    """Return what a subscriber is told that lost `n_dropped` messages."""
    noun = "message was" if n_dropped == 1 else "messages were"
    return messages.Error(
        code="slow_subscriber",
        message=f"{n_dropped} {noun} dropped here: read faster than they come",
        fatal=False,
        dropped=n_dropped,
    )
