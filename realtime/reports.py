"""Answers as text: tables for people, JSON, CSV and Audacity label tracks for programs."""

from __future__ import annotations

import csv
import io
import os
import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from realtime import messages
from realtime.card import is_of_rounded_weights
from realtime.types import Prediction, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import Console

    from realtime.analysis import Analysis, Score
    from realtime.artifact import Card, ClassScores, Scores
    from realtime.sources import Device

Format = Literal["table", "json", "csv", "audacity"]

_SCALES = ("arousal", "valence", "intensity")

# Whatever ends a cell or a line, and what no one can see.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def as_json(analyses: Sequence[Analysis], *, whole: bool) -> str:
    """Return a JSON list of recordings; their timelines are the wire's messages."""
    return msgspec.json.format(
        msgspec.json.encode([_plain(a, whole=whole) for a in analyses]), indent=1
    ).decode()


def as_csv(analyses: Sequence[Analysis], *, whole: bool) -> str:
    """Return a line per recording (`whole`) or per window, with a header; columns are called as in logs.

    Those of the labels are a window's own probabilities, with the smoothed ones beside, or a recording's.
    What a model does not tell stays empty.
    """
    labels = analyses[0].labels if analyses else ()
    more = () if whole else (*(f"smoothed_{label}" for label in labels), *_SCALES)
    rows: list[Sequence[object]] = [
        ("file", "truth", "start_s", "end_s", "label", "probability", *labels, *more)
    ]
    for a in analyses:
        truth = a.truth or ""
        if whole:
            values = [_share(p) for p in a.probabilities.tolist()]
            rows.append((a.path, truth, 0, f"{a.duration_s:.3f}", a.label, _share(a.probability), *values))
            continue
        for p in a.predictions:
            # The figures of the messages, which are rounded: whoever has only those writes the same.
            told = messages.to_message(p)
            assert isinstance(told, messages.Prediction)
            start_s, end_s = p.stream.seconds(p.start), p.stream.seconds(p.end)
            times = f"{start_s:.3f}", f"{end_s:.3f}"
            values = [_share(value) for value in (*told.probabilities.values(), *told.smoothed.values())]
            beside = [getattr(told, name) for name in _SCALES]
            scales = ["" if value is None else _share(value) for value in beside]
            rows.append((a.path, truth, *times, p.label, _share(told.probability), *values, *scales))
    return "".join(map(_csv_line, rows))


def as_audacity(analyses: Sequence[Analysis], *, whole: bool) -> str:
    """Return a label track: start, end and label, separated by tabs, a line per stretch.

    Of several recordings the labels carry the file's name, since a track belongs to one; tabs, line feeds
    and other control characters in it are written as spaces.
    """
    lines = []
    for a in analyses:
        prefix = f"{_CONTROL.sub(' ', a.path.name)}: " if len(analyses) > 1 else ""
        if whole:
            lines.append(f"0.000000\t{a.duration_s:.6f}\t{prefix}{a.label}\n")
        else:
            lines += [f"{s.start_s:.6f}\t{s.end_s:.6f}\t{prefix}{s.label}\n" for s in a.timeline()]
    return "".join(lines)


def print_table(console: Console, analyses: Sequence[Analysis], *, whole: bool) -> None:
    """Print a table of recordings (`whole`), or a table of windows for each."""
    from rich.table import Table  # noqa: PLC0415 - only people need tables
    from rich.text import Text  # noqa: PLC0415

    if whole:
        table = Table("file", "answer", "probability", "seconds")
        with_truth = any(a.truth for a in analyses)
        if with_truth:
            table.add_column("label in its name")
        for a in analyses:
            row = [Text(str(a.path)), _coloured(a.label), _percent(a.probability), f"{a.duration_s:.1f}"]
            table.add_row(*row, *([a.truth or ""] if with_truth else []))
        console.print(table)
        return
    for a in analyses:
        table = Table(
            "from", "to", "answer", "probability", "level", title=Text(str(a.path)), title_justify="left"
        )
        for event in a.events:
            if isinstance(event, Prediction):
                stream = event.stream
                table.add_row(
                    f"{stream.seconds(event.start):.1f} s",
                    f"{stream.seconds(event.end):.1f} s",
                    _coloured(event.label),
                    _percent(event.probability),
                    f"{event.level_dbfs:.0f} dBFS",
                )
            elif isinstance(event, Status):
                at = f"{event.stream.seconds(event.at):.1f} s"
                lost = f"{event.dropped} samples lost" if event.dropped else ""
                table.add_row(at, "", Text(str(event.state), style="dim"), "", Text(lost, style="bold red"))
        console.print(table)
        console.print(Text.assemble("whole: ", _coloured(a.label), f" {_percent(a.probability)}"), "")


