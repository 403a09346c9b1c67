"""``tonewatch serve``: the page, and whoever sends audio; no microphone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from realtime import process
from realtime.commands.options import add_config, add_serving, add_token, settings_of

if TYPE_CHECKING:
    import argparse

ADDRESS = "127.0.0.1:8765"
_LONG_S = 3600.0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "serve",
        help="judge what others send",
        description="Serve the page, judge the audio that browsers and programs send, and tell all who "
        "subscribe. No microphone of this machine is heard: tonewatch listen --serve does that too.",
    )
    parser.add_argument(
        "serve", nargs="?", metavar="HOST:PORT", help=f"where to serve ({ADDRESS}); port 0 is any free one"
    )
    parser.add_argument("--model", metavar="NAME|FOLDER", help="the model (see: tonewatch models)")
    add_token(parser)
    add_serving(parser)
    add_config(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until an interrupt comes; then every session is closed in order."""
    from realtime import classifier  # noqa: PLC0415 - help is quick
    from realtime.commands.serving import start_server  # noqa: PLC0415
    from realtime.server.engine import SharedModel  # noqa: PLC0415

    settings = settings_of(arguments, defaults={"serve": ADDRESS}, ignored=("to",))
    model = SharedModel(classifier.load(settings.model))
    process.close_on_signals()
    server = start_server(settings, model)
    try:
        for_ever = threading.Event()
        while True:
            for_ever.wait(_LONG_S)
    finally:
        server.close()
