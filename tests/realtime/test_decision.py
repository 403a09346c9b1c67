"""Smoothing, abstaining and segments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from realtime.decision import SegmentTracker, Smoother, decide
from realtime.errors import SettingsError
from realtime.types import FloatArray, Smoothing, Stream

LABELS = ("neutral", "happy", "sad")
STREAM = Stream("s", "m", LABELS, 16_000, 48_000, 8_000, datetime(2026, 1, 1, tzinfo=UTC))


def rows(*values: tuple[float, float, float]) -> list[FloatArray]:
    return [np.array(value, dtype=np.float32) for value in values]


def test_exponential_smoothing_forgets() -> None:
    smoother = Smoother(Smoothing(alpha=0.25), 3)
    first, second = rows((1, 0, 0), (0, 1, 0))
    assert smoother.push(first).tolist() == [1, 0, 0]
    assert smoother.push(second).tolist() == [0.75, 0.25, 0]
    assert smoother.push(second).tolist() == pytest.approx([0.5625, 0.4375, 0])
    smoother.reset()
    assert smoother.push(second).tolist() == [0, 1, 0]


def test_majority_takes_the_label_most_windows_chose() -> None:
    smoother = Smoother(Smoothing(method="majority", n=3), 3)
    a, b, c, d = rows((0.5, 0.3, 0.2), (0.0, 0.9, 0.1), (0.6, 0.4, 0.0), (0.1, 0.2, 0.7))
    assert smoother.push(a).argmax() == 0
    assert smoother.push(b).argmax() == 1, "a tie goes to the newest"
    # Two windows of three say neutral, though the mean says happy.
    assert smoother.push(c).tolist() == pytest.approx([0.55, 0.35, 0.1])
    assert smoother.push(d).argmax() == 2, "the first window is forgotten: a tie of three"


def test_none_passes_through() -> None:
    (row,) = rows((0.2, 0.5, 0.3))
    assert Smoother(Smoothing(method="none"), 3).push(row) is row


@pytest.mark.parametrize(
    ("smoothing", "wanted"),
    [
        (Smoothing(alpha=0.0), "alpha is 0.0"),
        (Smoothing(alpha=1.5), "alpha is 1.5"),
        (Smoothing(method="majority", n=0), "n is 0"),
        (Smoothing(method="majority", n=10**20), "wanted 1 to 10000"),
        (Smoothing(method="median"), "wanted exponential"),  # type: ignore[arg-type]
        ("majority:5", "smoothing is 'majority:5'; wanted a Smoothing"),
    ],
)
def test_bad_smoothing_is_refused(smoothing: Any, wanted: str) -> None:
    with pytest.raises(SettingsError, match=wanted):
        Smoother(smoothing, 3)


def test_abstains_below_the_threshold() -> None:
    (row,) = rows((0.25, 0.5, 0.25))
    assert decide(row, LABELS, 0.0) == ("happy", 0.5)
    assert decide(row, LABELS, 0.5) == ("happy", 0.5)
    assert decide(row, LABELS, 0.51) == ("unknown", 0.5)


def test_segments_need_two_windows_and_join_end_to_start() -> None:
    tracker = SegmentTracker(STREAM)
    ends = [48_000 + 8_000 * k for k in range(8)]
    labels = ["happy", "happy", "sad", "happy", "sad", "sad", "sad", "neutral"]
    told = [tracker.push(label, 0.5 + 0.1 * k, ends[k]) for k, label in enumerate(labels)]
    assert [len(segments) for segments in told] == [0, 1, 0, 0, 0, 2, 0, 0]
    (opened,) = told[1]
    assert (opened.label, opened.start, opened.end) == ("happy", 40_000, None)
    closed, second = told[5]
    assert (closed.label, closed.start, closed.end) == ("happy", 40_000, 72_000)
    assert closed.probability == pytest.approx((0.5 + 0.6 + 0.8) / 3)
    assert (second.label, second.start, second.end) == ("sad", 72_000, None)
    (last,) = tracker.close()
    assert (last.label, last.start, last.end) == ("sad", 72_000, ends[-1])
    assert tracker.close() == []


def told(labels: list[str]) -> list[tuple[str, int, int | None]]:
    """Return label, beginning and end of the segments told of windows with these labels."""
    tracker = SegmentTracker(STREAM)
    segments = [
        segment for k, label in enumerate(labels) for segment in tracker.push(label, 0.5, 48_000 + 8_000 * k)
    ]
    return [(segment.label, segment.start, segment.end) for segment in [*segments, *tracker.close()]]


def test_a_segment_ends_where_its_label_was_last_carried_whatever_follows() -> None:
    begun = ("happy", 40_000, None)
    assert told(["happy", "happy", *["sad", "neutral"] * 60]) == [begun, ("happy", 40_000, 56_000)]
    # And the next one begins with the hop that first carried its label.
    assert told(["happy", "happy", "sad", *["neutral"] * 3]) == [
        begun,
        ("happy", 40_000, 56_000),
        ("neutral", 64_000, None),
        ("neutral", 64_000, 88_000),
    ]
    # Odd windows do not end it.
    assert told(["happy", "happy", "sad"]) == [begun, ("happy", 40_000, 64_000)]
    assert told(["happy", "happy", *["sad", "happy"] * 5]) == [begun, ("happy", 40_000, 136_000)]
