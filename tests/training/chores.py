"""What tests have other processes do: in a module of its own, since those import it by its name."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import joblib

from realtime.errors import CorpusError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SEEN: list[Large] = []
"""Every `Large` that this process was given, kept, so that no two are at the same place."""

MEETING = threading.Barrier(2)


@dataclass(frozen=True, slots=True)
class Large:
    """Something that is best moved once."""

    array: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Chore:
    """A number, and what all chores share."""

    large: Large
    number: int
    folder: Path = Path()


def add(chore: Chore) -> float:
    return float(chore.large.array[0]) + chore.number


def tell_how_it_came(chore: Chore) -> tuple[int, str, int]:
    """Return the process, the type of the array, and how many different ones have come to the process."""
    SEEN.append(chore.large)
    return os.getpid(), type(chore.large.array).__name__, len({id(large) for large in SEEN})


def refuse_three(chore: Chore) -> int:
    if chore.number == 3:
        raise CorpusError("three is not wanted")
    return chore.number


def divide_by_zero(_: Chore) -> float:
    return 1 / 0


def die_once(chore: Chore) -> int:
    """Kill the process that does number 2 for the first time."""
    killed = chore.folder / "killed"
    if chore.number == 2 and not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return chore.number


def die(_: Chore) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def take_long(chore: Chore) -> int:
    """Leave a file that tells that it was begun."""
    (chore.folder / f"begun-{chore.number}").touch()
    time.sleep(0 if chore.number == 0 else 600)
    return chore.number


def count_cores(_: Chore) -> int:
    """Return on how many cores scikit-learn would work, where it is asked to use all."""
    return int(joblib.effective_n_jobs(-1))


def meet_another(_: Chore) -> bool:
    """Return whether another chore is done in this process at the same time."""
    try:
        MEETING.wait(0.1)
    except threading.BrokenBarrierError:
        MEETING.reset()
        return False
    return True
