"""Which speakers train, stop and judge in a search: never those of the fold that a protocol would test on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from realtime.errors import CorpusError, SettingsError
from training import splits
from training.splits import Split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.corpora import Clip

_LEAST_FOLDS = 3


@dataclass(frozen=True, slots=True)
class Fold:
    """A fold of the speaker protocol without its test part.

    Parameters
    ----------
    number
        The protocol's, from 1.
    split
        Its training part, of which some speakers are the inner part here: they decide when training stops,
        and the temperature. No test part.
    judged : np.ndarray [shape=(n,), dtype=int64]
        The clips by which a trial is judged: the protocol's inner part. Were they the ones that training
        stops by, what stops by chance at the best moment would look good.
    """

    number: int
    split: Split
    judged: npt.NDArray[np.int64]


def plan_folds(clips: Sequence[Clip], folds: Sequence[Sequence[str]], n_folds: int) -> tuple[Fold, ...]:
    """Return some folds of the speaker protocol, evenly spread, without their test parts.

    Parameters
    ----------
    clips
        All of them; indices are theirs.
    folds
        Groups of speakers.
    n_folds
        How many.

    Raises
    ------
    CorpusError
        Where there are speakers of fewer than three folds, or one speaker alone would train.
    SettingsError
        Where there are fewer than `n_folds`.
    """
    present = splits.present_folds(clips, folds)
    if len(present) < _LEAST_FOLDS:
        raise CorpusError(
            f"the recordings hold speakers of {len(present)} folds; wanted at least {_LEAST_FOLDS}: to "
            "train, to judge by, and to leave for tests"
        )
    if not 1 <= n_folds <= len(present):
        raise SettingsError(f"--folds is {n_folds}; wanted 1 to {len(present)}, the folds of speakers")
    return tuple(_plan_fold(clips, present, round(i * len(present) / n_folds)) for i in range(n_folds))


def _plan_fold(clips: Sequence[Clip], folds: Sequence[Sequence[str]], index: int) -> Fold:
    outer = splits.split_by_fold(clips, folds, index)
    after = [folds[(index + step) % len(folds)] for step in range(2, len(folds))]
    speakers = sorted({clips[i].speaker for i in outer.train})
    # A whole fold stops, as in the protocol, unless that leaves nobody to train.
    stopping = set(after[0]) if len(after) > 1 else set(speakers[len(speakers) // 2 :])
    stops = np.asarray([clips[i].speaker in stopping for i in outer.train], dtype=np.bool_)
    nothing = np.zeros(0, dtype=np.int64)
    fold = Fold(index + 1, Split(outer.train[~stops], outer.train[stops], nothing), outer.inner)
    if not len(fold.split.train) or not len(fold.split.inner):
        raise CorpusError(
            f"fold {fold.number} leaves {len(fold.split.train)} clips to train and {len(fold.split.inner)} "
            "to stop by; wanted some of several speakers in each"
        )
    used = np.concatenate((fold.split.train, fold.split.inner, fold.judged))
    assert not np.isin(outer.test, used).any(), "no clip of a test part may be looked at"
    assert len(np.unique(used)) == len(used), "no clip may be used twice"
    return fold
