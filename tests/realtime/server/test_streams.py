from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from realtime import messages
from realtime.messages import to_message
from realtime.server.streams import Streams
from realtime.types import Event, Prediction, State, Status, Stream

ONE = Stream("one", "tiny", ("neutral", "angry"), 22050, 66150, 11025, datetime(2026, 1, 1, tzinfo=UTC))
TWO = replace(ONE, name="two")
SILENT = Status(ONE, State.SILENT, "no voice", 22050, 22050, -61.0, dropped=5)


HELLO = messages.hello([ONE])


def note(streams: Streams, event: Event) -> bool:
    return streams.note(event, to_message(event))


def test_a_newcomer_is_told_the_newest_status_without_losses_already_told() -> None:
    streams = Streams([ONE], HELLO)
    assert streams.statuses() == []
    assert not note(streams, replace(SILENT, state=State.LISTENING))
    assert not note(streams, SILENT)
    message = to_message(replace(SILENT, dropped=0))
    assert streams.statuses() == [message]


def test_hops_are_those_of_each_stream() -> None:
    streams = Streams([ONE], HELLO)
    streams.add(replace(TWO, hop=2205))
    assert (streams.hop_s("one"), streams.hop_s("two")) == (0.5, 0.1)
    # Of one that is gone, the model's.
    streams.forget("two")
    assert streams.hop_s("two") == 0.5


def test_a_new_stream_is_introduced() -> None:
    streams = Streams([ONE], HELLO)
    assert note(streams, replace(SILENT, stream=TWO))
    assert not note(streams, replace(SILENT, stream=TWO))
    assert streams.hello().streams == ("one", "two")
    assert len(streams.statuses()) == 1


def test_a_stream_that_begins_again_is_new() -> None:
    streams = Streams([ONE], HELLO)
    note(streams, SILENT)
    again = replace(ONE, started=datetime(2026, 1, 2, tzinfo=UTC))
    assert note(streams, replace(SILENT, stream=again, state=State.STARTING))
    assert [status.state for status in streams.statuses()] == [State.STARTING]


def test_a_stream_that_is_dated_anew_is_no_new_one() -> None:
    streams = Streams([ONE], HELLO)
    note(streams, SILENT)
    later = datetime(2026, 1, 2, tzinfo=UTC)
    assert not note(streams, replace(SILENT, stream=replace(ONE, redated=later)))
    (known,) = streams.known
    assert known.since == later + timedelta(seconds=1)
    assert [status.time for status in streams.stopped()] == [later + timedelta(seconds=1)]


def test_streams_that_stopped_make_room_for_others() -> None:
    streams = Streams([ONE], HELLO)
    for number in range(100):
        stream = replace(ONE, name=f"{number}.wav")
        note(streams, replace(SILENT, stream=stream))
        note(streams, replace(SILENT, stream=stream, state=State.STOPPED))
    assert streams.hello().streams == ("one", "99.wav")


def test_the_last_status_is_stopped_for_those_that_did_not_by_themselves() -> None:
    streams = Streams([ONE, TWO], HELLO)
    note(streams, replace(SILENT, stream=TWO, state=State.STOPPED))
    note(streams, Prediction(ONE, 0, 0, 66150, "angry", 0.75, (0.5, 0.5), (0.25, 0.75), -23.4))
    (status,) = streams.stopped()
    assert isinstance(status, messages.Status)
    assert (status.stream, status.state, status.since_s) == ("one", State.STOPPED, 3.0)


def test_there_may_be_none() -> None:
    streams = Streams([], HELLO)
    assert streams.hello().streams == ()
    assert streams.statuses() == streams.stopped() == []


def test_a_stream_that_is_forgotten_is_not_spoken_of() -> None:
    streams = Streams([ONE], HELLO)
    streams.add(TWO)
    note(streams, replace(SILENT, stream=TWO))
    assert "two" in streams
    streams.forget("two")
    streams.forget("two")
    assert "two" not in streams
    assert streams.hello().streams == ("one",)
    assert streams.statuses() == []


def test_statuses_of_some_streams_only() -> None:
    streams = Streams([ONE, TWO], HELLO)
    for stream in (ONE, TWO):
        note(streams, replace(SILENT, stream=stream))
    assert [status.stream for status in streams.statuses(frozenset({"two"}))] == ["two"]


def test_what_a_stream_does_and_since_when() -> None:
    streams = Streams([ONE], HELLO)
    (known,) = streams.known
    assert (known.state, known.since) == (State.STARTING, ONE.started)
    note(streams, SILENT)
    assert (known.state, known.since) == (State.SILENT, ONE.started + timedelta(seconds=1))
    note(streams, replace(SILENT, state=State.STOPPED))
    assert "one" not in streams