def print_score(console: Console, score: Score, trained_on: Sequence[str] = ()) -> None:
    """Print accuracy, macro F1 and the confusion matrix.

    Parameters
    ----------
    console
        Where.
    score
        What.
    trained_on
        The corpora that the model knows: on their recordings it looks far better than it is.
    """
    console.print(
        f"accuracy {_percent(score.accuracy)}, macro F1 {score.macro_f1:.2f}, "
        f"on {score.n} recording{'s' if score.n > 1 else ''} with a label in the name"
    )
    # Cards of version 1 have the title, later ones the name.
    if "ravdess" in {name.lower() for name in trained_on}:
        console.print(
            "This model was trained on RAVDESS: if these are recordings of it, the figure says nothing about "
            "voices that it has not heard. `tonewatch models NAME` shows what does."
        )
    if score.n == 1:
        return
    used = [i for i, _ in enumerate(score.answers) if i < len(score.labels) or score.confusion[:, i].any()]
    answers = [score.answers[i] for i in used]
    print_confusion(console, score.labels, answers, score.confusion[:, used].tolist())


def print_confusion(
    console: Console,
    labels: Sequence[str],
    answers: Sequence[str],
    confusion: Sequence[Sequence[int]],
    classes: Mapping[str, ClassScores] | None = None,
) -> None:
    """Print a confusion matrix: a row per true label, a column per answer, and how well it is told.

    Parameters
    ----------
    console
        Where.
    labels, answers
        What the rows and columns stand for.
    confusion
        The matrix.
    classes
        Scores of each label, if they are known.
    """
    from rich.table import Table  # noqa: PLC0415 - only people need tables

    heads = ("precision", "recall", "F1") if classes else ()
    table = Table("label \\ answer", *(answer[:9] for answer in answers), *heads)
    for label, row in zip(labels, confusion, strict=True):
        cells = [
            f"[bold]{n}[/]" if answer == label else str(n) if n else "·"
            for answer, n in zip(answers, row, strict=True)
        ]
        own = classes.get(label) if classes else None
        scores = () if own is None else (own.precision, own.recall, own.f1)
        table.add_row(label, *cells, *(f"{score:.2f}" for score in scores))
    console.print(table)


def print_devices(console: Console, found: Sequence[Device]) -> None:
    """Print the microphones there are."""
    from rich.table import Table  # noqa: PLC0415 - only people need tables
    from rich.text import Text  # noqa: PLC0415

    table = Table("index", "name", "system", "channels", "rate", "default")
    for device in found:
        table.add_row(
            str(device.index),
            Text(device.name),
            Text(device.host_api),
            str(device.channels),
            f"{device.sample_rate} Hz",
            "yes" if device.default else "",
        )
    console.print(table)


def print_models(console: Console, cards: Sequence[Card], default: str) -> None:
    """Print the models there are, with what each reaches on speakers it has never heard."""
    from rich.table import Table  # noqa: PLC0415 - only people need tables

    table = Table("model", "classes", "window", "accuracy on unheard speakers, live windows", "weights")
    for card in cards:
        name = f"{card.name} (default)" if card.name == default else card.name
        window = f"{card.window / float(card.features['sample_rate']):g} s"
        table.add_row(name, str(len(card.labels)), window, _reached(card), _weights(card))
    console.print(table)


def _reached(card: Card) -> str:
    """Return how many of strangers' windows a model tells right, a line for each of its corpora.

    Their mean would make a model of a second, harder corpus look worse than one that never heard it.
    """
    parts = card.scores.get("speaker", {}).get("windows", {})
    corpora = card.training.corpora
    # A corpus that is called as a part is, such as "speech", is found under "corpus-speech".
    keys = {corpus: f"corpus-{corpus}" if f"corpus-{corpus}" in parts else corpus for corpus in corpora}
    named = {corpus: parts[key] for corpus, key in keys.items() if key in parts and len(corpora) > 1}
    if not named and "all" in parts:
        named = {", ".join(corpora): parts["all"]}
    lines = [f"{name}: {_percent(s.accuracy)} (UAR {s.uar:.2f})" for name, s in named.items()]
    return "\n".join(lines) or "not measured"


