"""The loop: every event to every sink, and on without those that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from realtime.run import run
from realtime.types import Chunk, Event, State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime.recognizer import Recognizer

STREAM = Stream("s", "m", ("neutral",), 16_000, 48_000, 8_000)
CHUNK = Chunk(np.zeros(10, dtype=np.float32))


def status(n: int, state: State = State.SILENT) -> Status:
    return Status(STREAM, state, "", n, n)


class FakeRecognizer:
    def __init__(self) -> None:
        self.n = 0

    def push(self, chunk: Chunk) -> list[Event]:
        self.n += len(chunk.samples)
        return [status(self.n)]

    def finish(self) -> list[Event]:
        return [status(self.n, State.RECOVERING), *self.stop()]

    def stop(self) -> list[Event]:
        return [status(self.n, State.STOPPED)]


class FakeSink:
    def __init__(self, name: str, fails_at: int | None = None, error: BaseException | None = None) -> None:
        self.name = name
        self.events: list[Event] = []
        self.n_closed = 0
        self._fails_at = fails_at
        self._error = error or OSError(28, "No space left on device")

    def emit(self, event: Event) -> None:
        if len(self.events) == self._fails_at:
            raise self._error
        self.events.append(event)

    def close(self) -> None:
        self.n_closed += 1


class Interrupted(FakeSink):
    """Gets its second event, and an interrupt right behind it."""

    def emit(self, event: Event) -> None:
        super().emit(event)
        if len(self.events) == 2:
            raise KeyboardInterrupt


def listen(source: Iterator[Chunk] | list[Chunk], *sinks: FakeSink) -> tuple[bool, list[str]]:
    reports: list[str] = []
    recognizer: Recognizer = FakeRecognizer()  # type: ignore[assignment]
    return run(source, recognizer, sinks, reports.append), reports


def test_every_event_reaches_every_sink() -> None:
    one, other = FakeSink("one"), FakeSink("other")
    assert listen([CHUNK, CHUNK], one, other) == (True, [])
    assert [e.state for e in one.events if isinstance(e, Status)] == [
        State.SILENT,
        State.SILENT,
        State.RECOVERING,
        State.STOPPED,
    ]
    assert one.events == other.events
    assert (one.n_closed, other.n_closed) == (1, 1)


def test_a_sink_that_fails_is_reported_and_left_out() -> None:
    good, bad = FakeSink("good"), FakeSink("disk", fails_at=1)
    heard, reports = listen([CHUNK] * 5, bad, good)
    assert heard
    assert len(good.events) == 7
    assert len(bad.events) == 1
    assert bad.n_closed == 1
    (report,) = reports
    assert "disk: [Errno 28] No space left on device" in report


def test_without_any_sink_there_is_nothing_to_listen_for() -> None:
    def endless() -> Iterator[Chunk]:
        while True:
            yield CHUNK

    heard, reports = listen(endless(), FakeSink("only", fails_at=3))
    assert not heard
    assert len(reports) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("the source broke")])
def test_an_interrupt_ends_the_stream_properly(error: BaseException) -> None:
    def broken() -> Iterator[Chunk]:
        yield CHUNK
        raise error

    sink = FakeSink("sink")
    with pytest.raises(type(error)):
        listen(broken(), sink)
    assert [e.state for e in sink.events if isinstance(e, Status)] == [State.SILENT, State.STOPPED]
    assert sink.n_closed == 1


def test_an_interrupt_between_two_sinks_keeps_no_event_from_the_second() -> None:
    one, other = Interrupted("one"), FakeSink("other")
    with pytest.raises(KeyboardInterrupt):
        listen([CHUNK] * 5, one, other)
    assert [e.state for e in one.events if isinstance(e, Status)] == [
        State.SILENT,
        State.SILENT,
        State.STOPPED,
    ]
    assert one.events == other.events


def test_an_interrupt_among_the_last_events_repeats_none() -> None:
    sink = Interrupted("sink")
    with pytest.raises(KeyboardInterrupt):
        listen([CHUNK], sink)
    assert [e.state for e in sink.events if isinstance(e, Status)] == [
        State.SILENT,
        State.RECOVERING,
        State.STOPPED,
    ]


def test_a_sink_that_cannot_be_closed_is_reported() -> None:
    class Stuck(FakeSink):
        def close(self) -> None:
            raise OSError("stuck")

    stuck, good = Stuck("stuck"), FakeSink("good")
    heard, reports = listen([CHUNK], stuck, good)
    assert heard
    assert good.n_closed == 1
    assert reports == ["stuck: could not be closed: stuck"]
