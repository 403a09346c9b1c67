"""Every file of a corpus read once: which can be trained on, and what is wrong with the others."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from training.corpora.known import LAYOUTS
from training.corpora.memory import measure_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from training.corpora.clips import Clip, Corpus
    from training.corpora.measurement import Measurement
    from training.workers import Workers

MIN_PEAK_DBFS = -60.0
"""Files without a sample above this are silent."""
MIN_DURATION_S = 0.1
"""Files below this hold no emotion."""
MAX_CLIPPED_SHARE = 0.001
"""Files with more than this share of their samples in flat tops are clipped.

Among 4,525 recordings of RAVDESS and nEMO none has a single flat top. Of the same ones clipped at half
their peak 98 in 100 exceed this, at 0.7 of it 60 in 100: a flat top here and there is no reason to lose a
recording. What was clipped and then resampled has none any more, and is not found.
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one clip's file.

    Parameters
    ----------
    file_sha256
        Of its bytes.
    n_samples
        Its length, per channel.
    sample_rate
        In Hz.
    peak_dbfs
        Of its furthest sample, in dB relative to full scale.
    level_dbfs
        Its root mean square, in dB relative to full scale.
    """

    file_sha256: str
    n_samples: int
    sample_rate: int
    peak_dbfs: float
    level_dbfs: float

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.n_samples / self.sample_rate


@dataclass(frozen=True, slots=True)
class Survey:
    """A corpus as it can be trained on.

    Parameters
    ----------
    corpus
        Without what was left out; its folds are what they were.
    facts
        Of each of its clips, in their order.
    left_out
        One line for each of the others: its file, and why.
    """

    corpus: Corpus
    facts: tuple[Facts, ...]
    left_out: tuple[str, ...]


def survey(
    corpus: Corpus, *, cache: Path, workers: Workers, advance: Callable[[int], None] = lambda _n: None
) -> Survey:
    """Read every file and leave out those that would teach nothing, or the wrong thing.

    Those are files that cannot be read to the end, are silent, clipped or too short, whose folder
    contradicts their name, and which sound exactly as one before them.

    Parameters
    ----------
    corpus
        The recordings.
    cache
        Folder of what is kept between runs; files that did not change since are not read again.
    workers
        Processes that read.
    advance
        Called with the number of files done since the last call.

    Raises
    ------
    CorpusError
        Where `cache` cannot be written.
    """
    measurements = measure_all([clip.path for clip in corpus.clips], cache, workers, advance)
    clips, facts, left_out = [], [], []
    judged = zip(corpus.clips, measurements, _judge(corpus.clips, measurements), strict=True)
    for clip, measurement, problem in judged:
        if problem is not None:
            left_out.append(f"{_printable(clip.path)}: {problem}")
            continue
        clips.append(clip)
        facts.append(
            Facts(
                measurement.file_sha256,
                measurement.n_samples,
                measurement.sample_rate,
                measurement.peak_dbfs,
                measurement.level_dbfs,
            )
        )
    return Survey(replace(corpus, clips=tuple(clips)), tuple(facts), tuple(left_out))


def _judge(clips: tuple[Clip, ...], measurements: list[Measurement]) -> Iterator[str | None]:
    """Yield for each clip why it cannot be trained on, or None."""
    firsts: dict[str, Clip] = {}
    for clip, measurement in zip(clips, measurements, strict=True):
        layout = LAYOUTS.get(clip.corpus)
        problem = (
            measurement.problem
            or _find_fault(measurement)
            or (layout.contradiction(clip.path) if layout is not None else None)
        )
        if not problem:
            first = firsts.setdefault(measurement.content_sha256, clip)
            problem = _describe_twin(clip, first) if first is not clip else None
        yield problem


def _find_fault(measurement: Measurement) -> str | None:
    duration_s = measurement.n_samples / measurement.sample_rate
    if duration_s < MIN_DURATION_S:
        return f"is too short: {duration_s:.3f} s; wanted {MIN_DURATION_S} s or more"
    if measurement.peak_dbfs < MIN_PEAK_DBFS:
        return f"is silent: its peak is {measurement.peak_dbfs:.0f} dBFS; wanted {MIN_PEAK_DBFS:.0f} or more"
    if measurement.clipped_share > MAX_CLIPPED_SHARE:
        return (
            f"is clipped: {measurement.clipped_share:.2%} of its samples are in flat tops; wanted "
            f"{MAX_CLIPPED_SHARE:.1%} at most"
        )
    return None


def _describe_twin(clip: Clip, first: Clip) -> str:
    conflicts = [
        f"the {what} {theirs!r} there and {own!r} here"
        for what, theirs, own in (
            ("label", first.label, clip.label),
            ("speaker", first.speaker, clip.speaker),
        )
        if theirs != own
    ]
    told = f", with {' and '.join(conflicts)}: one of them is wrong" if conflicts else ""
    found = "is listed twice" if first.path == clip.path else f"sounds exactly as {_printable(first.path)}"
    return found + told


def _printable(path: Path) -> str:
    # A name that is no UTF-8 is a fine one for a file, but not for a report.
    return os.fsencode(path).decode(errors="replace")
