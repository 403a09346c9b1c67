"""From clips to windows of features, by the path that live audio takes; computed once and kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import threading
import time
import uuid
import weakref
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

import realtime
from realtime.activity import hears_voice
from realtime.errors import CorpusError, SourceError
from realtime.features import FeatureSpec, WindowExtractor
from realtime.heap import keep_freed
from realtime.sources.file import FileSource
from training import augmentation, packages
from training.augmentation import clip_rng, degrade, noise_digest, vary
from training.disk import put

try:
    import fcntl
except ImportError:
    # Windows removes nothing that is in use.
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from realtime.types import FloatArray
    from training.augmentation import Condition, Noises
    from training.corpora import Clip
    from training.recipes import Recipe
    from training.recipes.schema import Step
    from training.workers import Workers

_CODE = ("features/*.py", "sources/file.py", "sources/resample.py", "sources/downmix.py")
"""What, within `realtime`, decides about the values kept on disk."""
_VARYING_CODE = ("chain.py", "effects.py", "noises.py", "rooms.py")
_DEGRADING_CODE = (*_VARYING_CODE, "conditions.py")
"""What, within `training.augmentation`, decides about them too, unless clips are taken as they are."""
_CLIPS_PER_TASK = 8
_MANY_BYTES = 1 << 28
"""Features of more than this are better shared between processes than sent to each."""
_LARGE_BYTES = 1 << 18
"""A clip's table of more than this, as those of many copies, is not held in memory with all others."""
_ROWS_AT_ONCE = 1024
"""Rows of such features that are written together."""
_IN_USE = "in-use-"
_LEFT_BEHIND_S = 7 * 86_400
_LOCKED_WITHIN_S = 60
"""Age of a file, from which on whoever uses it has locked it."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a corpus, one row each, in the order of its clips.

    Parameters
    ----------
    clip : np.ndarray [shape=(n,), dtype=int64]
        Index of the clip.
    copy : np.ndarray [shape=(n,), dtype=int64]
        0 for the clip as it is; from 1 up, its varied copies.
    features : np.ndarray [shape=(n, n_values), dtype=float32]
        As `realtime.features.FeatureWindow` has them (one more axis where frames are the output).
    voiced : np.ndarray [shape=(n,), dtype=bool]
        Whether a voice is heard: live, no other window is predicted on.
    """

    clip: npt.NDArray[np.int64]
    copy: npt.NDArray[np.int64]
    features: FloatArray
    voiced: npt.NDArray[np.bool_]

    def rows(self, clips: npt.NDArray[np.int64], *, copies: bool) -> npt.NDArray[np.int64]:
        """Return the rows in which these clips' voices are heard, with or without the copies'."""
        wanted = np.isin(self.clip, clips) & self.voiced
        if not copies:
            wanted &= self.copy == 0
        return np.flatnonzero(wanted)


@dataclass(frozen=True, slots=True)
class Copies:
    """Varied copies of each clip, to train on.

    Parameters
    ----------
    steps
        What is done to each.
    n
        How many.
    seed
        Of what is drawn, together with the clip's own bytes.
    noises
        Recordings of noise for those steps that need some.
    """

    steps: tuple[Step, ...]
    n: int
    seed: int
    noises: Noises

    def make(self, samples: FloatArray, sample_rate: int, digest: str) -> Iterator[tuple[int, FloatArray]]:
        """Yield the copies [shape=(n,), dtype=float32] of the clip of that digest, with their numbers."""
        # The file's own bytes seed them: neither its name nor its place among the others matters.
        rng = np.random.default_rng([self.seed, int(digest[:16], 16)])
        for number in range(1, self.n + 1):
            yield number, vary(samples, sample_rate, self.steps, rng, self.noises)

    def describe(self) -> str:
        """Return everything that their samples depend on, besides the clip."""
        return f"copies {self.steps!r} {self.n} {self.seed} {noise_digest(self.steps, self.noises)}"


