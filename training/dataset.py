"""From clips to windows of features, by the path that live audio takes; computed once and kept on disk."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import realtime
from realtime.activity import hears_voice
from realtime.errors import CorpusError, SourceError
from realtime.features import FeatureSpec, WindowExtractor
from realtime.sources.file import FileSource
from training import augment
from training.augment import vary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from realtime.types import FloatArray
    from training.corpora import Clip
    from training.recipes import Copies, Recipe

_CODE = ("features/*.py", "sources/file.py", "sources/resample.py")
"""What, within `realtime`, decides about the values kept on disk."""
_CLIPS_PER_TASK = 8


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
class Extraction:
    """What could be read of a corpus.

    Parameters
    ----------
    clips
        The readable ones, in their order.
    windows
        Theirs.
    warnings
        One line for each of the others.
    """

    clips: tuple[Clip, ...]
    windows: Windows
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the windows of a clip depend on besides its samples."""

    features: FeatureSpec
    window: int
    hop: int
    copies: Copies
    seed: int


def extract(
    recipe: Recipe,
    clips: Sequence[Clip],
    *,
    seed: int,
    cache: Path,
    n_jobs: int,
    advance: Callable[[int], None] = lambda _n: None,
) -> Extraction:
    """Return the windows of all clips that can be read.

    A clip is looked up in `cache` by its bytes, so a second run reads no audio.

    Parameters
    ----------
    recipe
        Says which features, windows and copies.
    clips
        The recordings.
    seed
        Of the copies.
    cache
        Folder of what was computed before; made where it is missing.
    n_jobs
        Processes that compute.
    advance
        Told how many more clips are done, for a progress bar.

    Raises
    ------
    CorpusError
        Where no clip can be read, or the cache cannot be written.
    """
    plan = _Plan(
        recipe.features,
        recipe.window,
        recipe.hop,
        recipe.copies,
        seed,
    )
    folder = cache / "windows" / hashlib.sha256(f"{plan!r} {_code_digest()}".encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CorpusError(
            f"{folder}: {error.strerror}; give a folder that can be written with --cache"
        ) from None
    found: dict[int, npt.NDArray[np.void]] = {}
    failures: dict[int, str] = {}
    missing = []
    for index, clip in enumerate(clips):
        path = folder / f"{_digest(clip.path)}.npy"
        table = _load(path, plan)
        if table is None:
            missing.append((index, clip.path, path))
        else:
            found[index] = table
    advance(len(found))
    tasks = [missing[i : i + _CLIPS_PER_TASK] for i in range(0, len(missing), _CLIPS_PER_TASK)]
    for results in _in_parallel(tasks, plan, n_jobs):
        for index, result in results:
            if isinstance(result, str):
                failures[index] = result
            else:
                found[index] = result
        advance(len(results))
    if not found:
        raise CorpusError(f"none of the {len(clips)} recordings can be read; the first: {failures[0]}")
    readable = sorted(found)
    return Extraction(
        clips=tuple(clips[index] for index in readable),
        windows=_join([found[index] for index in readable]),
        warnings=tuple(failures[index] for index in sorted(failures)),
    )


def _in_parallel(tasks: list[list[tuple[int, Path, Path]]], plan: _Plan, n_jobs: int) -> Any:  # noqa: ANN401 - joblib's generator
    if n_jobs == 1 or len(tasks) <= 1:
        return (_extract_some(task, plan) for task in tasks)
    from joblib import Parallel, delayed  # noqa: PLC0415 - only where there is something to share out

    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    return parallel(delayed(_extract_some)(task, plan) for task in tasks)


def _extract_some(
    task: list[tuple[int, Path, Path]], plan: _Plan
) -> list[tuple[int, npt.NDArray[np.void] | str]]:
    return [(index, _extract_one(source, plan, kept)) for index, source, kept in task]


def _extract_one(source: Path, plan: _Plan, kept: Path) -> npt.NDArray[np.void] | str:
    """Compute one clip's windows and keep them on disk; return them, or why the clip cannot be read."""
    try:
        samples = read_clip(source, plan.features.sample_rate)
    except SourceError as error:
        return f"{error}; left out"
    # The file's own bytes seed its copies: neither its name nor its place among the others matters.
    rng = np.random.default_rng([plan.seed, int(kept.stem[:16], 16)])
    tables = [_table(samples, plan, 0)]
    for copy in range(1, plan.copies.n + 1):
        varied = vary(samples, plan.features.sample_rate, plan.copies, rng)
        tables.append(_table(varied, plan, copy))
    table = np.concatenate(tables)
    partial = kept.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, table, allow_pickle=False)
    partial.replace(kept)
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


@lru_cache(maxsize=2)
def _extractor(features: FeatureSpec, window: int, hop: int) -> WindowExtractor:
    return WindowExtractor(features, window=window, hop=hop)


def _table(samples: FloatArray, plan: _Plan, copy: int) -> npt.NDArray[np.void]:
    extractor = _extractor(plan.features, plan.window, plan.hop)
    extractor.reset()
    due = [*extractor.push(samples), *extractor.finish()]
    table = np.zeros(len(due), dtype=_row_type(plan))
    for row, window in zip(table, due, strict=True):
        row["copy"] = copy
        row["features"] = window.features
        row["rms"] = window.rms
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
            ("rms", np.float64, (n_frames,)),
            ("harmonicity", np.float64, (n_frames,)),
        ]
    )


def _load(path: Path, plan: _Plan) -> npt.NDArray[np.void] | None:
    """Return what is kept of a clip, or None where it is missing or was cut short by a full disk."""
    try:
        table: npt.NDArray[np.void] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return table if table.dtype == _row_type(plan) else None


def _join(tables: list[npt.NDArray[np.void]]) -> Windows:
    """Return all clips' windows, in the order of the clips."""
    table = np.concatenate(tables)
    # Whether a voice is heard is decided anew: it is quick, and its thresholds are not the features'.
    voiced = [hears_voice(row["rms"], row["harmonicity"]) for row in table]
    return Windows(
        clip=np.repeat(np.arange(len(tables)), [len(own) for own in tables]),
        copy=np.ascontiguousarray(table["copy"]),
        features=np.ascontiguousarray(table["features"]),
        voiced=np.asarray(voiced, dtype=np.bool_),
    )


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file; of its name where it cannot be read, which reading it then reports."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return hashlib.sha256(os.fsencode(path)).hexdigest()


def _code_digest() -> str:
    """Return a digest of the code that computes features: other code, other values."""
    package = Path(realtime.__file__).parent
    digest = hashlib.sha256()
    paths = [path for pattern in _CODE for path in sorted(package.glob(pattern))]
    for path in (*paths, Path(augment.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()
