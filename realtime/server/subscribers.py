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
from typing import Final

from realtime import messages

QUEUE_LENGTH: Final = 64
"""Messages kept for a subscriber: about half a minute of predictions."""


class Subscriber:
    """One end of the fan-out: an asynchronous iterator of encoded messages, for one consumer.

    Parameters
    ----------
    n_queued
        Messages kept at the most.
    """

    def __init__(self, n_queued: int) -> None:
        self._queue: deque[bytes] = deque(maxlen=n_queued)
        self._n_dropped = 0
        self._ended = False
        self._news = asyncio.Event()

    def push(self, data: bytes) -> None:
        """Queue one encoded message; the oldest goes where the queue is full."""
        self._n_dropped += len(self._queue) == self._queue.maxlen
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
            self._news.clear()
            await self._news.wait()
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
        self._ended = False

    def __len__(self) -> int:
        return len(self._members)

    def add(self) -> Subscriber:
        """Return a new subscriber, which gets what is published from now on."""
        subscriber = Subscriber(self._n_queued)
        if self._ended:
            subscriber.end()
        self._members.add(subscriber)
        return subscriber

    def remove(self, subscriber: Subscriber) -> None:
        """Forget `subscriber`; does nothing where it is not known."""
        self._members.discard(subscriber)

    def publish(self, data: bytes) -> None:
        """Queue one encoded message for everyone; never waits."""
        for subscriber in self._members:
            subscriber.push(data)

    def end(self) -> None:
        """End everyone's iteration after what is queued."""
        self._ended = True
        for subscriber in self._members:
            subscriber.end()


def slow_subscriber(n_dropped: int) -> messages.Error:
    """Return what a subscriber is told that lost `n_dropped` messages."""
    noun = "message was" if n_dropped == 1 else "messages were"
    return messages.Error(
        code="slow_subscriber",
        message=f"{n_dropped} {noun} dropped here: read faster than they come",
        fatal=False,
        dropped=n_dropped,
    )
