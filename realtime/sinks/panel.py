"""What the panel shows, and how it is drawn.

`View` is folded from the events, and from what else people are told, and knows nothing of terminals;
`Panel` draws one in whatever width it is given. Importing this module imports rich.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.live import Live
from rich.panel import Panel as Frame
from rich.text import Text

from realtime.affect import affect
from realtime.sinks.palette import STATES, look_of
from realtime.types import (
    PREDICTING,
    REMIND_S,
    SILENCE_DBFS,
    UNKNOWN,
    Event,
    Prediction,
    Segment,
    State,
    Stream,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderResult

_QUIET_S: Final = 3.0
_QUIET_HOPS: Final = 4
_LATE_S: Final = 2.0
_METER_FLOOR_DBFS: Final = -60.0
_METER_LOUD_DBFS: Final = -12.0
_METER_HOT_DBFS: Final = -3.0
_FRAME_CELLS: Final = 4
_MOST_NOTICES: Final = 3
_GAP: Final = "   "
_MIN_BAR_CELLS: Final = 4
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"

_EXPLANATIONS: Final = {
    State.STARTING: "collecting the first window",
    State.LISTENING: "",
    State.SILENT: "no voice is heard",
    State.NO_SIGNAL: "the input is dead",
    State.CLIPPING: "too loud, the input distorts",
    State.RECOVERING: "the device is gone, or samples were lost",
    State.STOPPED: "the stream has ended",
}


@dataclass(frozen=True, slots=True)
class View:
    """What is known at one moment.

    Parameters
    ----------
    stream
        The stream of the last event; None before there is one.
    state, detail
        What it does, and why.
    prediction
        The newest one; None before there is one, and while there is none to be had.
    level_dbfs
        The newest level, in dB relative to full scale.
    n_dropped
        Samples lost since the stream began.
    counts
        Number of predictions of each label since then.
    notices
        What people were told that is about no event, such as a log that fails: how long after the panel was
        opened, in seconds, and what. The newest few; they outlast streams.
    """

    stream: Stream | None = None
    state: State = State.STARTING
    detail: str = ""
    prediction: Prediction | None = None
    level_dbfs: float | None = None
    n_dropped: int = 0
    counts: tuple[tuple[str, int], ...] = ()
    notices: tuple[tuple[float, str], ...] = ()

    def after(self, event: Event) -> View:
        """Return what is known after `event`."""
        is_same = event.stream == self.stream
        view = self if is_same else View(stream=event.stream, notices=self.notices)
        if isinstance(event, Segment):
            return view
        view = replace(view, n_dropped=view.n_dropped + event.dropped)
        if isinstance(event, Prediction):
            counts = dict(view.counts)
            counts[event.label] = counts.get(event.label, 0) + 1
            return replace(view, prediction=event, level_dbfs=event.level_dbfs, counts=tuple(counts.items()))
        return replace(
            view,
            state=event.state,
            detail=event.detail,
            # An emotion from before the silence would look like one of now.
            prediction=view.prediction if event.state in PREDICTING else None,
            level_dbfs=event.level_dbfs,
        )

    def told(self, text: str, at_s: float) -> View:
        """Return what is known after people were told `text`; what they are told again is kept once."""
        others = [notice for notice in self.notices if notice[1] != text]
        return replace(self, notices=(*others, (at_s, text))[-_MOST_NOTICES:])


def summary(view: View) -> Text:
    """Return what there is to say when a stream is over: how often each label was predicted, and losses."""
    if view.stream is None:
        return Text("nothing was heard", style="dim")
    n_predictions = sum(n for _, n in view.counts)
    text = Text(f"{view.stream.name}: {n_predictions} predictions by {view.stream.model}")
    most_first = sorted(view.counts, key=lambda counted: -counted[1])
    for i, (label, n) in enumerate(most_first):
        text.append(", " if i else ": ")
        text.append(f"{label} {n / n_predictions:.0%}", style=look_of(label).colour)
    if view.n_dropped:
        text.append(f"; {view.stream.seconds(view.n_dropped):.2f} s of audio lost", style="bold")
    return text


class Screen(Live):
    """The terminal's second screen, drawn anew from a thread of its own; parameters are those of `Live`."""

    _failure: OSError | None = None

    @property
    def failure(self) -> OSError | None:
        """Why nothing can be drawn any more; None as long as it can."""
        # What was a terminal is none once it was closed, and rich then draws nothing without a word.
        if self._failure is None and not self.console.is_terminal:
            self._failure = OSError(errno.EIO, "the terminal was closed")
        return self._failure

    def refresh(self) -> None:
        """Draw."""
        try:
            super().refresh()
        except OSError as error:
            self._failure = error


