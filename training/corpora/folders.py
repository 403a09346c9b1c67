"""Corpora in folders: the recordings below one, and whether all are there."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from realtime.errors import CorpusError
from training.corpora.clips import Clip, Corpus
from training.corpora.folds import read_actors, spread_speakers
from training.corpora.known import LAYOUTS, RAVDESS

if TYPE_CHECKING:
    from training.corpora.layouts import Layout

SUFFIXES = (".flac", ".wav")
"""Files that are recordings, by the ends of their names in small letters."""
_PARTIAL = ".part"


def default_folder(corpus: str) -> Path:
    """Return where a corpus is looked for: in the folder TONEWATCH_DATA, or ../shared/data."""
    return Path(os.environ.get("TONEWATCH_DATA") or Path("..", "shared", "data")) / corpus


def read_ravdess(folder: Path) -> Corpus:
    """Read the names below a folder of RAVDESS recordings (FLAC or WAV), and its folds.

    Raises
    ------
    CorpusError
        Where the folder is missing, holds no recording whose name carries a label, or its folds cannot be
        used.
    """
    return read_folder(RAVDESS, folder)


def parse_ravdess(path: Path) -> Clip | None:
    """Return what a recording's name says, or None where it is no RAVDESS name."""
    return RAVDESS.parse(path)


def read_folder(layout: Layout, folder: Path) -> Corpus:
    """Read the names below a folder of one corpus's recordings (FLAC or WAV), and its folds.

    Its labels may be foreign ones.

    Raises
    ------
    CorpusError
        Where the folder is missing, holds no recording whose name carries a label, or its folds cannot be
        used.
    """
    if not folder.is_dir():
        raise CorpusError(
            f"{folder} is not a folder; wanted the {layout.title} recordings: give their folder as "
            f"{layout.name}=FOLDER, or set TONEWATCH_DATA to the folder that holds {layout.name}/"
        )
    clips, warnings = [], []
    for path in _list_recordings(folder):
        clip = layout.parse(path)
        if clip is None:
            warnings.append(f"{path}: its name carries no {layout.title} label ({layout.example}); left out")
        else:
            clips.append(clip)
    if not clips:
        left_out = f" ({len(warnings)} names carry no label)" if warnings else ""
        raise CorpusError(
            f"{folder} holds no {layout.title} recording{left_out}; wanted FLAC or WAV files named "
            f"{layout.example}, in any folders below it"
        )
    return Corpus(
        layout.title,
        layout.licence,
        tuple(clips),
        _read_folds(layout, folder, clips),
        {layout.name: layout.labels},
        tuple(warnings),
    )


def recognise(folder: Path) -> Layout:
    """Return the corpus whose files' names the recordings below a folder have.

    Raises
    ------
    CorpusError
        Where it is none's, or several's.
    """
    paths = _list_recordings(folder)
    counts = {name: sum(layout.parse(path) is not None for path in paths) for name, layout in LAYOUTS.items()}
    found = [name for name, n in counts.items() if n]
    if len(found) != 1:
        names = (
            "names of " + " and of ".join(found)
            if found
            else f"{len(paths)} FLAC and WAV files of other names"
        )
        raise CorpusError(
            f"{folder} holds {names}; wanted those of one of {', '.join(LAYOUTS)}: say which with NAME="
            f"{folder}, or list the recordings in a .csv file (path,label,speaker)"
        )
    return LAYOUTS[found[0]]


def find_gaps(layout: Layout, folder: Path, clips: tuple[Clip, ...]) -> tuple[str, ...]:
    """Return one line for each sign that recordings are still missing from a corpus's folder."""
    lines = []
    partial = sorted(path for path in _walk(folder) if path.suffix == _PARTIAL)
    partial += sorted(
        path
        for path in folder.absolute().parent.glob(f"*{_PARTIAL}")
        if path.name.lower().startswith(folder.absolute().name.lower())
    )
    if partial:
        files = f"{len(partial)} file{'s' if len(partial) > 1 else ''}"
        lines.append(
            f"{layout.title}: {files} not downloaded to the end, such as {partial[0]}; finish that first"
        )
    # By name: a copy of a file fills no gap.
    counts = Counter(channel for channel, _ in {(clip.channel, clip.path.stem) for clip in clips})
    lines += [
        f"{layout.title}: {counts[channel]} of {n} {channel} recordings are there, {n - counts[channel]} are "
        f"missing from {folder}"
        for channel, n in layout.n_clips.items()
        if 0 < counts[channel] < n
    ]
    return tuple(lines)


def _list_recordings(folder: Path) -> list[Path]:
    # By name, not by path: the order must not depend on how the folders are arranged.
    return sorted(
        (path for path in _walk(folder) if path.suffix.lower() in SUFFIXES),
        key=lambda path: (path.name, path),
    )


def _walk(folder: Path) -> list[Path]:
    """Return the files in any folders below one; hidden ones, which macOS adds to archives, apart."""
    return [
        Path(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    ]


def _read_folds(layout: Layout, folder: Path, clips: list[Clip]) -> tuple[tuple[str, ...], ...]:
    if not layout.folds:
        return spread_speakers(clips)
    actors = read_actors(folder)
    if actors is None:
        return layout.folds
    return tuple(tuple(layout.speaker(f"{actor:02d}") for actor in fold) for fold in actors)
