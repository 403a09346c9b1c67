"""What a server counts, for Prometheus; each server has its own registry."""

from __future__ import annotations

from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of what `Metrics.render` returns."""

# From a hop's last sample to its prediction; half a second is a hop, and then it falls behind.
_LATENCY_BUCKETS_S: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """Counters and gauges of one server; may be used from any thread.

    Parameters
    ----------
    version
        Version of Tonewatch.
    """

    def __init__(self, version: str = "unknown") -> None:
        # Takes a tenth of a second, which only those who serve should spend.
        from prometheus_client import (  # noqa: PLC0415
            CollectorRegistry,
            Counter,
            Gauge,
            Histogram,
            Info,
            ProcessCollector,
        )

        registry = self._registry = CollectorRegistry()
        # Memory, CPU time and open files, on Linux.
        ProcessCollector(registry=registry)
        Info("tonewatch", "What runs.", registry=registry).info({"version": version})
        self._latency = Histogram(
            "tonewatch_prediction_latency_seconds",
            "From a window's last sample to its prediction; its count is that of predictions.",
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._dropped_samples = Counter(
            "tonewatch_dropped_samples", "Samples that no prediction has heard.", registry=registry
        )
        self._dropped_messages = Counter(
            "tonewatch_dropped_messages", "Messages that slow subscribers lost.", registry=registry
        )
        self._subscribers = Gauge("tonewatch_subscribers", "Subscribers now.", registry=registry)
        self._senders = Gauge("tonewatch_senders", "Senders now.", registry=registry)
        self._refused = Counter(
            "tonewatch_refused", "Sessions and requests turned away.", ["reason"], registry=registry
        )
        self._rate_limited = Counter(
            "tonewatch_rate_limited", "Times that a sender was told that it is too fast.", registry=registry
        )
        self._audio = Counter("tonewatch_audio_seconds", "Audio taken from senders.", registry=registry)

    def prediction(self, latency_s: float) -> None:
        """Count a prediction that came `latency_s` seconds after its window's last sample."""
        self._latency.observe(latency_s)

    def dropped_samples(self, n: int) -> None:
        """Count `n` samples that were lost."""
        self._dropped_samples.inc(n)

    def dropped_messages(self, n: int) -> None:
        """Count `n` messages that a slow subscriber lost."""
        self._dropped_messages.inc(n)

    def subscribers(self, n: int) -> None:
        """Note that there are `n` subscribers now."""
        self._subscribers.set(n)

    def senders(self, n: int) -> None:
        """Note that there are `n` senders now."""
        self._senders.set(n)

    def refused(self, reason: str) -> None:
        """Count a session or a request turned away; `reason` is one of a few fixed words."""
        self._refused.labels(reason).inc()

    def rate_limited(self) -> None:
        """Count a sender that was told that it is too fast."""
        self._rate_limited.inc()

    def audio_s(self, seconds: float) -> None:
        """Count `seconds` of audio that a sender sent."""
        self._audio.inc(seconds)

    def render(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        from prometheus_client import generate_latest  # noqa: PLC0415 - imported by the constructor

        return generate_latest(self._registry)
