"""``tonewatch watch``: what a server hears, in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from realtime import process
from realtime.commands.options import (
    EXIT_SINKS_FAILED,
    add_config,
    add_output,
    add_token,
    output_of,
    report,
    screen_of,
    settings_of,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from realtime import messages
    from realtime.types import Event, Prediction, Sink, Status

_NOTHING = "the server hears nothing yet: waits for a stream"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "watch",
        help="show what a server hears",
        description="Show what a server hears: the panel of the stream that began last, or of the one that "
        "is named; as lines or JSON, all of them.",
    )
    parser.add_argument("to", metavar="URL", help="the server, as in ws://HOST:PORT or http://HOST:PORT/")
    parser.add_argument(
        "--stream", dest="streams", action="append", metavar="NAME", help="only this stream; repeatable"
    )
    parser.add_argument(
        "--min-probability",
        type=float,
        metavar="P",
        help="leave out predictions below this probability",
    )
    add_output(parser)
    add_token(parser)
    add_config(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Show messages until an interrupt comes, through whatever happens to the server."""
    import msgspec  # noqa: PLC0415

    from realtime.background import Background  # noqa: PLC0415
    from realtime.client import subscribe  # noqa: PLC0415 - help is quick
    from realtime.commands.serving import token_of  # noqa: PLC0415

    settings = settings_of(arguments, ignored=("serve",))
    if settings.output == "none":
        # That is for those who listen, with other places for events to go.
        settings = msgspec.structs.replace(settings, output="auto")
    assert settings.to is not None
    output = output_of(settings)
    told = Background(
        subscribe(
            settings.to,
            streams=arguments.streams or (),
            # Segments are for programs.
            types=() if output == "json" else ("prediction", "status"),
            min_probability=settings.min_probability or None,
            token=token_of(settings),
        )
    )
    process.close_on_signals()
    try:
        if output == "json":
            show_messages(told)
            return 0
        screen = screen_of(settings)
        assert screen is not None
        is_shown = show_events(told, screen, arguments.streams or (), is_panel=output == "panel")
        return 0 if is_shown else EXIT_SINKS_FAILED
    finally:
        told.close()


def show_messages(told: Iterable[messages.Message]) -> None:
    """Write messages, one per line, as they came."""
    from realtime.messages import encode  # noqa: PLC0415 - help is quick

    for message in told:
        sys.stdout.write(encode(message).decode() + "\n")
        sys.stdout.flush()


def show_events(
    told: Iterable[messages.Message], screen: Sink, wanted: Sequence[str] = (), *, is_panel: bool
) -> bool:
    """Show what messages tell of, of the streams that are wanted or all, until it cannot be shown any more.

    Returns whether it still can at the end. Until there is a stream to show, what the server does is told on
    standard error.
    """
    from realtime.remote import RemoteStreams  # noqa: PLC0415 - help is quick
    from realtime.run import FanOut  # noqa: PLC0415

    focus = Focus()
    streams = RemoteStreams()
    failures: list[str] = []
    outlets = FanOut([screen], failures.append)
    try:
        for message in told:
            events = streams.events(message)
            if not events:
                events = focus.aside(message)
                if not (events and is_panel):
                    tell_aside(message, wanted)
            for event in events:
                for one in focus.events(event) if is_panel else [event]:
                    outlets.emit(one)
            if not outlets.sinks:
                return False
        return True
    finally:
        outlets.close()
        for text in failures:
            report(text)


def tell_aside(message: messages.Message, wanted: Sequence[str] = ()) -> None:
    """Tell of a message that is about no stream."""
    from realtime.messages import Error, Hello  # noqa: PLC0415 - help is quick

    if isinstance(message, Error):
        report(message.message)
    elif isinstance(message, Hello) and not message.streams:
        report(_NOTHING)
    elif isinstance(message, Hello) and (missing := set(wanted).difference(message.streams)):
        report(f"the server hears {', '.join(message.streams)}: waits for {', '.join(sorted(missing))}")


class Focus:
    """Chooses the stream that the panel shows: of those that go on, the one that began last."""

    def __init__(self) -> None:
        self._newest: dict[str, Prediction | Status] = {}
        self._shown: str | None = None

    def events(self, event: Event) -> list[Event]:
        """Return what to show because of an event; more than that where another stream is chosen."""
        from realtime.types import Segment, State, Status  # noqa: PLC0415 - help is quick

        if isinstance(event, Segment):
            return []
        self._newest[event.stream.name] = event
        live = [
            other
            for other in self._newest.values()
            if not (isinstance(other, Status) and other.state is State.STOPPED)
        ]
        if not live:
            return [event] if self._shown in {event.stream.name, None} else []
        chosen = max(live, key=lambda other: other.stream.started)
        before, self._shown = self._shown, chosen.stream.name
        if event is chosen:
            return [event]
        # The one that was shown has ended: back to another.
        return [] if before == self._shown else [chosen]

    def aside(self, message: messages.Message) -> list[Event]:
        """Return how the panel shows what is about no stream: as the state of the one shown last."""
        from realtime.messages import Error, Hello  # noqa: PLC0415 - help is quick
        from realtime.remote import end_of  # noqa: PLC0415
        from realtime.types import State, Status  # noqa: PLC0415

        last = self._newest.get(self._shown or "")
        if last is None:
            return []
        if isinstance(message, Error):
            return [Status(last.stream, State.RECOVERING, message.message, end_of(last), end_of(last))]
        if isinstance(message, Hello) and not message.streams:
            return [Status(last.stream, State.STOPPED, _NOTHING, end_of(last), end_of(last))]
        return []
