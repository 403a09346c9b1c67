from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

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
    "content", ["time,mood\n1,good\n", ",".join((*CSV_COLUMNS, "more")) + "\n", "type,ti"]
)
def test_csv_below_another_header_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(SinkError, match=r"found a file that begins with .*: name a new file"):
        open_log(path)
    assert path.read_text() == content


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
