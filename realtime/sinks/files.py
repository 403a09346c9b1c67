"""Sinks that append to a file: JSON lines, or CSV.

A line is one write to a file opened for appending, without a buffer in between: whenever the process
ends, however it ends, at most the line being written is lost. The next run finds such half a line, ends
it, and goes on below.
"""

from __future__ import annotations

import csv
import errno
import io
import os
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
    "level_dbfs",
    "dropped",
    "state",
    "detail",
)
"""The same for every model, so that logs can be joined; a label that a model does not know stays empty."""


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
        found, wanted = self._file.first_line, _csv_line(CSV_COLUMNS)
        if found.strip() and found.rstrip(b"\r\n") != wanted:
            self._file.close()
            raise SinkError(
                f"{path}: found a file that begins with {found[:60].decode(errors='replace')!r}; wanted "
                f"a log that begins with {wanted[:30].decode()!r} and so on: name a new file"
            )
        # Written with the first row, so that a run which ends before it leaves an empty file alone.
        self._has_header = bool(found.strip())

    def emit(self, event: Event) -> None:
        """Append the row of `event`; raises OSError where that fails."""
        if isinstance(event, Segment):
            return
        cells = _csv_cells(event)
        unknown = cells.keys() - set(CSV_COLUMNS)
        if unknown:
            raise SinkError(
                f"{self.name}: found values for {sorted(unknown)}; the columns of a CSV log are fixed: "
                "use a .jsonl log for a model with labels of its own"
            )
        if not self._has_header:
            self._file.write_line(_csv_line(CSV_COLUMNS))
            self._has_header = True
        self._file.write_line(_csv_line([cells.get(column) for column in CSV_COLUMNS]))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


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
    """

    def __init__(self, path: Path) -> None:
        self.first_line = b""
        self._is_torn = False
        try:
            # Only a regular file has a past; looking for one in a pipe would wait for ever.
            if path.is_file():
                self._look_back(path)
            self._file = path.open("ab", buffering=0)
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
        data = (b"\n" if self._is_torn else b"") + line + b"\n"
        n_written = self._file.write(data)
        if n_written:
            self._is_torn = n_written < len(data)
        if n_written != len(data):
            raise OSError(
                errno.ENOSPC, f"only {n_written} of {len(data)} bytes could be written", self._file.name
            )

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def _look_back(self, path: Path) -> None:
        with path.open("rb") as file:
            self.first_line = file.readline(_HEADER_LIMIT_BYTES)
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                self._is_torn = file.read(1) != b"\n"


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
            # A line break inside a field is allowed in CSV, but a row would no longer be a line.
            "detail": " ".join(message.detail.split()),
        }
    return cells


def _date_text(date: datetime) -> str:
    return date.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _csv_line(cells: Iterable[Cell]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue().encode()
