"""Recordings of one speaker: what is heard in all the others tells how to hear each."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal

from realtime.errors import TonewatchError
from realtime.speaker import blend_others

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from realtime.analysis import Analysis
    from realtime.speaker import Voice

Shared = Literal["folder", "all"]
"""Which recordings are of one speaker: those in one folder, or all."""


def know_voices(
    files: Iterable[Path], judge: Callable[[Path], Analysis], shared: Shared
) -> dict[Path, Voice | None]:
    """Return for each file what is heard of its speaker in their other files: None where that is nothing.

    Parameters
    ----------
    files
        Which; one that is named twice counts once. Those that cannot be read say nothing of anybody.
    judge
        `realtime.analysis.analyze` with its settings.
    shared
        Which files are of one speaker.
    """
    of_speaker: dict[Path | None, dict[Path, Voice | None]] = defaultdict(dict)
    for path in files:
        speaker = path.parent.resolve() if shared == "folder" else None
        try:
            of_speaker[speaker][path] = judge(path).voice
        except TonewatchError:
            # Whoever judges it next is told why.
            of_speaker[speaker][path] = None
    return {
        path: voice
        for heard in of_speaker.values()
        for path, voice in zip(heard, blend_others([*heard.values()]), strict=True)
    }
