from __future__ import annotations

import io
import os
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.errors import SourceError
from realtime.sources.pcm import SAMPLE_BYTES, PcmSource, decode_pcm
from realtime.types import State

if TYPE_CHECKING:
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
def test_live_pipe_is_not_delayed(buffering: int) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=buffering) as stream:  # noqa: PTH123 - a descriptor
        source = PcmSource(stream, 16_000, from_rate=16_000)
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
def test_bytes_left_over_are_told(sample_format: str, channels: int, n_left: int) -> None:
    data = bytes(100 * channels * SAMPLE_BYTES[sample_format] + n_left)
    chunks = read(io.BytesIO(data), sample_format=sample_format, channels=channels)
    assert len(joined(chunks)) == 100
    *others, last = chunks
    assert (last.dropped, last.state, len(last.samples)) == (1, State.LISTENING, 0)
    assert f"{n_left} bytes left over" in last.detail
    assert all(chunk.dropped == 0 for chunk in others)


def test_fewer_bytes_than_one_sample() -> None:
    (only,) = read(io.BytesIO(b"\x00"))
    assert only.dropped == 1


def test_resamples_all_of_it() -> None:
    chunks = read(io.BytesIO(bytes(2 * 2 * 44_100)), 16_000, from_rate=44_100, channels=2)
    assert len(joined(chunks)) == 16_000


def test_nothing_at_all() -> None:
    with pytest.raises(
        SourceError, match=r"stdin ended without a single byte.*ffmpeg -i FILE -f s16le -ar 16000"
    ):
        read(io.BytesIO(b""))


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


def test_stream_that_fails() -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _: object) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(SourceError, match="stdin cannot be read: Input/output error"):
        read(io.BufferedReader(Broken()))


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
