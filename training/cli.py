"""The command ``tonewatch-train``: which commands there are, and how each ends."""

from __future__ import annotations

import _thread
import argparse
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from realtime.errors import TonewatchError
from training.commands import compare, corpus, evaluate, fetch, fit, recipes, report, search

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_COMMANDS = (recipes, fit, evaluate, compare, report, search, corpus, fetch)
_EXIT_ERROR, _EXIT_INTERRUPT = 2, 130
_AGAIN_AFTER_S = 0.05


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for what the user can set right, 130 on Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        with _insisting():
            arguments.run(arguments)
    except TonewatchError as error:
        print(f"tonewatch-train: {error}", file=sys.stderr)
        return _EXIT_ERROR
    except KeyboardInterrupt:
        # With --fresh it would begin anew once more.
        without = " without --fresh" if getattr(arguments, "fresh", False) else ""
        said = f"interrupted; what was done is kept: the same command{without} goes on from there"
        print(f"tonewatch-train: {said}", file=sys.stderr)
        return _EXIT_INTERRUPT
    return 0


@contextmanager
def _insisting() -> Iterator[None]:
    """Repeat an interrupt that comes where Python drops every exception: as it collects objects.

    TensorFlow keeps that busy while it traces a network: one Ctrl-C would be lost now and then, with a
    traceback in its place.
    """

    def judge(dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            before(dropped)
            return
        # From elsewhere, and later: here it would be dropped once more.
        again = threading.Timer(_AGAIN_AFTER_S, _interrupt)
        again.daemon = True
        again.start()

    before, sys.unraisablehook = sys.unraisablehook, judge
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt() -> None:
    """Interrupt the main thread, as Ctrl-C does: also where it waits for something."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tonewatch-train", description="Build and measure the models that tonewatch runs."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser
