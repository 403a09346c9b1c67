"""The command ``tonewatch-train``: flags, wiring, and what is shown while it works."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from realtime.errors import SettingsError, TonewatchError
from training.corpora import default_folder, read_ravdess
from training.recipes import RECIPES, find_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import TaskID

    from realtime.artifact import Card
    from training.fit import Epoch, Fitted

_N_WARNINGS = 10
_EXIT_ERROR, _EXIT_INTERRUPT = 2, 130
_QUANTISATIONS = ("float32", "float16", "int8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for what the user can set right, 130 on Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "recipes":
            _list_recipes()
        else:
            _fit(arguments)
    except TonewatchError as error:
        print(f"tonewatch-train: {error}", file=sys.stderr)
        return _EXIT_ERROR
    except KeyboardInterrupt:
        print(
            "tonewatch-train: interrupted; what was done is kept: the same command goes on from there",
            file=sys.stderr,
        )
        return _EXIT_INTERRUPT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tonewatch-train", description="Build the models that tonewatch runs."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fit = commands.add_parser(
        "fit",
        help="train a recipe, score it and write its model",
        description="Train a recipe, score it on known and on unknown speakers, and write its model. What is "
        "done is kept, so an interrupted fit goes on where it stopped.",
    )
    fit.add_argument("recipe", metavar="RECIPE", help="one of: tonewatch-train recipes")
    fit.add_argument(
        "--data",
        type=Path,
        help="folder of the RAVDESS recordings (default: ravdess in TONEWATCH_DATA, or in ../shared/data)",
    )
    fit.add_argument("--out", type=Path, help="folder of the model (default: models/RECIPE)")
    fit.add_argument("--seed", type=int, default=42, help="of everything random (default: 42)")
    fit.add_argument(
        "--cache", type=Path, help="folder of what is kept between runs (default: the user's cache)"
    )
    fit.add_argument(
        "--quantise",
        choices=_QUANTISATIONS,
        default="float32",
        help="precision of the model (default: float32)",
    )
    fit.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes that compute features (default: one per core)",
    )
    fit.add_argument("--fresh", action="store_true", help="train everything again, also what is kept")
    commands.add_parser("recipes", help="list the recipes", description="List the recipes.")
    return parser


def _list_recipes() -> None:
    width = max(len(recipe.name) for recipe in RECIPES)
    for recipe in RECIPES:
        print(f"{recipe.name:{width}}  {recipe.description} ({len(recipe.labels)} classes)")


def _fit(arguments: argparse.Namespace) -> None:
    recipe = find_recipe(arguments.recipe)
    for flag, value, least in (("--jobs", arguments.jobs, 1), ("--seed", arguments.seed, 0)):
        if value < least:
            raise SettingsError(f"{flag} is {value}; wanted a whole number from {least} up")
    corpus = read_ravdess(arguments.data or default_folder("ravdess"))

    # Here, since they load scikit-learn and TensorFlow or are next to it: `--help` stays quick.
    from platformdirs import user_cache_path  # noqa: PLC0415

    from training import experiment  # noqa: PLC0415

    with _Screen() as screen:
        card = experiment.run(
            recipe,
            corpus,
            arguments.out or Path("models", recipe.name),
            seed=arguments.seed,
            cache=arguments.cache or user_cache_path("tonewatch"),
            quantisation=arguments.quantise,
            n_jobs=arguments.jobs,
            fresh=arguments.fresh,
            watcher=screen,
        )
    _print_scores(card)


class _Screen:
    """Shows on standard error how a fit goes on: an `experiment.Watcher`."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - loaded when first needed
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None
        self._n_warnings = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        if self._n_warnings > _N_WARNINGS:
            print(f"… and {self._n_warnings - _N_WARNINGS} more recordings left out", file=sys.stderr)

    def warn(self, line: str) -> None:
        self._n_warnings += 1
        if self._n_warnings <= _N_WARNINGS:
            self._progress.console.print(f"warning: {line}", markup=False, highlight=False, soft_wrap=True)

    def extract(self, n_clips: int) -> None:
        self._task = self._progress.add_task("features", total=n_clips, note="")

    def extracted(self, n_clips: int) -> None:
        self._advance(n_clips)

    def train(self, name: str, number: int, n_total: int, n_epochs: int) -> None:
        self._task = self._progress.add_task(f"model {number} of {n_total}: {name}", total=n_epochs, note="")

    def epoch(self, epoch: Epoch) -> None:
        self._advance(1, f"loss {epoch.loss:.3f}, inner accuracy {epoch.inner_accuracy:.3f}")

    def trained(self, fitted: Fitted, *, kept: bool) -> None:
        assert self._task is not None
        best = max(epoch.inner_accuracy for epoch in fitted.history)
        n_epochs = len(fitted.history)
        note = f"inner accuracy {best:.3f} at best" + (", kept from before" if kept else "")
        self._progress.update(self._task, total=n_epochs, completed=n_epochs, note=note)
        if not self._progress.console.is_terminal:
            # Bars are drawn on terminals; a log file gets a line for each model.
            self._progress.console.print(f"{self._progress.tasks[-1].description}: {n_epochs} epochs, {note}")

    def _advance(self, n: int, note: str = "") -> None:
        assert self._task is not None
        self._progress.update(self._task, advance=n, note=note)


def _print_scores(card: Card) -> None:
    print(f"{card.name}: {card.quantisation}, TFLite within {card.training.parity:.1g} of Keras")
    print(f"{'protocol':9}{'unit':9}{'part':8}{'n':>6}{'accuracy':>10}{'UAR':>8}{'macro F1':>10}{'ECE':>8}")
    for protocol, units in card.scores.items():
        for unit, parts in units.items():
            for part, scores in parts.items():
                print(
                    f"{protocol:9}{unit:9}{part:8}{scores.n:6d}{scores.accuracy:10.1%}{scores.uar:8.1%}"
                    f"{scores.macro_f1:10.3f}{scores.ece:8.3f}"
                )


if __name__ == "__main__":
    # As a pipe's reader leaves, end without a traceback.
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
