"""What the commands do on a terminal: the panel, the question, the progress bar, and how they leave it."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from realtime import messages
from realtime.live import DEMO
from realtime.messages import Prediction, Status
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import StartTonewatch, Terminal

pytestmark = pytest.mark.timeout(120)

NO_PORTAUDIO = """
class NoPortAudio:
    def find_spec(self, name, *_):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
sys.meta_path.insert(0, NoPortAudio())
"""
QUESTION = "Listen to the bundled demo audio instead? [Y/n] "
FIRST, SECOND = "\x1b[?1049l", "\x1b[?1049h"
"""What shows a terminal's first and second screen."""


@pytest.fixture
def model(tiny_model: Path) -> tuple[str, str]:
    return ("--model", str(tiny_model))


def test_panel(start_tonewatch: StartTonewatch, terminal: Terminal, model: tuple[str, str]) -> None:
    process = start_tonewatch("listen", "--demo", "--fast", *model, terminal=terminal)
    assert process.wait(60) == 0
    terminal.wait_for("by tiny-float32")
    assert terminal.is_restored()
    panel, left = terminal.text.split(FIRST)
    assert panel.startswith(SECOND)
    # What stays on the first screen.
    assert "demo: 6" in left


def test_panel_at_real_pace(
    start_tonewatch: StartTonewatch, terminal: Terminal, model: tuple[str, str]
) -> None:
    process = start_tonewatch("listen", "--demo", *model, terminal=terminal)
    terminal.wait_for("STARTING")
    terminal.wait_for("LISTENING")
    assert "Tonewatch: demo" in terminal.text
    assert not terminal.is_restored()
    terminal.type("\x03")
    assert process.wait(60) == 130
    terminal.wait_for(FIRST)
    assert terminal.is_restored()
    assert "Traceback" not in terminal.text


def test_what_goes_wrong_meanwhile_is_told_behind_the_panel(
    start_tonewatch: StartTonewatch, terminal: Terminal, model: tuple[str, str], tmp_path: Path
) -> None:
    full = tmp_path / "full.jsonl"
    full.symlink_to("/dev/full")
    process = start_tonewatch("listen", "--demo", "--fast", "--log", full, *model, terminal=terminal)
    assert process.wait(60) == 0
    terminal.wait_for(f"tonewatch: {full}")
    terminal.wait_for("goes on without it\r\n")
    assert "No space left on device" in terminal.text.split(FIRST)[1]


def test_what_goes_wrong_meanwhile_is_told_in_the_panel_at_once(
    start_tonewatch: StartTonewatch, terminal: Terminal, model: tuple[str, str], tmp_path: Path
) -> None:
    full = tmp_path / "full.jsonl"
    full.symlink_to("/dev/full")
    process = start_tonewatch("listen", "--demo", "--log", full, *model, terminal=terminal)
    terminal.wait_for("No space left")
    assert FIRST not in terminal.text
    terminal.type("\x03")
    assert process.wait(60) == 130
    terminal.wait_for(f"tonewatch: {full}: ")
    assert terminal.text.split(FIRST)[1].count("No space left") == 1


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_a_terminal_that_cannot_draw_gets_lines(
    kind: str, start_tonewatch: StartTonewatch, terminal: Terminal, model: tuple[str, str]
) -> None:
    process = start_tonewatch(
        "listen", "--demo", "--fast", *model, terminal=terminal, environment={"TERM": kind}
    )
    assert process.wait(60) == 0
    terminal.wait_for("[stopped]")
    assert "demo, model tiny-float32" in terminal.text
    assert "\x1b" not in terminal.text


@pytest.mark.parametrize(
    ("answer", "code"), [("\r", 0), ("y\r", 0), ("n\r", 2), ("\x04", 2), ("\x03", 130)], ids=ascii
)
def test_without_a_microphone_it_asks(
    answer: str, code: int, start_tonewatch: StartTonewatch, terminal: Terminal, model: tuple[str, str]
) -> None:
    process = start_tonewatch("listen", "--fast", *model, terminal=terminal, before=NO_PORTAUDIO)
    terminal.wait_for(QUESTION)
    before = terminal.text
    assert "tonewatch: a microphone needs the PortAudio library" in before
    assert SECOND not in before
    terminal.type(answer)
    assert process.wait(60) == code
    if code == 0:
        terminal.wait_for("by tiny-float32")
        assert "plays the bundled demo audio" in terminal.text
    else:
        assert SECOND not in terminal.text
    assert terminal.is_restored()
    assert "Traceback" not in terminal.text


