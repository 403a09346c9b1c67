from __future__ import annotations

import io
import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.errors import SourceError
from realtime.sources.outage import LATE_S, SILENT_AFTER_S
from realtime.sources.pcm import JITTER_S, SAMPLE_BYTES, PcmSource, decode_pcm
from realtime.sources.resample import StreamResampler
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import Iterator
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
@settings(max_examples=25)
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


def is_lost(chunk: Chunk) -> bool:
    return is_missing(chunk) and chunk.dropped > 0


def test_pipe_that_gives_nothing_is_told_and_counted(pipe: Pipe) -> None:
    samples = np.random.default_rng(3).uniform(-1, 1, 300).astype("<f4")
    data = samples.tobytes()
    start_s = pipe.clock()
    pipe.write(data[:402])
    first = pipe.until(is_missing)
    # Two seconds in vain, but what did not come may be on its way.
    assert pipe.clock.now_s - start_s == pytest.approx(2, abs=0.5)
    assert (first.detail, len(first.samples), first.dropped) == ("nothing comes from stdin", 0, 0)
    # After seven it is lost, all of it; then one second after the other.
    late = pipe.until(is_lost)
    assert late.dropped == lasts(7.5)
    assert [chunk.state for chunk in pipe.chunks[-5:]] == [State.NO_SIGNAL] * 5
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
    assert pipe.until(is_missing).dropped == 0
    assert pipe.until(is_lost).dropped == lasts(7.5)


def test_pipe_that_never_gives_anything_is_told(pipe: Pipe) -> None:
    chunk = pipe.until(is_missing)
    assert pipe.chunks == [chunk]
    # Programs need a while to start.
    assert pipe.clock.now_s == pytest.approx(100 + 5, abs=0.5)
    assert chunk.dropped == 0
    assert pipe.until(is_lost).dropped == lasts(7.5)


def test_what_was_sent_before_a_pause_is_not_blended_with_what_comes_after(pipe: Pipe) -> None:
    pipe.source = PcmSource(
        pipe.source._stream, 16_000, from_rate=48_000, sample_format="f32le", live=True, clock=pipe.clock
    )
    samples = np.random.default_rng(4).uniform(-1, 1, 960).astype("<f4")
    resampler = StreamResampler(48_000, 16_000)
    for part in (samples[:480], samples[480:]):
        pipe.write(part.tobytes())
        pipe.until(is_lost)
        expected = np.concatenate([resampler.push(part), resampler.finish()])
        assert joined(pipe.chunks).tobytes() == expected.tobytes()
        pipe.chunks.clear()


class Line:
    """What comes over a line, and when by a clock of its own: in the place of what reads a pipe.

    Parameters
    ----------
    came
        Moments, and the seconds of audio that come then.
    end_s
        When it ends.
    """

    def __init__(self, came: list[tuple[float, float]], end_s: float) -> None:
        self.now_s = 0.0
        self._due = [*came, (end_s, 0.0)]
        n_samples = round(RATE * sum(seconds for _, seconds in came))
        self.audio = np.random.default_rng(5).uniform(-1, 1, n_samples).astype("<f4")
        self._n_taken = 0

    def clock(self) -> float:
        return self.now_s

    def take(self, timeout_s: float) -> bytes | None:
        due_s, seconds = self._due[0]
        if due_s > self.now_s + timeout_s:
            self.now_s += timeout_s
            return None
        self.now_s = max(self.now_s, due_s)
        if len(self._due) > 1:
            self._due.pop(0)
        begin, self._n_taken = self._n_taken, self._n_taken + round(RATE * seconds)
        return self.audio[begin : self._n_taken].tobytes()

    def close(self) -> None:
        pass


RATE = 1_000

Listen = Callable[..., tuple[list["Chunk"], Line]]


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Listen:
    """Listen to a line to its end; nothing is dated in the future."""

    def run(
        came: list[tuple[float, float]], end_s: float, *, rate: int = RATE, ahead_s: float = 0.0
    ) -> tuple[list[Chunk], Line]:
        line = Line(came, end_s)
        monkeypatch.setattr("realtime.sources.pcm._Reader", lambda _: line)
        stream = io.BytesIO()
        chunks: list[Chunk] = []
        n_samples = 0
        with PcmSource(
            stream, rate, from_rate=RATE, sample_format="f32le", live=True, clock=line.clock
        ) as source:
            for chunk in source:
                chunks.append(chunk)
                n_samples += len(chunk.samples) + chunk.dropped
                assert n_samples / rate <= line.now_s + JITTER_S + ahead_s
        return chunks, line

    return run


