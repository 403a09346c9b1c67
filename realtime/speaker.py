"""Whoever speaks: running statistics of a stream, which move from the corpus's to the speaker's own.

A model hears how a voice is used, and first of all whose it is: high or low, near the microphone or far
from it, in this room or that. What a speaker's windows have in common says little about an emotion, so a
model that was trained for it has the speaker's mean taken from its inputs. Before a stream begins, nobody
has spoken: the corpus's mean stands in, and weighs less and less. One voice moves more than another too, and
a loud room leaves less to move: where a model is made for it, inputs are divided by the speaker's deviation
as well, which starts from the corpus's in the same way.

A voice of a kind that the model never learnt may be given one label all the time, whatever it does. So labels
that the speaker was often given can be held back, and those that they seldom were can be brought forward:
what is told then is what differs from the speaker's usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.types import FloatArray


class Adaptation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast a model gets used to a speaker."""

    prior_s: float
    """Seconds of the corpus's mean that the speaker's own is blended with: after as many, half of each."""
    memory_s: float
    """Seconds after which what was heard fades, so that another speaker is got used to as well."""
    deviation: bool = False
    """Whether the speaker's deviation is taken out too, not the mean alone."""
    logit_adjustment: float = 0.0
    """How much of the logarithm of a label's usual probability is taken from its logit: 0 nothing, 1 all."""
    label_prior_s: float = 30.0
    """Seconds of all labels being equally likely that the speaker's usual probabilities are blended with."""


@dataclass(frozen=True, slots=True)
class Voice:
    """What was heard of a speaker.

    Parameters
    ----------
    moments : np.ndarray [shape=(2, n_selected), dtype=float32]
        Mean and mean square of the inputs of their windows.
    heard_s
        How much was heard, in seconds.
    usual : np.ndarray [shape=(n_labels,), dtype=float32]
        Mean probabilities of their windows, before adjustment; None where the model adjusts none.
    """

    moments: FloatArray
    heard_s: float
    usual: FloatArray | None = None


def blend_others(voices: Sequence[Voice | None]) -> list[Voice | None]:
    """Return for each recording of a speaker what was heard of them in the others.

    Parameters
    ----------
    voices
        What was heard in each, by one model; None where that is nothing.

    Returns
    -------
    list
        As many; None where the others hold nothing.
    """
    return [
        _blend([voice for other, voice in enumerate(voices) if other != place and voice is not None])
        for place in range(len(voices))
    ]


def _blend(voices: Sequence[Voice]) -> Voice | None:
    if not voices:
        return None
    seconds = [voice.heard_s for voice in voices]
    usual = [voice.usual for voice in voices if voice.usual is not None]
    return Voice(
        np.average([voice.moments for voice in voices], axis=0, weights=seconds).astype(np.float32),
        sum(seconds),
        np.average(usual, axis=0, weights=seconds).astype(np.float32) if usual else None,
    )


_LEAST_VARIANCE = 0.05
"""Of the corpus's: what hardly varies in a voice would be blown up."""


def measure_moments(inputs: FloatArray) -> FloatArray:
    """Return mean and mean square of a window's columns [shape=(2, n_selected), dtype=float32].

    Parameters
    ----------
    inputs : np.ndarray [shape=(n_selected,) or (n_frames, n_selected), dtype=float32]
        Of one window.
    """
    frames = np.atleast_2d(inputs)
    return np.stack((frames.mean(axis=0), np.square(frames).mean(axis=0)))


def blend(
    moments: FloatArray, share: FloatArray | np.float32, *, deviation: bool
) -> tuple[FloatArray, FloatArray | None]:
    """Return what is subtracted from a speaker's inputs, and what they are divided by, if by anything.

    Parameters
    ----------
    moments : np.ndarray [shape=(..., 2, n_selected), dtype=float32]
        Mean and mean square of what was heard of the speaker; the corpus's are 0 and 1.
    share : np.ndarray [shape=(..., 1), dtype=float32]
        What the speaker's weigh beside the corpus's: 0 to 1.
    deviation
        Whether there is something to divide by.

    Returns
    -------
    shift, scale : np.ndarray [shape=(..., n_selected), dtype=float32]
        `scale` is None without `deviation`.
    """
    mean, square = moments[..., 0, :], moments[..., 1, :]
    shift: FloatArray = share * mean
    if not deviation:
        return shift, None
    variance = share * np.maximum(square - mean**2, 0) + (1 - share)
    return shift, np.sqrt(np.maximum(variance, np.float32(_LEAST_VARIANCE)))


