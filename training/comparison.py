"""One row for each recipe: what its authors report, what the ruler finds, what it costs."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import msgspec

from training import evaluation
from training.protocols import FOUR
from training.recipes import digest, find_recipe, recipe_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from realtime.artifact import Scores
    from training.evaluation import Evaluation
    from training.recipes import Recipe

COLUMNS = (
    "recipe",
    "classes",
    "reported",
    "random",
    "kfold",
    "speaker",
    "speaker UAR",
    "windows",
    "adapted",
    "cross",
    "cross adapted",
    "robust",
    "seeds",
    "size",
    "µs",
)
_CORPUS = "ravdess"
NOTE = (
    "Fewer classes are easier: compare rows of equally many. Of a model of several corpora, RAVDESS's clips "
    "alone are counted. Accuracy on whole clips, but for: speaker UAR; "
    "windows, speaker accuracy on every window of the streamed recognizer; adapted, speaker accuracy with "
    "features normalised by the unheard speaker's other clips; cross, the mean UAR of both directions "
    "between two corpora on neutral, happy, sad and angry (chance 0.25); robust, the mean over all "
    "degradations of the test clips. reported is the authors' own figure, on a split that shares speakers. "
    "Size and microseconds per prediction, without features, are those of the float32 network, or of "
    "scikit-learn's estimator."
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a recipe; None for what was not measured."""

    recipe: str
    n_classes: int
    reported: float | None
    random: float | None
    kfold: float | None
    speaker: float | None
    speaker_uar: float | None
    speaker_windows: float | None
    speaker_adapted: float | None
    n_cross_classes: int
    """Of neutral, happy, sad and angry, those that the recipe has: fewer are easier to tell apart."""
    cross_uar: float | None
    cross_adapted_uar: float | None
    robust: float | None
    n_seeds: int
    """The fewest that a protocol was measured with."""
    n_seeds_most: int
    """The most."""
    n_bytes: int | None
    us_per_prediction: float | None
    is_current: bool
    """Whether the recipe is still what was measured."""


def compare(folder: Path) -> tuple[Row, ...]:
    """Return a row for each recipe that comes with the program, and for whatever else was evaluated.

    Raises
    ------
    TrainingError
        Where a folder holds something else than scores.
    """
    known = recipe_names()
    rows = [_row(name, find_recipe(name), evaluation.read(folder / name)) for name in known]
    others = sorted(path.parent for path in folder.glob(f"*/{evaluation.SCORES_FILE}"))
    rows += [_row(own.name, None, evaluation.read(own)) for own in others if own.name not in known]
    # The best on strangers' voices first, among those of as many classes: fewer are easier to tell apart.
    return tuple(
        sorted(
            rows, key=lambda row: (row.speaker is None, -row.n_classes, -(row.speaker_uar or 0), row.recipe)
        )
    )


def _row(name: str, recipe: Recipe | None, measured: Evaluation | None) -> Row:
    """Return what is known of a recipe that comes with the program, or of one's own."""
    labels = recipe.labels if recipe is not None else measured.labels if measured is not None else ()
    reported = None if recipe is None else recipe.reported
    cost = None if measured is None else measured.cost
    scores = {} if measured is None else measured.scores

    def figure(protocol: str, name: str = "accuracy", unit: str = "clips") -> float | None:
        parts = scores.get(protocol, {}).get(unit, {})
        return getattr(_comparable(parts), name) if parts else None

    n_seeds = [len(seeds) for seeds in measured.seeds.values()] if measured else []
    return Row(
        recipe=name,
        n_classes=len(labels),
        reported=None if reported is None else reported.accuracy,
        random=figure("random"),
        kfold=figure("kfold"),
        speaker=figure("speaker"),
        speaker_uar=figure("speaker", "uar"),
        speaker_windows=figure("speaker", unit="windows"),
        speaker_adapted=figure("speaker/adapted"),
        n_cross_classes=len(set(FOUR).intersection(labels)),
        cross_uar=_mean(scores, lambda name: name.startswith("cross/") and name.endswith("/four"), "uar"),
        cross_adapted_uar=_mean(
            scores, lambda name: name.startswith("cross/") and name.endswith("/four/adapted"), "uar"
        ),
        robust=_mean(scores, lambda name: name.startswith("robust/"), "accuracy"),
        n_seeds=min(n_seeds, default=0),
        n_seeds_most=max(n_seeds, default=0),
        n_bytes=None if cost is None else cost.n_bytes,
        us_per_prediction=None if cost is None else cost.us_per_prediction,
        is_current=measured is None or recipe is None or measured.recipe_sha256 == digest(recipe),
    )


def _mean(
    scores: dict[str, dict[str, dict[str, Scores]]], wanted: Callable[[str], bool], name: str
) -> float | None:
    values = [
        getattr(_comparable(units["clips"]), name) for protocol, units in scores.items() if wanted(protocol)
    ]
    return round(sum(values) / len(values), 4) if values else None


def _comparable(parts: dict[str, Scores]) -> Scores:
    """Return the scores of the clips that all rows share: of one corpus, also for a model of several."""
    return parts.get(_CORPUS, parts["all"])


def cells(row: Row) -> tuple[str, ...]:
    """Return a row as text, in the order of `COLUMNS`."""
    return (
        row.recipe + ("" if row.is_current else " (changed since)"),
        str(row.n_classes),
        *(_percent(value) for value in (row.reported, row.random, row.kfold, row.speaker)),
        _share(row.speaker_uar),
        *(_percent(value) for value in (row.speaker_windows, row.speaker_adapted)),
        *(_of_classes(value, row.n_cross_classes) for value in (row.cross_uar, row.cross_adapted_uar)),
        _percent(row.robust),
        " to ".join(str(n) for n in sorted({row.n_seeds, row.n_seeds_most})) if row.n_seeds else "-",
        "-" if row.n_bytes is None else f"{row.n_bytes / 1e6:.2f} MB",
        "-" if row.us_per_prediction is None else f"{row.us_per_prediction:.0f}",
    )


def to_markdown(rows: Sequence[Row]) -> str:
    """Return the table as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def to_csv(rows: Sequence[Row]) -> str:
    """Return the table as comma-separated values, with a header."""
    names = [field.name for field in msgspec.structs.fields(Row)]
    text = io.StringIO()
    # A folder may have any name, with commas too.
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names)
    table.writerows([_plain(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue()


def to_json(rows: Sequence[Row]) -> str:
    """Return the table as JSON."""
    return msgspec.json.format(msgspec.json.encode(list(rows)), indent=1).decode() + "\n"


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _of_classes(value: float | None, n_classes: int) -> str:
    few = value is not None and n_classes < len(FOUR)
    return _share(value) + (f" (of {n_classes} classes)" if few else "")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
