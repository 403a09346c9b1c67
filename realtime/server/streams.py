"""What somebody who subscribes later must be told first: the streams, and what each of them does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from realtime import messages
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime.types import Event, Stream


@dataclass(slots=True)
class _Known:
    """A stream, its newest status if there is one, and how far it has come, in seconds."""

    stream: Stream
    status: messages.Status | None = None
    end_s: float = 0.0

    @property
    def has_stopped(self) -> bool:
        return self.status is not None and self.status.state is State.STOPPED


class Streams:
    """The streams that are heard now.

    A stream that stopped is remembered until another one begins, so that their number is bounded by how
    many there are at a time.

    Parameters
    ----------
    streams
        Those known from the beginning; one at least, all listened to by one model.
    """

    def __init__(self, streams: Iterable[Stream]) -> None:
        self._known = {stream.name: _Known(stream) for stream in streams}
        self.hello()

    def hello(self) -> messages.Hello:
        """Return the message that introduces them."""
        return messages.hello([known.stream for known in self._known.values()])

    def statuses(self) -> list[messages.Status]:
        """Return the newest status of each stream, as of now: without the losses already told."""
        return [
            msgspec.structs.replace(known.status, dropped=0)
            for known in self._known.values()
            if known.status is not None
        ]

    def stopped(self) -> list[messages.Status]:
        """Return the last status of each stream that did not stop by itself."""
        return [
            messages.Status(
                stream=name,
                state=State.STOPPED,
                detail="the server is stopping",
                since_s=known.end_s,
                at_s=known.end_s,
                time=known.stream.started + timedelta(seconds=known.end_s),
                level_dbfs=None,
                dropped=0,
            )
            for name, known in self._known.items()
            if not known.has_stopped
        ]

    def note(self, event: Event, message: messages.Message) -> bool:
        """Take in an event and its message; return whether its stream is new."""
        name = event.stream.name
        known = self._known.get(name)
        is_new = known is None or known.stream != event.stream
        if known is None or is_new:
            self._known = {other: it for other, it in self._known.items() if not it.has_stopped}
            known = self._known[name] = _Known(event.stream)
        if isinstance(message, messages.Status):
            known.status = message
            known.end_s = max(known.end_s, message.at_s)
        elif isinstance(message, messages.Prediction):
            known.end_s = message.end_s
        return is_new
