"""A server as the commands see it: its messages become events again, its judgement a recognizer."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from realtime import messages, types
from realtime.background import POLL_S, Background
from realtime.sender import stream_audio
from realtime.types import PREDICTING, Latency, State, Stream

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from realtime.types import Chunk, Event

STOP_WITHIN_S: Final = 1.5
"""How long the last events of a stream that is broken off are waited for, in seconds."""

_SAME_S: Final = 1e-3


class RemoteStreams:
    """Turns a server's messages back into the events that they were made from, as far as they go.

    A stream that begins anew under its name is another one; one that goes on, but under other dates, is dated
    anew.
    """

    def __init__(self) -> None:
        self._hello: messages.Hello | None = None
        self._streams: dict[str, Stream] = {}
        self._newest: dict[str, types.Prediction | types.Status] = {}
        self._n_lost = 0

    def events(self, message: messages.Message) -> list[Event]:
        """Return the events that a message tells of; none before `hello`."""
        hello = self._hello
        match message:
            case messages.Hello():
                self._greet(message)
            case _ if hello is None:
                pass
            case messages.Prediction():
                return [self._note(_prediction(self._stream(hello, message, message.end_s), message))]
            case messages.Status():
                return [self._note(_status(self._stream(hello, message, message.at_s), message))]
            case messages.Segment() if message.stream in self._streams:
                return [_segment(self._streams[message.stream], message)]
            case messages.Error(code="disconnected", dropped=0):
                return self._interrupt(message.message)
            case messages.Error(code="disconnected"):
                # Told by this side alone: the server does not know of what never came.
                self.lose(message.dropped)
        return []

    def lose(self, n_samples: int) -> None:
        """Count lost samples that the server does not know of; they are told with the next event."""
        self._n_lost += n_samples

    def _greet(self, hello: messages.Hello) -> None:
        old = self._hello
        is_same = old is not None and (old.model, old.labels, old.sample_rate) == (
            hello.model,
            hello.labels,
            hello.sample_rate,
        )
        here = set(hello.streams) if is_same else set()
        self._streams = {name: stream for name, stream in self._streams.items() if name in here}
        self._newest = {name: event for name, event in self._newest.items() if name in here}
        self._hello = hello

    def _stream(
        self, hello: messages.Hello, message: messages.Prediction | messages.Status, at_s: float
    ) -> Stream:
        started = message.time - timedelta(seconds=at_s)
        stream = self._streams.get(message.stream)
        if stream is not None and abs((stream.date(0) - started).total_seconds()) <= _SAME_S:
            return stream
        if stream is not None and self._goes_on(stream, at_s):
            stream = self._streams[message.stream] = replace(stream, redated=started)
        else:
            stream = self._streams[message.stream] = Stream(
                message.stream,
                hello.model,
                hello.labels,
                hello.sample_rate,
                round(hello.window_s * hello.sample_rate),
                round(hello.hop_s * hello.sample_rate),
                started,
            )
        return stream

    def _goes_on(self, stream: Stream, at_s: float) -> bool:
        """Tell whether a moment can be one of a stream that is known, behind what was heard of it."""
        newest = self._newest.get(stream.name)
        if newest is None or (isinstance(newest, types.Status) and newest.state is State.STOPPED):
            return False
        return _index(stream, at_s) >= end_of(newest)

    def _note(self, event: types.Prediction | types.Status) -> types.Prediction | types.Status:
        event = replace(event, dropped=event.dropped + self._n_lost)
        self._n_lost = 0
        self._newest[event.stream.name] = event
        return event

    def _interrupt(self, reason: str) -> list[Event]:
        """Return what a lost connection means for each stream: nobody knows what it does."""
        return [
            types.Status(event.stream, State.RECOVERING, reason, end_of(event), end_of(event))
            for event in self._newest.values()
            if not (isinstance(event, types.Status) and event.state is State.STOPPED)
        ]


def end_of(event: types.Prediction | types.Status) -> int:
    """Return how far a stream had come when an event was told, in samples."""
    return event.end if isinstance(event, types.Prediction) else event.at


def _prediction(stream: Stream, message: messages.Prediction) -> types.Prediction:
    took = message.latency_ms
    return types.Prediction(
        stream,
        message.seq,
        _index(stream, message.start_s),
        _index(stream, message.end_s),
        message.label,
        message.probability,
        tuple(message.probabilities.get(label, 0.0) for label in stream.labels),
        tuple(message.smoothed.get(label, 0.0) for label in stream.labels),
        message.level_dbfs,
        message.dropped,
        Latency(took.queue, took.features, took.inference),
        message.intensity,
        _index_or_none(stream, message.voice_start_s),
        _index_or_none(stream, message.voice_end_s),
    )


def _status(stream: Stream, message: messages.Status) -> types.Status:
    return types.Status(
        stream,
        message.state,
        message.detail,
        _index(stream, message.since_s),
        _index(stream, message.at_s),
        message.level_dbfs,
        message.dropped,
    )


def _segment(stream: Stream, message: messages.Segment) -> types.Segment:
    return types.Segment(
        stream,
        message.label,
        _index(stream, message.start_s),
        _index_or_none(stream, message.end_s),
        message.probability,
    )


def _index(stream: Stream, seconds: float) -> int:
    return round(seconds * stream.sample_rate)


def _index_or_none(stream: Stream, seconds: float | None) -> int | None:
    return None if seconds is None else _index(stream, seconds)


class RemoteRecognizer:
    """Lets a server judge: chunks go there, events come back, a little later than those of a recognizer here.

    Samples that were lost before are sent as what is no number, which the server counts as dropped; those
    at the end are counted here alone, so that the server judges what came before them to its end.

    Parameters
    ----------
    url
        The server's address.
    sample_rate
        Of the chunks, in Hz; the rate of the server's model, so that nothing is resampled there.
    report
        Takes a line for people.
    name
        Names the stream.
    realtime
        Whether the audio is live.
    hop_s, smoothing, min_probability
        How to judge.
    token, tls
        As `realtime.stream_audio` takes them.
    """

    def __init__(
        self,
        url: str,
        sample_rate: int,
        report: Callable[[str], None],
        *,
        name: str,
        realtime: bool = True,
        hop_s: float | None = None,
        smoothing: str | None = None,
        min_probability: float = 0.0,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._report = report
        self._streams = RemoteStreams()
        self._last: types.Prediction | types.Status | None = None
        self._trouble = ""
        self._has_lost = False
        self._sample_rate = sample_rate
        # Samples, or how many were lost: those of an hour would be a quarter of a gigabyte.
        self._blocks: queue.Queue[types.FloatArray | int | None] = queue.Queue(maxsize=16)
        self._is_closing = threading.Event()
        self._told = Background(
            stream_audio(
                url,
                self._sent(),
                sample_rate=sample_rate,
                format="f32le",
                name=name,
                realtime=realtime,
                hop_s=hop_s,
                smoothing=smoothing,
                min_probability=min_probability,
                token=token,
                tls=tls,
            )
        )

    def push(self, chunk: Chunk) -> list[Event]:
        """Send a chunk, and return the events that came meanwhile.

        Raises
        ------
        SubscriptionError
            The server refuses the audio.
        """
        trouble = chunk.detail if chunk.dropped or chunk.state not in PREDICTING else ""
        if trouble and trouble != self._trouble:
            self._report(trouble)
        self._trouble = trouble
        events: list[Event] = []
        if chunk.dropped and chunk.last and not len(chunk.samples):
            # Sent as what is no number, it would break off the last window there.
            self._streams.lose(chunk.dropped)
        elif chunk.dropped:
            self._has_lost = True
            events += self._put(chunk.dropped)
        if len(chunk.samples):
            events += self._put(chunk.samples)
        return [*events, *self._arrived(0.0)]

    def finish(self) -> Iterator[Event]:
        """Say that this was all, and yield the last events."""
        yield from self._put(None)
        while not self._told.has_ended:
            yield from self._arrived(POLL_S)
        self._told.close()

    def stop(self) -> Iterator[Event]:
        """Yield the last events of a stream that is broken off, as far as they come soon."""
        until_s = time.monotonic() + STOP_WITHIN_S
        self._is_closing.set()
        with contextlib.suppress(Exception):
            while not self._told.has_ended and (rest_s := until_s - time.monotonic()) > 0:
                yield from self._arrived(min(rest_s, POLL_S))
        self._told.close()
        last = self._last
        if last is not None and not (isinstance(last, types.Status) and last.state is State.STOPPED):
            detail = "stopped before the server had answered"
            yield types.Status(last.stream, State.STOPPED, detail, end_of(last), end_of(last))

    def _sent(self) -> Iterator[types.FloatArray]:
        """Yield what is to be sent; runs in a thread of its own."""
        while True:
            try:
                block = self._blocks.get(timeout=POLL_S)
            except queue.Empty:
                if self._is_closing.is_set():
                    return
                continue
            if block is None:
                return
            if isinstance(block, int):
                yield from self._lost(block)
            else:
                yield block

    def _lost(self, n_samples: int) -> Iterator[types.FloatArray]:
        """Yield what stands for lost samples, a second or less at a time."""
        second = np.full(min(n_samples, self._sample_rate), np.nan, dtype=np.float32)
        while n_samples > 0 and not self._is_closing.is_set():
            yield second[:n_samples]
            n_samples -= len(second)

    def _put(self, block: types.FloatArray | int | None) -> Iterator[Event]:
        """Hand a block over, and yield what comes while that has to wait."""
        while not self._told.has_ended:
            try:
                self._blocks.put(block, timeout=POLL_S)
            except queue.Full:
                yield from self._arrived(0.0)
            else:
                return

    def _arrived(self, timeout_s: float) -> Iterator[Event]:
        """Yield the events that are there, or else come in time."""
        while (message := self._told.take(timeout_s)) is not None:
            timeout_s = 0.0
            if isinstance(message, messages.Error) and self._is_news(message):
                self._report(message.message)
            for event in self._streams.events(message):
                if not isinstance(event, types.Segment):
                    self._last = event
                yield event

    def _is_news(self, error: messages.Error) -> bool:
        """Return whether an error says more than the events and this side do."""
        match error.code:
            case "disconnected":
                return self._last is None
            case "bad_samples":
                return not self._has_lost
        return True
