"""Ctrl-C, and SIGTERM, at any moment: the exit code says so, nothing else does, and all is left in order."""

from __future__ import annotations

import itertools
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest
import soundfile

from realtime import messages
from realtime.live import DEMO
from realtime.messages import Hello, Prediction, Status
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import MakeVoice, StartTonewatch, Terminal

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing on Windows"),
]

# Before that, in the start-up of the interpreter and the first milliseconds of imports, an interrupt is
# Python's own affair. `main` has begun when signals are answered in another way than Python's.
WHEN_MAIN_HAS_BEGUN = """
import os

def watch(event, arguments):
    if event == "import" and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        at_import(arguments[0])

sys.addaudithook(watch)
"""

TELL = """
def at_import(_):
    open(os.environ["BEGUN"], "a").close()
"""

# Modules written in C may make an error of their own of whatever is raised while they are imported.
INTERRUPT = """
def interrupt():
    open("interrupted", "w").close()
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException as error:
        raise ImportError("initialization failed") from error
"""

INTERRUPT_AT_NAME = f"""{INTERRUPT}
def at_import(name):
    if name == os.environ["AT_IMPORT"]:
        interrupt()
"""

INTERRUPT_AT_NUMBER = f"""{INTERRUPT}
n_imports = 0
def at_import(_):
    global n_imports
    n_imports += 1
    if n_imports == int(os.environ["AT_IMPORT"]):
        interrupt()
"""


def wait_until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"waited {timeout_s} s in vain"
        time.sleep(0.005)


@pytest.fixture
def model(tiny_model: Path) -> tuple[str, str]:
    return ("--model", str(tiny_model))


@pytest.fixture
def stereo(tmp_path: Path, make_voice: MakeVoice) -> Path:
    """A recording that must be resampled."""
    path = tmp_path / "stereo.wav"
    soundfile.write(path, make_voice(4, rate=44_100), 44_100)
    return path


def check_log(path: Path) -> list[messages.Message]:
    """Return a log's messages: whole lines, all of them."""
    data = path.read_bytes() if path.exists() else b""
    assert data.endswith(b"\n") or not data
    return [messages.decode(line) for line in data.splitlines()]


# --- while starting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "importlib.metadata",
        "realtime.config",
        "msgspec",
        "numpy",
        "realtime.classifier",
        "realtime.recognizer",
        "realtime.live",
        "soundfile",
        "soxr",
        "realtime.sinks.console",
        "websockets.asyncio.server",
    ],
)
def test_while_modules_are_imported(
    name: str, start_tonewatch: StartTonewatch, model: tuple[str, str], stereo: Path, tmp_path: Path
) -> None:
    process = start_tonewatch(
        "listen", "--input", stereo, "--log", "log.jsonl", "--serve", "127.0.0.1:0", *model,
        before=WHEN_MAIN_HAS_BEGUN + INTERRUPT_AT_NAME,
        environment={"AT_IMPORT": name},
    )  # fmt: skip
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 130
    assert (tmp_path / "interrupted").exists()
    assert check_log(tmp_path / "log.jsonl") == []


@pytest.mark.parametrize("number", [1, 30, 90, 150, 210, 270])
def test_at_any_import(
    number: int, start_tonewatch: StartTonewatch, model: tuple[str, str], stereo: Path, tmp_path: Path
) -> None:
    process = start_tonewatch(
        "analyze", stereo, *model,
        before=WHEN_MAIN_HAS_BEGUN + INTERRUPT_AT_NUMBER,
        environment={"AT_IMPORT": str(number)},
    )  # fmt: skip
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 130
    assert (tmp_path / "interrupted").exists()


# --- after any time ---------------------------------------------------------------------------------------


DELAYS_S = (3.2, 1.5, 0.8, 0.4, 0.2, 0.1, 0.05, 0.0)


@dataclass
class Running:
    """A command that has begun."""

    process: subprocess.Popen[bytes]
    begun_s: float

    def interrupt(self, delay_s: float, number: signal.Signals = signal.SIGINT) -> bytes:
        """Send a signal so long after the beginning; return what was said on standard error."""
        time.sleep(max(0.0, self.begun_s + delay_s - time.monotonic()))
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 128 + number
        return err


class Begin(Protocol):
    """Starts a command, and returns when it has begun."""

    def __call__(self, *words: str | Path) -> Running: ...


