"""What the text and the page both say of a model: facts, and what to keep in mind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from training.report.data import ReportData

_FEW_SPEAKERS, _FEW_ROWS = 10, 50
_RUNTIMES = {"tflite": "TFLite", "skops": "scikit-learn (skops)"}


def facts(data: ReportData) -> tuple[tuple[str, str], ...]:
    """Return what is worth knowing of a model first, as names and values."""
    card, training = data.card, data.card.training
    rate = card.features["sample_rate"]
    n_speakers = len(set(data.clips.speaker))
    inputs = "features" if card.features.get("output", "pooled") == "pooled" else "values of each frame"
    found = (
        ("Model", data.name),
        ("Recipe", training.recipe),
        ("Classes", f"{len(data.labels)}: {', '.join(data.labels)}"),
        ("Audio", f"{rate:,} Hz; windows of {card.window / rate:g} s, every {card.hop / rate:g} s"),
        ("Input", f"{card.n_selected} of {card.n_features} {inputs}"),
        ("Runs on", f"{_RUNTIMES[card.runtime]}, {card.quantisation}"),
        ("Corpora", ", ".join(training.corpora)),
        ("Data", f"{training.n_windows:,} windows, {training.n_clips:,} clips, {n_speakers} speakers"),
        ("Seed", str(training.seed)),
        ("Made by", training.command),
        ("Licence", training.licence),
        ("Versions", ", ".join(f"{name} {version}" for name, version in training.versions.items())),
    )
    return tuple((name, value) for name, value in found if value)


def caveats(data: ReportData) -> tuple[str, ...]:
    """Return what must be kept in mind with a report's numbers, as sentences."""
    return (*_of_inner_part(data), *_of_scores(data))


def _of_inner_part(data: ReportData) -> list[str]:
    judged = data.judged
    held_out = sorted(set(np.asarray(data.clips.speaker)[data.clips.held_out].tolist()))
    if not held_out:
        return ["No speaker was kept from training: the model knows the voices that it is judged by here."]
    lean = (
        f"The pictures of the inner part ({len(held_out)} speakers: {_shortened(held_out)}) come from the "
        "part that decided when training stopped and what the temperature is: they lean to the good side. "
        "The table of scores is what to compare by."
    )
    found = [lean]
    has_strangers = data.clips.has_strangers
    if not has_strangers:
        found.append(
            "The model was trained on other recordings of the same speakers: a new voice is recognised worse "
            "than these pictures say."
        )
    if data.is_refitted:
        whom = "speakers" if has_strangers else "recordings"
        found.append(
            f"Once it was judged, the model was trained again on all {whom}, the inner part's too: that is "
            f"the one in the model's folder, and new {'voices' if has_strangers else whom} alone can tell "
            "what it gained."
        )
    if len(held_out) < _FEW_SPEAKERS:
        found.append(
            f"{len(held_out)} speakers are few: another choice of them would give other numbers, by several "
            "percentage points."
        )
    if judged.unit == "windows":
        found.append("Windows of one recording are alike: they tell less than as many recordings would.")
    n_true = np.bincount(judged.truth, minlength=len(data.labels)).tolist()
    few = [f"{label} ({n})" for label, n in zip(data.labels, n_true, strict=True) if n < _FEW_ROWS]
    if few:
        found.append(f"Fewer than {_FEW_ROWS} {judged.unit} of the inner part are of: {', '.join(few)}.")
    return found


def _of_scores(data: ReportData) -> list[str]:
    found = []
    if {"random", "kfold"} & set(data.card.scores):
        found.append(
            "The protocols “random” and “kfold” test on other recordings of the speakers who were trained "
            "on: a new voice is recognised worse than they say. The protocol “speaker” tests on new voices."
        )
    if len(set(data.clips.corpus)) == 1:
        found.append(
            f"All recordings are of one corpus, {data.clips.corpus[0]}: other microphones, rooms, languages, "
            "and people who do not act, are recognised worse."
        )
    if data.card.scores_note:
        found.append(data.card.scores_note)
    return found


def _shortened(names: list[str], n_most: int = 8) -> str:
    more = len(names) - n_most
    return ", ".join(names[:n_most]) + (f" and {more} more" if more > 0 else "")
