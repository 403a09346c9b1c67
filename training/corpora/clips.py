"""What a corpus is: recordings, who speaks in them, and what the voices express."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Channel: TypeAlias = Literal["speech", "song"]
Intensity: TypeAlias = Literal["normal", "strong"]


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording.

    Parameters
    ----------
    path
        Its file.
    label
        The emotion, one of `realtime.types.LABELS`.
    speaker
        Who speaks; unique over all corpora, such as ``ravdess-01``.
    corpus
        Name of the corpus that it belongs to, as flags call it: ``ravdess``.
    channel
        Whether it is spoken or sung.
    intensity
        How strongly the emotion was acted; None where the corpus does not say.
    """

    path: Path
    label: str
    speaker: str
    corpus: str
    channel: Channel = "speech"
    intensity: Intensity | None = None


@dataclass(frozen=True, slots=True)
class Corpus:
    """Recordings to train on and to score; one corpus, or several that were combined.

    Parameters
    ----------
    name
        As reports call it; of several, joined by " + ".
    licence
        What it asks of a model that was trained on it; of several, joined by "; ".
    clips
        In a fixed order.
    folds
        Groups of speakers, each the test part once; no speaker stands in two.
    labels
        By each corpus's name, as `Clip.corpus` has it: which of `realtime.types.LABELS` its clips may
        carry, in that order. Of the others it says nothing: a clip of a corpus without "calm" may well
        sound calm.
    warnings
        What was left out or is missing, and why: one line each.
    """

    name: str
    licence: str
    clips: tuple[Clip, ...]
    folds: tuple[tuple[str, ...], ...]
    labels: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()
