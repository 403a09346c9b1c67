"""``tonewatch devices``: which microphones there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime.errors import DeviceError

if TYPE_CHECKING:
    import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser("devices", help="list the microphones", description="List the microphones.")
    parser.set_defaults(command=run)


def run(_arguments: argparse.Namespace) -> int:
    """Print the microphones.

    Raises
    ------
    DeviceError
        Where there is none, or the system cannot be asked.
    """
    from rich.console import Console  # noqa: PLC0415 - help is quick

    from realtime import reports  # noqa: PLC0415
    from realtime.sources import devices  # noqa: PLC0415

    found = devices()
    if not found:
        raise DeviceError("found no microphone; plug one in, or try: tonewatch listen --demo")
    reports.print_devices(Console(), found)
    return 0
