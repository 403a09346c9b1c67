"""Which speakers test together: published folds, or groups of about equal size."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from realtime.errors import CorpusError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.corpora.clips import Clip

N_FOLDS = 6
"""Folds of a corpus for which none were published, where it has as many speakers."""
FOLDS_FILE = "folds.json"
"""In a corpus's folder: the actors of each test fold, under the key ``test_actors``."""


def spread_speakers(clips: Sequence[Clip]) -> tuple[tuple[str, ...], ...]:
    """Group speakers into up to `N_FOLDS` folds with about as many clips each.

    The speaker with most clips is placed first, each in the fold that has fewest so far. Nothing is drawn,
    so the folds depend on the clips alone.

    References
    ----------
    Graham, "Bounds on Multiprocessing Timing Anomalies", SIAM Journal on Applied Mathematics 17(2), 1969:
    no fold has more than 4/3 of the clips of the largest one in the best grouping.
    """
    counts = Counter(clip.speaker for clip in clips)
    folds: list[list[str]] = [[] for _ in range(min(N_FOLDS, len(counts)))]
    sizes = [0] * len(folds)
    for speaker in sorted(counts, key=lambda speaker: (-counts[speaker], speaker)):
        smallest = sizes.index(min(sizes))
        folds[smallest].append(speaker)
        sizes[smallest] += counts[speaker]
    return tuple(tuple(sorted(fold)) for fold in folds)


def read_actors(folder: Path) -> tuple[tuple[int, ...], ...] | None:
    """Return the numbers of the actors of each test fold that `FOLDS_FILE` tells, or None without one.

    Raises
    ------
    CorpusError
        Where it cannot be used.
    """
    path = folder / FOLDS_FILE
    if not path.exists():
        return None
    try:
        folds: object = json.loads(path.read_text(encoding="utf-8"))["test_actors"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path} cannot be used ({error!r}); wanted a key test_actors") from None
    if not isinstance(folds, list) or not all(
        isinstance(fold, list) and fold and all(isinstance(actor, int) for actor in fold) for fold in folds
    ):
        raise CorpusError(f"{path}: test_actors is {folds!r}; wanted lists of actors' numbers")
    counts = Counter(actor for fold in folds for actor in fold)
    twice = sorted(actor for actor, n in counts.items() if n > 1)
    if twice:
        raise CorpusError(f"{path}: actors {twice} stand in two folds; wanted each in one")
    return tuple(tuple(fold) for fold in folds)
