"""From events to everyone who is to know: dates, the past, newcomers; no sockets, one event loop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from realtime import messages
from realtime.server.filters import Published
from realtime.server.history import History
from realtime.server.subscribers import Subscribers

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime.server.filters import Query
    from realtime.server.limits import Limits
    from realtime.server.streams import Streams
    from realtime.server.subscribers import Subscriber
    from realtime.types import Event, Stream

_TICK: Final = timedelta(microseconds=1)
# Dates may be as much ahead of the system's clock where many messages are sent at one moment.
_NEGLIGIBLE: Final = timedelta(milliseconds=50)


class Counters(Protocol):
    """What is counted here; `realtime.server.metrics.Metrics` does."""

    def prediction(self, latency_s: float) -> None: ...  # noqa: D102
    def dropped_samples(self, n: int) -> None: ...  # noqa: D102
    def dropped_messages(self, n: int) -> None: ...  # noqa: D102


class Clock:
    """Gives each message a date of its own, later than all before.

    Parameters
    ----------
    now
        Returns the date, with its time zone.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._last = self._shown = now()

    def tick(self) -> datetime:
        """Return the next date."""
        self._shown = self._now()
        date = max(self._shown, self._last + _TICK)
        if not date.microsecond:
            # JSON leaves out microseconds of 0; with them, dates compare as text too.
            date += _TICK
        self._last = date
        return date

    def stamp(self, message: messages.Message) -> messages.Message:
        """Return `message` with the next date, and what the clock shows where that is another one."""
        sent = self.tick()
        is_behind = sent - self._shown > _NEGLIGIBLE
        return msgspec.structs.replace(message, sent=sent, clock=self._shown if is_behind else None)

    @property
    def now(self) -> datetime:
        """What the clock shows, which may be set back."""
        return self._now()

    @property
    def newest(self) -> datetime:
        """The newest date given so far."""
        return self._last


class Publisher:
    """Sends events to subscribers, and tells newcomers what they need to know.

    Parameters
    ----------
    streams
        The streams that are heard.
    limits
        What is remembered, and kept for the slow.
    counters
        What counts predictions and losses.
    clock
        Dates messages.
    send_now
        As in `Subscribers.publish`, with the encoded message.
    """

    def __init__(
        self,
        streams: Streams,
        limits: Limits,
        counters: Counters,
        *,
        clock: Clock | None = None,
        send_now: Callable[[Subscriber, bytes], bool] = lambda _subscriber, _data: False,
    ) -> None:
        self.streams = streams
        self.subscribers = Subscribers(limits.n_queued)
        self._n_replayed = limits.n_replayed
        self._history = History(
            limits.history_s, limits.n_history_per_hop, limits.n_history_total, streams.hop_s
        )
        self._counters = counters
        self._clock = clock or Clock()
        self._send_now = send_now

    def date(self, message: messages.Message) -> bytes:
        """Return `message` encoded, with its date; for messages that one session alone gets."""
        return messages.encode(self._clock.stamp(message))

    def encode(self, event: Event) -> bytes:
        """Return the message of `event`, encoded with its date and counted, but not published."""
        message = messages.to_message(event)
        self._count(message)
        return self.date(message)

    def publish(self, event: Event, message: messages.Message | None = None) -> bytes:
        """Send `event` to everyone who wants it; return its message, encoded.

        Parameters
        ----------
        event
            The event.
        message
            What `messages.to_message` makes of it, where that is known.
        """
        message = message or messages.to_message(event)
        if self.streams.note(event, message):
            self.introduce()
        self._count(message)
        return self.send(message)

    def send(self, message: messages.Message) -> bytes:
        """Send `message` to everyone who wants it; return it encoded."""
        message = self._clock.stamp(message)
        sent = self._clock.newest
        data = messages.encode(message)
        match message:
            case messages.Prediction(stream=stream, probability=probability):
                published = Published(data, sent, "prediction", stream, probability)
            case messages.Segment(stream=stream):
                published = Published(data, sent, "segment", stream)
            case messages.Status(stream=stream):
                published = Published(data, sent, "status", stream)
            case _:
                published = Published(data, sent, "hello")
        self._history.add(published)
        n_dropped = self.subscribers.publish(published, lambda one: self._send_now(one, data))
        if n_dropped:
            self._counters.dropped_messages(n_dropped)
        return data

    def begin(self, stream: Stream) -> None:
        """Tell everyone of a stream that begins."""
        self.streams.add(stream)
        self.introduce()

    def forget(self, name: str) -> None:
        """Tell everyone that a stream is gone."""
        self.streams.forget(name)
        self.introduce()

    def break_off(self, name: str, detail: str) -> None:
        """Tell everyone that a stream stopped that cannot say so itself, and that it is gone."""
        for status in self.streams.stopped(detail):
            if status.stream == name:
                self.send(status)
        self.forget(name)

    def introduce(self) -> None:
        """Tell everyone which streams there are."""
        self.send(self.streams.hello())

    def stop(self) -> None:
        """Tell everyone that all streams stop, and end all subscriptions."""
        for status in self.streams.stopped():
            self.send(status)
        self.subscribers.end()

    def greet(self, query: Query) -> tuple[list[bytes], Subscriber]:
        """Return what a newcomer is told first, and the newcomer, who gets all that follows.

        The date of `hello` is where what follows begins, so that whoever gets nothing else has a date to
        come back with; the statuses, which repeat what was told before, have none.
        """
        past = [] if query.since is None else self._history.since(query.since, query.filter)
        past = past[-self._n_replayed :]
        begin = self._clock.newest if query.since is None else min(query.since, self._clock.newest)
        hello = msgspec.structs.replace(self.streams.hello(), sent=begin, clock=self._clock.now)
        greeting: list[messages.Message] = [hello]
        if "status" in query.filter.kinds:
            greeting += self.streams.statuses(query.filter.streams)
        # Both at one moment: no event falls between, and none comes twice.
        subscriber = self.subscribers.add(query.filter, [message.data for message in past])
        return [messages.encode(message) for message in greeting], subscriber

    def _count(self, message: messages.Message) -> None:
        match message:
            case messages.Prediction(latency_ms=latency, dropped=dropped):
                self._counters.prediction(1e-3 * (latency.queue + latency.features + latency.inference))
            case messages.Status(dropped=dropped):
                pass
            case _:
                return
        if dropped:
            self._counters.dropped_samples(dropped)
