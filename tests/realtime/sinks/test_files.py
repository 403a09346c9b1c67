from __future__ import annotations

import csv
import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import pytest

from realtime import messages
from realtime.errors import SinkError
from realtime.sinks.files import CSV_COLUMNS, LOGS, CsvLog, JsonLinesLog, open_log
from realtime.types import LABELS, Prediction, Segment, State, Status, Stream

if TYPE_CHECKING:
    from pathlib import Path

    from realtime.types import Event

STREAM = Stream(
    "microphone", "tiny", ("neutral", "angry"), 22050, 66150, 11025, datetime(2026, 1, 1, tzinfo=UTC)
)
ANGRY = Prediction(STREAM, 0, 0, 66150, "angry", 0.75, (0.5, 0.5), (0.25, 0.75), -23.4, 480)
SILENT = Status(STREAM, State.SILENT, "no voice,\nat all", 99225, 99225, None, 0)
SEGMENT = Segment(STREAM, "angry", 0, None, 0.9)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.jsonl", JsonLinesLog), ("a.ndjson", JsonLinesLog), ("a.csv", CsvLog), ("A.CSV", CsvLog)],
)
def test_the_suffix_chooses_the_log(tmp_path: Path, name: str, kind: type) -> None:
    log = open_log(tmp_path / name)
    assert type(log) is kind
    assert log.name.endswith(name)
    log.close()
    log.close()


