"""The command ``tonewatch-train``: which commands there are, and how each ends."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING

from realtime.errors import TonewatchError
from training.commands import compare, corpus, evaluate, fetch, fit, recipes, report, search

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = (recipes, fit, evaluate, compare, report, search, corpus, fetch)
_EXIT_ERROR, _EXIT_INTERRUPT = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for what the user can set right, 130 on Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except TonewatchError as error:
        print(f"tonewatch-train: {error}", file=sys.stderr)
        return _EXIT_ERROR
    except KeyboardInterrupt:
        print(
            "tonewatch-train: interrupted; what was done is kept: the same command goes on from there",
            file=sys.stderr,
        )
        return _EXIT_INTERRUPT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tonewatch-train", description="Build and measure the models that tonewatch runs."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    # As a pipe's reader leaves, end without a traceback.
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
