from __future__ import annotations

import io
import os
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.errors import SourceError
from realtime.sources.pcm import SAMPLE_BYTES, PcmSource, decode_pcm
from realtime.sources.resample import StreamResampler
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from realtime.types import Chunk, FloatArray

WAV_SUBTYPES = {"u8": "PCM_U8", "s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT"}


class Trickle(io.RawIOBase):
    """A raw stream that gives its bytes in pieces of these lengths, then the rest at once."""

    def __init__(self, data: bytes, lengths: list[int]) -> None:
        self._data = data
        self._lengths = lengths

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        length = self._lengths.pop(0) if self._lengths else len(self._data)
        piece, self._data = self._data[: min(length, len(buffer))], self._data[min(length, len(buffer)) :]
        buffer[: len(piece)] = piece
        return len(piece)


def read(stream: BinaryIO, rate: int = 16_000, **settings: Any) -> list[Chunk]:
    with PcmSource(stream, rate, **{"from_rate": 16_000, **settings}) as source:
        return list(source)


def joined(chunks: list[Chunk]) -> FloatArray:
    return np.concatenate([chunk.samples for chunk in chunks])


@pytest.mark.parametrize("sample_format", SAMPLE_BYTES)
@pytest.mark.parametrize("channels", [1, 2])
def test_bitwise_what_libsndfile_reads(tmp_path: Path, sample_format: str, channels: int) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (5_000, channels))
    samples[:3] = [[-1.0], [1.0], [0.0]]
    subtype = WAV_SUBTYPES[sample_format]
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype=subtype)
    endian = "FILE" if sample_format == "u8" else "LITTLE"
    soundfile.write(tmp_path / "a.raw", samples, 16_000, format="RAW", subtype=subtype, endian=endian)
    expected, _ = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    data = (tmp_path / "a.raw").read_bytes()
    assert len(data) == 5_000 * channels * SAMPLE_BYTES[sample_format]
    assert decode_pcm(data, sample_format, channels).tobytes() == expected.tobytes()
    mono = joined(read(io.BytesIO(data), sample_format=sample_format, channels=channels))
    np.testing.assert_array_equal(mono, expected[:, 0] if channels == 1 else expected.sum(axis=1) / 2)


