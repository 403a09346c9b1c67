"""What all loaded models have in common, whatever runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from realtime.types import Judgement

if TYPE_CHECKING:
    from realtime.artifact import Artifact
    from realtime.features import FeatureSpec
    from realtime.speaker import Adaptation, Speaker
    from realtime.types import FloatArray, Smoothing


SMALLEST = np.float32(1e-12)
"""What probabilities are raised to before their logarithm."""


class LoadedModel(ABC):
    """Judges feature windows with an artifact's model.

    Parameters
    ----------
    source
        A model that `realtime.artifact.read` has checked.
    """

    def __init__(self, source: Artifact) -> None:
        self.artifact = source

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.artifact.card.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""
        return tuple(self.artifact.card.labels)

    @property
    def spec(self) -> FeatureSpec:
        """The features that it judges."""
        return self.artifact.spec

    @property
    def window(self) -> int:
        """Length of a window, in samples."""
        return self.artifact.card.window

    @property
    def hop(self) -> int:
        """Default step between windows, in samples."""
        return self.artifact.card.hop

    @property
    def smoothing(self) -> Smoothing:
        """Default smoothing."""
        return self.artifact.card.smoothing

    @property
    def adaptation(self) -> Adaptation | None:
        """How it gets used to a speaker, if it does."""
        return self.artifact.card.adaptation

    def predict(
        self, features: FloatArray, speaker: Speaker | None = None, *, new_s: float = 0.0
    ) -> FloatArray:
        """Return the probability of each label [shape=(n_labels,), dtype=float32]; see `judge`."""
        return self.judge(features, speaker, new_s=new_s).probabilities

    def judge(self, features: FloatArray, speaker: Speaker | None = None, *, new_s: float = 0.0) -> Judgement:
        """Return what the model says of a window.

        Parameters
        ----------
        features : np.ndarray [shape=(n_features,) or (n_frames, n_features), dtype=float32]
            Of one window, as `realtime.features.WindowExtractor` gives them.
        speaker
            Whose window it is: it is judged by what was heard of them, and heard itself; nobody in
            particular by default.
        new_s
            How much of the window that speaker's windows before it did not hold, in seconds.
        """
        inputs = self.artifact.preprocessing(features)
        if speaker is not None:
            inputs = speaker.hear(inputs, new_s)
        card = self.artifact.card
        raw = self._run(inputs[np.newaxis])[0]
        # The intensity's place is behind the labels.
        intensity = min(1.0, max(0.0, float(raw[-1]))) if card.intensity else None
        probabilities = temper(raw[: len(card.labels)], card.temperature)
        if speaker is not None:
            probabilities = speaker.adjust(probabilities, new_s)
        return Judgement(probabilities, intensity)

    @abstractmethod
    def _run(self, row: FloatArray) -> FloatArray:
        """Return what the model gives for one input [shape=(1, ...)]: untempered probabilities, one row."""


def temper(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Return probabilities as if the logits had been divided by a temperature before the softmax.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(..., n_labels), dtype=float32]
        Of one window, or of several.
    temperature
        1 leaves them as they are; above, they grow less sure.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017.
    """
    # Softmax undone up to a constant, which the next softmax cancels; quantised outputs may be zero.
    logits = np.log(np.maximum(probabilities, SMALLEST)) / np.float32(temperature)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)