def in_time(begin_s: float, end_s: float, block_s: float = 0.1) -> list[tuple[float, float]]:
    """Blocks that come as they are spoken."""
    n_blocks = round((end_s - begin_s) / block_s)
    return [(begin_s + (k + 1) * block_s, block_s) for k in range(n_blocks)]


def n_lost(chunks: list[Chunk]) -> int:
    return sum(chunk.dropped for chunk in chunks)


@pytest.mark.parametrize("pause_s", [2.5, 5.0, 6.9])
@pytest.mark.parametrize("rate", [RATE, 1_600])
@pytest.mark.parametrize(("n_pieces", "apart_s"), [(1, 0.0), (10, 0.0), (5, 0.15)])
def test_what_was_held_up_is_not_lost(
    listen: Listen, pause_s: float, rate: int, n_pieces: int, apart_s: float
) -> None:
    came, now_s = in_time(0, 4), 4.0
    for _ in range(4):
        now_s += pause_s
        came += [(now_s + k * apart_s, pause_s / n_pieces) for k in range(n_pieces)]
        # What was spoken meanwhile comes behind it.
        took_s = n_pieces * apart_s
        came += [(now_s + took_s, took_s)] if took_s else []
        came += [*in_time(now_s + took_s, now_s + took_s + 4)]
        now_s += took_s + 4
    chunks, line = listen(came, now_s, rate=rate)
    # It is told, each time, and that is all.
    states = [chunk.state for chunk in chunks]
    assert sum(one is State.NO_SIGNAL is not two for one, two in itertools.pairwise(states)) == 4
    assert State.RECOVERING not in states
    assert n_lost(chunks) == 0
    # As if nothing had been, also where it is resampled.
    resampler = StreamResampler(RATE, rate)
    expected = np.concatenate([resampler.push(line.audio), resampler.finish()])
    assert joined(chunks).tobytes() == expected.tobytes()


@pytest.mark.parametrize("came_s", [0.1, 1.0, 3.0])
def test_what_did_not_come_with_the_rest_is_lost(listen: Listen, came_s: float) -> None:
    chunks, line = listen([*in_time(0, 3), (8.0, came_s), *in_time(8, 12)], 12.0)
    (back,) = (chunk for chunk in chunks if chunk.dropped)
    assert back.state is State.RECOVERING
    assert back.detail == "stdin gave nothing for 5.0 s: collecting a whole window again"
    assert back.dropped / RATE == pytest.approx(5 - came_s, abs=0.11)
    assert joined(chunks).tobytes() == line.audio.tobytes()
    # Before what comes again, and told soon after it came.
    index = next(i for i, chunk in enumerate(chunks) if chunk is back)
    assert sum(len(chunk.samples) for chunk in chunks[:index]) == 3 * RATE
    assert len(chunks[index + 1].samples) <= (came_s + 0.7) * RATE


def test_what_comes_too_late_was_lost(listen: Listen) -> None:
    chunks, line = listen([*in_time(0, 3), (15.0, 12.0), *in_time(15, 18)], 18.0, ahead_s=12)
    assert LATE_S < n_lost(chunks) / RATE <= 12
    assert State.RECOVERING in [chunk.state for chunk in chunks]
    assert joined(chunks).tobytes() == line.audio.tobytes()


@pytest.mark.parametrize("pause_s", [1.0, 5.0, 9.5])
def test_a_pause_at_the_end_counts(listen: Listen, pause_s: float) -> None:
    chunks, _ = listen(in_time(0, 3), 3 + pause_s)
    if pause_s < SILENT_AFTER_S:
        assert {chunk.state for chunk in chunks} == {State.LISTENING}
        assert not any(chunk.last for chunk in chunks)
        return
    assert len(joined(chunks)) + n_lost(chunks) == pytest.approx((3 + pause_s) * RATE, abs=1)
    last = chunks[-1]
    assert (last.state, last.last, last.detail) == (
        State.NO_SIGNAL,
        True,
        f"stdin gave nothing for {pause_s:.1f} s",
    )


def test_a_recording_that_begins_late_is_all_there(listen: Listen) -> None:
    # What decodes it had to fetch it first.
    chunks, line = listen([(6.0, 2.0)] * 100, 6.0, ahead_s=200)
    assert [chunk.state for chunk in chunks[:2]] == [State.NO_SIGNAL, State.LISTENING]
    assert n_lost(chunks) == 0
    assert joined(chunks).tobytes() == line.audio.tobytes()


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