def test_clipping_in_one_channel_is_told() -> None:
    samples = np.zeros((24_000, 2), dtype="<i2")
    samples[12_000:, 0] = -32_768
    for rate in (48_000, 16_000):
        chunks = read(io.BytesIO(samples.tobytes()), channels=2, from_rate=rate)
        flags = [chunk.clipped for chunk in chunks if chunk.clipped is not None]
        told = np.concatenate(flags)
        assert len(told) == len(joined(chunks))
        np.testing.assert_array_equal(np.flatnonzero(told), np.arange(len(told) // 2, len(told)))


@given(lengths=st.lists(st.integers(1, 50), max_size=60), channels=st.integers(1, 3))
@pytest.mark.parametrize("sample_format", SAMPLE_BYTES)
@settings(max_examples=25, deadline=None)
def test_cuts_between_bytes_do_not_matter(sample_format: str, lengths: list[int], channels: int) -> None:
    data = np.random.default_rng(2).bytes(SAMPLE_BYTES[sample_format] * channels * 300)
    whole = joined(read(io.BytesIO(data), 8_000, sample_format=sample_format, channels=channels))
    stream = io.BufferedReader(Trickle(data, lengths))
    pieces = joined(read(stream, 8_000, sample_format=sample_format, channels=channels))
    assert len(whole) == 150
    assert pieces.tobytes() == whole.tobytes()


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("live", [False, True])
def test_live_pipe_is_not_delayed(buffering: int, *, live: bool) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=buffering) as stream:  # noqa: PTH123 - a descriptor
        source = PcmSource(stream, 16_000, from_rate=16_000, live=live)
        # Only if the source waits for more than is there.
        guard = threading.Timer(20, os.close, [writing])
        guard.start()
        with source:
            chunks = iter(source)
            for n_samples in (1, 160, 7):
                os.write(writing, bytes(2 * n_samples))
                start_s = time.monotonic()
                assert len(next(chunks).samples) == n_samples
                assert time.monotonic() - start_s < 10
        guard.cancel()
        os.close(writing)
        assert not list(chunks)


@pytest.mark.skipif(os.name == "nt", reason="pipes cannot be made non-blocking here")
def test_pipe_that_is_merely_empty_has_not_ended() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(reading, "rb") as stream:  # noqa: PTH123 - a descriptor
        source = PcmSource(stream, 16_000, from_rate=16_000)

        def write() -> None:
            os.write(writing, bytes(4))
            os.close(writing)

        threading.Timer(0.2, write).start()
        with source:
            assert len(joined(list(source))) == 2


@pytest.mark.parametrize(
    ("sample_format", "channels", "n_left"), [("s16le", 1, 1), ("f32le", 2, 7), ("u8", 2, 1)]
)
@pytest.mark.parametrize("live", [False, True])
def test_bytes_left_over_are_told(sample_format: str, channels: int, n_left: int, *, live: bool) -> None:
    data = bytes(100 * channels * SAMPLE_BYTES[sample_format] + n_left)
    chunks = read(io.BytesIO(data), sample_format=sample_format, channels=channels, live=live)
    assert len(joined(chunks)) == 100
    *others, last = chunks
    assert (last.dropped, last.state, len(last.samples)) == (1, State.LISTENING, 0)
    assert f"{n_left} bytes left over" in last.detail
    assert all(chunk.dropped == 0 for chunk in others)
    assert [chunk.last for chunk in chunks] == [False] * len(others) + [True]


def test_fewer_bytes_than_one_sample() -> None:
    (only,) = read(io.BytesIO(b"\x00"))
    assert only.dropped == 1


def test_resamples_all_of_it() -> None:
    chunks = read(io.BytesIO(bytes(2 * 2 * 44_100)), 16_000, from_rate=44_100, channels=2)
    assert len(joined(chunks)) == 16_000


@pytest.mark.parametrize("live", [False, True])
def test_nothing_at_all(*, live: bool) -> None:
    with pytest.raises(
        SourceError, match=r"stdin ended without a single byte.*ffmpeg -i FILE -f s16le -ar 16000"
    ):
        read(io.BytesIO(b""), live=live)


def test_terminal() -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(SourceError, match="is a terminal") as caught:
        read(Terminal(b"1234"), sample_format="f32le", channels=2)
    for example in (
        "arecord -q -t raw -f FLOAT_LE -r 16000 -c 2",
        "parec --raw --format=float32le",
        "ffmpeg",
    ):
        assert example in str(caught.value)


@pytest.mark.parametrize("live", [False, True])
def test_stream_that_fails(*, live: bool) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _: object) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(SourceError, match="stdin cannot be read: Input/output error"):
        read(io.BufferedReader(Broken()), live=live)


# --- what does not come ----------------------------------------------------------------------------------


STEP_S = 0.05


