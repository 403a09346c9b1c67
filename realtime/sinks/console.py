"""Sinks that write to the terminal: one line per event, one JSON message per line, or a panel."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final, TextIO

from realtime import messages
from realtime.errors import SinkError
from realtime.types import SILENCE_DBFS, Event, Prediction, Segment, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from realtime.sinks.panel import Panel, View

_BAR_CELLS: Final = 10
_LABEL_CELLS: Final = 10
_REFRESH_HZ: Final = 4.0


class LineConsole:
    """Writes one line for people per prediction and per status.

    Parameters
    ----------
    stream
        Where to; it stays open.
    """

    name = "console"

    def __init__(self, stream: TextIO) -> None:
        self._out = stream
        self._full, self._empty = _bar_characters(stream)
        self._streams: dict[str, Stream] = {}

    def emit(self, event: Event) -> None:
        """Write the line of `event`, with a heading where the stream is new; segments have none.

        As soon as there are several streams, each line begins with the name of its own.
        """
        if isinstance(event, Segment):
            return
        name = event.stream.name
        if event.stream != self._streams.get(name):
            self._streams[name] = event.stream
            self._out.write(f"{name}, model {event.stream.model}\n")
        self._out.write((f"{name}: " if len(self._streams) > 1 else "") + self._line(event) + "\n")
        self._out.flush()

    def close(self) -> None:
        """Do nothing: the stream belongs to whoever opened it."""

    def _line(self, event: Prediction | Status) -> str:
        if isinstance(event, Prediction):
            n_full = round(event.probability * _BAR_CELLS)
            bar = self._full * n_full + self._empty * (_BAR_CELLS - n_full)
            parts = [
                clock_text(event.stream.seconds(event.end)),
                f"{event.label:<{_LABEL_CELLS}}",
                f"{event.probability:>4.0%}",
                bar,
                level_text(event.level_dbfs),
            ]
        else:
            parts = [
                clock_text(event.stream.seconds(event.at)),
                f"{f'[{event.state.value}]':<{_LABEL_CELLS + _BAR_CELLS + 8}}",
                " " * 10 if event.level_dbfs is None else level_text(event.level_dbfs),
            ]
        if event.dropped:
            parts.append(f"{event.dropped} samples lost")
        if isinstance(event, Status) and event.detail:
            parts.append(event.detail)
        return "  ".join(parts).rstrip()


class JsonConsole:
    """Writes one wire message per line, and `hello` before the first of each stream.

    Parameters
    ----------
    stream
        Where to; it stays open.
    """

    name = "json"

    def __init__(self, stream: TextIO) -> None:
        self._out = stream
        self._stream: Stream | None = None

    def emit(self, event: Event) -> None:
        """Write the message of `event`."""
        if event.stream != self._stream:
            self._stream = event.stream
            self._write(messages.hello([event.stream]))
        self._write(messages.to_message(event))
        self._out.flush()

    def close(self) -> None:
        """Do nothing: the stream belongs to whoever opened it."""

    def _write(self, message: messages.Message) -> None:
        self._out.write(messages.encode(message).decode() + "\n")


class PanelConsole:
    """Shows a panel that stays in place: a bar per emotion, the level, the state, what was lost.

    From the first event on it takes the terminal's second screen, which is drawn anew whatever the
    window's size becomes, and gives the first one back, unchanged, on `close`. What else is written to
    the terminal in between is lost: `tell` shows it in the panel.

    Parameters
    ----------
    console
        The terminal; standard output when None.
    clock
        Seconds from any beginning; tells how long ago the last event came.

    Raises
    ------
    SinkError
        It is not a terminal.
    """

    name = "panel"

    def __init__(
        self, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        from rich.console import Console  # noqa: PLC0415 - rich is slow to import, and only needed here

        from realtime.sinks.panel import Panel, Screen, View, summary  # noqa: PLC0415

        self._console = Console() if console is None else console
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            raise SinkError(
                "found no terminal to draw the panel in; wanted one that can move its cursor: "
                "choose lines or JSON as the output"
            )
        self._clock = clock
        self._started_s = self._heard_s = clock()
        self._view: View = View()
        self._panel = Panel
        self._summary = summary
        self._live = Screen(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=_REFRESH_HZ,
            screen=True,
        )

    def emit(self, event: Event) -> None:
        """Show `event`, at the next refresh; raises OSError where the terminal was closed."""
        failure = self._live.failure
        if failure is not None:
            raise failure
        # Drawing happens in another thread, which finds either the old view or the new one: both are frozen.
        self._view = self._view.after(event)
        self._heard_s = self._clock()
        # Not before there is something to show: whatever fails until then is told on the first screen.
        if not self._live.is_started:
            self._live.start()

    def tell(self, text: str) -> None:
        """Show what is about no event, such as another sink that fails, from the next refresh on."""
        self._view = self._view.told(text, self._clock() - self._started_s)

    def close(self) -> None:
        """Give the terminal back, and leave a line on it that sums up; may be called twice.

        There is nothing to give back where it was closed.
        """
        if not self._live.is_started:
            return
        is_gone = self._live.failure is not None
        with contextlib.suppress(OSError) if is_gone else contextlib.nullcontext():
            self._live.stop()
        if not is_gone:
            self._console.print(self._summary(self._view))

    def _render(self) -> Panel:
        now_s = self._clock()
        return self._panel(self._view, running_s=now_s - self._started_s, quiet_s=now_s - self._heard_s)


def clock_text(seconds: float) -> str:
    """Return `seconds` as `mm:ss.s`, or `h:mm:ss.s` from one hour on."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02}:{tenths / 10:04.1f}"
    return f"{hours}:{text}" if hours else text


def level_text(level_dbfs: float) -> str:
    """Return a level as shown to people, always as wide."""
    return f"{max(level_dbfs, SILENCE_DBFS):>5.0f} dBFS"


def _bar_characters(stream: TextIO) -> tuple[str, str]:
    """Return the characters of a bar, full and empty, that the stream's encoding can write."""
    try:
        "█·".encode(stream.encoding or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return "#", "."
    return "█", "·"
