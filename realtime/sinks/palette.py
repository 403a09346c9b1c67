"""The colour and the emoji of each emotion, and the colour of each state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from realtime.types import State


@dataclass(frozen=True, slots=True)
class Look:
    """How an emotion is shown.

    Parameters
    ----------
    colour
        As `#rrggbb`; each can be read on black and on white.
    emoji
        One character, two cells wide in a terminal.
    """

    colour: str
    emoji: str


EMOTIONS: Final[dict[str, Look]] = {
    "neutral": Look("#8a8f98", "😐"),
    "calm": Look("#2a9d8f", "😌"),
    "happy": Look("#d4a000", "😄"),
    "sad": Look("#4a78d0", "😢"),
    "angry": Look("#d9383a", "😠"),
    "fearful": Look("#9b5de5", "😨"),
    "disgust": Look("#6a994e", "🤢"),
    "surprised": Look("#e07a1f", "😲"),
    "unknown": Look("#8a8f98", "🤔"),
}
"""By label, `unknown` included."""

STATES: Final[dict[State, str]] = {
    State.STARTING: "#4a78d0",
    State.LISTENING: "#2a9d8f",
    State.SILENT: "#8a8f98",
    State.NO_SIGNAL: "#d9383a",
    State.CLIPPING: "#d4a000",
    State.RECOVERING: "#d9383a",
    State.STOPPED: "#d9383a",
}
"""By state: green listens, red is a fault."""


def look_of(label: str) -> Look:
    """Return how `label` is shown; a label of somebody's own model looks like `unknown`."""
    return EMOTIONS.get(label, EMOTIONS["unknown"])