class FakeClock:
    """A clock that goes on at each look alone, however busy the machine is."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        self.now_s += STEP_S
        return self.now_s


@dataclass
class Pipe:
    """A live source and its other end."""

    source: PcmSource
    writing: int
    clock: FakeClock
    chunks: list[Chunk] = field(default_factory=list)

    def until(self, holds: Callable[[Chunk], bool]) -> Chunk:
        """Take chunks until one is found."""
        for chunk in self.iterator:
            self.chunks.append(chunk)
            if holds(chunk):
                return chunk
        raise AssertionError("the source ended")

    @cached_property
    def iterator(self) -> Iterator[Chunk]:
        return iter(self.source)

    def write(self, data: bytes) -> None:
        os.write(self.writing, data)

    @property
    def n_samples(self) -> int:
        """How far the stream has come."""
        return sum(len(chunk.samples) + chunk.dropped for chunk in self.chunks)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    monkeypatch.setattr("realtime.sources.pcm.POLL_S", 0.005)
    reading, writing = os.pipe()
    clock = FakeClock()
    with open(reading, "rb") as stream:  # noqa: PTH123 - a descriptor
        source = PcmSource(stream, 16_000, from_rate=16_000, sample_format="f32le", live=True, clock=clock)
        with source, open(writing, "wb", buffering=0):  # noqa: PTH123
            yield Pipe(source, writing, clock)


def lasts(seconds: float) -> Any:
    """Return about so many seconds, in samples: a few looks at the clock lie between."""
    return pytest.approx(16_000 * seconds, abs=16_000 * 10 * STEP_S)


def is_missing(chunk: Chunk) -> bool:
    return chunk.state is State.NO_SIGNAL


def test_pipe_that_gives_nothing_is_told_and_counted(pipe: Pipe) -> None:
    samples = np.random.default_rng(3).uniform(-1, 1, 300).astype("<f4")
    data = samples.tobytes()
    start_s = pipe.clock()
    pipe.write(data[:402])
    first = pipe.until(is_missing)
    # Two seconds in vain, all of them lost; then one after the other.
    assert first.dropped == lasts(2)
    assert (first.detail, len(first.samples)) == ("nothing comes from stdin", 0)
    for _ in range(3):
        chunk = pipe.until(is_missing)
        assert chunk.dropped == lasts(1)
    pipe.write(data[402:])
    back = pipe.until(lambda chunk: chunk.state is State.RECOVERING)
    assert "stdin gave nothing for" in back.detail
    pipe.until(lambda chunk: chunk.state is State.LISTENING)
    # No sample is missing, not even the one that came in two halves.
    assert joined(pipe.chunks).tobytes() == data
    assert pipe.n_samples == lasts(pipe.clock() - start_s)
    # It goes on as before.
    assert pipe.until(is_missing).dropped == lasts(2)


def test_pipe_that_never_gives_anything_is_told(pipe: Pipe) -> None:
    chunk = pipe.until(is_missing)
    assert pipe.chunks == [chunk]
    # Programs need a while to start.
    assert chunk.dropped == lasts(5)


def test_what_was_sent_before_a_pause_is_not_blended_with_what_comes_after(pipe: Pipe) -> None:
    pipe.source = PcmSource(
        pipe.source._stream, 16_000, from_rate=48_000, sample_format="f32le", live=True, clock=pipe.clock
    )
    samples = np.random.default_rng(4).uniform(-1, 1, 960).astype("<f4")
    resampler = StreamResampler(48_000, 16_000)
    for part in (samples[:480], samples[480:]):
        pipe.write(part.tobytes())
        pipe.until(is_missing)
        expected = np.concatenate([resampler.push(part), resampler.finish()])
        assert joined(pipe.chunks).tobytes() == expected.tobytes()
        pipe.chunks.clear()


def test_a_slow_loop_is_no_pause(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    read = pipe.source._read_descriptor

    def read_late() -> bytes:
        time.sleep(0.03)
        return read()

    monkeypatch.setattr(pipe.source, "_read_descriptor", read_late)
    for _ in range(3):
        pipe.write(bytes(8))
        pipe.until(lambda _: True)
        # Somebody is in no hurry to take events; then the next bytes are there, but for a moment.
        pipe.clock.now_s += 60
    assert [(len(chunk.samples), chunk.dropped) for chunk in pipe.chunks] == [(2, 0)] * 3


def test_what_is_no_live_stream_is_waited_for(pipe: Pipe) -> None:
    pipe.source.is_live = False
    threading.Timer(0.3, pipe.write, [bytes(8)]).start()
    assert pipe.until(lambda _: True).samples.tolist() == [0.0, 0.0]
    assert pipe.chunks[0].dropped == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_format": "mp3"}, "'mp3'; wanted one of u8, s16le"),
        ({"channels": 0}, "number of channels is 0"),
        ({"from_rate": 0}, "sample rate is 0 Hz"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(io.BytesIO(b""), **settings)


def test_leaving_keeps_the_stream_open() -> None:
    stream = io.BytesIO(bytes(10))
    read(stream)
    assert not stream.closed


def test_values_that_are_not_numbers_are_passed_on() -> None:
    samples = np.array([np.nan, np.inf, -np.inf, 0.5], dtype="<f4")
    assert joined(read(io.BytesIO(samples.tobytes()), sample_format="f32le")).tobytes() == samples.tobytes()


def test_decoding_refuses_other_formats_and_partial_frames() -> None:
    with pytest.raises(ValueError, match="'s8'; wanted one of"):
        decode_pcm(b"", "s8", 1)
    for sample_format, data in (("s16le", b"123"), ("s24le", b"1234"), ("u8", b"123")):
        with pytest.raises(ValueError, match=r"size|buffer|shape"):
            decode_pcm(data, sample_format, 2)
