"""What several commands share: flags and their meaning, exit codes, and how people are told."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from realtime.config import Settings
    from realtime.types import Sink

EXIT_BAD_INPUT = 2
EXIT_SINKS_FAILED = 1


def report(text: str) -> None:
    """Tell people something, in one line on standard error."""
    # Where standard error does not take it, there is nobody left to tell.
    with contextlib.suppress(OSError):
        sys.stderr.write(f"tonewatch: {text}\n")
        sys.stderr.flush()


# --- flags ------------------------------------------------------------------------------------------------


def add_judging(parser: argparse._ActionsContainer) -> None:
    """Add ``--model``, ``--hop``, ``--smoothing`` and ``--min-probability``."""
    judging = parser.add_argument_group("how to judge")
    judging.add_argument("--model", metavar="NAME|FOLDER", help="the model (see: tonewatch models)")
    judging.add_argument("--hop", dest="hop_s", type=float, metavar="S", help="seconds between predictions")
    judging.add_argument(
        "--smoothing", metavar="HOW", help="none, exponential:ALPHA or majority:N, of windows"
    )
    judging.add_argument(
        "--min-probability", type=float, metavar="P", help="answer 'unknown' below this probability (0)"
    )


def add_config(parser: argparse._ActionsContainer) -> None:
    """Add ``--config``."""
    parser.add_argument("--config", metavar="FILE", help="a TOML file with defaults for these flags")


def add_output(parser: argparse._ActionsContainer, *, can_be_quiet: bool = False) -> None:
    """Add ``--json`` and ``--lines``, and ``--quiet`` where there are other places for events to go."""
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--json", dest="output", action="store_const", const="json", help="one message per line"
    )
    shown.add_argument(
        "--lines", dest="output", action="store_const", const="lines", help="one line per prediction"
    )
    if can_be_quiet:
        shown.add_argument(
            "--quiet", dest="output", action="store_const", const="none", help="nothing on the screen"
        )


def add_token(parser: argparse._ActionsContainer) -> None:
    """Add ``--token`` and ``--token-file``."""
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument(
        "--token",
        metavar="T",
        help="the server's token; others on this machine can see it: better --token-file, or TONEWATCH_TOKEN",
    )
    secret.add_argument("--token-file", metavar="FILE", help="a file whose first line is the token")


def add_serving(parser: argparse._ActionsContainer) -> None:
    """Add the flags that say who may come, and how many."""
    parser.add_argument(
        "--insecure",
        action="store_true",
        default=None,
        help="serve beyond this machine without a token: everyone on the network may listen in",
    )
    parser.add_argument("--cert", metavar="FILE", help="a TLS certificate (PEM); with --key, https and wss")
    parser.add_argument("--key", metavar="FILE", help="its private key (PEM)")
    parser.add_argument(
        "--origin",
        action="append",
        metavar="URL",
        help="web pages of this origin may connect too, such as https://example.org; repeatable",
    )
    parser.add_argument("--capacity", type=int, metavar="N", help="senders of audio at a time (128)")


def settings_of(
    arguments: argparse.Namespace,
    *,
    defaults: Mapping[str, object] | None = None,
    ignored: Sequence[str] = (),
) -> Settings:
    """Return what a command is asked to do.

    Parameters
    ----------
    arguments
        Its flags.
    defaults
        What holds for this command where nothing else is said, by setting.
    ignored
        Settings of the configuration file that are for other commands.

    Raises
    ------
    SettingsError
        Where a flag or the configuration file cannot be used.
    """
    from pathlib import Path  # noqa: PLC0415 - help is quick

    from realtime import config  # noqa: PLC0415

    flags = {name: getattr(arguments, name, None) for name in config.Settings.__struct_fields__}
    path = Path(arguments.config) if arguments.config else None
    return config.load(flags, path, defaults=defaults, ignored=ignored)


# --- what is shown ----------------------------------------------------------------------------------------


def screen_of(settings: Settings) -> Sink | None:
    """Return what shows events on standard output; None where nothing shall be shown."""
    from realtime.sinks.console import JsonConsole, LineConsole, PanelConsole  # noqa: PLC0415 - help is quick

    match output_of(settings):
        case "panel":
            return PanelConsole()
        case "lines":
            return LineConsole(sys.stdout)
        case "json":
            return JsonConsole(sys.stdout)
    return None


def output_of(settings: Settings) -> str:
    """Return which output is meant: `auto` is a panel on a terminal that can draw one, lines elsewhere."""
    if settings.output != "auto":
        return settings.output
    can_draw = sys.stdout.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}
    return "panel" if can_draw else "lines"
