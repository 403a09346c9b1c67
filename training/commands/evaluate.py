"""``tonewatch-train evaluate``: how good a recipe is, by the same protocols as every other."""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

from realtime.errors import CorpusError, SettingsError, TrainingError
from training.commands import options
from training.commands.recordings import read_recordings
from training.corpora import open_corpora
from training.recipes import digest, find_recipe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from realtime.artifact import Artifact, Scores
    from training.evaluation import Evaluation
    from training.protocols import Protocol
    from training.recipes import Recipe
    from training.ruler import Measured
    from training.study import Study

DEFAULT_CROSS = "nemo"
_FIRST_SEED = 42


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "evaluate",
        help="train a recipe's models and score them on known and unknown speakers",
        description="Train a recipe's models for each protocol and score them: random (a stratified fifth of "
        "the clips), kfold (five stratified folds), speaker (folds of speakers), robust (the same in noise, "
        "rooms and bad lines), cross (another corpus). Scores go into scores.json and the card beside it. "
        "Each model is kept as it is done: what was interrupted goes on from there.",
    )
    options.add_recipe(parser)
    parser.add_argument(
        "--protocols",
        default="random,kfold,speaker,robust,cross",
        metavar="NAMES",
        help="some of random, kfold, speaker, robust and cross, with commas (default: all)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help=f"models of each split, with the seeds {_FIRST_SEED}, {_FIRST_SEED + 1}, …, farther apart where "
        "a model has several trainings (default: 1)",
    )
    parser.add_argument(
        "--add",
        action="store_true",
        help="measure only the seeds that the scores of the model's folder lack, and count them in; without "
        "it, a protocol's new scores take the place of its old ones",
    )
    options.add_data(parser)
    parser.add_argument(
        "--cross",
        metavar="DATA",
        help="the other corpus of the cross protocol, as --data takes it (default: "
        f"{DEFAULT_CROSS}; none where --data names several, which are then tested on each other)",
    )
    options.add_out(parser)
    options.add_cache(parser)
    options.add_jobs(parser)
    options.add_fresh(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Evaluate a recipe, write and print its scores.

    Raises
    ------
    TonewatchError
        For what the user can set right.
    """
    recipe = find_recipe(arguments.recipe)
    asked = _protocols(arguments.protocols)
    if arguments.seeds < 1:
        raise SettingsError(f"--seeds is {arguments.seeds}; wanted a whole number from 1 up")
    workers = options.workers(arguments)
    out = arguments.out or Path("models", recipe.name)

    # Here, since they load scikit-learn and TensorFlow or are next to it: `--help` stays quick.
    from training import evaluation, protocols, ruler, study  # noqa: PLC0415
    from training.commands.tables import print_scores  # noqa: PLC0415
    from training.progress import Screen  # noqa: PLC0415

    seeds = {protocol: _seeds(recipe, arguments.seeds) for protocol in asked}
    # Read again at the end, for another evaluation may write meanwhile; here, so that a file that cannot be
    # used is told of at once.
    known = evaluation.read(out)
    own, data = _corpora(arguments, asked)
    if arguments.add and known is not None:
        # Before minutes of features, and again with their recordings.
        _require_same(known, out, digest(recipe), own, known.data_sha256)
        if "cross" in asked:
            _require_same_pairs(known, open_corpora(data, options.label_map(arguments)).labels)
        seeds = _missing(known, seeds)
        own, data = _corpora(arguments, list(seeds))
    # Its card is written after hours: that it cannot be read is told in front of them.
    _model_in(out)
    ruler.require(list(seeds))
    with Screen() as screen:
        recordings = read_recordings(data, arguments, screen)
        gathered = study.gather(
            recipe,
            recordings.corpus,
            recordings.digests,
            cache=options.cache_folder(arguments),
            workers=workers,
            watcher=screen,
            own=own,
        )
        if arguments.add and known is not None:
            _require_same(known, out, digest(recipe), own, gathered.data_sha256(own))
            if "cross" in seeds and known.other_sha256 not in {"", _other_sha256(gathered, own)}:
                raise SettingsError(
                    f"{out}: its scores of cross are of other recordings; wanted the same, to add seeds to "
                    "them: leave --add out, or give another folder with --out"
                )
        elif known is not None and not known.is_of(digest(recipe), own, gathered.data_sha256(own)):
            screen.warn(
                f"{out}: its scores are of another recipe or other recordings (of "
                f"{', '.join(known.corpora)}): as soon as there are new ones they are set aside"
            )
        # All of them at once: what keeps the last from being split should not be told after the first.
        for protocol, own_seeds in seeds.items():
            protocols.plan(gathered.corpus, own, [protocol], own_seeds)
        scores: dict[str, dict[str, dict[str, Scores]]] = {}
        # Another seed costs the same, and another machine may be slower.
        has_cost = arguments.add and known is not None and known.cost is not None
        for number, (protocol, own_seeds) in enumerate(seeds.items()):
            # The robust protocol judges with the speaker protocol's models: anew once is enough.
            anew = seeds.get("speaker", []) if protocol == "robust" else []
            fresh = arguments.fresh and not set(own_seeds).issubset(anew)
            measured = ruler.measure(
                gathered,
                own,
                [protocol],
                own_seeds,
                workers=workers,
                fresh=fresh,
                with_cost=number == 0 and not has_cost,
                watcher=screen,
            )
            # One by one: what is measured is written, whatever becomes of the next.
            found = _write(arguments, gathered, measured, out, protocol=protocol, own=own, seeds=own_seeds)
            scores |= {name: found.scores[name] for name in measured.scores}
    print_scores(scores)
    if (out / "report").is_dir():
        print(f"its report does not show them yet: tonewatch-train report {shlex.quote(str(out))}")
    print(f"speech and song apart, and each class: {out / evaluation.SCORES_FILE}")


def _write(
    arguments: argparse.Namespace,
    gathered: Study,
    measured: Measured,
    out: Path,
    *,
    protocol: str,
    own: list[str],
    seeds: list[int],
) -> Evaluation:
    """Write a protocol's scores beside the model, and into its card, and return all that are there now."""
    from training import evaluation, study  # noqa: PLC0415 - they load numpy

    recipe = gathered.recipe
    new = evaluation.Evaluation(
        recipe=recipe.name,
        recipe_sha256=digest(recipe),
        labels=list(recipe.labels),
        corpora=own,
        data_sha256=gathered.data_sha256(own),
        commands={protocol: _command(arguments, protocol)},
        seeds={protocol: seeds},
        versions=study.versions(),
        cost=measured.cost,
        other_sha256=_other_sha256(gathered, own) if protocol == "cross" else "",
        thresholds=measured.thresholds,
        coverage=measured.coverage,
        coverage_elsewhere=measured.coverage_elsewhere,
        scores=measured.scores,
    )
    known = evaluation.read(out)
    if arguments.add and known is not None and not set(seeds).isdisjoint(known.seeds.get(protocol, ())):
        raise TrainingError(
            f"{out}: its scores have got seeds {known.seeds[protocol]} of {protocol} meanwhile, some of them "
            "to be added now; nothing is written: give the same command again (models that are kept are not "
            "trained again)"
        )
    if known is not None and not known.is_of(new.recipe_sha256, new.corpora, new.data_sha256):
        print(f"the scores of another recipe or other recordings are kept in {evaluation.set_aside(out)}")
    merged = evaluation.merge(known, new)
    evaluation.write(out, merged)
    _update_card(out, merged)
    return merged


def _seeds(recipe: Recipe, n_seeds: int) -> list[int]:
    """Return the seeds of so many models, no two of which have a training in common."""
    return list(range(_FIRST_SEED, _FIRST_SEED + recipe.trainings * n_seeds, recipe.trainings))


def _missing(known: Evaluation, seeds: dict[Protocol, list[int]]) -> dict[Protocol, list[int]]:
    """Return each protocol's seeds that are not measured yet, without protocols that lack none.

    Raises
    ------
    SettingsError
        Where none lacks any.
    """
    rest = {
        protocol: [seed for seed in asked if seed not in known.seeds.get(protocol, ())]
        for protocol, asked in seeds.items()
    }
    missing = {protocol: lacking for protocol, lacking in rest.items() if lacking}
    if not missing:
        raise SettingsError(
            f"{', '.join(seeds)} of {known.recipe}: every seed asked for is measured already; wanted some to "
            "add: raise --seeds, or leave --add out to measure them again"
        )
    return missing


def _require_same(
    known: Evaluation, out: Path, recipe_sha256: str, corpora: list[str], data_sha256: str
) -> None:
    """Refuse to add seeds to scores of something else.

    Raises
    ------
    SettingsError
        Where they are.
    """
    if not known.is_of(recipe_sha256, corpora, data_sha256):
        raise SettingsError(
            f"{out}: its scores are of another recipe or other recordings; wanted the same, to add seeds to "
            "them: leave --add out, or give another folder with --out"
        )


def _corpora(arguments: argparse.Namespace, asked: Sequence[Protocol]) -> tuple[list[str], list[str]]:
    """Return the names of the recipe's own corpora, and all that is to be opened, as ``--data`` takes it."""
    meanings = options.label_map(arguments)
    own = list(open_corpora(arguments.data, meanings).labels)
    if "cross" not in asked:
        return own, arguments.data
    if arguments.cross is None and len(own) > 1:
        return own, arguments.data
    other = arguments.cross or DEFAULT_CROSS
    try:
        others = open_corpora([other], meanings).labels
    except CorpusError as error:
        if arguments.cross is not None:
            raise
        # Nobody named it.
        raise CorpusError(
            f"{error}; the protocol cross tests on it: name its folder or another corpus with --cross, or "
            "leave cross out of --protocols"
        ) from None
    if not set(own).isdisjoint(others):
        raise CorpusError(f"--cross is {other}, as is --data; wanted another corpus")
    return own, [*arguments.data, other]


def _protocols(text: str) -> list[Protocol]:
    from training.protocols import PROTOCOLS  # noqa: PLC0415 - it loads numpy

    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in PROTOCOLS:
            near = get_close_matches(name, PROTOCOLS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SettingsError(f"there is no protocol {name!r}; there are: {', '.join(PROTOCOLS)}{hint}")
    if not names:
        raise SettingsError(f"--protocols is {text!r}; wanted some of {', '.join(PROTOCOLS)}")
    return [protocol for protocol in PROTOCOLS if protocol in names]


def _other_sha256(gathered: Study, own: list[str]) -> str:
    """Return the digest of the recordings that only cross has; empty where there are none."""
    others = [name for name in gathered.corpus.labels if name not in own]
    return gathered.data_sha256(others) if others else ""


def _require_same_pairs(known: Evaluation, corpora: Iterable[str]) -> None:
    """Refuse to add seeds between corpora to scores between others.

    Raises
    ------
    SettingsError
        Where they are.
    """
    measured = sorted({"/".join(name.split("/")[:2]) for name in known.scores if name.startswith("cross/")})
    planned = sorted(f"cross/{train}-to-{test}" for train, test in permutations(corpora, 2))
    if measured and measured != planned:
        raise SettingsError(
            f"the scores of {known.recipe} are of {', '.join(measured)}, and {', '.join(planned)} would be "
            "added; wanted the same: give the same --cross, leave --add out, or another folder with --out"
        )


def _command(arguments: argparse.Namespace, protocol: str) -> str:
    words = ["tonewatch-train", "evaluate", arguments.recipe, "--protocols", protocol]
    words += ["--seeds", str(arguments.seeds), *options.data_words(arguments)]
    if protocol == "cross" and arguments.cross is not None:
        words += ["--cross", arguments.cross]
    return shlex.join(words)


def _model_in(folder: Path) -> Artifact | None:
    """Return the model beside the scores, or None where there is none.

    Raises
    ------
    ArtifactError
        Where it cannot be read.
    """
    from realtime import artifact  # noqa: PLC0415 - it loads numpy

    return artifact.read(folder) if (folder / artifact.CARD_FILE).exists() else None


def _update_card(folder: Path, evaluation: Evaluation) -> None:
    """Write the scores into the card of the model beside them, if it is one of the same recipe and data."""
    from realtime import artifact  # noqa: PLC0415 - it loads numpy
    from training.evaluation import into_card  # noqa: PLC0415

    found = _model_in(folder)
    if found is None:
        return
    made = found.card.training
    if not evaluation.is_of(made.recipe_sha256, made.corpora, made.data_sha256):
        return
    card = into_card(found.card, evaluation)
    artifact.write(folder, card=card, preprocessing=found.preprocessing, model=found.model, probe=found.probe)
