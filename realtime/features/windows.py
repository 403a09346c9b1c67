"""Windows of features from a stream of samples: what a model sees, when it falls due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from realtime.errors import FeatureError
from realtime.features.extractor import FrameExtractor
from realtime.features.pooling import Pooling

if TYPE_CHECKING:
    from realtime.features.filterbanks import Array
    from realtime.features.spec import FeatureSpec

_LARGEST_BLOCK = 32
"""Frames in a block at most: more would cost cache, fewer would cost calls."""


@dataclass(frozen=True, slots=True)
class FeatureWindow:
    """The features of one window.

    Parameters
    ----------
    start, end
        First sample and the one after the last, counted from the last `reset`.
    features : np.ndarray [dtype=float32]
        Shape (n_values,) where the specification pools, else (n_frames, n_columns).
    voice_rms : np.ndarray [shape=(n_frames,)]
        Root mean square of each frame, full scale 1, without what lies below any voice: offset, hum, rumble.
    harmonicity : np.ndarray [shape=(n_frames,)]
        Of each frame, 0 to 1.
    """

    start: int
    end: int
    features: npt.NDArray[np.float32]
    voice_rms: Array
    harmonicity: Array


class WindowExtractor:
    """Turns samples into windows: every due window, in order, bitwise the same for any chunking.

    Window `k` holds the samples from ``k * hop`` to ``k * hop + window``, and falls due with its last
    sample. A new window costs its new frames and one pooling pass.

    Parameters
    ----------
    spec
        What to compute.
    window, hop
        Length of a window and the step to the next, in samples; whole numbers of frame hops.

    Raises
    ------
    FeatureError
        Where these are no whole numbers of frames, or the window is too short for a single one.
    """

    def __init__(self, spec: FeatureSpec, *, window: int, hop: int) -> None:
        for name, length in (("window", window), ("hop", hop)):
            if length < 1 or length % spec.frame_hop:
                raise FeatureError(
                    f"{name} is {length} samples ({length / spec.sample_rate:g} s); wanted a multiple of "
                    f"the frame hop, {spec.frame_hop} samples ({spec.frame_hop / spec.sample_rate:g} s)"
                )
        self.n_frames = spec.n_frames(window)
        if self.n_frames < 1:
            raise FeatureError(
                f"window is {window} samples; wanted at least "
                f"{spec.frame_length + spec.look_ahead * spec.frame_hop}, for one frame and what it needs"
            )
        self.spec = spec
        self.window = window
        self.hop = hop
        self._hop_frames = hop // spec.frame_hop
        block = max(n for n in range(1, _LARGEST_BLOCK + 1) if self._hop_frames % n == 0)
        # Blocks end with the frames that make a window due, so that no window waits for later samples.
        first_block = (self.n_frames + spec.look_ahead) % block or block
        self._extractor = FrameExtractor(spec, block=block, first_block=first_block)
        self._pooling = Pooling(spec) if spec.output == "pooled" else None
        # Rows of the next window, with room for several hops, so that they are moved down seldom.
        self._rows = np.empty((4 * self.n_frames + 2 * block, self._extractor.n_columns))
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next sample is a stream's first."""
        self._extractor.reset()
        self._first_row = 0
        self._last_row = 0
        self._n_samples = 0
        self._n_windows = 0
        # Frames between windows that a hop longer than the window leaves unused.
        self._n_skip = 0

    @property
    def n_samples(self) -> int:
        """Number of samples since the last `reset`."""
        return self._n_samples

    @property
    def n_unseen(self) -> int:
        """Number of the newest samples that are in no window yet."""
        n_seen = (self._n_windows - 1) * self.hop + self.window if self._n_windows else 0
        return max(0, self._n_samples - n_seen)

    @property
    def n_until_due(self) -> int:
        """Number of samples that are still missing from the next window."""
        return self._n_windows * self.hop + self.window - self._n_samples

    def push(self, samples: npt.NDArray[np.floating[Any]]) -> list[FeatureWindow]:
        """Return the windows that these samples make due, in order.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,)]
            Any number of samples.
        """
        due = []
        while len(samples):
            # One window at a time: rows are kept for one window, however long the chunk is.
            taken = samples[: max(1, self.n_until_due)]
            samples = samples[len(taken) :]
            self._n_samples += len(taken)
            self._keep(self._extractor.push(taken))
            while self._last_row - self._first_row >= self.n_frames and self.n_until_due <= 0:
                due.append(self._next_window())
        return due

    def finish(self) -> list[FeatureWindow]:
        """Return the windows that hold a stream's last samples, filled up with silence behind them.

        So every sample of a recording is in a window, also of one shorter than a window. Afterwards only
        `reset` makes sense.
        """
        n_missing = self.n_until_due
        return self.push(np.zeros(n_missing, dtype=np.float32)) if self.n_unseen else []

    def _keep(self, rows: Array) -> None:
        rows = rows[self._skip(len(rows)) :]
        if self._last_row + len(rows) > len(self._rows):
            n_kept = self._last_row - self._first_row
            self._rows[:n_kept] = self._rows[self._first_row : self._last_row].copy()
            self._first_row, self._last_row = 0, n_kept
        self._rows[self._last_row : self._last_row + len(rows)] = rows
        self._last_row += len(rows)

    def _skip(self, n_rows: int) -> int:
        """Return how many of the next rows lie between two windows, and count them off."""
        n_skipped = min(self._n_skip, n_rows)
        self._n_skip -= n_skipped
        return n_skipped

    def _next_window(self) -> FeatureWindow:
        rows = self._rows[self._first_row : self._first_row + self.n_frames]
        n_columns = self.spec.n_columns
        voice_rms = rows[:, self._extractor.voice_rms_column]
        harmonicity = rows[:, self._extractor.harmonicity_column]
        if self._pooling is None:
            features = rows[:, :n_columns].astype(np.float32)
        else:
            with np.errstate(divide="ignore"):
                level_dbfs = 20 * np.log10(rows[:, self._extractor.rms_column])
            masks = {
                "voiced": harmonicity >= self.spec.voiced_above,
                "speech": level_dbfs >= self.spec.speech_above_dbfs,
            }
            features = self._pooling(rows[:, :n_columns], masks)
        start = self._n_windows * self.hop
        self._n_windows += 1
        n_held = self._last_row - self._first_row
        self._n_skip = max(0, self._hop_frames - n_held)
        self._first_row += self._hop_frames - self._n_skip
        return FeatureWindow(start, start + self.window, features, voice_rms.copy(), harmonicity.copy())
