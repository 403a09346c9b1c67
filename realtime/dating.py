"""When a live stream was heard: the date of its first sample, by when its samples come."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime.types import Chunk

DRIFT_S: Final = 2.0
"""Samples may come so much earlier or later than they are dated, in seconds: pipes and networks do."""
SPAN_S: Final = 10.0
"""Samples that come late for so long are dated anew: something was not counted. In seconds."""
_FASTEST: Final = 1.5


class Dating:
    """Tells, with each chunk of what is live, when the stream's first sample was heard.

    The first samples to come say so: the last of them is heard as they come. It stays so, unless the system's
    clock is set, or samples keep coming at other times than they are dated for: after a pause that nobody
    counted, or because two clocks are never equally fast. Of what comes within a while the earliest says how
    late the samples are: the others were held up on their way. Nothing is heard before its date: where what
    was counted as lost comes all the same, later than anybody waited for it, all is dated anew at once. What
    comes much faster than time passes is a recording, whose samples are not heard when they come.

    Parameters
    ----------
    sample_rate
        Samples per second of the chunks, in Hz.
    now
        Returns the date, with its time zone.
    clock
        Monotonic time in seconds.
    started
        Date that the stream has already, where somebody was told it; it stays until it is found to be wrong.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        started: datetime | None = None,
    ) -> None:
        self._sample_rate = sample_rate
        self._now = now
        self._clock = clock
        self._n_samples = 0
        self._lost_s = 0.0
        self._started = started
        # By the clock: when the first sample was heard; and when at the earliest, by what came in this span.
        self._zero_s = math.nan
        self._earliest_s = math.inf
        self._span_s = 0.0
        self._n_before = 0

    def date(self, chunk: Chunk) -> Chunk:
        """Return the next chunk, with the date; as it is, where nothing came yet."""
        self._n_samples += chunk.dropped + len(chunk.samples)
        self._lost_s += chunk.dropped / self._sample_rate
        if not self._n_samples:
            return chunk
        now_s = self._clock()
        # That nothing comes does not say how late it is.
        if chunk.dropped or len(chunk.samples):
            self._weigh(chunk, now_s)
        started = self._now() - timedelta(seconds=now_s - self._zero_s)
        # Not for less: dates that differ by milliseconds would look like those of other streams.
        if self._started is None or abs((started - self._started).total_seconds()) > DRIFT_S:
            self._started = started
        return replace(chunk, started=self._started)

    def _weigh(self, chunk: Chunk, now_s: float) -> None:
        """Find out when the first sample was heard, by when a chunk comes."""
        # Its oldest sample waited; that it is as long as this is no delay.
        held_s = max(0.0, chunk.queued_s - len(chunk.samples) / self._sample_rate)
        zero_s = now_s - held_s - self._n_samples / self._sample_rate
        if math.isnan(self._zero_s):
            self._zero_s = zero_s
            self._begin_span(now_s)
        elif DRIFT_S < self._zero_s - zero_s <= self._lost_s:
            self._lost_s -= self._zero_s - zero_s
            self._zero_s = zero_s
        self._earliest_s = min(self._earliest_s, zero_s)
        passed_s = now_s - self._span_s
        if passed_s >= SPAN_S:
            came_s = (self._n_samples - self._n_before) / self._sample_rate
            if came_s <= _FASTEST * passed_s and abs(self._earliest_s - self._zero_s) > DRIFT_S:
                self._zero_s = self._earliest_s
            self._begin_span(now_s)

    def _begin_span(self, now_s: float) -> None:
        self._span_s, self._n_before = now_s, self._n_samples
        self._earliest_s = math.inf
