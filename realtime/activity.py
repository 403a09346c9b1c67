"""Whether there is a voice to judge: speech against silence, noise, a dead input and a distorted one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from realtime.types import CLIPPED_FROM, SILENCE_DBFS, State

if TYPE_CHECKING:
    from realtime.features import FeatureSpec
    from realtime.types import BoolArray, FloatArray

HARMONIC_FROM = 0.75
"""Frames of this harmonicity and more are taken for voiced."""
VOICED_SHARE = 0.1
"""Share of a window's frames that must be voiced: 0.3 s of 3 s."""
VOICE_WITHIN_DB = 30.0
"""A voice begins and ends where it is this much softer than where it is loud: what is below is the room."""
STEADY_WITHIN_DB = 2.5
"""A window whose level varies by no more than this (standard deviation) is hum, a tone or an engine."""
LOUDEST_SHARE = 0.05
"""The loudest frames of a window, so many of it, count as no louder than the next: claps are short."""
CLIPPED_SHARE = 0.005
"""A window with more clipped samples than this is distorted."""


def hears_voice(
    voice_rms: npt.NDArray[np.float64], harmonicity: npt.NDArray[np.float64], spec: FeatureSpec
) -> bool:
    """Tell whether a window holds a voice; takes what `find_voice` does."""
    return find_voice(voice_rms, harmonicity, spec) is not None


def find_voice(
    voice_rms: npt.NDArray[np.float64], harmonicity: npt.NDArray[np.float64], spec: FeatureSpec
) -> tuple[int, int] | None:
    """Return a voice's first frame in a window, and the one after its last; None where there is no voice.

    Parameters
    ----------
    voice_rms, harmonicity : np.ndarray [shape=(n_frames,)]
        Of the window's frames, as `realtime.features.FeatureWindow` has them.
    spec
        A model's: it says how soft a voice it can judge, and how much may drown it.

    Notes
    -----
    A voice is harmonic for a while, what is harmonic is what is loud, and it rises and falls. This turns
    away silence, hiss, rain, wind, clatter, hum and steady tones; it lets pass what is harmonic and rises
    and falls too: some engines, animals' calls, music. A clap that is louder than the voice hides none.

    Where the voice begins and ends, two frames in a row are voiced: of noise, one is now and then.
    """
    audible = 10 ** (spec.audible_above_dbfs / 20)
    voiced = (harmonicity >= HARMONIC_FROM) & (voice_rms >= audible)
    # Silence without a trace of noise was put there: behind a recording's end, or by a gate.
    sounds = voice_rms > 10 ** (SILENCE_DBFS / 20)
    if np.count_nonzero(voiced) < VOICED_SHARE * len(voice_rms) or not sounds.any():
        return None
    # What np.quantile returns, in a tenth of its time: this runs with every hop.
    ranked = np.sort(voice_rms[sounds])
    loud = np.interp((1 - LOUDEST_SHARE) * (len(ranked) - 1), np.arange(len(ranked)), ranked)
    rms = np.minimum(voice_rms, loud)
    energy = rms**2
    if not (
        # In clatter over a faint hum it does not.
        energy[voiced].sum() >= spec.harmonic_energy * energy.sum()
        and (20 * np.log10(rms[sounds])).std() > STEADY_WITHIN_DB
    ):
        return None
    clear = voiced & (voice_rms >= loud * 10 ** (-VOICE_WITHIN_DB / 20))
    pairs = np.flatnonzero(clear[:-1] & clear[1:])
    if len(pairs):
        return int(pairs[0]), int(pairs[-1]) + 2
    frames = np.flatnonzero(voiced)
    return int(frames[0]), int(frames[-1]) + 1


@dataclass(frozen=True, slots=True)
class Signal:
    """What the samples of a window say of the input.

    Parameters
    ----------
    level_dbfs
        Root mean square, in dB relative to full scale; `SILENCE_DBFS` at the least.
    constant
        All samples have one value: nothing is connected, or it is switched off.
    clipped
        Share of the samples at full scale, in any channel where there were several.
    """

    level_dbfs: float
    constant: bool
    clipped: float


class SignalMeter:
    """Level, deadness and clipping of the newest samples, whatever the chunks.

    Parameters
    ----------
    length
        Number of samples that count; a multiple of `block`.
    block
        Number of samples that are measured together.
    """

    def __init__(self, length: int, block: int) -> None:
        self._block = block
        self._n_blocks = length // block
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._pending = np.empty(0, dtype=np.float32)
        self._pending_clipped = np.empty(0, dtype=np.bool_)
        # Per block: lowest and highest sample, sum of squares, number of clipped samples.
        self._measures = np.empty((0, 4))

    def push(self, samples: FloatArray, clipped: BoolArray | None = None) -> None:
        """Take samples [shape=(n,)], any number, and which of them are clipped, as a `Chunk` has it."""
        if clipped is None:
            clipped = np.abs(samples) >= CLIPPED_FROM
        if len(self._pending):
            samples = np.concatenate((self._pending, samples))
            clipped = np.concatenate((self._pending_clipped, clipped))
        n_whole = len(samples) // self._block * self._block
        self._pending = samples[n_whole:].copy()
        self._pending_clipped = clipped[n_whole:].copy()
        if n_whole:
            blocks = samples[:n_whole].reshape(-1, self._block)
            wide = blocks.astype(np.float64)
            measures = np.stack(
                (
                    blocks.min(axis=1),
                    blocks.max(axis=1),
                    np.einsum("ij,ij->i", wide, wide),
                    np.count_nonzero(clipped[:n_whole].reshape(blocks.shape), axis=1),
                ),
                axis=1,
            )
            self._measures = np.concatenate((self._measures, measures))[-self._n_blocks :]

    def read(self) -> Signal:
        """Return what the newest whole blocks say, up to `length` samples."""
        lowest, highest, squares, clipped = self._measures.T
        n_samples = max(1, len(self._measures)) * self._block
        power = squares.sum() / n_samples
        return Signal(
            level_dbfs=max(SILENCE_DBFS, 10 * math.log10(power)) if power > 0 else SILENCE_DBFS,
            constant=len(lowest) > 0 and lowest.min() == highest.max(),
            clipped=float(clipped.sum() / n_samples),
        )


def assess(signal: Signal, *, has_voice: bool) -> State:
    """Return the state that a window puts the stream in: dead, silent, clipping or listening.

    Parameters
    ----------
    signal
        What the window's samples say.
    has_voice
        Whether a voice is heard in it.
    """
    if signal.constant:
        return State.NO_SIGNAL
    if not has_voice:
        return State.SILENT
    return State.CLIPPING if signal.clipped > CLIPPED_SHARE else State.LISTENING
