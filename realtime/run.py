"""The loop: chunks from a source, events from the recognizer, to every sink."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from realtime.types import Chunk, Event, Sink


class Listener(Protocol):
    """What turns chunks into events: a recognizer, here or elsewhere."""

    def push(self, chunk: Chunk) -> Iterable[Event]:
        """Take a chunk; return the events that are due."""
        ...

    def finish(self) -> Iterable[Event]:
        """Return the last events of a stream that has ended."""
        ...

    def stop(self) -> Iterable[Event]:
        """Return the last events of a stream that is broken off."""
        ...


def run(
    source: Iterable[Chunk],
    recognizer: Listener,
    sinks: Sequence[Sink],
    report: Callable[[str], None],
) -> bool:
    """Listen until the source ends, an interrupt comes, or no sink is left.

    A sink that fails is reported, closed and left out from then on. All others are closed at the end.

    Parameters
    ----------
    source
        Yields chunks at the recognizer's sample rate.
    recognizer
        Turns them into events.
    sinks
        Where the events go.
    report
        Takes a line for people about what went wrong.

    Returns
    -------
    bool
        Whether a sink was left at the end.

    Raises
    ------
    KeyboardInterrupt
        After the last events of the interrupted stream were sent and the sinks closed.
    """
    outlets = FanOut(sinks, report)
    is_over = False
    try:
        for chunk in source:
            outlets.emit(*recognizer.push(chunk))
            if not outlets.sinks:
                return False
        last = recognizer.finish()
        if isinstance(last, list):
            outlets.queue(*last)
            is_over = True
            outlets.emit()
        # Those of a server come one by one, and what is left of them is for `stop` to say.
        for event in () if is_over else last:
            outlets.emit(event)
    except BaseException:
        # An interrupt, or a source that failed: what was heard so far is ended properly.
        outlets.emit()
        for event in () if is_over else recognizer.stop():
            outlets.emit(event)
        raise
    finally:
        outlets.close()
    return bool(outlets.sinks)


class FanOut:
    """Hands each event to every sink, and goes on without those that fail.

    Parameters
    ----------
    sinks
        Where the events go.
    report
        Takes a line for people about a sink that failed.
    """

    def __init__(self, sinks: Sequence[Sink], report: Callable[[str], None]) -> None:
        self.sinks = list(sinks)
        self._report = report
        self._due: deque[tuple[Sink, Event]] = deque()

    def queue(self, *events: Event) -> None:
        """Keep events for every sink that is left, until `emit`."""
        self._due += [(sink, event) for event in events for sink in self.sinks]

    def emit(self, *events: Event) -> None:
        """Hand events to every sink that is left, after what was queued and what an interrupt kept back.

        The one that an interrupt meets half-way is not handed to the same sink again, which may have had it.
        """
        self.queue(*events)
        while self._due:
            sink, event = self._due.popleft()
            if sink not in self.sinks:
                continue
            try:
                sink.emit(event)
            except Exception as error:  # noqa: BLE001 - whatever ails one sink must not end the others
                self.sinks.remove(sink)
                self._close(sink)
                self._report(f"{sink.name}: {error or type(error).__name__}; goes on without it")

    def close(self) -> None:
        """Close every sink that is left, also where an interrupt comes between."""
        with ExitStack() as stack:
            for sink in self.sinks:
                stack.callback(self._close, sink)

    def _close(self, sink: Sink) -> None:
        try:
            sink.close()
        except Exception as error:  # noqa: BLE001 - as above
            self._report(f"{sink.name}: could not be closed: {error or type(error).__name__}")
