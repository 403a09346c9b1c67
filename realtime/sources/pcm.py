"""Raw samples from a pipe: standard input, a socket, a process."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np

from realtime.errors import SourceError
from realtime.sources.resample import StreamResampler
from realtime.types import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from realtime.types import FloatArray

SAMPLE_BYTES = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}
"""The sample formats, named as FFmpeg names them, and the bytes of one sample."""

_READ_BYTES = 65_536


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

    Parameters
    ----------
    stream
        Where the bytes come from, `sys.stdin.buffer` for instance.
    sample_rate
        Samples per second of the chunks, in Hz.
    from_rate
        Samples per second (per channel) of the stream, in Hz.
    sample_format
        One of `SAMPLE_BYTES`.
    channels
        Number of channels of the stream; chunks hold their mean.
    name
        Names the stream in messages.

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
        name: str = "stdin",
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
        self._stream = stream
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

        If it ends inside a frame, a last, empty chunk has `dropped` 1 and says how many bytes were left.

        Raises
        ------
        SourceError
            If the stream ends before its first byte, or cannot be read.
        """
        n_frame_bytes = SAMPLE_BYTES[self.sample_format] * self.channels
        rest = b""
        n_bytes = 0
        while data := self._read():
            n_bytes += len(data)
            rest += data
            whole = len(rest) - len(rest) % n_frame_bytes
            frames = decode_pcm(rest[:whole], self.sample_format, self.channels)
            rest = rest[whole:]
            samples = self._resampler.push(frames)
            if len(samples):
                yield Chunk(samples)
        if not n_bytes:
            raise SourceError(
                f"{self.name} ended without a single byte; did the program before the pipe fail? "
                f"Try it alone, or send samples with {self._example('ffmpeg')}"
            )
        tail = self._resampler.finish()
        if len(tail):
            yield Chunk(tail)
        if rest:
            yield Chunk(
                np.zeros(0, dtype=np.float32),
                dropped=1,
                detail=(
                    f"{self.name} ended with {len(rest)} bytes left over; wanted whole frames of "
                    f"{n_frame_bytes} bytes ({self.sample_format}, channels: {self.channels})"
                ),
            )

    def _read(self) -> bytes:
        """Return what is there, at least one byte; none at the end."""
        try:
            # Buffered streams wait for all of `read(n)`; `read1` takes what one system call gives, which
            # is what `read` of an unbuffered stream does.
            if isinstance(self._stream, io.BufferedReader | io.BytesIO | io.BufferedRWPair):
                return self._stream.read1(_READ_BYTES)
            return self._stream.read(_READ_BYTES)
        except OSError as error:
            raise SourceError(f"{self.name} cannot be read: {error.strerror or error}") from error

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
