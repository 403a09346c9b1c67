"""Raw samples from a pipe: standard input, a socket, a process."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np

from realtime.errors import SourceError
from realtime.sources.outage import FIRST_SAMPLES_WITHIN_S, LATE_S, POLL_S, SILENT_AFTER_S, Outage
from realtime.sources.resample import StreamResampler
from realtime.types import Chunk, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from realtime.types import FloatArray

SAMPLE_BYTES = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}
"""The sample formats, named as FFmpeg names them, and the bytes of one sample."""

TELL_EVERY_S = 1.0
"""Seconds between two chunks that say that nothing comes."""

SETTLE_S = 0.5
"""Longest wait for more of what was held up, in seconds: networks pause between what they send."""

JITTER_S = 0.25
"""Audio may be on its way for so much longer after a pause than before it, in seconds, and none be lost."""

_FASTER = 2
_READ_BYTES = 65_536
_NOTHING: FloatArray = np.zeros(0, dtype=np.float32)


def decode_pcm(data: bytes, sample_format: str, channels: int) -> FloatArray:
    """Turn raw interleaved samples into floats, bitwise as libsndfile scales them.

    Parameters
    ----------
    data
        A whole number of frames.
    sample_format
        One of `SAMPLE_BYTES`.
    channels
        Samples in a frame.

    Returns
    -------
    np.ndarray [shape=(n, channels), dtype=float32]
        Full scale ±1; samples of `f32le` as they are.

    Raises
    ------
    ValueError
        If the format is unknown, or `data` ends inside a frame.
    """
    samples: FloatArray
    match sample_format:
        case "u8":
            samples = (np.frombuffer(data, "u1").astype(np.float32) - 128) / np.float32(2**7)
        case "s16le":
            samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(2**15)
        case "s24le":
            # As the upper three bytes of 32 bits: this keeps the sign.
            wide = np.zeros((len(data) // 3, 4), "u1")
            wide[:, 1:] = np.frombuffer(data, "u1").reshape(-1, 3)
            samples = wide.reshape(-1).view("<i4").astype(np.float32) / np.float32(2**31)
        case "s32le":
            samples = np.frombuffer(data, "<i4").astype(np.float32) / np.float32(2**31)
        case "f32le":
            samples = np.frombuffer(data, "<f4").astype(np.float32)
        case _:
            raise ValueError(f"sample format is {sample_format!r}; wanted one of {', '.join(SAMPLE_BYTES)}")
    return samples.reshape(-1, channels)


class PcmSource:
    """Read raw interleaved samples from a binary stream as they come.

    Nothing waits for a full block, so a live pipe is not delayed. Leaving does not close the stream.

    When nothing comes for two seconds (at the beginning five) from a stream that is live, an empty chunk says
    `NO_SIGNAL`, and again every second. It may only be held up on its way: what comes at once when bytes come
    again is not lost, and where that is all, the stream goes on as if nothing had been. The rest of the time
    without audio counts as dropped samples, and an empty chunk says `RECOVERING`. After seven seconds
    nothing is waited for: all of it counts as dropped, whatever comes later. No byte is lost, nor is half a
    frame that came before.

    Parameters
    ----------
    stream
        Where the bytes come from, `sys.stdin.buffer` for instance. Of a live one that has a file descriptor,
        that is read, past what the stream itself may have buffered.
    sample_rate
        Samples per second of the chunks, in Hz.
    from_rate
        Samples per second (per channel) of the stream, in Hz.
    sample_format
        One of `SAMPLE_BYTES`.
    channels
        Number of channels of the stream, of which chunks hold what `StreamResampler` makes of them.
    live
        Whether the samples come as time passes; otherwise a stream that gives nothing is waited for. A live
        one is read in a thread: it may take one block more than it yields.
    name
        Names the stream in messages.
    clock
        Monotonic time in seconds.

    Raises
    ------
    SourceError
        If the format is unknown, or a rate or `channels` is below 1.
    """

    def __init__(
        self,
        stream: BinaryIO,
        sample_rate: int,
        *,
        from_rate: int,
        sample_format: str = "s16le",
        channels: int = 1,
        live: bool = False,
        name: str = "stdin",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if sample_format not in SAMPLE_BYTES:
            raise SourceError(
                f"{name}: the sample format is {sample_format!r}; wanted one of {', '.join(SAMPLE_BYTES)}"
            )
        if channels < 1:
            raise SourceError(f"{name}: the number of channels is {channels}; wanted at least 1")
        if from_rate < 1:
            raise SourceError(f"{name}: the sample rate is {from_rate} Hz; wanted at least 1")
        self.name = name
        self.sample_format = sample_format
        self.channels = channels
        self.is_live = live
        self._stream = stream
        self._clock = clock
        self._lost = Outage(sample_rate)
        # When bytes came last; and when they came again.
        self._heard_s = self._back_s = 0.0
        self._resampler = StreamResampler(from_rate, sample_rate, channels)

    def __enter__(self) -> Self:
        """Make sure that someone sends.

        Raises
        ------
        SourceError
            If the stream is a terminal.
        """
        if self._stream.isatty():
            raise SourceError(
                f"{self.name} is a terminal; pipe raw samples in, for instance from "
                f"{self._example('arecord')}, {self._example('parec')} or {self._example('ffmpeg')}"
            )
        # A non-blocking descriptor, which a sibling process may have left behind, reads as ended
        # whenever it is merely empty. Streams without a descriptor, and Windows, have no such switch.
        with contextlib.suppress(OSError, AttributeError, io.UnsupportedOperation):
            os.set_blocking(self._stream.fileno(), True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the stream open: it belongs to the caller."""

    def __iter__(self) -> Iterator[Chunk]:
        """Yield samples until the stream ends.

        If it ends inside a frame, a last, empty chunk has `dropped` 1 and says how many bytes were left. One
        that ends in a pause says how long that was.

        Raises
        ------
        SourceError
            If the stream ends before its first byte, or cannot be read.
        """
        n_frame_bytes = SAMPLE_BYTES[self.sample_format] * self.channels
        rest = b""
        n_bytes = 0
        self._heard_s = self._clock()
        for data in self._waited_for() if self.is_live else iter(self._read, b""):
            if data is None:
                yield from self._miss()
                continue
            n_bytes += len(data)
            rest += data
            whole = len(rest) - len(rest) % n_frame_bytes
            frames = decode_pcm(rest[:whole], self.sample_format, self.channels)
            rest = rest[whole:]
            now_s = self._clock()
            if self._lost.goes_on:
                yield from self._come_back(now_s - len(frames) / self._resampler.from_rate)
            self._heard_s = now_s
            samples = self._resampler.push(frames)
            if len(samples):
                yield Chunk(samples, clipped=self._resampler.clipped)
        if not n_bytes:
            raise SourceError(
                f"{self.name} ended without a single byte; did the program before the pipe fail? "
                f"Try it alone, or send samples with {self._example('ffmpeg')}"
            )
        yield from self._finish()
        now_s = self._clock()
        n_lost, detail = self._lost.end(now_s), f"{self.name} gave nothing for {now_s - self._heard_s:.1f} s"
        state = State.NO_SIGNAL if n_lost else State.LISTENING
        if rest:
            n_lost += 1
            detail = (
                f"{self.name} ended with {len(rest)} bytes left over; wanted whole frames of "
                f"{n_frame_bytes} bytes ({self.sample_format}, channels: {self.channels})"
            )
        if n_lost:
            yield Chunk(_NOTHING, n_lost, state=state, detail=detail, last=True)

    def _waited_for(self) -> Iterator[bytes | None]:
        """Yield what comes until the end; None whenever that nothing came is to be told."""
        reader = _Reader(self._read_descriptor if _has_descriptor(self._stream) else self._read)
        due_s = self._clock() + FIRST_SAMPLES_WITHIN_S
        try:
            while (data := reader.take(POLL_S)) != b"":
                # Counted from here on: while the loop is busy with what came, nobody looks for more.
                if data is not None:
                    yield self._held_up(data, reader) if self._lost.goes_on else data
                    due_s = self._clock() + SILENT_AFTER_S
                elif self._clock() >= due_s:
                    yield None
                    due_s = self._clock() + TELL_EVERY_S
        finally:
            reader.close()

    def _miss(self) -> Iterator[Chunk]:
        """Yield that nothing comes, and when it is too late for that, what is lost."""
        self._lost.begin(self._heard_s)
        now_s, n_lost = self._clock(), 0
        if now_s - self._heard_s >= LATE_S:
            yield from self._finish()
            n_lost = self._lost.count(now_s)
        yield Chunk(_NOTHING, n_lost, state=State.NO_SIGNAL, detail=f"nothing comes from {self.name}")

    def _held_up(self, data: bytes, reader: _Reader) -> bytes:
        """Return the first bytes after a pause, and those behind them that come faster than time passes."""
        n_second_bytes = SAMPLE_BYTES[self.sample_format] * self.channels * self._resampler.from_rate
        self._back_s = now_s = fast_s = self._clock()
        if self._lost.is_counted:
            # That cannot be taken back.
            return data
        found, n_found, n_fast = [data], len(data), len(data)
        while now_s - fast_s <= SETTLE_S and n_found < (now_s - self._heard_s - JITTER_S) * n_second_bytes:
            more = reader.take(SETTLE_S)
            if not more:
                break
            found.append(more)
            n_found += len(more)
            now_s = self._clock()
            if n_found - n_fast > _FASTER * (now_s - fast_s) * n_second_bytes:
                fast_s, n_fast = now_s, n_found
        return b"".join(found)

    def _come_back(self, until_s: float) -> Iterator[Chunk]:
        """Yield what was lost until a moment, now that bytes come again; nothing where all was held up."""
        was_counted = self._lost.is_counted
        n_lost = self._lost.end(until_s)
        if was_counted or n_lost > JITTER_S * self._resampler.to_rate:
            yield from self._finish()
            waited_s = self._back_s - self._heard_s
            detail = f"{self.name} gave nothing for {waited_s:.1f} s: collecting a whole window again"
            yield Chunk(_NOTHING, n_lost, state=State.RECOVERING, detail=detail)

    def _finish(self) -> Iterator[Chunk]:
        """Yield the end of what was heard: what was before a gap and what comes after must not be blended."""
        tail = self._resampler.finish()
        if len(tail):
            yield Chunk(tail, clipped=self._resampler.clipped)

    def _read_descriptor(self) -> bytes:
        """As `_read`, without the stream's lock."""
        # As a process ends Python wants that lock, and aborts where a thread that still reads holds it.
        try:
            return os.read(self._stream.fileno(), _READ_BYTES)
        except OSError as error:
            raise self._broken(error) from error

    def _read(self) -> bytes:
        """Return what is there, at least one byte; none at the end."""
        try:
            # Buffered streams wait for all of `read(n)`; `read1` takes what one system call gives, which
            # is what `read` of an unbuffered stream does.
            if isinstance(self._stream, io.BufferedReader | io.BytesIO | io.BufferedRWPair):
                return self._stream.read1(_READ_BYTES)
            return self._stream.read(_READ_BYTES)
        except OSError as error:
            raise self._broken(error) from error

    def _broken(self, error: OSError) -> SourceError:
        return SourceError(f"{self.name} cannot be read: {error.strerror or error}")

    def _example(self, program: str) -> str:
        rate, channels, name = self._resampler.from_rate, self.channels, self.sample_format
        alsa = {"u8": "U8", "s16le": "S16_LE", "s24le": "S24_3LE", "s32le": "S32_LE", "f32le": "FLOAT_LE"}[
            name
        ]
        pulse = {"f32le": "float32le"}.get(name, name)
        return {
            "arecord": f"`arecord -q -t raw -f {alsa} -r {rate} -c {channels}`",
            "parec": f"`parec --raw --format={pulse} --rate={rate} --channels={channels}`",
            "ffmpeg": f"`ffmpeg -i FILE -f {name} -ar {rate} -ac {channels} -`",
        }[program]


class _Reader:
    """Reads in a thread of its own, for which nobody waits: what waits for a pipe cannot be interrupted.

    It reads a block when it is asked for one, so that what is not wanted yet stays in the pipe.

    Parameters
    ----------
    read
        Returns what is there; waits for it.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._found: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
        self._is_asked = False
        threading.Thread(target=self._run, name="tonewatch-pipe", daemon=True).start()

    def take(self, timeout_s: float) -> bytes | None:
        """Return a block, none at the end; None where nothing came in time.

        Raises
        ------
        BaseException
            What reading raised.
        """
        if not self._is_asked:
            self._is_asked = True
            self._wanted.put(True)
        try:
            found = self._found.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._is_asked = False
        if isinstance(found, BaseException):
            raise found
        return found

    def close(self) -> None:
        """Read no more; a read that has begun is not waited for."""
        self._wanted.put(False)

    def _run(self) -> None:
        while self._wanted.get():
            try:
                self._found.put(self._read())
            except BaseException as error:  # noqa: BLE001 - raised again by whoever takes
                self._found.put(error)


def _has_descriptor(stream: BinaryIO) -> bool:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True
