"""Several trainings of one recipe as one model, which asks all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from realtime.errors import TrainingError
from realtime.loaded import temper
from training.fit import fit_temperature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.fit import Examples, Fitted
    from training.splits import Split


def join(found: Sequence[Fitted], examples: Examples, split: Split) -> Fitted:
    """Return trained models as one, whose answer is the mean of theirs, with a temperature of its own.

    Parameters
    ----------
    found
        The models, of one recipe and one split, but other seeds.
    examples, split
        What they were trained on.

    Raises
    ------
    TrainingError
        Where they do not see their inputs alike: they stand behind one scaler.
    """
    first = found[0]
    for other in found[1:]:
        for name in ("selected", "mean", "scale"):
            if not np.array_equal(getattr(first.preprocessing, name), getattr(other.preprocessing, name)):
                raise TrainingError(
                    f"two trainings of one recipe scale or select features by another {name}; wanted the "
                    "same: leave selection and balance out of the recipe, or model.trainings"
                )
    clip = examples.windows.clip[examples.windows.rows(split.inner, copies=False)]
    # As the networks gave them: each was sure of itself in its own way.
    raw = np.mean([temper(one.inner_probabilities, 1 / one.temperature) for one in found], axis=0)
    temperature = fit_temperature(raw * examples.known[clip], examples.labels[clip])
    return replace(
        first,
        weights=tuple(weight for one in found for weight in one.weights),
        temperature=temperature,
        inner_probabilities=temper(raw.astype(np.float32), temperature),
    )
