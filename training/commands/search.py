"""``tonewatch-train search``: better values of a recipe's keys, judged by speakers that no model heard."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from realtime.errors import SettingsError
from training.commands import options
from training.commands.recordings import read_recordings

if TYPE_CHECKING:
    import argparse

    from training.search import Space
    from training.study import Study

_DEFAULT_TRIALS, _DEFAULT_FOLDS, _DEFAULT_SEED = 40, 3, 42
_UNITS = ("clips", "windows")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "search",
        help="search for better values of a recipe's keys",
        description="Try other values of a recipe's keys and write the recipe with the best ones. Each trial "
        "is judged by speakers that its models have not heard: the inner parts of some folds of the speaker "
        "protocol, whose test parts stay unseen. Each trial is kept as it is done: the same command goes on "
        "from there.",
    )
    options.add_recipe(parser)
    parser.add_argument(
        "--space",
        type=Path,
        metavar="FILE",
        help="a TOML file that says what is searched, with a table for each key: "
        '["fitting.learning_rate"] with low and high (step or log = true beside them), or '
        '["model.layers.0.units"] with choices (default: what matters most for the kind of model)',
    )
    parser.add_argument(
        "--show-space", action="store_true", help="print what would be searched, as such a file, and end"
    )
    parser.add_argument(
        "--trials",
        type=int,
        default=_DEFAULT_TRIALS,
        metavar="N",
        help=f"trials in all, those of before counted (default: {_DEFAULT_TRIALS})",
    )
    parser.add_argument(
        "--timeout-s", type=float, metavar="S", help="begin no trial after so many seconds (default: none)"
    )
    parser.add_argument(
        "--folds",
        type=int,
        default=_DEFAULT_FOLDS,
        metavar="N",
        help=f"folds of speakers that judge each trial (default: {_DEFAULT_FOLDS})",
    )
    parser.add_argument(
        "--unit",
        choices=_UNITS,
        default=_UNITS[0],
        help=f"what the recall is counted of (default: {_UNITS[0]})",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=_DEFAULT_SEED,
        metavar="N",
        help=f"of what is tried, and of all trainings (default: {_DEFAULT_SEED})",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the recipe found (default: RECIPE-best.toml in this folder)"
    )
    options.add_data(parser)
    options.add_cache(parser)
    options.add_jobs(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Search, print the best trials and write the best recipe.

    Raises
    ------
    TonewatchError
        For what the user can set right.
    """
    # Here, since they load scikit-learn and Optuna or are next to them: `--help` stays quick.
    from training import search  # noqa: PLC0415

    source = search.read_source(arguments.recipe)
    space = (
        search.default_space(source.recipe)
        if arguments.space is None
        else search.read_space(arguments.space, source)
    )
    if arguments.show_space:
        print(search.space_to_toml(space), end="")
        return
    out = arguments.out or Path(f"{source.recipe.name}-best.toml")
    _check_numbers(arguments)
    search.check_out(out, source)
    search.check_space(space, source)

    from training import study  # noqa: PLC0415
    from training.progress import Screen  # noqa: PLC0415

    cache, workers = options.cache_folder(arguments), options.workers(arguments)
    with Screen() as screen:
        recordings = read_recordings(arguments.data, arguments, screen)
        gathered = study.gather(
            source.recipe,
            recordings.corpus,
            recordings.digests,
            cache=cache,
            workers=workers,
            watcher=screen,
        )
        folds = search.plan_folds(gathered.clips, gathered.corpus.folds, arguments.folds)
        kept = cache / "searches" / f"{source.recipe.name}-{_key(arguments, gathered, space)}"
        bench = search.Bench(gathered, folds, arguments.seed, arguments.unit, kept)
        journal = search.Journal(kept / "journal.log", space, seed=arguments.seed, n_folds=len(folds))
        found = search.search(
            bench,
            source,
            journal,
            n_trials=arguments.trials,
            timeout_s=arguments.timeout_s,
            workers=workers,
            watcher=screen,
        )
    print(search.table(found))
    best = found.ranked[0]
    comments = search.explain(found, bench, space, _command(arguments))
    search.write_found(out, source, best.values, comments)
    worth = "" if found.is_better else ", which is no better than the recipe as it is"
    print(f"{out}: the recipe with the values of trial {best.number}{worth}")


def _check_numbers(arguments: argparse.Namespace) -> None:
    for flag, value in (("--trials", arguments.trials), ("--folds", arguments.folds)):
        if value < 1:
            raise SettingsError(f"{flag} is {value}; wanted a whole number from 1 up")
    options.check_seed(arguments.seed)
    if arguments.timeout_s is not None and not arguments.timeout_s > 0:
        raise SettingsError(f"--timeout-s is {arguments.timeout_s:g}; wanted seconds above 0")


def _key(arguments: argparse.Namespace, study: Study, space: Space) -> str:
    """Return what names a search on disk: another recipe, code, space, data or judge is another one."""
    parts = [study.digest, repr(space), str(arguments.folds), arguments.unit, str(arguments.seed)]
    parts += [repr(study.corpus.folds)]
    parts += [
        f"{digest} {clip.label} {clip.speaker} {known.tolist()}"
        for digest, clip, known in zip(study.digests, study.clips, study.examples.known, strict=True)
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _command(arguments: argparse.Namespace) -> str:
    words = ["tonewatch-train", "search", arguments.recipe, "--trials", str(arguments.trials)]
    words += ["--folds", str(arguments.folds), "--unit", arguments.unit, "--seed", str(arguments.seed)]
    if arguments.space is not None:
        words += ["--space", str(arguments.space)]
    words += options.data_words(arguments)
    return shlex.join(words)
