"""Corpora listed in a CSV file: anyone's recordings, with labels and speakers."""

from __future__ import annotations

import csv
from pathlib import Path

from realtime.errors import CorpusError
from realtime.types import LABELS
from training.corpora.clips import Channel, Clip, Corpus
from training.corpora.folds import spread_speakers

COLUMNS = ("path", "label", "speaker")
"""What a CSV's first line names, in any case; a column ``channel`` (speech or song) may stand beside."""
_CHANNELS: dict[str, Channel] = {"": "speech", "speech": "speech", "song": "song"}


def read_table(path: Path, name: str | None = None) -> Corpus:
    """Read a CSV file, in UTF-8, that lists recordings, one per line.

    Its labels may be foreign ones. Its speakers are taken as they are named: the same name in two files is
    the same person.

    Parameters
    ----------
    path
        The file; the recordings' paths are relative to its folder.
    name
        The corpus's; the file's, without suffix, by default.

    Raises
    ------
    CorpusError
        Where it cannot be read, lists nothing, or a line lacks something; told by its number.
    """
    name = name or path.stem.lower()
    try:
        # The mark that spreadsheets put before UTF-8 is no part of the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            clips = _read_rows(path, name, csv.DictReader(file))
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be opened: {error.strerror}; wanted a CSV file with the columns "
            f"{','.join(COLUMNS)}"
        ) from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not in UTF-8 ({error.reason}); save it in that encoding") from error
    except csv.Error as error:
        raise CorpusError(f"{path} cannot be read as CSV: {error}") from error
    if not clips:
        raise CorpusError(f"{path} lists no recording; wanted lines of {','.join(COLUMNS)} below the first")
    used = dict.fromkeys(clip.label for clip in clips)
    labels = (
        *(label for label in LABELS if label in used),
        *(label for label in used if label not in LABELS),
    )
    licence = f"trained on the recordings that {path.name} lists, under what licence only its makers know"
    return Corpus(name, licence, tuple(clips), spread_speakers(clips), {name: labels})


def _read_rows(path: Path, name: str, rows: csv.DictReader[str]) -> list[Clip]:
    # As the cells below it: a ` channel` that is overlooked would make speech of every song.
    header = [column.strip().lower() for column in rows.fieldnames or ()]
    rows.fieldnames = header
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise CorpusError(
            f"{path}, line 1: no column {' nor '.join(missing)} in {','.join(header)!r}; wanted "
            f"{','.join(COLUMNS)}, separated by commas"
        )
    clips = []
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        # None: a line that is too short.
        values = {column: (row[column] or "").strip() for column in COLUMNS}
        empty = [column for column, value in values.items() if not value]
        if empty:
            raise CorpusError(
                f"{where}: {' and '.join(empty)} empty; wanted {','.join(COLUMNS)} in every line"
            )
        recording = path.parent / values["path"]
        if not recording.is_file():
            raise CorpusError(f"{where}: {recording} is not a file; wanted a path relative to {path.parent}")
        channel = (row.get("channel") or "").strip().lower()
        if channel not in _CHANNELS:
            raise CorpusError(f"{where}: channel is {channel!r}; wanted speech or song")
        clips.append(Clip(recording, values["label"].lower(), values["speaker"], name, _CHANNELS[channel]))
    return clips
