"""The command ``tonewatch-train fetch``: load a corpus from its publisher."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Self

from training.corpora import default_folder
from training.disk import megabytes
from training.fetch import PUBLISHED, fetch, find_published

if TYPE_CHECKING:
    import argparse

    from rich.progress import TaskID

_LINE_EVERY_S = 5.0
"""Log files get a line so often."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of ``tonewatch-train``."""
    parser = commands.add_parser(
        "fetch",
        help="load a corpus from its publisher",
        description="Load a corpus from its publisher, check it and unpack it; without a name, list what can "
        "be loaded. What is there is not loaded again, and what was interrupted goes on where it stopped.",
    )
    parser.add_argument("corpus", metavar="CORPUS", nargs="?", help="one of: tonewatch-train fetch")
    parser.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="folder to put it in (default: CORPUS in TONEWATCH_DATA, or in ../shared/data)",
    )
    parser.add_argument(
        "--keep-archives", action="store_true", help="leave the archives there once they are unpacked"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.corpus is None:
        _list()
        return
    published = find_published(arguments.corpus)
    folder = arguments.to or default_folder(published.name)
    n_columns = shutil.get_terminal_size().columns
    print(fill(f"{published.licence}.", n_columns, break_long_words=False, break_on_hyphens=False))
    with _Screen() as screen:
        n_unpacked = fetch(published, folder, screen, keep_archives=arguments.keep_archives)
    print(f"{folder}: {n_unpacked} recordings unpacked" if n_unpacked else f"{folder}: nothing to do")


def _list() -> None:
    width = max(len(published.name) for published in PUBLISHED)
    for published in PUBLISHED:
        print(f"{published.name:{width}}  {published.description} ({megabytes(published.n_bytes)})")


class _Screen:
    """Shows on standard error how a fetch goes on: a `training.download.Watcher`."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - loaded when first needed
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            # 80 columns hold all of it, and the "^C" that a terminal shows at its end: on a line that is full
            # it would begin another, and the bars be drawn once more.
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=Console(stderr=True),
        )
        # Bars are drawn on terminals that can move their cursor; a log file gets a line now and then.
        self._draws = self._progress.console.is_interactive
        self._task: TaskID | None = None
        self._name = ""
        self._n_bytes = self._n_begun = self._n_done = 0
        self._begun_s = self._line_s = 0.0

    def __enter__(self) -> Self:
        if self._draws:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._draws:
            self._progress.stop()

    def say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=not self._draws)

    def begin(self, task: str, n_bytes: int, n_done: int) -> None:
        self._name, self._n_bytes = task, n_bytes
        self._restart(n_done)
        if self._draws:
            self._task = self._progress.add_task(task, total=n_bytes, completed=n_done)
        else:
            kept = f", {megabytes(n_done)} of it kept from before" if n_done else ""
            self.say(f"{task}: {megabytes(n_bytes)}{kept}")

    def reach(self, n_done: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=n_done)
        elif n_done <= self._n_done:
            # Another connection: the rate is its own.
            self._restart(n_done)
        else:
            self._n_done = n_done
            self._write_line(time.monotonic())

    def _restart(self, n_done: int) -> None:
        self._n_begun = self._n_done = n_done
        self._begun_s = self._line_s = time.monotonic()

    def _write_line(self, now_s: float) -> None:
        if now_s - self._line_s < _LINE_EVERY_S and self._n_done < self._n_bytes:
            return
        self._line_s = now_s
        rate = (self._n_done - self._n_begun) / max(now_s - self._begun_s, 1e-3)
        left_s = (self._n_bytes - self._n_done) / rate
        self.say(
            f"{self._name}: {self._n_done / self._n_bytes:.0%} of {megabytes(self._n_bytes)}, "
            f"{megabytes(round(rate))}/s, {left_s:.0f} s left"
        )
