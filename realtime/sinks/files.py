"""Sinks that append to a file: JSON lines, or CSV.

A line is one write to a file opened for appending, without a buffer in between: whenever the process
ends, however it ends, at most the line being written is lost. The next run finds such half a line, ends
it, and goes on below; half a header it completes.

A log stays at its path: where the file there is moved, deleted or emptied meanwhile, it goes on in what is
there by then, or in a new file, and begins as a new one does.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import stat
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from realtime import messages
from realtime.errors import SinkError
from realtime.types import LABELS, Event, Prediction, Segment, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

_HEADER_LIMIT_BYTES: Final = 1 << 16

Cell: TypeAlias = str | float | int | None

CSV_COLUMNS: Final = (
    "type",
    "time",
    "stream",
    "model",
    "seq",
    "start_s",
    "end_s",
    "label",
    "probability",
    *LABELS,
    *(f"smoothed_{label}" for label in LABELS),
    "arousal",
    "valence",
    "intensity",
    "voice_start_s",
    "voice_end_s",
    "level_dbfs",
    "dropped",
    "state",
    "detail",
)
"""The same for every model, so that logs can be joined; a label that a model does not know stays empty, and
so does what it does not tell."""


class JsonLinesLog:
    """Appends one wire message per line, and `hello` before the first of each stream.

    Parameters
    ----------
    path
        The file; made where there is none.

    Raises
    ------
    SinkError
        It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file = _LineFile(path)
        self._stream: Stream | None = None

    def emit(self, event: Event) -> None:
        """Append the message of `event`; raises OSError where that fails."""
        if self._file.follow():
            self._stream = None
        if event.stream != self._stream:
            self._file.write_line(messages.encode(messages.hello([event.stream])))
            self._stream = event.stream
        self._file.write_line(messages.encode(messages.to_message(event)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CsvLog:
    """Appends one row per prediction and per status, below the header `CSV_COLUMNS`.

    The status rows say why there is no prediction; segments follow from the predictions and have no row.

    Parameters
    ----------
    path
        The file; made where there is none.

    Raises
    ------
    SinkError
        It cannot be written, or it has another header.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file = _LineFile(path)
        try:
            self._header_due = self._rest_of_header()
        except SinkError:
            self._file.close()
            raise

    def emit(self, event: Event) -> None:
        """Append the row of `event`; raises OSError where that fails, or SinkError where it has no place."""
        if isinstance(event, Segment):
            return
        if self._file.follow():
            self._header_due = self._rest_of_header()
        cells = _csv_cells(event)
        unknown = cells.keys() - set(CSV_COLUMNS)
        if unknown:
            raise SinkError(
                f"{self.name}: found values for {sorted(unknown)}; the columns of a CSV log are fixed: "
                "use a .jsonl log for a model with labels of its own"
            )
        # Not before the first row, so that a run which ends before it leaves an empty file alone.
        if self._header_due:
            self._file.write_line(self._header_due)
            self._header_due = b""
        self._file.write_line(_csv_line([cells.get(column) for column in CSV_COLUMNS]))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rest_of_header(self) -> bytes:
        """Return what of the header the file lacks; raises SinkError where it has another one."""
        found, wanted = self._file.first_line, _csv_line(CSV_COLUMNS)
        if not found.strip():
            return wanted
        if found.rstrip(b"\r\n") == wanted:
            return b""
        if wanted.startswith(found):
            # The disk was full, or the run killed: the rest belongs into that line.
            self._file.is_torn = False
            return wanted[len(found) :]
        raise SinkError(
            f"{self.name}: found a file that begins with {found[:60].decode(errors='replace')!r}; wanted "
            f"a log that begins with {wanted[:30].decode()!r} and so on: name a new file"
        )


LOGS: Final[Mapping[str, type[JsonLinesLog | CsvLog]]] = {
    ".jsonl": JsonLinesLog,
    ".ndjson": JsonLinesLog,
    ".csv": CsvLog,
}
"""The log that each suffix of a file name stands for."""


def open_log(path: str | Path) -> JsonLinesLog | CsvLog:
    """Open the log that the suffix of `path` stands for, to append to it.

    Raises
    ------
    SinkError
        The suffix is not known, or the file cannot be written.
    """
    path = Path(path)
    log = LOGS.get(path.suffix.lower())
    if log is None:
        raise SinkError(f"{path}: found the suffix {path.suffix!r}; wanted one of {', '.join(LOGS)}")
    return log(path)


class _LineFile:
    """A file to which whole lines are appended.

    Parameters
    ----------
    path
        The file; made where there is none.

    Attributes
    ----------
    first_line
        What the file began with when it was opened; nothing where it was empty, or is no regular file.
    is_torn
        Whether it ends inside a line, which the next one has to end first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.first_line = b""
        self.is_torn = False
        self._n_bytes = 0
        try:
            self._file = self._open()
        except OSError as error:
            raise SinkError(
                f"{path}: cannot be written ({error.strerror or error}); wanted a file that you may write, "
                "in a folder that exists"
            ) from error

    def write_line(self, line: bytes) -> None:
        """Append `line`, which has no line break, and one.

        Raises
        ------
        OSError
            The disk is full, or the file is gone.
        """
        data = (b"\n" if self.is_torn else b"") + line + b"\n"
        n_written = self._file.write(data)
        if n_written:
            self.is_torn = n_written < len(data)
            self._n_bytes += n_written
        if n_written != len(data):
            raise OSError(
                errno.ENOSPC, f"only {n_written} of {len(data)} bytes could be written", self._file.name
            )

    def follow(self) -> bool:
        """Go on in the file that is at the path by now; return whether that is another, or is shorter.

        That takes a few microseconds, fewer than a line does: so it is done before each.

        Raises
        ------
        OSError
            None can be opened there any more.
        """
        here = os.fstat(self._file.fileno())
        # What is no regular file (a pipe, a terminal) is not rotated, and may not open twice.
        if not stat.S_ISREG(here.st_mode):
            return False
        if here.st_size >= self._n_bytes and not self._is_elsewhere(here):
            self._n_bytes = here.st_size
            return False
        old, self._file = self._file, self._open()
        old.close()
        return True

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def _open(self) -> io.FileIO:
        self.first_line, self.is_torn = b"", False
        # Only a regular file has a past; looking for one in a pipe would wait for ever.
        if self._path.is_file():
            self._look_back()
        file = self._path.open("ab", buffering=0)
        self._n_bytes = os.fstat(file.fileno()).st_size
        return file

    def _is_elsewhere(self, here: os.stat_result) -> bool:
        """Return whether the path leads to another file by now, or to none."""
        # Windows lets nobody move or delete what is open, and does not always tell files apart.
        if os.name == "nt":
            return False
        try:
            return not os.path.samestat(here, self._path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            # Where nobody may look any more, the file that is open may still be written to.
            return False

    def _look_back(self) -> None:
        with self._path.open("rb") as file:
            self.first_line = file.readline(_HEADER_LIMIT_BYTES)
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                self.is_torn = file.read(1) != b"\n"


def _csv_cells(event: Prediction | Status) -> dict[str, Cell]:
    """Return the values of a row by column."""
    message = messages.to_message(event)
    cells: dict[str, Cell] = {"stream": event.stream.name, "model": event.stream.model}
    if isinstance(message, messages.Prediction):
        cells |= {
            "type": "prediction",
            "time": _date_text(message.time),
            "seq": message.seq,
            "start_s": message.start_s,
            "end_s": message.end_s,
            "label": message.label,
            "probability": message.probability,
            "arousal": message.arousal,
            "valence": message.valence,
            "intensity": message.intensity,
            "voice_start_s": message.voice_start_s,
            "voice_end_s": message.voice_end_s,
            "level_dbfs": message.level_dbfs,
            "dropped": message.dropped,
        }
        cells |= message.probabilities
        cells |= {f"smoothed_{label}": value for label, value in message.smoothed.items()}
    elif isinstance(message, messages.Status):
        cells |= {
            "type": "status",
            "time": _date_text(message.time),
            "start_s": message.since_s,
            "end_s": message.at_s,
            "level_dbfs": message.level_dbfs,
            "dropped": message.dropped,
            "state": message.state.value,
            "detail": message.detail,
        }
    return cells


def _date_text(date: datetime) -> str:
    return date.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _csv_line(cells: Iterable[Cell]) -> bytes:
    text = io.StringIO()
    # A line break inside a cell is allowed in CSV, but a row would no longer be a line.
    on_one_line = [" ".join(cell.splitlines()) if isinstance(cell, str) else cell for cell in cells]
    csv.writer(text, lineterminator="").writerow(on_one_line)
    return text.getvalue().encode()
