"""The command `tonewatch`: which commands there are, and how each ends."""

from __future__ import annotations

import argparse
import errno
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

# Everything heavier is imported by the command that needs it: help, and an early interrupt, are quick.
from realtime import process
from realtime.commands import analyze, devices, listen, models, serve, watch
from realtime.commands.options import EXIT_BAD_INPUT, EXIT_SINKS_FAILED, report
from realtime.errors import SettingsError, TonewatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = (listen, analyze, serve, watch, devices, models)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code.

    Parameters
    ----------
    argv
        Its arguments; the process's own by default.

    Returns
    -------
    int
        0 for success, 1 where every output failed, 2 for bad input, 130 after Ctrl-C, 143 after SIGTERM and
        129 after SIGHUP.
    """
    is_own_process = argv is None
    if is_own_process:
        process.exit_on_signals()
    try:
        process.prepare_streams()
        arguments = _parser().parse_args(argv)
        code: int = arguments.command(arguments)
    except TonewatchError as error:
        report(str(error))
        code = EXIT_BAD_INPUT
    except process.Terminated as end:
        code = 128 + end.number
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except OSError as error:
        if not process.is_output_gone(error):
            raise
        # Who reads no further, as `head` does, knows that; a full disk is news.
        if error.errno != errno.EPIPE:
            report(f"standard output: {error.strerror}")
        code = EXIT_SINKS_FAILED
    finally:
        if is_own_process:
            process.ignore_signals()
        process.give_up_broken_output()
    return code


class _Parser(argparse.ArgumentParser):
    """Refuses flags as everything else is refused: in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise what `main` prints."""
        raise SettingsError(f"{message}; see: {self.prog} --help")


class _ShowVersion(argparse.Action):
    """Looks the version up when it is asked for: that takes longer than all the other flags."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

        try:
            release = version("tonewatch")
        except PackageNotFoundError:
            release = "not installed"
        print(f"tonewatch {release}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tonewatch", description="Recognise emotions in a live voice.")
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
