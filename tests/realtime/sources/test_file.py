from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

import realtime.sources.file
from realtime.errors import SourceError
from realtime.sources.file import FileSource
from realtime.sources.resample import StreamResampler
from realtime.types import State

if TYPE_CHECKING:
    from realtime.types import Chunk, FloatArray


def noise(n_samples: int, channels: int = 1) -> FloatArray:
    return np.random.default_rng(3).normal(0, 0.1, (n_samples, channels)).astype(np.float32)


def read(path: Path, rate: int) -> tuple[FloatArray, list[Chunk]]:
    with FileSource(path, rate, fast=True) as source:
        chunks = list(source)
    return np.concatenate([chunk.samples for chunk in chunks]), chunks


class FakeTime:
    """A clock on which only sleeping, and work that the test makes up, takes time."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.slept_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept_s += seconds
        # A sleep that wakes up early must not make a sample early.
        self.now_s += seconds * 0.75 if seconds > 1e-3 else seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(realtime.sources.file, "time", fake)
    return fake


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        ("wav", "PCM_U8"),
        ("wav", "PCM_16"),
        ("wav", "PCM_24"),
        ("wav", "PCM_32"),
        ("wav", "FLOAT"),
        ("wav", "DOUBLE"),
        ("flac", "PCM_16"),
        ("flac", "PCM_24"),
        ("ogg", "VORBIS"),
        ("mp3", "MPEG_LAYER_III"),
        ("aiff", "PCM_16"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_reads_what_the_file_holds(tmp_path: Path, suffix: str, subtype: str, channels: int) -> None:
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, noise(33_000, channels), 16_000, subtype=subtype)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)
    samples, chunks = read(path, 16_000)
    assert samples.dtype == np.float32
    expected = StreamResampler(16_000, 16_000, channels).push(whole)
    if suffix == "mp3":  # decoding to the end in one go differs in the last bit
        np.testing.assert_allclose(samples, expected, atol=1e-6)
    else:
        assert samples.tobytes() == expected.tobytes()
    assert all(len(chunk.samples) <= 1_600 for chunk in chunks)
    assert all(chunk.dropped == 0 and chunk.queued_s == 0 for chunk in chunks)
    assert {chunk.state for chunk in chunks} == {State.LISTENING}


@pytest.mark.parametrize("suffix", ["wav", "mp3", "ogg"])
def test_length_of_blocks_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, noise(70_000, 2), 44_100)
    expected, _ = read(path, 16_000)
    monkeypatch.setattr(realtime.sources.file, "BLOCK_S", 0.0131)
    samples, _ = read(path, 16_000)
    assert samples.tobytes() == expected.tobytes()


def test_resamples(tmp_path: Path) -> None:
    sine = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    soundfile.write(tmp_path / "sine.wav", sine, 48_000, subtype="FLOAT")
    samples, _ = read(tmp_path / "sine.wav", 16_000)
    assert len(samples) == 16_000
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(samples[2_000:-2_000], expected[2_000:-2_000], atol=1e-4)


@pytest.mark.corpus
def test_reads_a_recording(ravdess: Path) -> None:
    path = ravdess / "speech" / "Actor_01" / "03-01-05-02-01-01-01.flac"
    whole, rate = soundfile.read(path, dtype="float32")
    assert read(path, rate)[0].tobytes() == whole.tobytes()


def test_values_that_are_not_numbers_are_passed_on(tmp_path: Path) -> None:
    samples = noise(2_000)[:, 0]
    samples[[5, 700]] = np.nan, np.inf
    soundfile.write(tmp_path / "bad.wav", samples, 16_000, subtype="FLOAT")
    assert read(tmp_path / "bad.wav", 16_000)[0].tobytes() == samples.tobytes()


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("fast", [True, False])
def test_clipping_in_one_channel_is_told(tmp_path: Path, clock: FakeTime, rate: int, *, fast: bool) -> None:
    samples = noise(rate, 2)
    samples[rate // 2 :, 1] = 1.0
    soundfile.write(tmp_path / "left.wav", samples, rate)
    with FileSource(tmp_path / "left.wav", 16_000, fast=fast) as source:
        flags = [chunk.clipped for chunk in source]
    assert clock.slept_s == 0 or not fast
    told = np.concatenate([np.zeros(0, dtype=np.bool_) if one is None else one for one in flags])
    np.testing.assert_array_equal(np.flatnonzero(told), np.arange(8_000, 16_000))


def test_name(tmp_path: Path) -> None:
    assert FileSource(tmp_path / "a.wav", 16_000).name == "a.wav"
    assert FileSource(str(tmp_path / "a.wav"), 16_000, name="kitchen").name == "kitchen"


def test_pace_is_that_of_the_samples(tmp_path: Path, clock: FakeTime) -> None:
    soundfile.write(tmp_path / "clip.wav", noise(48_000 * 5), 48_000)
    n_yielded = 0
    with FileSource(tmp_path / "clip.wav", 16_000) as source:
        for chunk in source:
            n_yielded += len(chunk.samples)
            late_s = clock.now_s - 1_000 - n_yielded / 16_000
            assert -1e-9 <= late_s < 2e-3
            assert chunk.queued_s == pytest.approx(0, abs=1e-9)
            clock.now_s += 0.01  # the recognizer's work: it must not add up
    assert n_yielded == 16_000 * 5


def test_slow_reader_is_told_how_late_it_is(tmp_path: Path, clock: FakeTime) -> None:
    soundfile.write(tmp_path / "clip.wav", noise(16_000), 16_000)
    with FileSource(tmp_path / "clip.wav", 16_000) as source:
        chunks = iter(source)
        assert next(chunks).queued_s == pytest.approx(0)
        clock.now_s += 0.25  # two blocks are due meanwhile
        assert next(chunks).queued_s == pytest.approx(0.15, abs=1e-2)
        assert next(chunks).queued_s == pytest.approx(0.05, abs=1e-2)
        assert next(chunks).queued_s == pytest.approx(0)


def test_fast_never_sleeps(tmp_path: Path, clock: FakeTime) -> None:
    soundfile.write(tmp_path / "clip.wav", noise(16_000), 16_000)
    read(tmp_path / "clip.wav", 16_000)
    assert clock.slept_s == 0


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_truncated_file_gives_what_it_has(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, noise(160_000), 16_000)
    whole, _ = read(path, 16_000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    samples, chunks = read(path, 16_000)
    assert 60_000 < len(samples) < 100_000
    np.testing.assert_allclose(samples[:50_000], whole[:50_000], atol=1e-6)
    if suffix != "ogg":  # which does not say how long it is
        assert len(samples) + chunks[-1].dropped == 160_000
        assert "10.00 s announced" in chunks[-1].detail
        assert chunks[-1].state is State.LISTENING


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM"])
def test_whatever_a_cut_wav_file_holds_all_that_is_missing_is_counted(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(160_000), 16_000, subtype=subtype)
    _, chunks = read(path, 16_000)
    assert not chunks[-1].dropped
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    samples, chunks = read(path, 16_000)
    assert len(samples) + chunks[-1].dropped == pytest.approx(soundfile.info(path).frames * 1.5, rel=0.001)
    assert "file ends early" in chunks[-1].detail


@pytest.mark.parametrize("size", [0x7FFF_FF00, 0xFFFF_FFFF])
def test_a_wav_file_that_was_written_to_a_pipe_lacks_nothing(tmp_path: Path, size: int) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(16_000), 16_000)
    data = path.read_bytes()
    path.write_bytes(data[:40] + size.to_bytes(4, "little") + data[44:])
    samples, chunks = read(path, 16_000)
    assert (len(samples), chunks[-1].dropped) == (16_000, 0)


def test_what_a_wav_file_says_besides_its_samples_may_be_cut(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(16_000), 16_000)
    path.write_bytes(path.read_bytes() + b"LIST\x40\x00\x00\x00INFO")
    samples, chunks = read(path, 16_000)
    assert (len(samples), chunks[-1].dropped) == (16_000, 0)


def test_damaged_file_counts_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "clip.flac"
    soundfile.write(path, noise(96_000), 48_000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3_000] = bytes(3_000)
    path.write_bytes(data)
    samples, chunks = read(path, 16_000)
    assert 0 < len(samples) < 32_000
    assert abs(len(samples) + chunks[-1].dropped - 32_000) <= 1
    assert "damaged" in chunks[-1].detail


def forget_length(path: Path) -> None:
    """Make a FLAC file look as if it was written to a pipe: its header does not know how long it is."""
    data = bytearray(path.read_bytes())
    # STREAMINFO begins at byte 8; the number of samples is its 36 bits from bit 108 on.
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)


def test_nothing_is_missing_from_a_file_of_unknown_length(tmp_path: Path) -> None:
    path = tmp_path / "piped.flac"
    soundfile.write(path, noise(96_000), 48_000)
    expected, _ = read(path, 16_000)
    forget_length(path)
    samples, chunks = read(path, 16_000)
    assert samples.tobytes() == expected.tobytes()
    assert [chunk.dropped for chunk in chunks] == [0] * len(chunks)


def test_damage_in_a_file_of_unknown_length_is_told(tmp_path: Path) -> None:
    path = tmp_path / "piped.flac"
    soundfile.write(path, noise(96_000), 48_000)
    forget_length(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples, chunks = read(path, 16_000)
    assert 10_000 < len(samples) < 20_000
    assert chunks[-1].dropped == 1
    assert chunks[-1].detail.endswith("s read of an unknown length; the rest is damaged")


def test_only_a_header(tmp_path: Path) -> None:
    path = tmp_path / "clip.flac"
    soundfile.write(path, noise(96_000), 48_000)
    path.write_bytes(path.read_bytes()[:200])
    with FileSource(path, 16_000, fast=True) as source, pytest.raises(SourceError, match="cannot be decoded"):
        next(iter(source))


def write_no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros((0, 1)), 16_000)


def write_for_a_killed_recorder(path: Path) -> None:
    soundfile.write(path, noise(16_000), 16_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data")
    data[at + 4 : at + 8] = bytes(4)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "prepare", "message"),
    [
        ("no.wav", lambda _: None, r"no\.wav does not exist"),
        ("folder", Path.mkdir, "is a directory; wanted an audio file"),
        ("empty.wav", Path.touch, r"is empty \(0 bytes\)"),
        ("text.wav", lambda path: path.write_text("hello " * 99), "WAV, FLAC, OGG .*MP3.*ffmpeg"),
        ("samples.raw", lambda path: path.write_bytes(bytes(99)), "is not audio that can be read"),
        ("zero.wav", write_no_samples, r"holds no audio \(0 samples\)"),
        (
            "killed.wav",
            write_for_a_killed_recorder,
            r'0 samples in its header, but is 32044 bytes long.*ffmpeg -i "killed\.wav".*pipe its samples',
        ),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, prepare: object, message: str) -> None:
    assert callable(prepare)
    prepare(tmp_path / name)
    with pytest.raises(SourceError, match=message), FileSource(tmp_path / name, 16_000):
        pass


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(100), 16_000)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)  # permissions do not bind the superuser
    with pytest.raises(SourceError, match="cannot be opened: Permission denied"), FileSource(path, 16_000):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="standard input"), FileSource(tmp_path / "pipe", 16_000):
        pass


def test_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", noise(16_000 * 60), 16_000)
    with FileSource(tmp_path / "clip.wav", 16_000, fast=True) as source:
        assert len(next(iter(source)).samples) == 1_600


def test_leaving_closes_the_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", noise(16_000), 16_000)
    source = FileSource(tmp_path / "clip.wav", 16_000)
    with source:
        next(iter(source))
    with pytest.raises(RuntimeError, match="inside its `with` block"):
        next(iter(source))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal can be sent to a thread here")
@pytest.mark.timeout(60)
def test_ctrl_c_interrupts_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime.sources.file, "BLOCK_S", 200.0)
    soundfile.write(tmp_path / "clip.wav", noise(8_000 * 250), 8_000)
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
    with FileSource(tmp_path / "clip.wav", 8_000) as source, pytest.raises(KeyboardInterrupt):
        next(iter(source))
