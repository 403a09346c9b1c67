"""Arousal and valence: where the emotions lie between calm and excited, between unpleasant and pleasant.

They follow from the probabilities of the labels: the mean of the labels' own places, each weighed by its
probability. Arousal is what voices of different languages share most, and what is heard best.

References
----------
Russell, "A circumplex model of affect", Journal of Personality and Social Psychology 39(6), 1980.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from realtime.types import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence


class Affect(NamedTuple):
    """A place on both scales, each from -1 to 1."""

    arousal: float
    """From calm to excited."""
    valence: float
    """From unpleasant to pleasant."""


PLACES: Final = dict(
    zip(
        LABELS,
        (
            Affect(-0.2, 0.0),
            Affect(-0.6, 0.4),
            Affect(0.6, 0.8),
            Affect(-0.5, -0.7),
            Affect(0.8, -0.6),
            Affect(0.7, -0.7),
            Affect(0.2, -0.7),
            Affect(0.8, 0.2),
        ),
        strict=True,
    )
)
"""Of each label, as it lies on the circumplex, to a fifth or so: who draws it differs in no more."""

EXCITED: Final = frozenset({"happy", "angry", "fearful", "surprised"})
"""The labels of high arousal."""
QUIET: Final = frozenset({"neutral", "calm", "sad"})
"""Those of low arousal; disgust is in neither: it is voiced both ways."""


def affect(labels: Sequence[str], probabilities: Sequence[float]) -> Affect | None:
    """Return the mean place of labels; None where one has no place here.

    Parameters
    ----------
    labels
        The classes.
    probabilities
        Of each; they sum to 1.

    Examples
    --------
    >>> affect(("happy", "sad"), (1.0, 0.0))
    Affect(arousal=0.6, valence=0.8)
    """
    places = [PLACES[label] for label in labels if label in PLACES]
    if len(places) < len(labels):
        return None
    return Affect(
        sum(p * place.arousal for p, place in zip(probabilities, places, strict=True)),
        sum(p * place.valence for p, place in zip(probabilities, places, strict=True)),
    )