def print_card(console: Console, card: Card) -> None:
    """Print what a model's card says: every score, and the confusion matrices of the main protocols."""
    from rich.table import Column, Table  # noqa: PLC0415 - only people need tables
    from rich.text import Text  # noqa: PLC0415

    console.print(Text.assemble((card.name, "bold"), f": {card.description}"))
    console.print(f"classes: {', '.join(card.labels)}")
    console.print(f"features: {card.n_selected} of {card.n_features}; weights: {_weights(card)}")
    console.print(
        f"trained on: {', '.join(card.training.corpora)}; made by: {card.training.command}", markup=False
    )
    for corpus, labels in card.training.labels.items():
        if len(labels) < len(card.labels):
            console.print(f"{corpus} knows only: {', '.join(labels)}", markup=False)
    console.print(f"licence: {card.training.licence}", markup=False)
    for line in _notes_on_thresholds(card):
        console.print(line)
    if card.scores_note:
        console.print(card.scores_note, markup=False)
    table = Table(
        Column("protocol", overflow="fold"), "unit", "part", "n", "accuracy", "UAR", "macro F1", "ECE"
    )
    for protocol, unit, part, scores in _walk(card):
        figures = [_figure(scores, name) for name in ("accuracy", "uar", "macro_f1")]
        table.add_row(protocol, unit, part, str(scores.n), *figures, f"{scores.ece:.3f}")
    console.print(table if card.scores else "scores: not measured")
    for line in _notes_on_figures(card):
        console.print(line)
    if card.exports:
        _print_exports(console, card)
    for protocol, unit, part, scores in _walk(card):
        if part == "all" and "/" not in protocol:
            console.print(f"\n{protocol}, {unit}:")
            print_confusion(console, card.labels, card.labels, scores.confusion, scores.classes)


def _notes_on_thresholds(card: Card) -> Iterator[str]:
    for precision, probability in card.thresholds.items():
        right = f"{float(precision):.0%} was right"
        line = f"of what it said of strangers with a probability of {probability:g} and more, {right}"
        if kept := card.coverage.get(precision):
            line += f"; of others, it then judges {kept.share:.0%}, and {kept.precision:.0%} of that is right"
        yield line
    for direction, found in card.coverage_elsewhere.items():
        for precision, kept in found.items():
            yield (
                f"{direction}: what is to leave {float(precision):.0%} right leaves {kept.share:.0%} of the "
                f"other corpus's windows, and {kept.precision:.0%} of them are right"
            )


def _print_exports(console: Console, card: Card) -> None:
    from rich.table import Table  # noqa: PLC0415 - only people need tables

    table = Table("weights", "size", "differs by", "accuracy", "UAR")
    for name, export in card.exports.items():
        table.add_row(
            name,
            f"{export.n_bytes / 1000:,.0f} kB",
            f"{export.parity:.1g}",
            "" if export.accuracy is None else _percent(export.accuracy),
            "" if export.uar is None else f"{export.uar:.3f}",
        )
    console.print(table)


def _weights(card: Card) -> str:
    """Return how the weights are stored, for people."""
    return "scikit-learn's" if card.runtime == "skops" else card.quantisation


def _figure(scores: Scores, name: str) -> str:
    """Return a figure, and half of its 95% interval where that was measured."""
    value: float = getattr(scores, name)
    half = None if name not in scores.ci95 else (scores.ci95[name][1] - scores.ci95[name][0]) / 2
    if name == "accuracy":
        return _percent(value) + ("" if half is None else f" ± {100 * half:.1f}")
    return f"{value:.3f}" + ("" if half is None else f" ± {half:.3f}")


def _notes_on_figures(card: Card) -> list[str]:
    """Return what the table of scores does not say."""
    found = [scores for *_, scores in _walk(card)]
    notes = []
    if any(scores.ci95 for scores in found):
        notes.append("± is half of the 95% interval, over speakers")
    n_seeds = sorted({scores.n_seeds for scores in found if scores.n_seeds > 1})
    if n_seeds:
        deviation = max(scores.sd.get("accuracy", 0.0) for scores in found)
        notes.append(
            f"figures are means over {' or '.join(map(str, n_seeds))} trainings, whose accuracies vary by "
            f"{100 * deviation:.1f} points at most (standard deviation); matrices are their sums"
        )
    return notes


def _walk(card: Card) -> list[tuple[str, str, str, Scores]]:
    return [
        (protocol, unit, part, scores)
        for protocol, units in card.scores.items()
        if not is_of_rounded_weights(protocol)
        for unit, parts in units.items()
        for part, scores in parts.items()
    ]


def _plain(a: Analysis, *, whole: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "file": os.fsencode(a.path).decode(errors="replace"),
        "duration_s": round(a.duration_s, 6),
        "label": a.label,
        "probability": round(a.probability, 6),
        "probabilities": {
            label: round(p, 6) for label, p in zip(a.labels, a.probabilities.tolist(), strict=True)
        },
        "truth": a.truth,
        "dropped": a.dropped,
    }
    if not whole:
        plain["events"] = [messages.to_message(event) for event in a.events]
    return plain


def _csv_line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    # Older Pythons quote a cell for those line breaks alone that end rows: so they end in both at first.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _share(share: float) -> str:
    # Nothing below 0 has no sign.
    return f"{share + 0.0:.4f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _coloured(label: str) -> Any:  # noqa: ANN401 - rich's text, which is not imported for programs' output
    from rich.text import Text  # noqa: PLC0415

    from realtime.sinks.palette import look_of  # noqa: PLC0415
    from realtime.types import LABELS  # noqa: PLC0415

    return Text(label, style=look_of(label).colour if label in LABELS else "dim")