def test_a_terminal_sends_no_samples(
    start_tonewatch: StartTonewatch, terminal: Terminal, model: tuple[str, str]
) -> None:
    process = start_tonewatch("listen", "--input", "-", *model, terminal=terminal)
    assert process.wait(60) == 2
    terminal.wait_for("`ffmpeg -i FILE -f s16le")
    assert terminal.text.startswith("tonewatch: stdin is a terminal; pipe raw samples in")
    assert terminal.text.count("\n") == 1


def test_progress_is_shown_on_a_terminal_and_nowhere_else(
    start_tonewatch: StartTonewatch, terminal: Terminal, model: tuple[str, str], tmp_path: Path
) -> None:
    for number in range(3):
        shutil.copy(DEMO, tmp_path / f"{number}.flac")
    words = ("analyze", tmp_path, "--whole", "--format", "csv", *model)
    on_terminal = start_tonewatch(*words, stderr=terminal.end)
    out, _ = on_terminal.communicate(timeout=60)
    assert on_terminal.returncode == 0
    terminal.wait_for("\x1b[?25h")
    assert "listening" in terminal.text
    assert "100%" in terminal.text
    assert terminal.is_restored()
    assert len(list(csv.DictReader(out.decode().splitlines()))) == 3
    piped = start_tonewatch(*words)
    assert piped.communicate(timeout=60) == (out, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_progress_gives_the_cursor_back(
    number: signal.Signals,
    start_tonewatch: StartTonewatch,
    terminal: Terminal,
    model: tuple[str, str],
    tmp_path: Path,
) -> None:
    for index in range(500):
        (tmp_path / f"{index}.flac").symlink_to(DEMO)
    process = start_tonewatch("analyze", tmp_path, *model, stdout=subprocess.DEVNULL, stderr=terminal.end)
    terminal.wait_for("listening")
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    terminal.wait_for("\x1b[?25h")
    assert terminal.is_restored()
    assert "Traceback" not in terminal.text


# --- a terminal that is closed ----------------------------------------------------------------------------


def wait_until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"waited {timeout_s} s in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("flags", [[], ["--lines"]], ids=" ".join)
def test_a_closed_terminal_leaves_the_log(
    flags: list[str],
    start_tonewatch: StartTonewatch,
    terminal: Terminal,
    model: tuple[str, str],
    tmp_path: Path,
) -> None:
    log, err = tmp_path / "log.jsonl", tmp_path / "err.txt"

    def logged() -> list[messages.Message]:
        return [messages.decode(line) for line in log.read_bytes().splitlines()]

    err.touch()
    process = start_tonewatch(
        "listen", "--demo", "--log", log, *flags, *model,
        terminal=terminal,
        before=f"import os; os.dup2(os.open({str(err)!r}, os.O_WRONLY), 2)",
    )  # fmt: skip
    terminal.wait_for("starting" if flags else "STARTING")
    terminal.hang_up()
    n_before = len(logged())
    wait_until(lambda: sum(isinstance(message, Prediction) for message in logged()[n_before:]) > 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    last = logged()[-1]
    assert isinstance(last, Status)
    assert last.state is State.STOPPED
    (line,) = err.read_text().splitlines()
    assert line.startswith("tonewatch: ")
    assert line.endswith("; goes on without it")


@pytest.mark.parametrize(
    "words", ["listen --demo", "listen --demo --lines", "serve 127.0.0.1:0", "watch 127.0.0.1:1"]
)
def test_a_closed_terminal_ends_in_order_what_has_no_other_output(
    words: str, start_tonewatch: StartTonewatch, terminal: Terminal, model: tuple[str, str]
) -> None:
    command, *others = words.split()
    process = start_tonewatch(command, *others, *(model if command != "watch" else ()), terminal=terminal)
    wait_until(lambda: bool(terminal.text))
    terminal.hang_up()
    assert process.wait(60) == 128 + signal.SIGHUP
