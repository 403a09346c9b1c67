"""``tonewatch-train fit``: train the model that ships, and write it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from training.commands import options
from training.commands.recordings import read_recordings
from training.recipes import find_recipe

if TYPE_CHECKING:
    import argparse

_QUANTISATIONS = ("float32", "float16", "int8")
_HOLD_OUTS = ("speakers", "clips")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "fit",
        help="train a recipe on all recordings and write its model",
        description="Train a recipe on all recordings, convert the model, check that it agrees with the "
        "trained one, and write it with a report. Scores that evaluate has measured go into its card. What "
        "is done is kept: a fit that was interrupted goes on from its last epoch.",
    )
    options.add_recipe(parser)
    options.add_data(parser)
    options.add_out(parser)
    parser.add_argument("--seed", type=int, default=42, help="of everything random (default: 42)")
    parser.add_argument(
        "--hold-out",
        choices=_HOLD_OUTS,
        default="speakers",
        help="what decides how long it is trained and how sure it is: speakers, whom it then does not "
        "know, or a tenth of everybody's clips, for voices that it is to know (default: speakers)",
    )
    parser.add_argument(
        "--quantise",
        choices=_QUANTISATIONS,
        default="float32",
        help="precision of the written network; all are measured (default: float32)",
    )
    parser.add_argument("--no-report", action="store_true", help="leave out the report's pictures and page")
    options.add_cache(parser)
    options.add_jobs(parser)
    options.add_fresh(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Train a recipe and write its model and its report.

    Raises
    ------
    TonewatchError
        For what the user can set right.
    """
    recipe = find_recipe(arguments.recipe)
    options.check_seed(arguments.seed)
    workers = options.workers(arguments)
    out = arguments.out or Path("models", recipe.name)

    # Here, since they load scikit-learn and TensorFlow or are next to it: `--help` stays quick.
    from training import experiment  # noqa: PLC0415
    from training.commands.tables import print_exports, print_scores  # noqa: PLC0415
    from training.evaluation import MISSING_NOTE  # noqa: PLC0415
    from training.progress import Screen  # noqa: PLC0415

    with Screen() as screen:
        recordings = read_recordings(arguments.data, arguments, screen)
        card = experiment.run(
            recipe,
            recordings.corpus,
            recordings.digests,
            out,
            seed=arguments.seed,
            hold_out=arguments.hold_out,
            cache=options.cache_folder(arguments),
            quantisation=arguments.quantise,
            workers=workers,
            fresh=arguments.fresh,
            with_report=not arguments.no_report,
            command=_command(arguments, out),
            watcher=screen,
        )
    print_exports(card)
    if card.scores:
        print_scores(card.scores)
    else:
        print(MISSING_NOTE)


def _command(arguments: argparse.Namespace, out: Path) -> str:
    words = ["tonewatch-train", "fit", arguments.recipe, "--out", str(out), "--seed", str(arguments.seed)]
    words += [] if arguments.hold_out == "speakers" else ["--hold-out", arguments.hold_out]
    words += ["--quantise", arguments.quantise, *options.data_words(arguments)]
    return shlex.join(words)