@pytest.fixture
def begin(start_tonewatch: StartTonewatch, tmp_path: Path) -> Begin:
    numbers = itertools.count()

    def begin(*words: str | Path) -> Running:
        begun = tmp_path / f"begun {next(numbers)}"
        process = start_tonewatch(
            *words,
            stdin=subprocess.PIPE,
            before=WHEN_MAIN_HAS_BEGUN + TELL,
            environment={"BEGUN": str(begun)},
        )
        wait_until(begun.exists)
        return Running(process, time.monotonic())

    return begin


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", ["--demo --json", "--input - --lines", "--demo --quiet --serve :0"])
def test_listening(
    words: str, number: signal.Signals, begin: Begin, model: tuple[str, str], tmp_path: Path
) -> None:
    # The long ones run beside those that come after them.
    delays_s = DELAYS_S if number == signal.SIGINT else DELAYS_S[1::3]
    ended: list[tuple[Path, bytes]] = []
    running = []
    for delay_s in delays_s:
        log = tmp_path / f"{delay_s}.jsonl"
        running.append((delay_s, log, begin("listen", *words.split(), "--log", log, *model)))
        if delay_s < 1:
            ended.append((log, running.pop()[2].interrupt(delay_s, number)))
    ended += [(log, one.interrupt(delay_s, number)) for delay_s, log, one in running]
    for log, err in ended:
        assert re.sub(rb"tonewatch: serves ws://\S+; open http://\S+\n", b"", err) == b""
        logged = check_log(log)
        if logged:
            assert isinstance(logged[0], Hello)
            assert isinstance(logged[-1], Status)
            assert logged[-1].state is State.STOPPED


def test_analyzing(begin: Begin, model: tuple[str, str], tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(500):
        (many / f"{number}.flac").symlink_to(DEMO)
    for delay_s in DELAYS_S:
        if delay_s < 2:
            assert begin("analyze", many, "--whole", *model).interrupt(delay_s) == b""


# --- in the midst of it -----------------------------------------------------------------------------------


def test_what_was_heard_is_ended_properly(
    start_tonewatch: StartTonewatch, model: tuple[str, str], make_voice: MakeVoice, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    words = ("listen", "--input", "-", "--json", "--log", log, *model)
    process = start_tonewatch(*words, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write((make_voice(4.2) * 32_768).astype("<i2").tobytes())
    process.stdin.flush()
    told: list[messages.Message] = []
    while not (told and isinstance(told[-1], Prediction) and told[-1].end_s == 4.0):
        told.append(messages.decode(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")
    told += [messages.decode(line) for line in out.splitlines()]
    last = told[-1]
    assert isinstance(last, Status)
    # What was read and no window holds is counted.
    assert last.state is State.STOPPED
    assert 4.0 <= last.since_s <= 4.2
    assert last.dropped == round((last.since_s - 4.0) * 16_000)
    assert check_log(log) == told


def test_impatience_spoils_nothing(
    start_tonewatch: StartTonewatch, terminal: Terminal, model: tuple[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    process = start_tonewatch(
        "listen", "--demo", "--serve", "127.0.0.1:0", "--log", log, *model, terminal=terminal
    )
    terminal.wait_for("STARTING")
    match = re.search(r"serves ws://127.0.0.1:(\d+)/events", terminal.text)
    assert match is not None
    with socket.create_connection(("127.0.0.1", int(match[1]))) as deaf:
        # Half a handshake keeps the server waiting for a while when it closes.
        deaf.sendall(b"GET /events HTTP/1.1\r\n")
        deadline_s = time.monotonic() + 60
        while process.poll() is None:
            assert time.monotonic() < deadline_s
            terminal.type("\x03")
            time.sleep(0.02)
    assert process.returncode == 130
    terminal.wait_for("\x1b[?1049l")
    assert terminal.is_restored()
    assert "Traceback" not in terminal.text
    last = check_log(log)[-1]
    assert isinstance(last, Status)
    assert last.state is State.STOPPED


def test_in_the_background_interrupts_are_for_others(
    start_tonewatch: StartTonewatch, model: tuple[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    process = start_tonewatch(
        "listen", "--input", "-", "--quiet", "--log", log, *model,
        stdin=subprocess.PIPE,
        before="signal.signal(signal.SIGINT, signal.SIG_IGN)",
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(bytes(3_200))
    process.stdin.flush()
    wait_until(lambda: len(check_log(log)) == 2)
    process.send_signal(signal.SIGINT)
    process.stdin.write(bytes(96_000))
    process.stdin.flush()
    wait_until(lambda: len(check_log(log)) == 3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
