"""Messages become the events again that they were made from; losses and new beginnings are not forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

import realtime
from realtime import messages
from realtime.errors import SubscriptionError
from realtime.messages import to_message
from realtime.remote import RemoteRecognizer, RemoteStreams
from realtime.server.engine import SharedModel
from realtime.server.server import EventServer
from realtime.types import Chunk, Prediction, Segment, State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from realtime.types import Event, FloatArray
    from tests.conftest import MakeVoice

STARTED = datetime(2026, 1, 7, 12, 0, 0, 123_457, tzinfo=UTC)
LABELS = ("neutral", "angry")
STREAM = Stream("kitchen", "tiny", LABELS, 22_050, 66_150, 11_025, STARTED)


def status(at: int, state: State = State.SILENT, dropped: int = 0, stream: Stream = STREAM) -> Status:
    return Status(stream, state, "why", at - 5, at, -30.25, dropped)


def disconnected(dropped: int = 0) -> messages.Error:
    return messages.Error(code="disconnected", message="it is lost", fatal=False, dropped=dropped)


def greeted(*streams: Stream) -> RemoteStreams:
    remote = RemoteStreams()
    assert remote.events(messages.hello(streams or (STREAM,))) == []
    return remote


def as_wire(event: Event) -> messages.Message:
    return messages.decode(messages.encode(to_message(event)))


def test_events_survive_the_way() -> None:
    # Numbers with no more digits than are sent.
    events: list[Event] = [
        status(7),
        Prediction(STREAM, 3, 11_025, 77_175, "angry", 0.75, (0.25, 0.75), (0.5, 0.5), -20.5, 12),
        Prediction(
            STREAM,
            4,
            22_050,
            88_200,
            "angry",
            0.75,
            (0.25, 0.75),
            (0.5, 0.5),
            -20.5,
            12,
            voice_start=22_051,
            voice_end=77_177,
        ),
        Segment(STREAM, "angry", 77_175, None, 0.5),
        Segment(STREAM, "angry", 77_175, 88_201, 0.5),
        status(123_456_789, State.STOPPED),
    ]
    remote = greeted()
    found = [event for event_sent in events for event in remote.events(as_wire(event_sent))]
    assert [to_message(event) for event in found] == [to_message(event) for event in events]
    voices = [(e.voice_start, e.voice_end) for e in found if isinstance(e, Prediction)]
    assert voices == [(None, None), (22_051, 77_177)]
    stream = found[0].stream
    assert all(event.stream is stream for event in found)
    assert (stream.name, stream.model, stream.labels) == ("kitchen", "tiny", LABELS)
    assert (stream.sample_rate, stream.window, stream.hop) == (22_050, 66_150, 11_025)
    assert abs((stream.started - STARTED).total_seconds()) < 1e-5


def test_nothing_is_known_before_hello_nor_of_a_segment_s_stream() -> None:
    remote = RemoteStreams()
    assert remote.events(as_wire(status(7))) == []
    remote = greeted()
    assert remote.events(as_wire(Segment(STREAM, "angry", 1, None, 0.5))) == []


def test_a_stream_that_begins_anew_is_another_one() -> None:
    remote = greeted()
    (first,) = remote.events(as_wire(status(7)))
    later = msgspec.structs.replace  # a wire message of the same name, a minute later
    (same,) = remote.events(as_wire(status(22_050 * 600)))
    message = as_wire(status(7))
    assert isinstance(message, messages.Status)
    (other,) = remote.events(later(message, time=message.time.replace(minute=1)))
    assert first.stream is same.stream
    assert other.stream != first.stream


def test_a_stream_that_is_dated_anew_is_the_same_one() -> None:
    remote = greeted()

    def streams(*told: Status) -> list[Stream]:
        return [event.stream for status in told for event in remote.events(as_wire(status))]

    def begun(seconds: int) -> Stream:
        return replace(STREAM, started=STARTED + timedelta(seconds=seconds))

    later = replace(STREAM, redated=STARTED + timedelta(seconds=7))
    first, *others = streams(status(5), status(50_000, stream=later), status(60_000, stream=later))
    for stream in others:
        assert stream == first
        assert stream.date(0) == STARTED + timedelta(seconds=7)
    # What is not as far yet does not go on, whatever its name, nor does what ended.
    assert streams(status(59_000, stream=begun(20))) == [begun(20)]
    assert streams(status(70_000, State.STOPPED, stream=begun(20)), status(80_000, stream=begun(40))) == [
        begun(20),
        begun(40),
    ]


def test_a_lost_connection_is_told_of_every_stream_that_goes_on() -> None:
    other = Stream("porch", "tiny", LABELS, 22_050, 66_150, 11_025, STARTED)
    gone = Stream("attic", "tiny", LABELS, 22_050, 66_150, 11_025, STARTED)
    remote = greeted(STREAM, other, gone)
    for event in (status(7), status(9, stream=other), status(9, State.STOPPED, stream=gone)):
        remote.events(as_wire(event))
    found = remote.events(disconnected())
    assert [(e.stream.name, e.state, e.detail, e.at) for e in found if isinstance(e, Status)] == [
        ("kitchen", State.RECOVERING, "it is lost", 7),
        ("porch", State.RECOVERING, "it is lost", 9),
    ]
    # What the server no longer has, nobody waits for.
    remote.events(messages.hello([other]))
    assert [event.stream.name for event in remote.events(disconnected())] == ["porch"]


def test_losses_that_only_this_side_knows_of_go_with_the_next_event() -> None:
    remote = greeted()
    assert remote.events(disconnected(dropped=2000)) == []
    dropped = [
        event.dropped
        for at in (7, 8)
        for event in remote.events(as_wire(status(at, dropped=5)))
        if isinstance(event, Status)
    ]
    assert dropped == [2005, 5]


# --- a recognizer elsewhere -------------------------------------------------------------------------------


@pytest.fixture
def server(tiny_model: Path) -> Iterator[EventServer]:
    server = EventServer("127.0.0.1", 0, model=SharedModel(realtime.load(tiny_model)))
    server.start()
    yield server
    server.close()


def told(events: list[Event]) -> list[tuple[object, ...]]:
    """Return what two recognizers have in common."""
    shown: list[tuple[object, ...]] = []
    for event in events:
        match event:
            case Prediction():
                rounded = tuple(round(p, 6) for p in event.probabilities)
                shown.append((event.seq, event.start, event.end, event.label, rounded, event.heard))
            case Segment():
                shown.append((event.label, event.start, event.end))
    return shown


def n_lost(events: list[Event]) -> int:
    return sum(event.dropped for event in events if not isinstance(event, Segment))


def heard(recognizer: realtime.Recognizer | RemoteRecognizer, chunks: list[Chunk]) -> list[Event]:
    """Return everything that is said of a stream."""
    pushed = [event for chunk in chunks for event in recognizer.push(chunk)]
    return [*pushed, *recognizer.finish()]


def test_it_says_what_a_recognizer_here_says(
    server: EventServer, tiny_model: Path, make_voice: MakeVoice
) -> None:
    samples = make_voice(9)
    # Half a second lost on the way from the microphone, after 5 s.
    chunks = [Chunk(samples[:80_000]), Chunk(samples[88_000:], dropped=8_000)]
    here = realtime.Recognizer(realtime.load(tiny_model), name="me")
    there = RemoteRecognizer(server.page_url, 16_000, pytest.fail, name="me", realtime=False)
    events = [heard(recognizer, chunks) for recognizer in (here, there)]
    assert sum(isinstance(event, Prediction) for event in events[0]) == 7
    assert told(events[1]) == told(events[0])
    # With which event they are told depends on how the network cuts what is lost.
    assert n_lost(events[1]) == n_lost(events[0]) >= 8_000


def test_what_is_lost_at_the_end_is_counted_here(
    server: EventServer, tiny_model: Path, make_voice: MakeVoice
) -> None:
    samples = make_voice(2.5)
    chunks = [Chunk(samples), Chunk(samples[:0], 8_000, detail="the rest is damaged", last=True)]
    here = realtime.Recognizer(realtime.load(tiny_model), name="me")
    reports: list[str] = []
    there = RemoteRecognizer(server.page_url, 16_000, reports.append, name="me", realtime=False)
    events = [heard(recognizer, chunks) for recognizer in (here, there)]
    assert sum(isinstance(event, Prediction) for event in events[0]) == 1
    assert told(events[1]) == told(events[0])
    assert n_lost(events[1]) == n_lost(events[0]) == 8_000
    assert reports == ["the rest is damaged"]


def test_what_is_lost_is_sent_a_second_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[FloatArray] = []

    async def take(_url: str, audio: Iterator[FloatArray], **_: Any) -> AsyncIterator[messages.Message]:
        sent.extend(audio)
        answers: list[messages.Message] = []
        for answer in answers:
            yield answer

    monkeypatch.setattr("realtime.remote.stream_audio", take)
    there = RemoteRecognizer("ws://server", 16_000, pytest.fail, name="me")
    ones = np.ones(160, dtype=np.float32)
    for chunk in (Chunk(ones), Chunk(ones, dropped=1_000_001), Chunk(ones)):
        assert list(there.push(chunk)) == []
    assert list(there.finish()) == []
    assert max(len(block) for block in sent) == 16_000
    everything = np.concatenate(sent)
    assert np.flatnonzero(np.isnan(everything)).tolist() == list(range(160, 160 + 1_000_001))
    assert len(everything) == 1_000_001 + 3 * 160


def test_what_ails_the_source_is_told(server: EventServer) -> None:
    reports: list[str] = []
    there = RemoteRecognizer(server.page_url, 16_000, reports.append, name="me")
    silence = np.zeros(160, dtype=np.float32)
    for _ in range(3):
        there.push(Chunk(silence[:0], 160, state=State.NO_SIGNAL, detail="the microphone is gone"))
    there.push(Chunk(silence))
    there.push(Chunk(silence[:0], 160, state=State.NO_SIGNAL, detail="the microphone is gone"))
    states = [event.state for event in there.stop() if isinstance(event, Status)]
    assert states[-1] is State.STOPPED
    assert [text for text in reports if "microphone" in text] == ["the microphone is gone"] * 2


def test_a_refusal_is_raised_where_chunks_go_in(server: EventServer) -> None:
    there = RemoteRecognizer(server.page_url, 16_000, lambda _: None, name="me", smoothing="mean")

    def speak() -> None:
        for _ in range(1000):
            there.push(Chunk(np.zeros(1600, dtype=np.float32)))

    with pytest.raises(SubscriptionError, match="smoothing"):
        speak()
    assert list(there.stop()) == []
