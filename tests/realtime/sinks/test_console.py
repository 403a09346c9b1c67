from __future__ import annotations

import errno
import io
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import NoReturn

import pytest
from rich.console import Console

from realtime import messages
from realtime.errors import SinkError
from realtime.sinks.console import JsonConsole, LineConsole, PanelConsole, clock_text
from realtime.types import LABELS, Latency, Prediction, Segment, Sink, State, Status, Stream

STREAM = Stream("microphone", "tiny", LABELS, 22050, 66150, 11025, datetime(2026, 1, 1, tzinfo=UTC))
SHARES = (0.02, 0.03, 0.05, 0.0, 0.87, 0.02, 0.005, 0.005)
ANGRY = Prediction(STREAM, 0, 0, 66150, "angry", 0.87, SHARES, SHARES, -23.4, 0, Latency(12.0, 3.0, 1.0))
SILENT = Status(STREAM, State.SILENT, "no voice for 2 s", 99225, 99225, -61.0, 480)


class Stdout(io.StringIO):
    """Counts how often it is flushed."""

    n_flushed = 0

    def flush(self) -> None:
        self.n_flushed += 1


def test_lines() -> None:
    out = Stdout()
    sink: Sink = LineConsole(out)
    for event in (
        ANGRY,
        Segment(STREAM, "angry", 0, None, 0.9),
        SILENT,
        replace(ANGRY, label="unknown", dropped=7),
    ):
        sink.emit(event)
    sink.close()
    heading, angry, silent, unknown = out.getvalue().splitlines()
    assert heading == "microphone, model tiny"
    assert angry == "00:03.0  angry        87%  █████████·    -23 dBFS"
    assert silent == "00:04.5  [silent]                        -61 dBFS  480 samples lost  no voice for 2 s"
    assert unknown == "00:03.0  unknown      87%  █████████·    -23 dBFS  7 samples lost"
    assert out.n_flushed == 3


def test_lines_tell_where_another_stream_begins() -> None:
    out = Stdout()
    sink: Sink = LineConsole(out)
    for name in ("a.wav", "a.wav", "b.wav"):
        sink.emit(replace(ANGRY, stream=replace(STREAM, name=name)))
    assert [line for line in out.getvalue().splitlines() if "model" in line] == [
        "a.wav, model tiny",
        "b.wav, model tiny",
    ]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_lines_use_what_the_terminal_can_write(encoding: str) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    LineConsole(out).emit(ANGRY)
    out.seek(0)
    assert "#########." in out.read()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00.0"), (59.96, "01:00.0"), (754.25, "12:34.2"), (3723.5, "1:02:03.5")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_json_says_hello_first_and_to_each_stream() -> None:
    out = Stdout()
    sink: Sink = JsonConsole(out)
    second = replace(STREAM, name="second")
    for event in (SILENT, ANGRY, replace(ANGRY, stream=second)):
        sink.emit(event)
    sink.close()
    found = [messages.decode(line) for line in out.getvalue().splitlines()]
    assert found == [
        messages.hello([STREAM]),
        messages.to_message(SILENT),
        messages.to_message(ANGRY),
        messages.hello([second]),
        messages.to_message(replace(ANGRY, stream=second)),
    ]
    assert out.n_flushed == 3


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=24, color_system="truecolor")


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_panel_draws_and_gives_the_terminal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    console = terminal()
    threads_before = set(threading.enumerate())
    sink = PanelConsole(console)
    assert not written(console)
    sink.emit(ANGRY)
    sink._live.refresh()
    sink.close()
    sink.close()
    text = written(console)
    assert "A N G R Y" in text
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    # What is left behind on the terminal sums up, once.
    assert text.count("1 predictions by") == 1
    assert text.index("1 predictions by") > text.index("\x1b[?1049l")
    for thread in set(threading.enumerate()) - threads_before:
        thread.join(5.0)
        assert not thread.is_alive()


def test_panel_survives_a_terminal_that_changes_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    console = terminal(120)
    sink = PanelConsole(console)
    sink.emit(ANGRY)
    for width in (40, 1, 200, 10):
        console.width = width
        sink._live.refresh()
    sink.close()


def test_panel_on_a_terminal_that_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    console = terminal()
    sink = PanelConsole(console)
    sink.emit(ANGRY)
    console._force_terminal = False
    with pytest.raises(OSError, match="the terminal was closed"):
        sink.emit(ANGRY)
    before = written(console)
    sink.close()
    assert written(console) == before


def test_panel_on_a_terminal_that_takes_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    console = terminal()
    sink = PanelConsole(console)
    sink.emit(ANGRY)

    def refuse(_: str) -> NoReturn:
        raise OSError(errno.EIO, "it is gone")

    monkeypatch.setattr(console.file, "write", refuse)
    # In a thread of its own, an error would end in a traceback.
    sink._live.refresh()
    with pytest.raises(OSError, match="it is gone"):
        sink.emit(ANGRY)
    sink.close()


def test_panel_says_when_events_stop_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    now_s = 100.0
    console = terminal()
    sink = PanelConsole(console, clock=lambda: now_s)
    sink.emit(ANGRY)
    now_s += 7.0
    sink._live.refresh()
    sink.close()
    assert "nothing has come from the recognizer for 7 s" in written(console)


def test_panel_shows_what_people_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    now_s = 100.0
    console = terminal()
    sink = PanelConsole(console, clock=lambda: now_s)
    now_s += 7.0
    # Before there is an event to show, the terminal is left alone.
    sink.tell("log.csv: goes on without it")
    assert not written(console)
    sink.emit(ANGRY)
    sink._live.refresh()
    sink.close()
    sink.tell("too late")
    shown, left = written(console).split("\x1b[?1049l")
    assert "0:00:07  log.csv: goes on without it" in shown
    assert "log.csv" not in left
    assert "too late" not in left


def test_panel_that_never_had_an_event_leaves_the_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    console = terminal()
    PanelConsole(console).close()
    assert not written(console)


def test_panel_needs_a_terminal() -> None:
    with pytest.raises(SinkError, match="no terminal"):
        PanelConsole(Console(file=io.StringIO()))
