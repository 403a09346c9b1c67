"""Recordings of noise: found, read when first needed, and drawn from."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from realtime.analysis import has_name_of_audio
from realtime.errors import CorpusError, SourceError
from realtime.sources.file import BLOCK_S, FileSource
from training.corpora.folders import default_folder

if TYPE_CHECKING:
    from realtime.types import FloatArray

Part: TypeAlias = Literal["all", "training", "testing"]

_EVERY = 4
"""Every fourth recording is kept for testing."""
_LONGEST_S = 60.0
"""Of a recording no more is used, so that a folder fits into memory."""
_N_KEPT = 512
_SILENT = 1e-3
"""Ends that stay below this share of the peak are cut off: data sets pad short sounds to equal lengths."""
_TAKE = re.compile(r"-[A-Z](-\d+)?$")
"""ESC-50 letters the pieces of one recording, and puts the class behind: 1-17367-A, or 1-17367-A-10."""


def _default_folder() -> Path:
    return default_folder("noise")


@dataclass(frozen=True, slots=True)
class Noises:
    """The recordings of noise in a folder; nothing is read until one is drawn.

    Processes may share it: it holds a path, and each process reads for itself, each recording once.

    Parameters
    ----------
    folder
        Holds them, in any folders below it; ``noise`` in TONEWATCH_DATA or in ../shared/data by default.
    part
        Models are to be tested with noise that they were not trained with: every fourth recording, by name,
        is kept for ``testing``, and ``training`` has the others. Pieces of one recording stay together.
    """

    folder: Path = field(default_factory=_default_folder)
    part: Part = "all"

    def at(self, folder: str) -> Noises:
        """Return the same part of another folder; these noises where its name is empty."""
        return replace(self, folder=Path(folder)) if folder else self

    def paths(self) -> tuple[Path, ...]:
        """Return the recordings, sorted by their names, so that draws do not depend on the file system.

        Raises
        ------
        CorpusError
            Where the folder is missing or holds no recording for this part.
        """
        return _find(self.folder, self.part)

    def draw(self, n_samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
        """Return a stretch of one of the recordings, repeated where it is too short.

        Parameters
        ----------
        n_samples
            How much.
        sample_rate
            In Hz; recordings of other rates are resampled.
        rng
            Draws the recording and the stretch.

        Returns
        -------
        np.ndarray [shape=(n_samples,), dtype=float32]

        Raises
        ------
        CorpusError
            Where there is none, or the drawn one cannot be read or is silent.
        """
        paths = self.paths()
        recording = _read(paths[int(rng.integers(len(paths)))], sample_rate)
        n_spare = len(recording) - n_samples
        # Without the seam between end and beginning wherever the recording is long enough.
        start = int(rng.integers(n_spare if n_spare >= 0 else len(recording) - 1, endpoint=True))
        return np.resize(np.roll(recording, -start) if n_spare < 0 else recording[start:], n_samples)

    def digest(self) -> str:
        """Return the SHA-256 of the recordings' names and contents.

        Raises
        ------
        CorpusError
            Where there is none, or one cannot be read.
        """
        digest = hashlib.sha256()
        for path in self.paths():
            digest.update(path.relative_to(self.folder).as_posix().encode())
            try:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError as error:
                raise CorpusError(f"{path}: {error.strerror}; wanted a recording of noise") from None
        return digest.hexdigest()


@lru_cache(maxsize=8)
def _find(folder: Path, part: Part) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise CorpusError(
            f"{folder} is not a folder; wanted recordings of noise: set TONEWATCH_DATA to the folder that "
            "holds noise/, or name their folder in the recipe's noise step"
        )
    found = [path for path in folder.rglob("*") if has_name_of_audio(path) and path.is_file()]
    paths = sorted(found, key=lambda path: path.relative_to(folder).as_posix())
    if not paths:
        raise CorpusError(
            f"{folder} holds no recording of noise; wanted WAV, FLAC, OGG or MP3 files, in any folders below"
        )
    if part == "all":
        return tuple(paths)
    recordings = sorted({_recording(path, folder) for path in paths})
    if len(recordings) < _EVERY:
        raise CorpusError(
            f"{folder} holds {len(recordings)} recordings of noise; wanted at least {_EVERY}, of which one "
            "is kept for testing"
        )
    kept = set(recordings[_EVERY - 1 :: _EVERY])
    return tuple(path for path in paths if (_recording(path, folder) in kept) == (part == "testing"))


def _recording(path: Path, folder: Path) -> str:
    """Return the name that all pieces of one recording share."""
    return _TAKE.sub("", path.relative_to(folder).with_suffix("").as_posix())


@lru_cache(maxsize=_N_KEPT)
def _read(path: Path, sample_rate: int) -> FloatArray:
    try:
        with FileSource(path, sample_rate, fast=True) as source:
            chunks = [chunk.samples for chunk in islice(source, round(_LONGEST_S / BLOCK_S))]
    except SourceError as error:
        raise CorpusError(f"{error}; it lies among the recordings of noise") from None
    samples = np.concatenate(chunks)
    size = np.abs(samples)
    sounding = np.flatnonzero(size > _SILENT * size.max(initial=0))
    if not (len(sounding) and np.isfinite(samples).all()):
        raise CorpusError(
            f"{path} is silent or holds no finite numbers; wanted a recording of noise: remove it"
        )
    recording = samples[sounding[0] : sounding[-1] + 1].copy()
    # Everyone gets this very array.
    recording.flags.writeable = False
    return recording
