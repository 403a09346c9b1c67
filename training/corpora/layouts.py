"""How a corpus tells by its files' names what is in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from realtime.types import LABELS
from training.corpora.clips import Channel, Clip, Intensity


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One published corpus: its names, what they mean, and what its makers ask for.

    Parameters
    ----------
    name
        As flags and folders call it.
    title
        As people call it.
    licence
        What it asks of a model that was trained on it, with whom to cite.
    example
        What its files' names look like.
    pattern
        Fits the whole of a path's last folder and its name without suffix, ``FOLDER/NAME``. Its groups:
        ``speaker``, ``emotion``, and where names tell them ``channel`` and ``intensity``.
    emotions
        The label that each code in group ``emotion`` stands for: one of `realtime.types.LABELS`, or a
        foreign one.
    channels, intensities
        What the codes in these groups stand for; other codes leave the intensity open.
    aliases
        Other spellings of speakers, and how they are spelt else.
    n_clips
        How many recordings the whole corpus has in each channel.
    folds
        The published groups of speakers that test; none where there is no such thing.
    folder
        Fits the whole name of a folder that says who speaks in it or how; groups ``speaker`` and
        ``emotion``.
    folder_emotions
        What that ``emotion`` stands for, in small letters.
    impossible
        Patterns of whole names that follow the scheme and yet cannot be, and why.
    """

    name: str
    title: str
    licence: str
    example: str
    pattern: re.Pattern[str]
    emotions: Mapping[str, str]
    n_clips: Mapping[Channel, int]
    channels: Mapping[str, Channel] = field(default_factory=dict)
    intensities: Mapping[str, Intensity] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    folds: tuple[tuple[str, ...], ...] = ()
    folder: re.Pattern[str] | None = None
    folder_emotions: Mapping[str, str] = field(default_factory=dict)
    impossible: tuple[tuple[re.Pattern[str], str], ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that its clips may carry: ours in their order, then foreign ones."""
        used = dict.fromkeys(self.emotions.values())
        return (
            *(label for label in LABELS if label in used),
            *(label for label in used if label not in LABELS),
        )

    def parse(self, path: Path) -> Clip | None:
        """Return what a recording's name says, or None where it does not follow the scheme.

        Its label may be a foreign one.
        """
        groups = self._groups(path)
        if groups is None:
            return None
        return Clip(
            path,
            self.emotions[groups["emotion"]],
            self.speaker(groups["speaker"]),
            self.name,
            self.channels.get(groups.get("channel", ""), "speech"),
            self.intensities.get(groups.get("intensity", "")),
        )

    def speaker(self, code: str) -> str:
        """Return the name, unique over all corpora, of a speaker of this one."""
        return f"{self.name}-{self.aliases.get(code, code)}"

    def contradiction(self, path: Path) -> str | None:
        """Return why a recording's name cannot be believed, or None where nothing speaks against it.

        A file that was renamed or put into the wrong folder has a label that is not its own.
        """
        clip = self.parse(path)
        if clip is None:
            return None
        for pattern, reason in self.impossible:
            if pattern.fullmatch(path.stem):
                return reason
        match = self.folder.fullmatch(path.parent.name) if self.folder is not None else None
        claims = match.groupdict() if match is not None else {}
        if "speaker" in claims and (speaker := self.speaker(claims["speaker"])) != clip.speaker:
            return f"its folder {path.parent.name} is of {speaker}, its name says {clip.speaker}"
        if "emotion" in claims:
            label = self.folder_emotions.get(claims["emotion"].lower())
            if label is not None and label != clip.label:
                return f"its folder {path.parent.name} is of {label!r}, its name says {clip.label!r}"
        return None

    def _groups(self, path: Path) -> dict[str, str] | None:
        match = self.pattern.fullmatch(f"{path.parent.name}/{path.stem}")
        return match.groupdict() if match is not None else None
