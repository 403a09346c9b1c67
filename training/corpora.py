"""Where clips come from: their paths, labels and speakers, as the recordings' names say.

References
----------
Livingstone & Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)", PLoS ONE
13(5), 2018, doi:10.1371/journal.pone.0196391.
Ma et al., "EmoBox: Multilingual Multi-corpus Speech Emotion Recognition Toolkit and Benchmark", Interspeech
2024, arXiv:2406.07162.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from realtime.errors import CorpusError
from realtime.types import LABELS

Channel = Literal["speech", "song"]
Intensity = Literal["normal", "strong"]

RAVDESS_LICENCE = (
    "trained on RAVDESS (Livingstone & Russo 2018, doi:10.1371/journal.pone.0196391), which is licensed "
    "under CC BY-NC-SA 4.0: this model is for non-commercial use, to be shared under the same licence"
)
_SUFFIXES = (".flac", ".wav")
_CHANNELS: dict[str, Channel] = {"01": "speech", "02": "song"}
_INTENSITIES: dict[str, Intensity] = {"01": "normal", "02": "strong"}
_FOLDS_FILE = "folds.json"
_FOLDS = (
    (1, 11, 20, 21),
    (4, 10, 12, 14),
    (8, 9, 19, 23),
    (3, 5, 7, 24),
    (2, 15, 16, 18),
    (6, 13, 17, 22),
)
"""EmoBox's six test folds, by actor: what folds.json holds, for copies of the corpus that lack it."""
# Modality (03: audio alone), vocal channel, emotion, intensity, statement, repetition, actor.
_NAME = re.compile(r"03-(0[12])-(0[1-8])-(0[12])-(\d\d)-(\d\d)-(\d\d)")


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
        Who speaks; unique over all corpora.
    channel
        Whether it is spoken or sung.
    intensity
        How strongly the emotion was acted.
    """

    path: Path
    label: str
    speaker: str
    channel: Channel
    intensity: Intensity


@dataclass(frozen=True, slots=True)
class Corpus:
    """Recordings to train on and to score.

    Parameters
    ----------
    name
        As reports call it.
    licence
        What it asks of a model that was trained on it.
    clips
        In a fixed order.
    folds
        Groups of speakers, each the test part once.
    warnings
        What was left out, and why: one line each.
    """

    name: str
    licence: str
    clips: tuple[Clip, ...]
    folds: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...] = ()


def default_folder(corpus: str) -> Path:
    """Return where a corpus is looked for: in the folder TONEWATCH_DATA, or ../shared/data."""
    return Path(os.environ.get("TONEWATCH_DATA") or Path("..", "shared", "data")) / corpus


def read_ravdess(folder: Path) -> Corpus:
    """Read the names below a folder of RAVDESS recordings (FLAC or WAV), and its folds.

    Raises
    ------
    CorpusError
        Where the folder is missing, holds no recording whose name carries a label, or its folds cannot be
        used.
    """
    if not folder.is_dir():
        raise CorpusError(
            f"{folder} is not a folder; wanted the RAVDESS recordings: give their folder with --data, or set "
            "TONEWATCH_DATA to the folder that holds ravdess/"
        )
    clips, warnings = [], []
    # By name, not by path: the order must not depend on how the folders are arranged.
    for path in sorted(folder.rglob("*"), key=lambda path: (path.name, path)):
        if path.suffix.lower() not in _SUFFIXES or not path.is_file():
            continue
        clip = parse_ravdess(path)
        if clip is None:
            warnings.append(f"{path}: its name carries no RAVDESS label (03-VC-EE-II-SS-RR-AA); left out")
        else:
            clips.append(clip)
    if not clips:
        left_out = f" ({len(warnings)} names carry no label)" if warnings else ""
        raise CorpusError(
            f"{folder} holds no RAVDESS recording{left_out}; wanted FLAC or WAV files named "
            "03-VC-EE-II-SS-RR-AA, in any folders below it"
        )
    return Corpus("RAVDESS", RAVDESS_LICENCE, tuple(clips), _read_folds(folder), tuple(warnings))


def parse_ravdess(path: Path) -> Clip | None:
    """Return what a recording's name says, or None where it is no RAVDESS name."""
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    channel, emotion, intensity, _statement, _repetition, actor = match.groups()
    return Clip(
        path, LABELS[int(emotion) - 1], _speaker(int(actor)), _CHANNELS[channel], _INTENSITIES[intensity]
    )


def _is_fold(fold: object) -> bool:
    return isinstance(fold, list | tuple) and len(fold) > 0 and all(isinstance(actor, int) for actor in fold)


def _speaker(actor: int) -> str:
    return f"ravdess-{actor:02d}"


def _read_folds(folder: Path) -> tuple[tuple[str, ...], ...]:
    path = folder / _FOLDS_FILE
    folds: object = _FOLDS
    if path.exists():
        try:
            folds = json.loads(path.read_text(encoding="utf-8"))["test_actors"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"{path} cannot be used ({error!r}); wanted a key test_actors") from None
    if not isinstance(folds, list | tuple) or not all(
        isinstance(fold, list | tuple) and fold and all(isinstance(actor, int) for actor in fold)
        for fold in folds
    ):
        raise CorpusError(f"{path}: test_actors is {folds!r}; wanted lists of actors' numbers")
    actors = [actor for fold in folds for actor in fold]
    twice = sorted({actor for actor in actors if actors.count(actor) > 1})
    if twice:
        raise CorpusError(f"{path}: actors {twice} stand in two folds; wanted each in one")
    return tuple(tuple(_speaker(actor) for actor in fold) for fold in folds)
