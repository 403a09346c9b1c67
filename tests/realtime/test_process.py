"""Standard streams that fail, and signals: what a command does with its process."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

import pytest

from realtime import process
from realtime.run import FanOut
from realtime.sinks.files import JsonLinesLog
from realtime.types import State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import StartTonewatch
    from tests.realtime.conftest import Outcome, Tonewatch


needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@needs_dev_full
def test_full_disk_ends_one_log_and_not_the_others(listen: Tonewatch, demo: Outcome, tmp_path: Path) -> None:
    full, good = tmp_path / "full.jsonl", tmp_path / "good.jsonl"
    full.symlink_to("/dev/full")
    outcome = listen("--demo", "--fast", "--json", "--log", full, "--log", good)
    assert outcome.code == 0
    assert outcome.err == f"tonewatch: {full}: [Errno 28] No space left on device; goes on without it\n"
    assert len(outcome.messages) == len(good.read_text().splitlines()) == len(demo.messages)
    outcome = listen("--demo", "--fast", "--quiet", "--log", full)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)


@needs_dev_full
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_behind_standard_output(
    unbuffered: str, start_tonewatch: StartTonewatch, tiny_model: Path, recording: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    environment = {"PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        listening, *analyzing = (
            start_tonewatch(*words, "--model", tiny_model, stdout=full, environment=environment)
            for words in (
                ("listen", "--demo", "--fast", "--lines", "--log", log),
                ("analyze", recording, "--format", "table"),
                ("analyze", recording, "--format", "json"),
            )
        )
    _, err = listening.communicate()
    assert err == b"tonewatch: console: [Errno 28] No space left on device; goes on without it\n"
    assert listening.returncode == 0
    assert b'"stopped"' in log.read_bytes().splitlines()[-1]
    for command in analyzing:
        _, err = command.communicate()
        assert err == b"tonewatch: standard output: No space left on device\n"
        assert command.returncode == 1


def test_reader_of_standard_output_leaves(
    start_tonewatch: StartTonewatch, tiny_model: Path, recording: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    model = ("--model", tiny_model)
    logging = start_tonewatch("listen", "--demo", "--fast", "--lines", *model, "--log", log)
    alone = start_tonewatch("listen", "--demo", "--fast", "--json", *model)
    analyzing = start_tonewatch("analyze", recording, "--format", "json", *model)
    for command in (logging, alone, analyzing):
        assert command.stdout is not None
        command.stdout.close()
    codes, errors = [], []
    for command in (logging, alone, analyzing):
        assert command.stderr is not None
        errors.append(command.stderr.read())
        codes.append(command.wait())
    assert codes == [0, 1, 1]
    assert errors == [
        b"tonewatch: console: [Errno 32] Broken pipe; goes on without it\n",
        b"tonewatch: json: [Errno 32] Broken pipe; goes on without it\n",
        b"",
    ]
    assert b'"stopped"' in log.read_bytes().splitlines()[-1]


def test_closed_standard_streams(start_tonewatch: StartTonewatch, tiny_model: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    command = start_tonewatch(
        "listen", "--demo", "--fast", "--log", log, "--model", tiny_model,
        before="sys.stdin = sys.stdout = sys.stderr = None",
    )  # fmt: skip
    assert command.communicate() == (b"", b"")
    assert command.returncode == 0
    assert b'"stopped"' in log.read_bytes().splitlines()[-1]


# --- signals ----------------------------------------------------------------------------------------------


@pytest.fixture
def _signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give back afterwards what this process does with signals."""
    before = {number: signal.getsignal(number) for number in process.ENDING}
    for number in process.ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("realtime.process.time", SimpleNamespace(monotonic=lambda: CLOCK.now_s))
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


CLOCK = SimpleNamespace(now_s=0.0)


def ignore(number: signal.Signals) -> None:
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        pytest.fail(f"{number.name} was not ignored")


@pytest.mark.usefixtures("_signals")
def test_only_the_first_of_several_signals_raises() -> None:
    process.exit_on_signals()
    process.close_on_signals()
    with pytest.raises(process.Terminated):
        signal.raise_signal(signal.SIGTERM)
    # While everything is closed.
    CLOCK.now_s += process.CLOSE_WITHIN_S / 2
    ignore(signal.SIGINT)
    ignore(signal.SIGTERM)
    # It takes too long, or the first one went astray.
    CLOCK.now_s += process.CLOSE_WITHIN_S
    with pytest.raises(KeyboardInterrupt) as caught:
        signal.raise_signal(signal.SIGINT)
    assert caught.type is KeyboardInterrupt
    process.ignore_signals()
    CLOCK.now_s += process.CLOSE_WITHIN_S
    ignore(signal.SIGINT)


needs_hang_ups = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="Windows tells of no closed terminal"
)


@needs_hang_ups
@pytest.mark.usefixtures("_signals")
def test_a_closed_terminal_ends_what_has_nothing_else() -> None:
    process.exit_on_signals()
    process.close_on_signals()
    CLOCK.now_s += process.CLOSE_WITHIN_S
    with pytest.raises(process.Terminated) as caught:
        signal.raise_signal(signal.SIGHUP)
    assert caught.value.number == signal.SIGHUP


@needs_hang_ups
@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize("by", ["us", "nohup"])
def test_a_closed_terminal_that_was_foreseen_ends_nothing(by: str) -> None:
    if by == "nohup":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process.exit_on_signals()
    if by == "us":
        process.outlive_terminal()
    process.close_on_signals()
    CLOCK.now_s += process.CLOSE_WITHIN_S
    ignore(signal.SIGHUP)
    with pytest.raises(process.Terminated) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM


@pytest.mark.usefixtures("_signals")
def test_other_programs_handlers_are_left_alone() -> None:
    handlers = [signal.getsignal(number) for number in process.ENDING]
    process.outlive_terminal()
    process.close_on_signals()
    assert [signal.getsignal(number) for number in process.ENDING] == handlers


@pytest.mark.usefixtures("_signals")
def test_a_command_called_by_a_program_leaves_its_handlers_alone(
    tonewatch: Tonewatch, tiny_model: Path
) -> None:
    handlers = [signal.getsignal(number) for number in process.ENDING]
    assert tonewatch("listen", "--demo", "--fast", "--model", tiny_model).code == 0
    assert [signal.getsignal(number) for number in process.ENDING] == handlers


def test_an_interrupt_while_closing_leaves_no_sink_open() -> None:
    closed = []

    class Sink:
        def __init__(self, name: str) -> None:
            self.name = name

        def emit(self, _: object) -> None:
            pass

        def close(self) -> None:
            closed.append(self.name)
            if self.name == "two":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FanOut([Sink("one"), Sink("two"), Sink("three")], print).close()
    assert sorted(closed) == ["one", "three", "two"]


@pytest.mark.parametrize("is_written", [True, False])
def test_an_interrupt_while_a_line_is_written(
    *, is_written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = JsonLinesLog(tmp_path / "log.jsonl")
    status = Status(Stream("s", "m", ("sad",), 16_000, 48_000, 8_000), State.SILENT, "", 0, 0)
    log.emit(status)
    file = log._file._file

    def interrupt(data: bytes) -> NoReturn:
        if is_written:
            file.write(data)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(log._file, "_file", SimpleNamespace(write=interrupt, fileno=file.fileno))
        with pytest.raises(KeyboardInterrupt):
            log.emit(status)
    log.emit(status)
    log.close()
    hello, *lines = (tmp_path / "log.jsonl").read_text().split("\n")
    assert '"hello"' in hello
    assert lines == [lines[0]] * (2 + is_written) + [""]
