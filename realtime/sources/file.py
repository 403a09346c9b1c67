"""Audio from a file, as if it were spoken now, or as fast as it can be read."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from realtime.errors import SourceError
from realtime.sources.resample import StreamResampler
from realtime.sources.wav import missing_bytes
from realtime.types import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from soundfile import SoundFile

    from realtime.types import FloatArray

BLOCK_S = 0.1
"""Seconds of audio that are read, and handed over, at a time."""

MOST_FRAMES = 2**40
"""A header that says more does not know: libsndfile says 2**63 - 1 of a FLAC that was written to a pipe."""

_LARGEST_HEADER = 4096
"""Bytes that a file without samples may have."""

_FORMATS = "WAV, FLAC, OGG (Vorbis or Opus), MP3, AIFF, AU, CAF and what else libsndfile reads"


class FileSource:
    """Read any file that libsndfile reads, in blocks, mixed to mono and resampled.

    A file that ends before its header says so, or that is damaged, gives what can be decoded; a last chunk
    then counts what is missing and says why; where the header does not tell the length, damage counts as one
    sample. Samples that are not finite numbers are passed on.

    Parameters
    ----------
    path
        The file.
    sample_rate
        Samples per second of the chunks, in Hz.
    fast
        False hands every sample over when it would have been spoken, counted from the first call for a
        chunk: never before, and without drift. True does not wait.
    name
        Names the stream; the file's name by default.
    """

    def __init__(
        self, path: Path | str, sample_rate: int, *, fast: bool = False, name: str | None = None
    ) -> None:
        self.path = Path(path)
        self.sample_rate = sample_rate
        self.fast = fast
        # A name that is no UTF-8 is a fine one for a file, but not for a message.
        self.name = name or os.fsencode(self.path.name).decode(errors="replace")
        self._file: SoundFile | None = None
        self._n_cut = 0
        self._resampler = StreamResampler(sample_rate, sample_rate)

    def __enter__(self) -> Self:
        """Open the file.

        Raises
        ------
        SourceError
            If it is missing, not a file, may not be read, is empty, holds no samples or is not audio.
        """
        self._file = _open(self.path)
        self._n_cut = _cut_samples(self.path, self._file.frames)
        self._resampler = StreamResampler(self._file.samplerate, self.sample_rate, self._file.channels)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the file's samples, once.

        Raises
        ------
        SourceError
            If not even its first samples can be decoded.
        """
        start_s = time.monotonic()
        n_due = 0
        for chunk in self._read():
            n_due += len(chunk.samples)
            due_s = start_s + n_due / self.sample_rate
            yield chunk if self.fast else replace(chunk, queued_s=_wait_until(due_s))

    def _read(self) -> Iterator[Chunk]:
        import soundfile  # noqa: PLC0415 - loaded when first needed

        file = self._file
        if file is None:
            raise RuntimeError("a FileSource is read inside its `with` block")
        resampler = self._resampler
        n_block = max(1, int(BLOCK_S * file.samplerate))
        n_read = 0
        is_damaged = False
        while True:
            try:
                block: FloatArray = file.read(n_block, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                is_damaged = True
                break
            if not len(block):
                break
            n_read += len(block)
            samples = resampler.push(block)
            if len(samples):
                yield Chunk(samples, clipped=resampler.clipped)
        if not n_read:
            raise SourceError(f"{self.path} cannot be decoded: it is damaged, or only its header is there")
        tail = resampler.finish()
        if len(tail):
            yield Chunk(tail, clipped=resampler.clipped)
        read_s = n_read / file.samplerate
        if file.frames <= MOST_FRAMES:
            n_announced = file.frames + self._n_cut
            n_missing = n_announced - n_read
            is_short = n_missing > _header_tolerance(file)
            announced = f"{n_announced / file.samplerate:.2f} s announced"
        else:
            # How much is behind the damage nobody knows; that something is, is told.
            n_missing, is_short, announced = 1, is_damaged, "an unknown length"
        if is_short:
            dropped = max(1, round(n_missing * self.sample_rate / file.samplerate))
            reason = "the rest is damaged" if is_damaged else "the file ends early"
            detail = f"{self.name}: {read_s:.2f} s read of {announced}; {reason}"
            yield Chunk(np.zeros(0, dtype=np.float32), dropped, detail=detail, last=True)


def _open(path: Path) -> SoundFile:
    """Open a file, or say in one line why it cannot be read."""
    try:
        is_empty = _is_empty(path)
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist; wanted an audio file") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be opened: {error.strerror}") from error
    if is_empty:
        raise SourceError(f"{path} is empty (0 bytes); wanted an audio file")

    import soundfile  # noqa: PLC0415 - loaded when first needed

    try:
        # As bytes, which soundfile does not encode again; on Windows names are text.
        file = soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path))
    except (soundfile.LibsndfileError, TypeError) as error:
        # TypeError: a name ending in .raw, for which soundfile asks rate and format.
        raise SourceError(
            f"{path} is not audio that can be read: wanted {_FORMATS}; {_conversion(path)}"
        ) from error
    if file.frames == 0:
        file.close()
        n_bytes = path.stat().st_size
        if n_bytes > _LARGEST_HEADER:
            # A recorder writes how long a WAV file is when it ends; one that is killed does not.
            raise SourceError(
                f"{path} announces 0 samples in its header, but is {n_bytes} bytes long: was the recorder "
                f"stopped before it was done? {_conversion(path)}, or pipe its samples into standard input"
            )
        raise SourceError(f"{path} holds no audio (0 samples)")
    # After each block soundfile seeks to where it already is. MP3 decoders do not come back to the
    # same state by that: samples would change with the length of the blocks.
    file.seekable = lambda: False
    return file


def _conversion(path: Path) -> str:
    return f'convert it with ffmpeg -i "{path.name}" "{path.stem}-converted.wav"'


def _is_empty(path: Path) -> bool:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise SourceError(f"{path} is a directory; wanted an audio file")
    if not stat.S_ISREG(mode):
        raise SourceError(f"{path} is not a regular file; pipe its samples into standard input instead")
    with path.open("rb") as stream:
        return not stream.read(1)


def _cut_samples(path: Path, n_samples: int) -> int:
    """Return how many samples a WAV file lacks that its header promises; libsndfile says nothing."""
    with path.open("rb") as stream:
        n_missing, n_there = missing_bytes(stream)
    return round(n_samples * n_missing / n_there) if n_missing else 0


def _header_tolerance(file: SoundFile) -> int:
    """Return how many samples a header may promise too much without anything missing.

    For an MP3 file libsndfile estimates the length from its size, a few frames of 1,152 samples off.
    """
    return 4 * 1152 + int(file.frames) // 100 if file.format in {"MP3", "MPEG"} else 0


def _wait_until(due_s: float) -> float:
    """Sleep until the monotonic clock says `due_s`; return by how many seconds it was late already."""
    late_s = time.monotonic() - due_s
    if late_s >= 0:
        return late_s
    # `sleep`, since on Windows Ctrl-C does not interrupt waiting for a lock.
    while (rest_s := due_s - time.monotonic()) > 0:
        time.sleep(rest_s)
    return 0.0
