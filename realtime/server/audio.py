"""One sender's audio: what may be said when, and what becomes of it. No sockets, no threads, no clock.

`AudioSession` reads what a sender says. `Allowance` measures how fast it may. `AudioStream` turns its samples
into events, in the engine's thread.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from realtime import config, messages
from realtime.errors import ProtocolError, SettingsError
from realtime.recognizer import Recognizer
from realtime.samples import LARGEST_SAMPLE
from realtime.sources.pcm import SAMPLE_BYTES, decode_pcm
from realtime.sources.resample import StreamResampler
from realtime.types import REMIND_S, Chunk, State, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from realtime.dating import Dating
    from realtime.messages import Start, Stop
    from realtime.recognizer import Model
    from realtime.types import Event, FloatArray

Output: TypeAlias = "Event | messages.Error"
"""What a stream gives: events for all, errors for its sender."""

_NOTHING = np.zeros(0, dtype=np.float32)
# Who listens cannot look at the sender's device: what was lost there comes as what is no number.
_LOST_THERE = "the sender has lost samples, or sent what is no audio: not a number, infinite, or huge"


class AudioSession:
    """Reads what a sender says: one `start`, samples, one `stop`."""

    def __init__(self) -> None:
        self.start: Start | None = None
        self.is_ended = False
        """Whether the sender said `stop`."""

    def receive(self, data: str | bytes) -> Start | Stop | bytes:
        """Return a message of the sender, decoded, or its samples as they are.

        Raises
        ------
        ProtocolError
            It is not understood, or out of turn: the session cannot go on.
        """
        if isinstance(data, bytes):
            if self.start is None:
                raise ProtocolError(
                    "bad_message", f"found {len(data)} bytes of samples before `start`; wanted it first"
                )
            return data
        message = messages.decode_client(data)
        if isinstance(message, messages.Start):
            if self.start is not None:
                raise ProtocolError(
                    "bad_message", "found a second `start`; wanted one: open another connection for it"
                )
            self.start = message
        elif self.start is None:
            raise ProtocolError("bad_message", "found `stop` before `start`; wanted `start` first")
        else:
            self.is_ended = True
        return message


class Allowance:
    """How much audio a sender may send: so much at once, so much faster than real time for long.

    Parameters
    ----------
    speed
        Seconds of audio that come free in a second.
    burst_s
        Seconds of audio that may be sent at once.

    References
    ----------
    The token bucket: Tanenbaum & Wetherall, "Computer networks", section 5.3.2.
    """

    def __init__(self, speed: float, burst_s: float) -> None:
        self._speed = speed
        self._burst_s = burst_s
        self._left_s = burst_s
        self._asked_s = 0.0
        self._is_told = False

    def take(self, audio_s: float, now_s: float) -> float:
        """Return how long to wait, in seconds, before more than these seconds of audio may be taken."""
        self._left_s = min(self._burst_s, self._left_s + (now_s - self._asked_s) * self._speed)
        self._asked_s = now_s
        if self._left_s >= self._burst_s / 2:
            self._is_told = False
        self._left_s -= audio_s
        return max(0.0, -self._left_s / self._speed)

    def should_tell(self) -> bool:
        """Return whether to tell the sender that it has to wait: once, until half is free again."""
        was_told, self._is_told = self._is_told, True
        return not was_told


class AudioStream:
    """Turns a sender's bytes into events, bitwise as the same samples from a file.

    Parameters
    ----------
    start
        What the sender announced.
    model
        What judges windows.
    name
        Names the stream.
    started
        Date of the first sample.
    timer
        A monotonic clock in seconds, which times features and inference.
    dating
        Finds out whether the samples come when they are dated for; without it, `started` is never wrong.

    Raises
    ------
    ProtocolError
        What `start` asks for does not fit the model (`unsupported`).
    """

    def __init__(
        self,
        start: Start,
        model: Model,
        *,
        name: str,
        started: datetime,
        timer: Callable[[], float] | None = None,
        dating: Dating | None = None,
    ) -> None:
        try:
            self._recognizer = Recognizer(
                model,
                hop_s=start.hop_s,
                smoothing=None if start.smoothing is None else config.parse_smoothing(start.smoothing),
                min_probability=start.min_probability,
                name=name,
                started=started,
                timer=timer,
            )
        except SettingsError as error:
            raise ProtocolError("unsupported", str(error)) from error
        self.start = start
        self.stream = self._recognizer.stream
        self._resampler = StreamResampler(start.sample_rate, model.spec.sample_rate, start.channels)
        self._n_frame_bytes = SAMPLE_BYTES[start.format] * start.channels
        self._rest = b""
        self._n_bad = 0
        self._bad_told_s = -REMIND_S
        self._heard_s = 0.0
        self._told: Status | None = None
        self._dating = dating

    def seconds(self, n_bytes: int) -> float:
        """Return how long the audio in so many bytes is, in seconds."""
        return n_bytes / self._n_frame_bytes / self.start.sample_rate

    @property
    def n_turn_bytes(self) -> int:
        """Bytes of one hop: after so many a prediction is due, and others shall have their turn."""
        hop_s = self.stream.seconds(self.stream.hop)
        return max(1, int(hop_s * self.start.sample_rate)) * self._n_frame_bytes

    def begin(self) -> list[Output]:
        """Return the first events, before there is any audio."""
        return [*self._recognizer.push(_NOTHING)]

    def push(self, data: bytes, queued_s: float = 0.0) -> list[Output]:
        """Return what became due with these bytes, which may begin and end inside a frame.

        Parameters
        ----------
        data
            The next bytes.
        queued_s
            How long the oldest of them waited, in seconds.
        """
        data = self._rest + data
        n_whole = len(data) - len(data) % self._n_frame_bytes
        self._rest = data[n_whole:]
        frames = decode_pcm(data[:n_whole], self.start.format, self.start.channels)
        self._heard_s += len(frames) / self.start.sample_rate
        samples = self._resampler.push(frames)
        outputs: list[Output] = []
        if len(samples):
            outputs += self._hear(self._chunk(samples, queued_s))
        return outputs + self._tell_bad(frames)

    def break_off(self) -> list[Output]:
        """Return the events of a connection that is lost; the stream waits for another one."""
        outputs: list[Output] = [*self._flush()]
        n_lost, self._rest = int(bool(self._rest)), b""
        return outputs + self._note(
            self._hear(
                Chunk(_NOTHING, n_lost, state=State.RECOVERING, detail="the sender is gone: waiting for it")
            )
        )

    def go_on(self, gap_s: float) -> list[Output]:
        """Return the events of a sender that is back after so many seconds that were not heard."""
        n_lost = round(gap_s * self.stream.sample_rate)
        detail = f"the sender is back after {gap_s:.1f} s: collecting a whole window again"
        told = self._hear(Chunk(_NOTHING, n_lost, detail=detail))
        if not told and self._told is not None:
            # The state is the same, but why is not: nobody shall wait for a sender that is there.
            told = [replace(self._told, detail=detail, at=self._told.at + n_lost, dropped=0)]
        return self._note(told)

    def finish(self) -> list[Output]:
        """Return the last events of a stream that has ended: every sample is in a window."""
        outputs: list[Output] = [*self._flush()]
        if self._rest:
            detail = (
                f"ended with {len(self._rest)} bytes left over; wanted whole frames of {self._n_frame_bytes} "
                f"bytes ({self.start.format}, channels: {self.start.channels})"
            )
            self._rest = b""
            outputs += self._hear(Chunk(_NOTHING, 1, detail=detail, last=True))
            text = f"the stream {detail}: check what cuts the samples"
            outputs.append(messages.Error(code="leftover", message=text, fatal=False, dropped=1))
        return [*outputs, *self._bad(), *self._recognizer.finish()]

    def abandon(self, n_bytes: int = 0) -> list[Output]:
        """Return the last events of a stream that is broken off, with so many bytes unheard."""
        n_unheard = (n_bytes + len(self._rest)) / self._n_frame_bytes / self.start.sample_rate
        n_lost = round((n_unheard + self._resampler.pending_s) * self.stream.sample_rate)
        outputs: list[Output] = []
        if n_lost:
            outputs += self._hear(Chunk(_NOTHING, n_lost, detail="the stream is broken off"))
        return [*outputs, *self._recognizer.stop()]

    def _hear(self, chunk: Chunk) -> list[Event]:
        return self._recognizer.push(chunk if self._dating is None else self._dating.date(chunk))

    def _note(self, events: list[Event]) -> list[Output]:
        for event in events:
            if isinstance(event, Status):
                self._told = event
        return [*events]

    def _flush(self) -> list[Event]:
        tail = self._resampler.finish()
        return self._hear(self._chunk(tail)) if len(tail) else []

    def _chunk(self, samples: FloatArray, queued_s: float = 0.0) -> Chunk:
        return Chunk(samples, queued_s=queued_s, detail=_LOST_THERE, clipped=self._resampler.clipped)

    def _tell_bad(self, frames: FloatArray) -> list[Output]:
        # Integers are always numbers.
        if self.start.format != "f32le":
            return []
        # Comparisons with what is not a number are false.
        self._n_bad += int(np.count_nonzero(~(np.abs(frames) <= LARGEST_SAMPLE)))
        return self._bad() if self._heard_s - self._bad_told_s >= REMIND_S else []

    def _bad(self) -> list[Output]:
        if not self._n_bad:
            return []
        n_bad, self._n_bad, self._bad_told_s = self._n_bad, 0, self._heard_s
        text = (
            f"found {n_bad} samples that are no audio: not a number, infinite, or huge; wanted full "
            "scale ±1: the stream goes on without them"
        )
        return [messages.Error(code="bad_samples", message=text, fatal=False, dropped=n_bad)]
