"""What is shown on standard error while work goes on: bars on a terminal, lines in a log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.progress import TaskID

_N_WARNINGS = 10


class Watcher(Protocol):
    """Told how work goes on."""

    def warn(self, line: str) -> None:
        """Take a line about something that was left out."""

    def begin(self, title: str, n_steps: int) -> None:
        """Note that a stage begins, of so many steps at most."""

    def advance(self, n_steps: int = 1, note: str = "") -> None:
        """Note that so many more steps are done, and what they brought."""

    def end(self, note: str = "") -> None:
        """Note that the stage is over, be it before its last step."""


class Screen:
    """Shows on standard error how work goes on: a `Watcher`."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - loaded when first needed
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None
        self._title = ""
        self._n_warnings = 0

    def __enter__(self) -> Self:
        # Bars are drawn on terminals; a log gets a line for each stage.
        if self._progress.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress.console.is_terminal:
            self._progress.stop()
        if self._n_warnings > _N_WARNINGS:
            print(f"… and {self._n_warnings - _N_WARNINGS} more like these", file=sys.stderr)  # noqa: T201

    def warn(self, line: str) -> None:
        """Print a line about something that was left out, unless there were many."""
        self._n_warnings += 1
        if self._n_warnings <= _N_WARNINGS:
            self._print(f"warning: {line}")

    def begin(self, title: str, n_steps: int) -> None:
        """Show a new bar."""
        self._title = title
        self._task = self._progress.add_task(title, total=n_steps, note="")

    def advance(self, n_steps: int = 1, note: str = "") -> None:
        """Move the bar on."""
        assert self._task is not None
        self._progress.update(self._task, advance=n_steps, note=note)

    def end(self, note: str = "") -> None:
        """Fill the bar."""
        assert self._task is not None
        task = self._progress.tasks[self._task]
        n_done = int(task.completed)
        self._progress.update(self._task, total=n_done, completed=n_done, note=note)
        if not self._progress.console.is_terminal:
            seconds = task.finished_time or task.elapsed or 0
            self._print(f"{self._title}: {n_done} done in {seconds:.1f} s {note}".rstrip())

    def _print(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