@dataclass(frozen=True, slots=True)
class Degraded:
    """Each clip once, as a worse microphone, room or line would have brought it, to test on.

    Parameters
    ----------
    condition
        What is done to it.
    noises
        Recordings of noise for those conditions that need some.
    """

    condition: Condition
    noises: Noises

    def make(self, samples: FloatArray, sample_rate: int, digest: str) -> Iterator[tuple[int, FloatArray]]:
        """Yield the degraded clip [shape=(n,), dtype=float32], as number 0: it stands for the clip."""
        yield 0, degrade(samples, sample_rate, self.condition, clip_rng(digest), self.noises)

    def describe(self) -> str:
        """Return everything that its samples depend on, besides the clip."""
        return f"degraded {self.condition!r} {noise_digest(self.condition.steps, self.noises)}"


@dataclass(frozen=True, slots=True)
class AsItIs:
    """Each clip once, as it is."""

    def make(self, samples: FloatArray, sample_rate: int, digest: str) -> Iterator[tuple[int, FloatArray]]:  # noqa: ARG002 - as the others
        """Yield the clip, as number 0."""
        yield 0, samples

    def describe(self) -> str:
        """Return everything that its samples depend on, besides the clip."""
        return "as it is"


Variation: TypeAlias = AsItIs | Copies | Degraded
"""What is done to a clip before its features are computed."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the windows of a clip depend on besides its samples."""

    features: FeatureSpec
    window: int
    hop: int
    variation: Variation


@dataclass(frozen=True, slots=True)
class _Task:
    """Some clips to compute."""

    plan: _Plan
    clips: tuple[tuple[int, Path, Path], ...]
    """Of each its number, its file, and where its windows are kept."""


