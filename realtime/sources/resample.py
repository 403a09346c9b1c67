"""One way to mix down and resample, for every source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from realtime.sources.downmix import Downmixer
from realtime.types import CLIPPED_FROM

if TYPE_CHECKING:
    from soxr import ResampleStream  # type: ignore[import-untyped]

    from realtime.types import BoolArray, FloatArray


class StreamResampler:
    """Turn a stream of any rate and number of channels into a mono stream at another rate.

    The output is bitwise the same however the input is cut into pushes: soxr's filter keeps its own
    blocks, and so does what makes channels one. Equal rates pass through unchanged, bit for bit.

    soxr's linear-phase filter (quality HQ) works in blocks, so output comes in bursts and lags behind the
    input: by 21 ms on average and at most 40 ms from 44.1 or 48 kHz, at most 60 ms from 16 or 32 kHz,
    80 ms from 96 kHz and 120 ms from 8 kHz. Samples do not shift: the first one out stands for the
    first one in. Equal rates have no lag.

    Parameters
    ----------
    from_rate, to_rate
        Samples per second of the input and of the output, in Hz.
    channels
        Number of channels of the input; the output is their mean, or the loudest where they cancel each
        other out, as `Downmixer` has it.

    Raises
    ------
    ValueError
        If a rate or `channels` is below 1.
    """

    def __init__(self, from_rate: int, to_rate: int, channels: int = 1) -> None:
        for name, value in (("from_rate", from_rate), ("to_rate", to_rate), ("channels", channels)):
            if value < 1:
                raise ValueError(f"{name} is {value}; wanted at least 1")
        self.from_rate = from_rate
        self.to_rate = to_rate
        self.channels = channels
        self._soxr: ResampleStream | None = None
        if from_rate != to_rate:
            import soxr  # noqa: PLC0415 - loaded when first needed

            self._soxr = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
        self._downmixer = Downmixer(from_rate, channels) if channels > 1 else None
        self._n_in = 0
        self._n_out = 0
        self._clipped: BoolArray | None = None
        # Which samples of the input are clipped, from the one that the next of the output stands for.
        self._clipped_in: BoolArray = np.zeros(0, dtype=np.bool_)
        self._n_told = 0

    @property
    def pending_s(self) -> float:
        """Seconds of input whose output has not come out yet."""
        return max(0.0, self._n_in / self.from_rate - self._n_out / self.to_rate)

    @property
    def clipped(self) -> BoolArray | None:
        """Which of the samples returned last were clipped in a channel [shape=(m,)]; None of one channel.

        The mean of channels does not tell any more. An output sample is clipped where the input sample is
        that it stands for, so that their share is the same at any rate.
        """
        return self._clipped

    def push(self, samples: FloatArray) -> FloatArray:
        """Take the next samples and return what can be said so far.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,) or (n, channels), dtype=float32]
            The next samples, any number of them.

        Returns
        -------
        np.ndarray [shape=(m,), dtype=float32]
            Mono, at `to_rate`; may be empty, and may share memory with `samples`.

        Raises
        ------
        ValueError
            If the samples have another number of channels.
        """
        mono = self._mix(samples)
        clipped = None if self._downmixer is None else (np.abs(samples) >= CLIPPED_FROM).any(axis=1)
        if self._soxr is None:
            self._clipped = clipped
            return mono
        if clipped is not None:
            self._clipped_in = np.concatenate((self._clipped_in, clipped))
        self._n_in += len(mono)
        return self._resample(mono)

    def finish(self) -> FloatArray:
        """Return the rest of the output and begin anew: what comes next is not blended with it.

        Where channels cancel each other out, which one is listened to stays known. In all, `n` samples of
        input give `n * to_rate / from_rate` of output, to within one.

        Returns
        -------
        np.ndarray [shape=(m,), dtype=float32]
            Mono, at `to_rate`; may be empty.
        """
        tail: FloatArray = np.zeros(0, dtype=np.float32)
        if self._n_in:
            tail = self._resample(tail, last=True)
        clipped = None if self._clipped is None else self._clipped[: len(tail)]
        self._begin_anew()
        if self._downmixer is not None:
            self._downmixer.begin_anew()
        self._clipped = clipped
        return tail

    def reset(self) -> None:
        """Forget everything pushed so far."""
        self._begin_anew()
        if self._downmixer is not None:
            self._downmixer.reset()

    def _begin_anew(self) -> None:
        if self._soxr is not None:
            self._soxr.clear()
        self._n_in = self._n_out = self._n_told = 0
        self._clipped = None
        self._clipped_in = self._clipped_in[:0]

    def _mix(self, samples: FloatArray) -> FloatArray:
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        if channels != self.channels:
            raise ValueError(f"samples have {channels} channels; wanted {self.channels}")
        if samples.ndim == 1:
            return np.ascontiguousarray(samples, dtype=np.float32)
        if self._downmixer is None:
            return np.array(samples[:, 0], dtype=np.float32)
        return self._downmixer.push(samples)

    def _resample(self, mono: FloatArray, *, last: bool = False) -> FloatArray:
        assert self._soxr is not None
        output: FloatArray = self._soxr.resample_chunk(mono, last=last)
        self._n_out += len(output)
        if self._downmixer is not None:
            self._clipped = self._take_clipped(len(output))
        return output

    def _take_clipped(self, n_samples: int) -> BoolArray:
        """Return which of the newest `n_samples` of the output are clipped, and forget what was before."""
        indices = np.arange(self._n_out - n_samples, self._n_out) * self.from_rate // self.to_rate
        # All of the input may be one sample shorter than all of the output.
        last = max(0, self._n_in - 1)
        clipped: BoolArray = self._clipped_in[np.minimum(indices, last) - self._n_told]
        n_done = min(self._n_out * self.from_rate // self.to_rate, last) - self._n_told
        self._clipped_in = self._clipped_in[n_done:]
        self._n_told += n_done
        return clipped
