"""Watching: which stream the panel shows, and what is told of none."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from realtime import cli, client, messages
from realtime.commands.watch import Focus, show_events, show_messages
from realtime.messages import to_message
from realtime.sinks.console import LineConsole
from realtime.sinks.panel import View
from realtime.types import Prediction, Segment, State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from realtime.types import Event

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
LOST = messages.Error(code="disconnected", message="it is lost", fatal=False, dropped=0)


def stream(name: str, minute: int = 0) -> Stream:
    return Stream(name, "tiny", ("calm",), 1000, 3000, 500, NOON + timedelta(minutes=minute))


KITCHEN, PORCH = stream("kitchen"), stream("porch", 1)


def status(of: Stream, at: int, state: State = State.LISTENING) -> Status:
    return Status(of, state, "", at, at)


def prediction(of: Stream, end: int) -> Prediction:
    return Prediction(of, 0, end - 3000, end, "calm", 0.5, (1.0,), (1.0,), -20.0)


def test_the_stream_that_began_last_is_shown_until_it_ends() -> None:
    focus = Focus()
    first, second = status(KITCHEN, 1), status(PORCH, 1)
    assert focus.events(first) == [first]
    assert focus.events(second) == [second]
    older = prediction(KITCHEN, 5000)
    assert focus.events(older) == []
    newer = prediction(PORCH, 5000)
    assert focus.events(newer) == [newer]
    # Then the other one is shown at once, as it is, with its state, which a prediction does not tell.
    assert focus.events(status(PORCH, 6000, State.STOPPED)) == [first, older]
    last = status(KITCHEN, 7000, State.STOPPED)
    assert focus.events(last) == [last]
    assert focus.events(Segment(KITCHEN, "calm", 0, 1, 0.5)) == []


def test_the_end_of_a_stream_that_was_not_shown_changes_nothing() -> None:
    focus = Focus()
    for event in (status(KITCHEN, 1), status(PORCH, 1)):
        focus.events(event)
    assert focus.events(status(KITCHEN, 2, State.STOPPED)) == []
    ended = status(PORCH, 2, State.STOPPED)
    assert focus.events(ended) == [ended]


def hello(*of: Stream) -> messages.Hello:
    return msgspec.structs.replace(messages.hello([KITCHEN]), streams=tuple(one.name for one in of))


def test_a_stream_that_ended_while_there_was_no_connection_gives_way() -> None:
    screen = Screen()
    told: list[messages.Message] = [
        hello(KITCHEN, PORCH),
        to_message(status(KITCHEN, 1)),
        to_message(status(PORCH, 1)),
        LOST,
        hello(KITCHEN),
        to_message(prediction(KITCHEN, 9000)),
    ]
    assert show_events(told, screen, is_panel=True)
    *_, lost, kitchen, last = screen.events
    assert isinstance(lost, Status)
    assert (lost.stream.name, lost.state) == ("porch", State.RECOVERING)
    assert isinstance(kitchen, Status)
    assert (kitchen.stream.name, kitchen.state) == ("kitchen", State.RECOVERING)
    assert isinstance(last, Prediction)
    # Also where it is the only one that is wanted.
    focus = Focus(["porch"])
    focus.events(prediction(PORCH, 5000))
    (gone,) = focus.aside(hello(KITCHEN))
    assert gone == Status(PORCH, State.STOPPED, "the server hears kitchen: waits for porch", 5000, 5000)
    # One that said itself that it stopped has said why.
    focus = Focus()
    focus.events(status(PORCH, 5000, State.STOPPED))
    assert focus.aside(hello(KITCHEN)) == []


def test_what_is_wrong_with_this_side_alone_is_no_state_of_the_stream_and_passes() -> None:
    slow = messages.Error(code="slow_subscriber", message="3 were dropped", fatal=False, dropped=3)
    told: list[messages.Message] = [hello(KITCHEN), to_message(status(KITCHEN, 3000, State.CLIPPING))]
    told += [to_message(prediction(KITCHEN, 3000)), slow]
    told += [to_message(prediction(KITCHEN, end)) for end in range(3500, 9000, 500)]
    screen, view = Screen(), View()
    assert show_events(told, screen, is_panel=True)
    told_until = 0
    for event in screen.events:
        view = view.after(event)
        assert view.state is State.CLIPPING
        if view.detail == "3 were dropped" and isinstance(event, Prediction):
            told_until = event.end
    assert told_until == 7500
    assert view.detail == ""


class Screen:
    name = "screen"

    def __init__(self, fails_at: int | None = None) -> None:
        self.events: list[Event] = []
        self._fails_at = fails_at

    def emit(self, event: Event) -> None:
        if len(self.events) == self._fails_at:
            raise OSError(28, "No space left on device")
        self.events.append(event)

    def close(self) -> None: ...


def test_what_the_server_does_is_seen_in_the_panel(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    nobody = messages.hello([KITCHEN])
    empty = msgspec.structs.replace(nobody, streams=())
    told: list[messages.Message] = [
        LOST,
        empty,
        nobody,
        to_message(status(KITCHEN, 1)),
        to_message(status(KITCHEN, 2, State.STOPPED)),
        empty,
        LOST,
        nobody,
        to_message(status(KITCHEN, 3)),
        LOST,
    ]
    assert show_events(told, screen, is_panel=True)
    # Before there is a panel, on standard error.
    assert capsys.readouterr().err == (
        "tonewatch: it is lost\ntonewatch: the server hears nothing yet: waits for a stream\n"
    )
    shown = [(e.state, e.detail) for e in screen.events if isinstance(e, Status)]
    assert shown == [
        (State.LISTENING, ""),
        (State.STOPPED, ""),
        (State.STOPPED, "the server hears nothing yet: waits for a stream"),
        (State.RECOVERING, "it is lost"),
        (State.LISTENING, ""),
        (State.RECOVERING, "it is lost"),
    ]


def test_lines_show_every_stream_with_its_name() -> None:
    out = io.StringIO()
    told: list[messages.Message] = [messages.hello([KITCHEN, PORCH])]
    for end in (3000, 3500):
        told += [to_message(prediction(KITCHEN, end)), to_message(prediction(PORCH, end))]
    assert show_events(told, LineConsole(out), is_panel=False)
    assert [line.split()[0] for line in out.getvalue().splitlines()] == [
        "kitchen,",
        "00:03.0",
        "porch,",
        "porch:",
        "kitchen:",
        "porch:",
    ]


def test_streams_that_are_waited_for_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    told = [messages.hello([KITCHEN, PORCH]), messages.hello([KITCHEN])]
    assert show_events(told, Screen(), ["porch"], is_panel=True)
    assert capsys.readouterr().err == "tonewatch: the server hears kitchen: waits for porch\n"


def test_the_file_has_defaults_for_these_flags_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    async def subscribe(url: str, **filters: Any) -> AsyncIterator[messages.Message]:
        asked.update(filters, url=url)
        yield messages.hello([KITCHEN])

    monkeypatch.setattr(client, "subscribe", subscribe)
    path = tmp_path / "tonewatch.toml"
    path.write_text('min_probability = 0.9\noutput = "json"\nserve = ":0"\n')
    assert cli.main(["watch", "ws://127.0.0.1:1", "--config", str(path)]) == 0
    assert asked["min_probability"] == 0.9
    assert messages.decode(capsys.readouterr().out) == messages.hello([KITCHEN])
    cli.main(["watch", "ws://127.0.0.1:1", "--config", str(path), "--min-probability", "0.5", "--lines"])
    assert asked["min_probability"] == 0.5


def test_a_screen_that_fails_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    told = [messages.hello([KITCHEN]), to_message(status(KITCHEN, 1)), to_message(status(KITCHEN, 2))]
    assert not show_events(told, Screen(fails_at=1), is_panel=False)
    assert capsys.readouterr().err == (
        "tonewatch: screen: [Errno 28] No space left on device; goes on without it\n"
    )


def test_json_is_what_came(capsys: pytest.CaptureFixture[str]) -> None:
    told = [messages.hello([KITCHEN]), to_message(status(KITCHEN, 1)), LOST]
    show_messages(told)
    assert [messages.decode(line) for line in capsys.readouterr().out.splitlines()] == told