def extract(
    recipe: Recipe,
    clips: Sequence[Clip],
    digests: Sequence[str],
    *,
    variation: Variation,
    cache: Path,
    workers: Workers,
    advance: Callable[[int], None] = lambda _n: None,
) -> Windows:
    """Return the windows of all clips.

    A clip is looked up in `cache` by its bytes, so a second run reads no audio.

    Parameters
    ----------
    recipe
        Says which features and windows.
    clips
        The recordings.
    digests
        SHA-256 of each one's file.
    variation
        What is done to each before.
    cache
        Folder of what was computed before; made where it is missing.
    workers
        Who computes.
    advance
        Told how many more clips are done, for a progress bar.

    Raises
    ------
    CorpusError
        Where a clip cannot be read, or the cache cannot be written.
    """
    # What passes for a voice is decided when windows are joined: features are the same whatever does.
    features = replace(recipe.features, audible_above_dbfs=-70.0, harmonic_energy=0.3)
    plan = _Plan(features, recipe.window, recipe.hop, variation)
    key = f"{plan.features!r} {plan.window} {plan.hop} {variation.describe()} {code_digest(variation)}"
    folder = cache / "windows" / hashlib.sha256(key.encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CorpusError(
            f"{folder}: {error.strerror}; give a folder that can be written with --cache"
        ) from None
    found: dict[int, npt.NDArray[np.void]] = {}
    missing = []
    for index, (clip, digest) in enumerate(zip(clips, digests, strict=True)):
        path = folder / f"{digest}.npy"
        table = _load(path, plan)
        if table is None:
            missing.append((index, clip.path, path))
        else:
            found[index] = table
    advance(len(found))
    tasks = [
        _Task(plan, tuple(missing[first : first + _CLIPS_PER_TASK]))
        for first in range(0, len(missing), _CLIPS_PER_TASK)
    ]
    for results in workers.map(_extract_some, tasks):
        for index, result in results:
            if isinstance(result, str):
                raise CorpusError(result)
            found[index] = result
        advance(len(results))
    return _join([found.pop(index) for index in range(len(clips))], recipe.features)


def with_copies(clips: Windows, copies: Windows, folder: Path) -> Windows:
    """Return windows of clips and of their copies, ordered by clip, then by copy; kept as `on_disk` does."""
    order = np.lexsort((np.concatenate((clips.copy, copies.copy)), np.concatenate((clips.clip, copies.clip))))

    def take(name: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        first, second = getattr(clips, name), getattr(copies, name)
        taken = np.empty((len(rows), *first.shape[1:]), dtype=first.dtype)
        own = rows < len(first)
        taken[own], taken[~own] = first[rows[own]], second[rows[~own] - len(first)]
        return taken

    # A part at a time: all at once, gigabytes of features would be held once more.
    features = _share(
        (len(order), *clips.features.shape[1:]), lambda part: take("features", order[part]), folder
    )
    if features is None:
        features = take("features", order)
    return Windows(take("clip", order), take("copy", order), features, take("voiced", order))


def on_disk(windows: Windows, folder: Path) -> Windows:
    """Return the same windows; where their features are many, these lie in a file that processes share.

    Held in memory, they would be held again by each process that they are sent to. The file goes with the
    last who uses it. Where there is no room for it, the features stay as they are.

    Parameters
    ----------
    windows
        Of all clips.
    folder
        Where the file is to lie.
    """
    features = _share(windows.features.shape, lambda part: windows.features[part], folder)
    return windows if features is None else replace(windows, features=features)


def _share(shape: tuple[int, ...], read: Callable[[slice], FloatArray], folder: Path) -> FloatArray | None:
    """Return features in a file, written a part at a time; None where they are few, or there is no room."""
    n_bytes = math.prod(shape) * np.dtype(np.float32).itemsize
    if n_bytes < _MANY_BYTES:
        return None
    path = folder / f"{_IN_USE}{os.getpid()}-{uuid.uuid4().hex[:8]}.npy"
    head = {"descr": "<f4", "fortran_order": False, "shape": shape}
    try:
        # What was left behind by a process that was killed.
        for other in folder.glob(f"{_IN_USE}*.npy"):
            if _is_left_behind(other):
                other.unlink(missing_ok=True)
        file = path.open("wb")
    except OSError:
        return None
    try:
        _lock(file)
        np.lib.format.write_array_header_1_0(file, head)  # type: ignore[no-untyped-call]
        for first in range(0, shape[0], _ROWS_AT_ONCE):
            part = read(slice(first, first + _ROWS_AT_ONCE))
            file.write(np.ascontiguousarray(part, dtype="<f4").data)
        file.flush()
        features: FloatArray = np.load(path, mmap_mode="r")
    except BaseException as error:
        # Interrupted too: it may be gigabytes.
        _remove(path, file)
        if isinstance(error, OSError):
            return None
        raise
    weakref.finalize(features, _remove, path, file)
    return features


def _lock(file: IO[bytes]) -> None:
    """Mark a file as in use, for as long as it is open, where the system and the disk can do so."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)


def _is_left_behind(path: Path) -> bool:
    """Return whether nobody uses a file any more, as far as can be told."""
    age_s = time.time() - path.stat().st_mtime
    if age_s > _LEFT_BEHIND_S or fcntl is None:
        return age_s > _LEFT_BEHIND_S
    if age_s < _LOCKED_WITHIN_S:
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _remove(path: Path, file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    # Not before: what is locked by nobody others may remove.
    with contextlib.suppress(OSError):
        file.close()


def _extract_some(task: _Task) -> list[tuple[int, npt.NDArray[np.void] | str]]:
    return [(index, _extract_one(source, task.plan, kept)) for index, source, kept in task.clips]


def _extract_one(source: Path, plan: _Plan, kept: Path) -> npt.NDArray[np.void] | str:
    """Compute one clip's windows and keep them on disk; return them, or why that cannot be."""
    try:
        samples = read_clip(source, plan.features.sample_rate)
    except SourceError as error:
        return str(error)
    varied = plan.variation.make(samples, plan.features.sample_rate, kept.stem)
    tables = [_table(signal, plan, number) for number, signal in varied]
    table = np.concatenate(tables)
    packed = io.BytesIO()
    np.save(packed, table, allow_pickle=False)
    try:
        put(kept, packed.getvalue())
    except OSError as error:
        return (
            f"{kept}: {error.strerror}; wanted to keep features there: free some space, or give "
            "another folder with --cache"
        )
    return table


def read_clip(path: Path, sample_rate: int) -> FloatArray:
    """Return a recording's samples, as live audio would bring them [shape=(n,), dtype=float32].

    Raises
    ------
    SourceError
        Where it cannot be read, is cut short, or holds values that are not finite.
    """
    with FileSource(path, sample_rate, fast=True) as source:
        chunks = list(source)
    for chunk in chunks:
        if chunk.dropped:
            raise SourceError(f"{path} is damaged: {chunk.detail}")
    samples = np.concatenate([chunk.samples for chunk in chunks])
    if not np.isfinite(samples).all():
        raise SourceError(f"{path} holds samples that are not finite numbers")
    return samples


@lru_cache(maxsize=8)
def _extractor(features: FeatureSpec, window: int, hop: int, _thread: int) -> WindowExtractor:
    keep_freed()
    return WindowExtractor(features, window=window, hop=hop)


def _table(samples: FloatArray, plan: _Plan, copy: int) -> npt.NDArray[np.void]:
    # It has a state: each thread of a worker needs its own.
    extractor = _extractor(plan.features, plan.window, plan.hop, threading.get_ident())
    extractor.reset()
    due = [*extractor.push(samples), *extractor.finish()]
    table = np.zeros(len(due), dtype=_row_type(plan))
    for row, window in zip(table, due, strict=True):
        row["copy"] = copy
        row["features"] = window.features
        row["voice_rms"] = window.voice_rms
        row["harmonicity"] = window.harmonicity
    return table


def _row_type(plan: _Plan) -> np.dtype[np.void]:
    n_frames = plan.features.n_frames(plan.window)
    pooled = plan.features.output == "pooled"
    shape = (plan.features.n_values,) if pooled else (n_frames, plan.features.n_values)
    return np.dtype(
        [
            ("copy", np.int64),
            ("features", np.float32, shape),
            ("voice_rms", np.float64, (n_frames,)),
            ("harmonicity", np.float64, (n_frames,)),
        ]
    )


def _load(path: Path, plan: _Plan) -> npt.NDArray[np.void] | None:
    """Return what is kept of a clip, or None where it is missing or was cut short by a full disk."""
    try:
        # Read as it is copied, where it is large: what was read of a file the system may forget again.
        mode: Literal["r"] | None = "r" if path.stat().st_size > _LARGE_BYTES else None
        table: npt.NDArray[np.void] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return table if table.dtype == _row_type(plan) else None


def _join(tables: list[npt.NDArray[np.void]], spec: FeatureSpec) -> Windows:
    """Return all clips' windows, in the order of the clips; empty the list of their tables."""
    lengths = [len(own) for own in tables]
    clip = np.repeat(np.arange(len(tables)), lengths)
    copy = np.empty(len(clip), dtype=np.int64)
    features = np.empty((len(clip), *tables[0].dtype["features"].shape), dtype=np.float32)
    voiced = np.empty(len(clip), dtype=np.bool_)
    stop = len(clip)
    # Each is let go as it is copied: there are gigabytes of them.
    while tables:
        table = tables.pop()
        start = stop - len(table)
        copy[start:stop], features[start:stop] = table["copy"], table["features"]
        # Whether a voice is heard is decided anew: it is quick, and its thresholds are not the features'.
        voiced[start:stop] = [hears_voice(row["voice_rms"], row["harmonicity"], spec) for row in table]
        stop = start
    return Windows(clip, copy, features, voiced)


def code_digest(variation: Variation) -> str:
    """Return a digest of what computes features after a variation, packages too: other code, other values."""
    package = Path(realtime.__file__).parent
    paths = [Path(__file__), *(path for pattern in _CODE for path in sorted(package.glob(pattern)))]
    decisive = packages.FEATURES
    if not isinstance(variation, AsItIs):
        names = _DEGRADING_CODE if isinstance(variation, Degraded) else _VARYING_CODE
        paths += [Path(str(augmentation.__file__)).parent / name for name in names]
        decisive += packages.COPIES
    digest = hashlib.sha256(repr(packages.versions_of(decisive)).encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
