"""What the commands need of their process: signals that end it in order, and standard streams that hold."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Answer: TypeAlias = Callable[[int, FrameType | None], object] | signal.Handlers

CLOSE_WITHIN_S = 5.0
"""Longest time that files, server and microphone together take to close."""

_HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""Says that the terminal was closed; Windows has nothing like it."""

ENDING = tuple(number for number in (signal.SIGINT, signal.SIGTERM, _HANG_UP) if number is not None)
"""The signals that end a process unless it says otherwise: Ctrl-C, a polite request, a closed terminal."""

_OUTPUT_IS_GONE = frozenset({errno.EPIPE, errno.ENOSPC, errno.EIO})


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM or SIGHUP; it ends as for Ctrl-C.

    Parameters
    ----------
    number
        The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def exit_on_signals() -> None:
    """Let SIGINT, SIGTERM and SIGHUP end the process at once, as long as there is nothing to close.

    An exception may go astray while modules are imported: some that are written in C make an ImportError of
    it, and the import system itself sometimes prints it and goes on.
    """
    _answer(_exit)


def close_on_signals() -> None:
    """Let SIGINT raise KeyboardInterrupt, the others `Terminated`, where they ended the process at once."""
    if signal.getsignal(signal.SIGTERM) is _exit:
        _answer(_Interrupter())


def outlive_terminal() -> None:
    """Let SIGHUP end nothing where it ended the process at once: there is more to do than to show something.

    What is written to a terminal that was closed fails, and that output is dropped like any other.
    """
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is _exit:
        signal.signal(_HANG_UP, signal.SIG_IGN)


def ignore_signals() -> None:
    """Let nothing spoil the exit code when the work is done."""
    _answer(signal.SIG_IGN)


def prepare_streams() -> None:
    """Let standard streams that were closed before the process began lead nowhere, where Python has None.

    Standard output then takes any text: a file's name may hold what its encoding cannot write.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - until the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def is_output_gone(error: OSError) -> bool:
    """Return whether an error says that nothing more can be written: nobody reads, or the disk is full."""
    return error.errno in _OUTPUT_IS_GONE


def give_up_broken_output() -> None:
    """Let go of what the standard streams do not take.

    Python writes it again at the end, and would then complain, and end with an exit code of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Interrupter:
    """Raises for a signal, then for a while for none: what closes must not be broken off by impatience."""

    def __init__(self) -> None:
        self._raised_s = -CLOSE_WITHIN_S

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if now_s - self._raised_s >= CLOSE_WITHIN_S:
            self._raised_s = now_s
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)


def _answer(answer: Answer) -> None:
    for number in ENDING:
        # Ignored from the beginning, as by shells for what they start in the background, and by nohup: it
        # stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, answer)
