"""What somebody who subscribes later must be told first: the streams, and what each of them does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from realtime import messages
from realtime.types import PREDICTING, State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from realtime.types import Event, Stream


@dataclass(slots=True)
class Known:
    """A stream, its newest status if there is one, and how far it has come, in seconds."""

    stream: Stream
    status: messages.Status | None = None
    end_s: float = 0.0

    @property
    def state(self) -> State:
        """What the stream does."""
        return State.STARTING if self.status is None else self.status.state

    @property
    def since(self) -> datetime:
        """When the state began, in UTC."""
        since_s = 0.0 if self.status is None else self.status.since_s
        return self.stream.date(0) + timedelta(seconds=since_s)

    @property
    def has_stopped(self) -> bool:
        """Whether the stream has ended."""
        return self.state is State.STOPPED

    @property
    def is_heard(self) -> bool:
        """Whether the stream is predicted on."""
        return self.state in PREDICTING


class Streams:
    """The streams that are heard now.

    A stream that stopped is remembered until another one begins, or until it is forgotten on purpose, so
    that their number is bounded by how many there are at a time.

    Parameters
    ----------
    streams
        Those known from the beginning.
    template
        What introduces them, but for their names.
    """

    def __init__(self, streams: Iterable[Stream], template: messages.Hello) -> None:
        self._template = template
        self._known = {stream.name: Known(stream) for stream in streams}

    def __contains__(self, name: str) -> bool:
        """Whether a stream of that name is heard now."""
        return name in self._known and not self._known[name].has_stopped

    @property
    def known(self) -> tuple[Known, ...]:
        """All of them, as they are now."""
        return tuple(self._known.values())

    def hello(self) -> messages.Hello:
        """Return the message that introduces them."""
        return msgspec.structs.replace(self._template, streams=tuple(self._known))

    def hop_s(self, name: str) -> float:
        """Return the seconds between a stream's predictions; of one that is not known, those of the model."""
        known = self._known.get(name)
        return self._template.hop_s if known is None else known.stream.seconds(known.stream.hop)

    def statuses(self, names: frozenset[str] | None = None) -> list[messages.Status]:
        """Return the newest status of each stream, as of now: without the losses already told.

        Parameters
        ----------
        names
            The streams that matter; all by default.
        """
        return [
            msgspec.structs.replace(known.status, dropped=0)
            for name, known in self._known.items()
            if known.status is not None and (names is None or name in names)
        ]

    def stopped(self, detail: str = "the server is stopping") -> list[messages.Status]:
        """Return the last status of each stream that did not stop by itself."""
        return [
            messages.Status(
                stream=name,
                state=State.STOPPED,
                detail=detail,
                since_s=known.end_s,
                at_s=known.end_s,
                time=known.stream.date(0) + timedelta(seconds=known.end_s),
                level_dbfs=None,
                dropped=0,
            )
            for name, known in self._known.items()
            if not known.has_stopped
        ]

    def add(self, stream: Stream) -> None:
        """Take in a stream that begins; those that stopped are forgotten."""
        self._known = {name: known for name, known in self._known.items() if not known.has_stopped}
        self._known[stream.name] = Known(stream)

    def forget(self, name: str) -> None:
        """Forget a stream; does nothing where it is not known."""
        self._known.pop(name, None)

    def note(self, event: Event, message: messages.Message) -> bool:
        """Take in an event and its message; return whether its stream is new."""
        known = self._known.get(event.stream.name)
        is_new = known is None or known.stream != event.stream
        if known is None or is_new:
            self.add(event.stream)
            known = self._known[event.stream.name]
        # It may be dated anew.
        known.stream = event.stream
        if isinstance(message, messages.Status):
            known.status = message
            known.end_s = max(known.end_s, message.at_s)
        elif isinstance(message, messages.Prediction):
            known.end_s = message.end_s
        return is_new
