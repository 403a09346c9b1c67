"""``tonewatch watch``: what a server hears, in the terminal."""

from __future__ import annotations

import sys
from dataclasses import replace
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
_ASIDE_S = 5.0
"""Seconds of a stream for which the panel tells what is about no stream."""


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

    focus = Focus(wanted)
    streams = RemoteStreams()
    failures: list[str] = []
    outlets = FanOut([screen], failures.append)
    try:
        for message in told:
            events = streams.events(message)
            shown = [one for event in events for one in focus.events(event)] if is_panel else events
            if not events:
                shown = focus.aside(message)
                if not shown:
                    tell_aside(message, wanted)
            outlets.emit(*shown)
            if not outlets.sinks:
                return False
        return True
    finally:
        outlets.close()
        for text in failures:
            report(text)


def tell_aside(message: messages.Message, wanted: Sequence[str] = ()) -> None:
    """Tell of a message that is about no stream."""
    text = _aside(message, wanted)
    if text:
        report(text)


def _aside(message: messages.Message, wanted: Sequence[str]) -> str:
    """Return what people should know of a message that is about no stream; mostly nothing."""
    from realtime.messages import Error, Hello  # noqa: PLC0415 - help is quick

    if isinstance(message, Error):
        return message.message
    if isinstance(message, Hello):
        if not message.streams:
            return _NOTHING
        missing = set(wanted).difference(message.streams)
        if missing:
            return f"the server hears {', '.join(message.streams)}: waits for {', '.join(sorted(missing))}"
    return ""


class Focus:
    """Chooses the stream that the panel shows: of those that go on, the one that began last.

    Parameters
    ----------
    wanted
        Names of the streams that are waited for; none where it is all of them.
    """

    def __init__(self, wanted: Sequence[str] = ()) -> None:
        self._wanted = wanted
        self._newest: dict[str, Prediction | Status] = {}
        self._states: dict[str, Status] = {}
        # Kept also when its stream is gone.
        self._shown: Prediction | Status | None = None
        self._aside_until: int | None = None

    def events(self, event: Event) -> list[Event]:
        """Return what to show because of an event; more than that where another stream is chosen."""
        from realtime.types import Segment, Status  # noqa: PLC0415 - help is quick

        if isinstance(event, Segment):
            return []
        self._newest[event.stream.name] = event
        if isinstance(event, Status):
            self._states[event.stream.name] = event
        chosen = self._choose()
        if event is chosen or (chosen is None and self._is_shown(event)):
            return self._follow(event)
        # The one that was shown has ended: back to another.
        return [] if chosen is None or self._is_shown(chosen) else self._switch(chosen)

    def aside(self, message: messages.Message) -> list[Event]:
        """Return how the panel shows what is about no stream: as the state of the one shown last."""
        from realtime.messages import Error, Hello  # noqa: PLC0415 - help is quick
        from realtime.remote import end_of  # noqa: PLC0415
        from realtime.types import State, Status  # noqa: PLC0415

        last = self._shown
        if last is None:
            return []
        if isinstance(message, Hello):
            return self._greet(last, message)
        if not isinstance(message, Error):
            return []
        end = end_of(last)
        if message.code == "disconnected":
            return [Status(last.stream, State.RECOVERING, message.message, end, end)]
        # The stream goes on as it was. Since the panel shows a state's reason until the next state, which may
        # be hours away, that reason comes back after a while.
        self._aside_until = end + round(_ASIDE_S * last.stream.sample_rate)
        state = self._states.get(last.stream.name) or Status(last.stream, State.LISTENING, "", end, end)
        return [replace(state, detail=message.message, level_dbfs=last.level_dbfs, dropped=0)]

    def _greet(self, last: Prediction | Status, hello: messages.Hello) -> list[Event]:
        """Forget the streams that are gone, which may have ended unheard, while there was no connection."""
        from realtime.remote import end_of  # noqa: PLC0415 - help is quick
        from realtime.types import State, Status  # noqa: PLC0415

        self._newest = {name: event for name, event in self._newest.items() if name in hello.streams}
        self._states = {name: state for name, state in self._states.items() if name in hello.streams}
        if last.stream.name in hello.streams:
            return []
        chosen = self._choose()
        if chosen is not None:
            return self._switch(chosen)
        reason = _aside(hello, self._wanted)
        if not reason and isinstance(last, Status) and last.state is State.STOPPED:
            return []
        return [Status(last.stream, State.STOPPED, reason, end_of(last), end_of(last))]

    def _choose(self) -> Prediction | Status | None:
        """Return the newest event of the stream to show; None where none goes on."""
        from realtime.types import State, Status  # noqa: PLC0415 - help is quick

        live = [
            event
            for event in self._newest.values()
            if not (isinstance(event, Status) and event.state is State.STOPPED)
        ]
        return max(live, key=lambda event: event.stream.started, default=None)

    def _is_shown(self, event: Prediction | Status) -> bool:
        return self._shown is None or self._shown.stream.name == event.stream.name

    def _follow(self, event: Prediction | Status) -> list[Event]:
        """Return the next event to show, after the stream's state where something else was shown as that."""
        from realtime.types import Status  # noqa: PLC0415 - help is quick

        self._shown = event
        if self._aside_until is None:
            return [event]
        if isinstance(event, Status):
            self._aside_until = None
        elif event.end >= self._aside_until:
            return self._switch(event)
        return [event]

    def _switch(self, event: Prediction | Status) -> list[Event]:
        """Return the newest event of a stream, after its state, which a prediction does not tell."""
        self._shown, self._aside_until = event, None
        state = self._states.get(event.stream.name)
        return [event] if state is None or state is event else [replace(state, dropped=0), event]
