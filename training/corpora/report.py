"""What a corpus holds, in numbers: for people and, as JSON, for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from realtime.types import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from training.corpora.clips import Channel, Clip
    from training.corpora.survey import Facts, Survey

_CHANNELS: tuple[Channel, ...] = ("speech", "song")
_N_SHOWN = 20
"""Lines about what was left out that people are shown; JSON has all of them."""


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """How long clips are: the shortest, the middle one and the longest in seconds, all in hours."""

    min_s: float
    median_s: float
    max_s: float
    total_h: float


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One of the corpora.

    Parameters
    ----------
    name
        As flags call it.
    n_clips, n_speakers
        How many can be trained on, and who speaks in them.
    n_by_label
        Clips of each label that occurs, by channel.
    lacks
        Labels that its makers did not record: of these it says nothing.
    missing
        Labels that they did, of which no clip is there.
    lengths
        Its clips'.
    n_by_rate
        Clips of each sample rate, in Hz.
    """

    name: str
    n_clips: int
    n_speakers: int
    n_by_label: Mapping[str, Mapping[str, int]]
    lacks: tuple[str, ...]
    missing: tuple[str, ...]
    lengths: Lengths
    n_by_rate: Mapping[int, int]


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """Someone who speaks.

    Parameters
    ----------
    name
        Unique over all corpora.
    fold
        Number of the fold that they test in, from 1; None for those in none, who always train.
    n_clips
        How many of theirs can be trained on.
    n_by_label
        Those of each label that occurs.
    """

    name: str
    fold: int | None
    n_clips: int
    n_by_label: Mapping[str, int]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What corpora hold.

    Parameters
    ----------
    name, licence
        As `Corpus` has them.
    n_clips
        How many can be trained on.
    lengths
        All clips'.
    parts
        The corpora one by one.
    speakers
        Everyone, by name.
    n_by_fold
        Clips of each fold.
    left_out
        Files that cannot be trained on, and why.
    warnings
        What else was left out or is missing.
    """

    name: str
    licence: str
    n_clips: int
    lengths: Lengths
    parts: tuple[Part, ...]
    speakers: tuple[Speaker, ...]
    n_by_fold: tuple[int, ...]
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]


def describe(survey: Survey) -> Report:
    """Return what a surveyed corpus holds."""
    corpus = survey.corpus
    fold_of = {speaker: i for i, fold in enumerate(corpus.folds, start=1) for speaker in fold}
    speakers = tuple(
        _describe_speaker(name, fold_of.get(name), [clip for clip in corpus.clips if clip.speaker == name])
        for name in sorted({clip.speaker for clip in corpus.clips})
    )
    n_by_fold = Counter(fold_of.get(clip.speaker) for clip in corpus.clips)
    return Report(
        name=corpus.name,
        licence=corpus.licence,
        n_clips=len(corpus.clips),
        lengths=_measure(survey.facts),
        parts=tuple(_describe_part(survey, name, labels) for name, labels in corpus.labels.items()),
        speakers=speakers,
        n_by_fold=tuple(n_by_fold[i] for i in range(1, len(corpus.folds) + 1)),
        left_out=survey.left_out,
        warnings=corpus.warnings,
    )


def encode(report: Report) -> str:
    """Return a report as JSON text."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def _describe_part(survey: Survey, name: str, labels: tuple[str, ...]) -> Part:
    own = [
        (clip, facts)
        for clip, facts in zip(survey.corpus.clips, survey.facts, strict=True)
        if clip.corpus == name
    ]
    clips, facts = [clip for clip, _ in own], [facts for _, facts in own]
    counts = Counter((clip.label, clip.channel) for clip in clips)
    n_by_label: dict[str, dict[str, int]] = {
        label: {channel: counts[label, channel] for channel in _CHANNELS if counts[label, channel]}
        for label in LABELS
    }
    return Part(
        name=name,
        n_clips=len(clips),
        n_speakers=len({clip.speaker for clip in clips}),
        n_by_label={label: channels for label, channels in n_by_label.items() if channels},
        lacks=tuple(label for label in LABELS if label not in labels),
        missing=tuple(label for label in labels if not n_by_label[label]),
        lengths=_measure(facts),
        n_by_rate=dict(sorted(Counter(own.sample_rate for own in facts).items())),
    )


