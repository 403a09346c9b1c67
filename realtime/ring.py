"""A bounded buffer between the audio callback, which must never wait, and the loop, which may be late."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime.types import FloatArray


@dataclass(frozen=True, slots=True)
class RingRead:
    """What one read took out of the ring.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,) or (n, channels), dtype=float32]
        A copy, in the order of arrival; `n` is 0 if nothing arrived in time.
    dropped
        Samples (per channel) that were lost right before `samples`.
    waited_s
        How long the oldest of `samples` lay in the ring, in seconds.
    """

    samples: FloatArray
    dropped: int
    waited_s: float


@dataclass(slots=True)
class _Block:
    """Samples of one write that are still in the ring."""

    n_samples: int
    dropped_before: int
    arrived_s: float


class RingBuffer:
    """Bounded first-in, first-out buffer of samples, for one writing and one reading thread.

    When it is full the oldest samples make room, so that a reader who was held up goes on with what is
    said now. They are counted, and so is what the writer reports as lost. Each count stands at its
    exact place: every sample is either read, in order, or is part of `RingRead.dropped` of the read that
    starts right after it.

    Parameters
    ----------
    capacity
        The most samples (per channel) that it holds.
    channels
        Shape of the samples: (n, channels), or (n,) if None.
    clock
        Monotonic time in seconds.

    Raises
    ------
    ValueError
        If `capacity` or `channels` is below 1.
    """

    def __init__(
        self, capacity: int, channels: int | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; wanted at least 1")
        if channels is not None and channels < 1:
            raise ValueError(f"channels is {channels}; wanted at least 1, or None")
        shape = (capacity,) if channels is None else (capacity, channels)
        self._samples: FloatArray = np.zeros(shape, dtype=np.float32)
        self._oldest = 0
        self._length = 0
        self._blocks: deque[_Block] = deque()
        self._closed = False
        self._clock = clock
        self._changed = threading.Condition()

    @property
    def capacity(self) -> int:
        """The most samples (per channel) that the ring holds."""
        return len(self._samples)

    def __len__(self) -> int:
        """Return the samples (per channel) that wait to be read."""
        with self._changed:
            return self._length

    def write(self, samples: FloatArray, *, lost: int = 0) -> int:
        """Copy samples in; where they do not fit, the oldest make room.

        Never waits for the reader: the lock is held for the time of a copy.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,) or (n, channels), dtype=float32]
            The newest samples.
        lost
            Samples (per channel) that the caller knows to be missing right before these.

        Returns
        -------
        int
            Samples (per channel) that were dropped to make room, `lost` not included.

        Raises
        ------
        ValueError
            If the shape does not fit the ring.
        """
        if samples.ndim != self._samples.ndim or samples.shape[1:] != self._samples.shape[1:]:
            wanted = ("n", *self._samples.shape[1:])
            raise ValueError(f"samples have the shape {samples.shape}; wanted {wanted}")
        kept = samples[-self.capacity :]
        n_too_many = len(samples) - len(kept)
        now_s = self._clock()
        with self._changed:
            n_overwritten = max(0, self._length + len(kept) - self.capacity)
            lost += n_too_many + self._discard(n_overwritten)
            if self._blocks and not self._blocks[-1].n_samples:
                lost += self._blocks.pop().dropped_before
            if len(kept) or lost:
                self._copy_in(kept)
                self._blocks.append(_Block(len(kept), lost, now_s))
                self._changed.notify()
        return n_overwritten + n_too_many

    def read(self, timeout_s: float) -> RingRead:
        """Take all samples up to the next gap, waiting for some to arrive.

        Parameters
        ----------
        timeout_s
            Longest wait in seconds, after which the result is empty.

        Returns
        -------
        RingRead
            Empty, too, if the ring was closed and everything has been read.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._closed, timeout_s)
            if not self._blocks:
                return RingRead(self._copy_out(0), 0, 0.0)
            first = self._blocks.popleft()
            n_samples = first.n_samples
            while self._blocks and not self._blocks[0].dropped_before:
                n_samples += self._blocks.popleft().n_samples
            samples = self._copy_out(n_samples)
        return RingRead(samples, first.dropped_before, max(0.0, self._clock() - first.arrived_s))

    def close(self) -> None:
        """Wake a waiting reader; what is in the ring can still be read."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _discard(self, n_samples: int) -> int:
        """Remove the oldest samples; return the count of a gap that no block is left to carry."""
        self._oldest = (self._oldest + n_samples) % self.capacity
        self._length -= n_samples
        gap = 0
        while n_samples:
            block = self._blocks[0]
            n_cut = min(n_samples, block.n_samples)
            n_samples -= n_cut
            block.n_samples -= n_cut
            block.dropped_before += n_cut + gap
            gap = 0
            if not block.n_samples:
                gap = self._blocks.popleft().dropped_before
        if gap and self._blocks:
            self._blocks[0].dropped_before += gap
            gap = 0
        return gap

    def _copy_in(self, samples: FloatArray) -> None:
        start = (self._oldest + self._length) % self.capacity
        n_before_wrap = min(len(samples), self.capacity - start)
        self._samples[start : start + n_before_wrap] = samples[:n_before_wrap]
        self._samples[: len(samples) - n_before_wrap] = samples[n_before_wrap:]
        self._length += len(samples)

    def _copy_out(self, n_samples: int) -> FloatArray:
        end = self._oldest + n_samples
        # Joining always copies, so the result is the reader's own.
        samples: FloatArray = np.concatenate(
            (self._samples[self._oldest : end], self._samples[: max(0, end - self.capacity)])
        )
        self._oldest = end % self.capacity
        self._length -= n_samples
        return samples
