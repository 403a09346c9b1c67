"""Audio that does not come: how long it is waited for, and how much of it counts as lost."""

from __future__ import annotations

SILENT_AFTER_S = 2.0
"""Seconds without samples after which a live source counts as dead."""

FIRST_SAMPLES_WITHIN_S = 5.0
"""The same at the beginning: PortAudio over PulseAudio sometimes needs 2 s before it begins."""

LATE_S = 7.0
"""Seconds after which what a pipe did not give counts as lost: until then it may be held up on its way."""

POLL_S = 0.1
"""Longest wait in one go, in seconds: on Windows Ctrl-C is noticed in between only."""


class Outage:
    """Counts the samples that would have come while nothing does.

    Parameters
    ----------
    sample_rate
        Samples per second that count, in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._since_s: float | None = None
        self._is_counted = False

    @property
    def goes_on(self) -> bool:
        """Whether it has begun, and not ended."""
        return self._since_s is not None

    @property
    def is_counted(self) -> bool:
        """Whether samples of it were counted already."""
        return self.goes_on and self._is_counted

    def begin(self, since_s: float) -> None:
        """Count from a moment on, in seconds of the source's clock; one that goes on began before."""
        if self._since_s is None:
            self._since_s = since_s
            self._is_counted = False

    def count(self, until_s: float) -> int:
        """Return the samples that would have come since it was asked last; 0 where there is no outage."""
        if self._since_s is None:
            return 0
        n_lost = max(0, int((until_s - self._since_s) * self._sample_rate))
        # The rest of a sample counts next time.
        self._since_s += n_lost / self._sample_rate
        self._is_counted |= n_lost > 0
        return n_lost

    def end(self, until_s: float) -> int:
        """Return what `count` does, and count no more."""
        n_lost = self.count(until_s)
        self._since_s = None
        return n_lost