class Speaker:
    """Mean and deviation of a stream's inputs so far.

    Parameters
    ----------
    adaptation
        How fast it moves.
    voice
        Who speaks, where they were heard before; otherwise nobody knows.

    Examples
    --------
    >>> import numpy as np
    >>> speaker = Speaker(Adaptation(prior_s=3.0, memory_s=60.0))
    >>> speaker.hear(np.full((2, 1), 4.0, dtype=np.float32), 3.0).tolist()
    [[2.0], [2.0]]
    """

    def __init__(self, adaptation: Adaptation, voice: Voice | None = None) -> None:
        self._adaptation = adaptation
        self._known = voice
        self._moments: FloatArray = np.zeros((2, 0), dtype=np.float32)
        self._heard_s = 0.0
        self._usual: FloatArray | None = None
        self._judged_s = 0.0
        self.reset()

    def reset(self) -> None:
        """Forget what was heard: the next window is of whom it began with."""
        self._heard_s = 0.0
        self._usual, self._judged_s = None, 0.0
        voice = self._known
        if voice is None:
            return
        self.know(voice.moments, voice.heard_s)
        if voice.usual is not None:
            self.know_labels(voice.usual, voice.heard_s)

    @property
    def voice(self) -> Voice | None:
        """What was heard so far, as far as it is remembered; None while that is nothing."""
        return Voice(self._moments, self._heard_s, self._usual) if self._heard_s > 0 else None

    def know(self, moments: FloatArray, heard_s: float) -> None:
        """Begin with somebody who was heard before.

        Parameters
        ----------
        moments : np.ndarray [shape=(2, n_selected), dtype=float32]
            Mean and mean square of the inputs of their other windows.
        heard_s
            How much was heard of them, in seconds.
        """
        self._moments = moments.astype(np.float32)
        self._heard_s = min(heard_s, self._adaptation.memory_s)

    def hear(self, inputs: FloatArray, new_s: float) -> FloatArray:
        """Take in a window, and return it without what it shares with the speaker's others.

        Parameters
        ----------
        inputs : np.ndarray [shape=(n_selected,) or (n_frames, n_selected), dtype=float32]
            Of one window with a voice, selected and scaled: the corpus's mean is 0, its deviation 1.
        new_s
            How much of it was in no window before, in seconds.

        Returns
        -------
        np.ndarray [dtype=float32]
            Of the same shape.
        """
        own = measure_moments(inputs)
        # Once the memory is full, this is an exponential mean.
        heard_s = min(self._heard_s + new_s, self._adaptation.memory_s)
        if not self._heard_s:
            self._moments = own
        elif heard_s > 0:
            self._moments = self._moments + (own - self._moments) * np.float32(min(1.0, new_s / heard_s))
        self._heard_s = heard_s
        share = np.float32(heard_s / (self._adaptation.prior_s + heard_s))
        shift, scale = blend(self._moments, share, deviation=self._adaptation.deviation)
        moved = inputs - shift
        return np.asarray(moved if scale is None else moved / scale, dtype=np.float32)

    def know_labels(self, usual: FloatArray, judged_s: float) -> None:
        """Begin with somebody who was judged before.

        Parameters
        ----------
        usual : np.ndarray [shape=(n_labels,), dtype=float32]
            Mean probabilities of their other windows, before adjustment.
        judged_s
            How much of them was judged, in seconds.
        """
        self._usual = usual.astype(np.float32)
        self._judged_s = min(judged_s, self._adaptation.memory_s)

    def adjust(self, probabilities: FloatArray, new_s: float) -> FloatArray:
        """Take in what a window was judged as, and return it less what the speaker is usually judged as.

        While the probabilities stay the same, the likeliest label is never overturned, only told less surely.
        A window that is less sure than what is usual may be: then it tells of another label.

        Parameters
        ----------
        probabilities : np.ndarray [shape=(n_labels,), dtype=float32]
            Of one window.
        new_s
            How much of it was in no window before, in seconds.

        Returns
        -------
        np.ndarray [shape=(n_labels,), dtype=float32]
            Probabilities.

        References
        ----------
        Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, arXiv:2007.07314: there by the
        training set's frequencies, here by the speaker's.
        """
        if not self._adaptation.logit_adjustment:
            return probabilities
        # What was heard before, without the window itself, so that a stream's first window stays as it is.
        usual, share = self._usual, self._judged_s / (self._adaptation.label_prior_s + self._judged_s)
        self._judged_s = min(self._judged_s + new_s, self._adaptation.memory_s)
        if self._usual is None:
            self._usual = probabilities.astype(np.float32)
        elif self._judged_s > 0:
            step = np.float32(min(1.0, new_s / self._judged_s))
            self._usual = self._usual + (probabilities - self._usual) * step
        if usual is None or not share:
            return probabilities
        blended = np.float32(share) * usual + np.float32((1 - share) / len(usual))
        held = probabilities * blended ** np.float32(-self._adaptation.logit_adjustment)
        return np.asarray(held / held.sum(), dtype=np.float32)