def _describe_speaker(name: str, fold: int | None, clips: Sequence[Clip]) -> Speaker:
    counts = Counter(clip.label for clip in clips)
    n_by_label = {label: counts[label] for label in LABELS if counts[label]}
    return Speaker(name=name, fold=fold, n_clips=len(clips), n_by_label=n_by_label)


def _measure(facts: Sequence[Facts]) -> Lengths:
    durations_s = [own.duration_s for own in facts] or [0.0]
    return Lengths(
        min_s=min(durations_s),
        median_s=median(durations_s),
        max_s=max(durations_s),
        total_h=sum(durations_s) / 3600,
    )


def print_report(console: Console, report: Report) -> None:
    """Print a report as tables, and what was left out below them."""

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    say(
        f"{report.name}: {report.n_clips} clips, {report.lengths.total_h:.2f} h, "
        f"{len(report.speakers)} speakers, {len(report.n_by_fold)} folds of "
        f"{', '.join(str(n) for n in report.n_by_fold)} clips\n"
    )
    for table in (_tabulate_labels(report), _tabulate_parts(report), _tabulate_speakers(report)):
        console.print(table, "")
    for part in report.parts:
        if part.lacks:
            say(f"{part.name} has no {', '.join(part.lacks)}")
        if part.missing:
            say(f"{part.name} should have {', '.join(part.missing)}, but no such clip is there")
    for title, lines in (("left out", report.left_out), ("warning", report.warnings)):
        for line in lines[:_N_SHOWN]:
            say(f"{title}: {line}")
        if len(lines) > _N_SHOWN:
            say(f"… and {len(lines) - _N_SHOWN} more; --json has all")
    say(f"licence: {report.licence}")


def _tabulate_labels(report: Report) -> Table:
    columns = [
        (part, channel)
        for part in report.parts
        for channel in _CHANNELS
        if any(channel in channels for channels in part.n_by_label.values())
    ]
    table = _table("label", *(f"{part.name} {channel}" for part, channel in columns), "all")
    for label in LABELS:
        counts = [part.n_by_label.get(label, {}).get(channel, 0) for part, channel in columns]
        if any(counts):
            table.add_row(label, *(str(n) if n else "·" for n in counts), str(sum(counts)))
    return table


def _tabulate_parts(report: Report) -> Table:
    table = _table("corpus", "clips", "speakers", "shortest", "median", "longest", "total", "sample rates")
    for part in report.parts:
        lengths = part.lengths
        rates = [f"{rate} Hz" for rate in part.n_by_rate]
        if len(rates) > 1:
            rates = [f"{rate} Hz ({n})" for rate, n in part.n_by_rate.items()]
        table.add_row(
            part.name,
            str(part.n_clips),
            str(part.n_speakers),
            f"{lengths.min_s:.1f} s",
            f"{lengths.median_s:.1f} s",
            f"{lengths.max_s:.1f} s",
            f"{lengths.total_h:.2f} h",
            ", ".join(rates),
        )
    return table


def _tabulate_speakers(report: Report) -> Table:
    used = [label for label in LABELS if any(label in speaker.n_by_label for speaker in report.speakers)]
    table = _table("speaker", "fold", "clips", *used)
    for speaker in report.speakers:
        counts = (str(speaker.n_by_label.get(label, "·")) for label in used)
        table.add_row(speaker.name, str(speaker.fold or "none"), str(speaker.n_clips), *counts)
    return table


def _table(first: str, *columns: str) -> Table:
    """Return a table of numbers, without lines: a speaker and eight labels fit into 80 columns."""
    from rich.table import Table  # noqa: PLC0415 - only people need tables

    table = Table(first, box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right")
    return table