class Panel:
    """Draws a view.

    Parameters
    ----------
    view
        What to draw.
    running_s
        How long ago the panel was opened, in seconds.
    quiet_s
        How long ago the last event came, in seconds. When it is long, that is said: a recognizer that
        hangs must not look like one that listens.
    """

    def __init__(self, view: View, *, running_s: float = 0.0, quiet_s: float = 0.0) -> None:
        self._view = view
        self._running_s = running_s
        self._quiet_s = quiet_s

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the panel, as wide as the terminal."""
        view, quiet_s = self._view, self._quiet_s
        hop_s = 0.0 if view.stream is None else view.stream.seconds(view.stream.hop)
        # Where nothing is predicted there is nothing new until the state is told again.
        usual_s = REMIND_S + _LATE_S if view.prediction is None else _QUIET_HOPS * hop_s
        is_hanging = view.state is not State.STOPPED and quiet_s > max(_QUIET_S, usual_s)
        state, colour = view.state.value.replace("_", " ").upper(), STATES[view.state]
        reason = view.detail or _EXPLANATIONS[view.state]
        if is_hanging:
            view = replace(view, prediction=None)
            state, colour = "NO NEWS", STATES[State.NO_SIGNAL]
            reason = f"nothing has come from the recognizer for {quiet_s:.0f} s"
        pen = _Pen(n_cells=max(options.max_width - _FRAME_CELLS, 1), ascii_only=options.ascii_only)
        # What matters most comes first: a terminal that is too low cuts off the rest.
        rows = [pen.banner(state, colour), pen.emotion(view), Text(), *pen.bars(view), Text()]
        rows += [*pen.scales(view), pen.level(view.level_dbfs), pen.losses(view)]
        rows += pen.footer(view, self._running_s)
        for row in rows:
            row.truncate(pen.n_cells, overflow="crop")
        # These alone may take several rows: why there is no prediction, or a log, must be readable in full.
        rows[1:1] = [Text(reason, justify="center"), *pen.notices(view)]
        title = "Tonewatch" if view.stream is None else f"Tonewatch: {view.stream.name}"
        yield Frame(Group(*rows), title=Text(title), border_style=colour, width=options.max_width)


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws rows of text, each at most `n_cells` wide."""

    n_cells: int
    ascii_only: bool

    def banner(self, text: str, colour: str) -> Text:
        """Return the state, on a row filled with its colour."""
        return Text(f"{text:^{self.n_cells}}", style=f"bold white on {colour}")

    def notices(self, view: View) -> Iterator[Text]:
        """Yield what people were told, and when."""
        for at_s, text in view.notices:
            yield Text(f"{_time_text(at_s)}  {text}", style=f"bold {STATES[State.NO_SIGNAL]}")

    def emotion(self, view: View) -> Text:
        """Return the current emotion, in spaced capitals where there is room."""
        prediction = view.prediction
        if prediction is None:
            return Text("-", style="dim", justify="center")
        look = look_of(prediction.label)
        name = prediction.label.upper()
        # The likeliest label's share says nothing of a model that abstains.
        share = "" if prediction.label == UNKNOWN else f"  {prediction.probability:.0%}"
        emoji = "" if self.ascii_only else f"{look.emoji}  "
        text = Text(f"{emoji}{' '.join(name)}{share}")
        if text.cell_len > self.n_cells:
            text = Text(f"{name}{share}")
        text.stylize(f"bold {look.colour}")
        text.justify = "center"
        return text

    def bars(self, view: View) -> Iterator[Text]:
        """Yield a bar per label: its smoothed probability."""
        if view.stream is None:
            return
        labels = view.stream.labels
        n_label = max(len(label) for label in labels)
        n_bar = max(self.n_cells - n_label - len(" 100 %") - 1, _MIN_BAR_CELLS)
        values = (0.0,) * len(labels) if view.prediction is None else view.prediction.smoothed
        for label, value in zip(labels, values, strict=True):
            now = view.prediction is not None and label == view.prediction.label
            row = Text(f"{label:<{n_label}} ", style="bold" if now else "")
            row.append(self._bar(value, n_bar), style=look_of(label).colour)
            row.append(" " * 5 if view.prediction is None else f" {value * 100:>3.0f} %")
            yield row

    def scales(self, view: View) -> Iterator[Text]:
        """Yield a row of arousal, valence and intensity, as far as the model tells them."""
        prediction = view.prediction
        if prediction is None:
            return
        place = affect(prediction.stream.labels, prediction.smoothed)
        told = [] if place is None else [f"arousal {place.arousal:+z.1f}", f"valence {place.valence:+z.1f}"]
        if prediction.intensity is not None:
            told.append(f"intensity {prediction.intensity:.0%}")
        # A number that is cut off is another one.
        while told and len(_GAP.join(told)) > self.n_cells:
            told.pop()
        if told:
            yield Text(_GAP.join(told))

    def level(self, level_dbfs: float | None) -> Text:
        """Return the level meter."""
        row = Text("level ")
        if level_dbfs is None:
            return row.append("-", style="dim")
        colour = STATES[State.LISTENING]
        if level_dbfs > _METER_LOUD_DBFS:
            colour = STATES[State.NO_SIGNAL if level_dbfs > _METER_HOT_DBFS else State.CLIPPING]
        n_bar = max(self.n_cells - len("level   -120 dBFS"), _MIN_BAR_CELLS)
        row.append(self._bar(1.0 - level_dbfs / _METER_FLOOR_DBFS, n_bar), style=colour)
        return row.append(f"  {max(level_dbfs, SILENCE_DBFS):>4.0f} dBFS")

    def losses(self, view: View) -> Text:
        """Return what was lost."""
        if not view.n_dropped or view.stream is None:
            return Text("lost  nothing", style="dim")
        lost_s = view.stream.seconds(view.n_dropped)
        return Text(
            f"lost  {lost_s:.2f} s of audio ({view.n_dropped} samples)",
            style=f"bold {STATES[State.NO_SIGNAL]}",
        )

    def footer(self, view: View, running_s: float) -> Iterator[Text]:
        """Yield the model, the running time and the latency."""
        if view.stream is not None:
            yield Text(f"model {view.stream.model}", style="dim")
        text = f"time  {_time_text(running_s)}"
        if view.prediction is not None:
            latency = view.prediction.latency
            text += f"   latency {latency.queue_ms + latency.features_ms + latency.inference_ms:.0f} ms"
        yield Text(text, style="dim")

    def _bar(self, fraction: float, n_cells: int) -> str:
        """Return a bar `n_cells` wide, filled by `fraction` (clipped to 0 and 1)."""
        fraction = min(max(fraction, 0.0), 1.0)
        if self.ascii_only:
            return ("#" * round(fraction * n_cells)).ljust(n_cells, ".")
        n_eighths = round(fraction * n_cells * 8)
        bar = "█" * (n_eighths // 8)
        if n_eighths % 8:
            bar += _EIGHTHS[n_eighths % 8]
        return bar.ljust(n_cells)


def _time_text(running_s: float) -> str:
    """Return how long the panel had been open."""
    minutes, seconds = divmod(int(running_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