@pytest.mark.parametrize("name", ["log", "log.txt", "log.json"])
def test_an_unknown_suffix_is_refused_with_those_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(SinkError, match=r"wanted one of \.jsonl, \.ndjson, \.csv"):
        open_log(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", LOGS)
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(SinkError, match="cannot be written"):
        open_log(tmp_path / "missing" / f"log{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(SinkError, match="cannot be written"):
        open_log(tmp_path / f"folder{suffix}")


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    events: list[Event] = [SILENT, ANGRY, SEGMENT]
    for _ in range(2):
        log = open_log(path)
        for event in events:
            log.emit(event)
        log.close()
    found = [messages.decode(line) for line in path.read_text().splitlines()]
    run = [messages.hello([STREAM]), *map(messages.to_message, events)]
    assert found == run * 2


def test_csv_has_predictions_and_statuses(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for _ in range(2):
        log = open_log(path)
        for event in (SILENT, ANGRY, SEGMENT):
            log.emit(event)
        log.close()
    assert path.read_text().count("type,time") == 1
    rows = rows_of(path)
    assert [row["type"] for row in rows] == ["status", "prediction"] * 2
    status, prediction = rows[:2]
    assert status["state"] == "silent"
    assert status["detail"] == "no voice, at all"
    assert status["time"] == "2026-01-01T00:00:04.500Z"
    assert status["level_dbfs"] == status["label"] == ""
    assert prediction["time"] == "2026-01-01T00:00:03.000Z"
    assert (prediction["label"], prediction["probability"], prediction["dropped"]) == ("angry", "0.75", "480")
    assert (prediction["angry"], prediction["smoothed_angry"], prediction["happy"]) == ("0.5", "0.75", "")


def test_csv_has_what_is_told_beside_labels(tmp_path: Path) -> None:
    told = replace(ANGRY, intensity=0.25, voice_start=ANGRY.start + 1600, voice_end=ANGRY.end - 1600)
    log = open_log(tmp_path / "log.csv")
    for event in (told, ANGRY):
        log.emit(event)
    log.close()
    message = messages.to_message(told)
    assert isinstance(message, messages.Prediction)
    row, without = rows_of(tmp_path / "log.csv")
    for name in ("arousal", "valence", "intensity", "voice_start_s", "voice_end_s"):
        assert row[name] == str(getattr(message, name))
    assert row["arousal"]
    assert (without["intensity"], without["voice_start_s"], without["voice_end_s"]) == ("", "", "")


def test_csv_of_two_models_goes_into_one_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    other = Prediction(
        replace(STREAM, model="full", labels=LABELS), 0, 0, 1, "sad", 0.5, (0.125,) * 8, (0.125,) * 8, -9
    )
    for event in (ANGRY, other):
        log = open_log(path)
        log.emit(event)
        log.close()
    assert [(row["model"], row["happy"]) for row in rows_of(path)] == [("tiny", ""), ("full", "0.125")]


@pytest.mark.parametrize(
    "content", ["time,mood\n1,good\n", ",".join((*CSV_COLUMNS, "more")) + "\n", "type,ti\n", "type,Ti"]
)
def test_csv_below_another_header_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(SinkError, match=r"found a file that begins with .*: name a new file"):
        open_log(path)
    assert path.read_text() == content


@pytest.mark.parametrize("n_bytes", [1, 7, len(",".join(CSV_COLUMNS))])
def test_half_a_header_is_completed(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(",".join(CSV_COLUMNS).encode()[:n_bytes])
    for _ in range(2):
        log = open_log(path)
        log.emit(ANGRY)
        log.close()
    assert tuple(rows_of(path)[0]) == CSV_COLUMNS
    assert [row["type"] for row in rows_of(path)] == ["prediction"] * 2
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n"])
def test_line_breaks_in_names_tear_no_row(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "log.csv"
    log = open_log(path)
    for event in (ANGRY, SILENT):
        log.emit(replace(event, stream=replace(STREAM, name=f'a, "b"{ending}c.wav', model=f"my{ending}own")))
    log.close()
    assert len(path.read_bytes().splitlines()) == 3
    assert [(row["type"], row["stream"], row["model"]) for row in rows_of(path)] == [
        ("prediction", 'a, "b" c.wav', "my own"),
        ("status", 'a, "b" c.wav', "my own"),
    ]


def test_csv_has_no_column_for_a_label_of_ones_own(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.csv")
    with pytest.raises(SinkError, match=r"bored.*: use a \.jsonl log"):
        log.emit(replace(ANGRY, stream=replace(STREAM, labels=("neutral", "bored"))))
    log.close()


@pytest.mark.parametrize("suffix", LOGS)
def test_half_a_line_is_ended_before_the_next(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    log = open_log(path)
    log.emit(ANGRY)
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    log = open_log(path)
    log.emit(ANGRY)
    log.close()
    lines = path.read_bytes().splitlines()
    assert lines[: whole.count(b"\n")] == whole[:-10].splitlines()
    assert lines[-1] == whole.splitlines()[-1]


# --- files that are moved, deleted or emptied -------------------------------------------------------------

not_on_windows = pytest.mark.skipif(os.name == "nt", reason="what is open can be neither moved nor deleted")


def once(suffix: str) -> bytes:
    """Return what a log holds after one event."""
    lines = [messages.encode(messages.hello([STREAM])), messages.encode(messages.to_message(ANGRY))]
    if suffix == ".csv":
        lines = [",".join(CSV_COLUMNS).encode(), row_of_angry()]
    return b"".join(line + b"\n" for line in lines)


def row_of_angry() -> bytes:
    at = {"neutral": "0.5", "angry": "0.5", "smoothed_neutral": "0.25", "smoothed_angry": "0.75"}
    at |= {"type": "prediction", "time": "2026-01-01T00:00:03.000Z", "stream": "microphone", "model": "tiny"}
    at |= {"seq": "0", "start_s": "0.0", "end_s": "3.0", "label": "angry", "probability": "0.75"}
    at |= {"arousal": "0.55", "valence": "-0.45", "level_dbfs": "-23.4", "dropped": "480"}
    return ",".join(at.get(column, "") for column in CSV_COLUMNS).encode()


@not_on_windows
@pytest.mark.parametrize("suffix", LOGS)
def test_a_log_that_is_moved_goes_on_at_its_path(tmp_path: Path, suffix: str) -> None:
    path, moved = tmp_path / f"log{suffix}", tmp_path / "log.1"
    log = open_log(path)
    for n_moves in range(3):
        log.emit(ANGRY)
        assert path.read_bytes() == once(suffix), n_moves
        path.replace(moved)
    log.emit(SILENT)
    log.close()
    assert moved.read_bytes() == once(suffix)
    assert path.read_bytes().count(b"\n") == 2


@not_on_windows
@pytest.mark.parametrize("suffix", LOGS)
def test_a_log_that_is_deleted_begins_anew(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    log = open_log(path)
    for _ in range(3):
        log.emit(ANGRY)
        assert path.read_bytes() == once(suffix)
        path.unlink()
    log.emit(ANGRY)
    log.emit(ANGRY)
    log.close()
    n_bytes = len(once(suffix).splitlines(keepends=True)[1])
    assert path.stat().st_size == len(once(suffix)) + n_bytes


@pytest.mark.parametrize("suffix", LOGS)
@pytest.mark.parametrize("n_before", [0, 1, 3])
def test_a_log_that_is_emptied_begins_anew(tmp_path: Path, suffix: str, n_before: int) -> None:
    path = tmp_path / f"log{suffix}"
    log = open_log(path)
    for _ in range(n_before):
        log.emit(ANGRY)
    os.truncate(path, 0)
    log.emit(ANGRY)
    assert path.read_bytes() == once(suffix)
    log.emit(ANGRY)
    log.close()
    # So a later run can go on below.
    open_log(path).close()


@not_on_windows
@pytest.mark.parametrize("suffix", LOGS)
def test_a_log_goes_on_below_what_lies_at_its_path_by_then(tmp_path: Path, suffix: str) -> None:
    path, there = tmp_path / f"log{suffix}", tmp_path / f"there{suffix}"
    log = open_log(path)
    log.emit(ANGRY)
    # Half a line behind it, too.
    there.write_bytes(once(suffix)[:-10])
    there.replace(path)
    log.emit(ANGRY)
    log.close()
    lines = path.read_bytes().splitlines()
    assert lines[:2] == once(suffix)[:-10].splitlines()
    # A log that has a header already gets no second one.
    assert lines[2:] == once(suffix).splitlines()[1 if suffix == ".csv" else 0 :]


@not_on_windows
def test_a_log_whose_path_leads_elsewhere_goes_on_there(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = None
    for day in ("monday", "tuesday"):
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / day)
        log = log or open_log(path)
        log.emit(ANGRY)
    assert log is not None
    log.close()
    assert (tmp_path / "monday").read_bytes() == (tmp_path / "tuesday").read_bytes() == once(".jsonl")


@not_on_windows
def test_a_log_that_cannot_go_on_at_its_path_says_so(tmp_path: Path) -> None:
    folder, path = tmp_path / "logs", tmp_path / "logs" / "log.csv"
    folder.mkdir()
    log = open_log(path)
    log.emit(ANGRY)
    path.write_text("time,mood\n")
    with pytest.raises(SinkError, match="found a file that begins with 'time,mood"):
        log.emit(ANGRY)
    assert path.read_text() == "time,mood\n"
    folder.rename(tmp_path / "old")
    with pytest.raises(FileNotFoundError):
        log.emit(ANGRY)
    folder.touch()
    with pytest.raises(NotADirectoryError):
        log.emit(ANGRY)
    log.close()


@not_on_windows
def test_a_log_goes_on_where_nobody_may_look_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.csv"
    log = open_log(path)
    log.emit(ANGRY)

    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        log.emit(ANGRY)
    log.close()
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_opened_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        log = open_log(path)
        log.emit(ANGRY)
        path.unlink()
        log.emit(ANGRY)
        log.close()
        assert not path.exists()
        told = os.read(reader, 1 << 16)
    finally:
        os.close(reader)
    assert told == once(".jsonl") + once(".jsonl").splitlines(keepends=True)[1]


# --- disks and kills --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", LOGS)
def test_each_line_is_on_disk_when_emit_returns(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    log = open_log(path)
    sizes = [path.stat().st_size]
    for _ in range(3):
        log.emit(ANGRY)
        sizes.append(path.stat().st_size)
        assert path.read_bytes().endswith(b"\n")
    assert sizes == sorted(set(sizes))
    log.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be caught")
def test_a_kill_loses_one_line_at_the_most(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    program = (
        "import sys; from realtime.sinks.files import open_log; from realtime.types import *;"
        "log = open_log(sys.argv[1]); s = Stream('m', 't', ('sad',), 10, 30, 5);"
        "i = 0\n"
        "while True: log.emit(Segment(s, 'sad', i, None, 0.5)); i += 1; print(i, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(200):
            n_emitted = int(process.stdout.readline())
        process.kill()
    lines = path.read_bytes().split(b"\n")[1:-1]
    assert len(lines) >= n_emitted
    assert all(isinstance(messages.decode(line), messages.Segment) for line in lines)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("suffix", LOGS)
def test_a_full_disk_is_reported_at_once(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    path.symlink_to("/dev/full")
    log = open_log(path)
    with pytest.raises(OSError, match="No space left"):
        log.emit(ANGRY)
    log.close()
