"""What an evaluation found, as a file beside the model: scores, with the commands that measure them again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from realtime.artifact import Scores
from realtime.card import Coverage, encode
from realtime.errors import TrainingError
from training.abstention import mean_coverage, mean_thresholds
from training.disk import put
from training.metrics import combine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from realtime.artifact import Card

SCORES_FILE = "scores.json"
MISSING_NOTE = (
    "There are no scores yet: tonewatch-train evaluate, given the same recipe, data and folder, measures "
    "them."
)
"""What a card says that has none."""
OF_TWO = {"arousal": ("low", "high"), "intensity": ("normal", "strong")}
"""What is told apart in the stead of a recipe's labels, by the part of a score's name that says so."""
_ORDER = ("speaker", "random", "kfold", "robust", "cross")
_NOTE = (
    "These are the scores of the protocols' own models, trained in the same way without their test parts. "
    "random: a stratified fifth of the clips, whose speakers the model knows. kfold: five such folds. "
    "speaker: folds of speakers, judged by a model that knows none of them; /adapted: with features "
    "normalised by the speaker's other clips, unlabelled; /float16 and /int8: as exported; /seven and /six: "
    "without disgust, and without surprised too, asked among the others alone. robust: the same "
    "clips, degraded. cross: trained on one corpus, tested on another. clips: the mean probabilities of a "
    "clip's windows. windows: every window of the recording, smoothed, as live. Clips in which no voice is "
    "heard count as wrong; such windows are not counted. Figures are means over seeds; intervals are a "
    "bootstrap over speakers."
)


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs where it runs, as float32 or as scikit-learn's."""

    n_bytes: int
    """Size of its file."""
    us_per_prediction: float
    """Microseconds for one window's features, on the machine that evaluated it."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How good a recipe's models are."""

    recipe: str
    recipe_sha256: str
    """Of everything in the recipe that shapes its models."""
    labels: list[str]
    corpora: list[str]
    """Those that the recipe was trained on."""
    data_sha256: str
    """Of their recordings, labels and speakers."""
    other_sha256: str = ""
    """Likewise of the recordings that the cross protocol alone had; empty where there are none."""
    commands: dict[str, str]
    """By protocol, what measures it again."""
    seeds: dict[str, list[int]]
    """By protocol."""
    versions: dict[str, str]
    """Packages that it was measured with."""
    cost: Cost | None = None
    """Of one of the models."""
    thresholds: dict[str, float] = {}
    """By precision, the smoothed probability from which on so large a share of labels is right."""
    coverage: dict[str, Coverage] = {}
    """By precision, what that threshold leaves of strangers' windows, and how right they are."""
    coverage_elsewhere: dict[str, dict[str, Coverage]] = {}
    """By direction of the cross protocol, likewise: one corpus's thresholds, another's windows."""
    scores: dict[str, dict[str, dict[str, Scores]]]
    """By protocol, unit (`clips`, `windows`) and part (`all`, `speech`, `song`, of several corpora each)."""

    def is_of(self, recipe_sha256: str, corpora: list[str], data_sha256: str) -> bool:
        """Return whether it tells of that recipe, trained on these recordings."""
        return (self.recipe_sha256, self.corpora, self.data_sha256) == (recipe_sha256, corpora, data_sha256)


_Units: TypeAlias = dict[str, dict[str, Scores]]


def merge(old: Evaluation | None, new: Evaluation) -> Evaluation:
    """Return the old scores with the new ones; the new alone where they do not fit.

    A protocol's new scores take the place of its old ones, unless they are of other seeds: then they are of
    all these seeds together.

    Raises
    ------
    TrainingError
        Where new seeds were measured on other windows than the old ones.
    """
    if old is None or not old.is_of(new.recipe_sha256, new.corpora, new.data_sha256):
        return msgspec.structs.replace(new, scores=_in_order(new.scores))
    measured = set(new.commands)
    # All that a protocol brought goes with it: `speaker` has `speaker/adapted` and others behind it.
    kept = {name: units for name, units in old.scores.items() if _protocol(name) not in measured}
    added = {name for name in measured & set(old.seeds) if set(old.seeds[name]).isdisjoint(new.seeds[name])}
    pooled = {
        name: _combine(old, units, new, name) if _protocol(name) in added else units
        for name, units in new.scores.items()
    }
    seeds = new.seeds | {name: sorted(old.seeds[name] + new.seeds[name]) for name in added}
    told = new if "speaker" in measured else old
    thresholds, coverage = told.thresholds, told.coverage
    if "speaker" in added:
        n_seeds = [len(old.seeds["speaker"]), len(new.seeds["speaker"])]
        thresholds = mean_thresholds([old.thresholds, new.thresholds], n_seeds)
        coverage = mean_coverage([old.coverage, new.coverage], n_seeds)
    return msgspec.structs.replace(
        new,
        commands=old.commands | new.commands,
        seeds=old.seeds | seeds,
        other_sha256=new.other_sha256 or old.other_sha256,
        cost=new.cost or old.cost,
        thresholds=thresholds,
        coverage=coverage,
        coverage_elsewhere=_merge_elsewhere(old, new, is_added="cross" in added),
        scores=_in_order(kept | pooled),
    )


def _merge_elsewhere(old: Evaluation, new: Evaluation, *, is_added: bool) -> dict[str, dict[str, Coverage]]:
    if "cross" not in new.commands:
        return old.coverage_elsewhere
    if not is_added:
        return new.coverage_elsewhere
    n_seeds = [len(old.seeds["cross"]), len(new.seeds["cross"])]
    both = old.coverage_elsewhere.keys() & new.coverage_elsewhere.keys()
    return {
        direction: mean_coverage([old.coverage_elsewhere[direction], found], n_seeds)
        for direction, found in new.coverage_elsewhere.items()
        if direction in both
    }


def _combine(old: Evaluation, units: _Units, new: Evaluation, name: str) -> _Units:
    """Return scores of the old and the new seeds together; what the old ones lack, of the new ones alone."""
    before = old.scores.get(name, {})
    try:
        return {
            unit: {
                part: combine([before[unit][part], own], classes_of(name, new.labels))
                if part in before.get(unit, {})
                else own
                for part, own in parts.items()
            }
            for unit, parts in units.items()
        }
    except ValueError as error:
        raise TrainingError(
            f"{name}: {error}: its old seeds were measured by other code or of other recordings; "
            "measure all of them again, without --add (models that are kept are not trained again)"
        ) from None


def classes_of(name: str, labels: Sequence[str]) -> Sequence[str]:
    """Return what the confusion matrices of a score tell apart, in their order."""
    return next((OF_TWO[part] for part in name.split("/") if part in OF_TWO), labels)


def _protocol(name: str) -> str:
    return name.partition("/")[0]


def _in_order(scores: dict[str, _Units]) -> dict[str, _Units]:
    """Return scores with what tells most of a stranger's voice first."""
    return dict(sorted(scores.items(), key=lambda item: _ORDER.index(_protocol(item[0]))))


def read(folder: Path) -> Evaluation | None:
    """Return the evaluation in a folder, or None where there is none.

    Raises
    ------
    TrainingError
        Where the file cannot be read, or holds something else.
    """
    path = folder / SCORES_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise TrainingError(
            f"{path}: not an evaluation: {error}; remove it, and evaluate the recipe again"
        ) from None


def write(folder: Path, evaluation: Evaluation) -> None:
    """Write an evaluation into a folder, which is made where it is missing.

    Raises
    ------
    TrainingError
        Where it cannot be written.
    """
    path = folder / SCORES_FILE
    try:
        put(path, encode(evaluation))
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}; wanted to write scores there") from None


def set_aside(folder: Path) -> Path:
    """Rename the evaluation in a folder, so that another takes its place and it is not lost.

    Returns
    -------
    Path
        Where it is now: named by its contents.

    Raises
    ------
    TrainingError
        Where it cannot be renamed.
    """
    path = folder / SCORES_FILE
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        return path.replace(path.with_stem(f"{path.stem}-{digest}"))
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}; wanted to rename it, to write others") from None


def into_card(card: Card, evaluation: Evaluation) -> Card:
    """Return a model's card with the scores of its recipe, and of each way to store its weights."""
    exports = {}
    for name, export in card.exports.items():
        protocol = "speaker" if name in {"float32", "skops"} else f"speaker/{name}"
        clips = evaluation.scores.get(protocol, {}).get("clips", {}).get("all")
        exports[name] = msgspec.structs.replace(
            export,
            accuracy=None if clips is None else clips.accuracy,
            uar=None if clips is None else clips.uar,
        )
    has_thresholds = "speaker" in evaluation.seeds
    commands = "; ".join(dict.fromkeys(evaluation.commands.values()))
    return msgspec.structs.replace(
        card,
        scores=evaluation.scores,
        scores_note=f"{_NOTE} Measured by: {commands}.",
        thresholds=evaluation.thresholds if has_thresholds else card.thresholds,
        coverage=evaluation.coverage if has_thresholds else card.coverage,
        coverage_elsewhere=evaluation.coverage_elsewhere,
        exports=exports,
    )
