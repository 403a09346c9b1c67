"""Smoothing, abstaining and segments."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.decision import SegmentTracker, Smoother, at_pace, decide
from realtime.errors import SettingsError
from realtime.types import FloatArray, Prediction, Segment, Smoothing, Stream

if TYPE_CHECKING:
    import random

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


@pytest.mark.parametrize("n_parts", [2, 5, 20])
def test_at_another_pace_as_much_is_forgotten_in_the_same_time(n_parts: int) -> None:
    smoothing = Smoothing(alpha=0.5, n=3)
    usual, finer = Smoother(smoothing, 3), Smoother(at_pace(smoothing, 1 / n_parts), 3)
    before, after = rows((1, 0, 0), (0, 1, 0))
    usual.push(before)
    finer.push(before)
    for _ in range(4):
        expected = usual.push(after)
        for _ in range(n_parts):
            found = finer.push(after)
        assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_at_another_pace_windows_of_the_same_time_vote() -> None:
    def n(votes: int, hops: float) -> int:
        return at_pace(Smoothing(method="majority", n=votes), hops).n

    assert [n(3, 0.2), n(3, 2), n(5, 0.1), n(1, 6), n(9_000, 0.05)] == [15, 2, 50, 1, 10_000]
    # At its own pace it is the very same.
    assert at_pace(usual := Smoothing(alpha=0.3, n=7), 1.0) is usual
    for method in ("none", "exponential"):
        assert at_pace(Smoothing(method=method, alpha=1.0), 0.05).method == method
        assert at_pace(Smoothing(method=method, alpha=1.0), 0.05).alpha == 1


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


def window(
    k: int, label: str, probability: float = 0.5, voice_s: tuple[float, float] | None = None, hop: int = 8_000
) -> Prediction:
    """Return the prediction of window `k`, which hears a voice at these seconds, or says nothing of that."""
    start = k * hop
    shares = (0.5, 0.3, 0.2)
    voice = (None, None) if voice_s is None else tuple(round(16_000 * at_s) for at_s in voice_s)
    return Prediction(
        STREAM, k, start, start + 48_000, label, probability, shares, shares, -20.0,
        voice_start=voice[0], voice_end=voice[1],
    )  # fmt: skip


def test_segments_need_two_windows_and_join_end_to_start() -> None:
    tracker = SegmentTracker(STREAM)
    ends = [48_000 + 8_000 * k for k in range(8)]
    labels = ["happy", "happy", "sad", "happy", "sad", "sad", "sad", "neutral"]
    told = [tracker.push(window(k, label, 0.5 + 0.1 * k)) for k, label in enumerate(labels)]
    assert [len(segments) for segments in told] == [0, 1, 0, 0, 0, 2, 0, 0]
    (opened,) = told[1]
    assert (opened.label, opened.start, opened.end) == ("happy", 0, None)
    closed, second = told[5]
    assert (closed.label, closed.start, closed.end) == ("happy", 0, 72_000)
    assert closed.probability == pytest.approx((0.5 + 0.6 + 0.8) / 3)
    assert (second.label, second.start, second.end) == ("sad", 72_000, None)
    (last,) = tracker.close()
    assert (last.label, last.start, last.end) == ("sad", 72_000, ends[-1])
    assert tracker.close() == []


def told(*windows: Prediction) -> list[tuple[str, float, float | None]]:
    """Return label, beginning and end of the segments told of these windows, in seconds."""
    tracker = SegmentTracker(STREAM)
    segments = [segment for one in windows for segment in tracker.push(one)]
    return [
        (segment.label, segment.start / 16_000, segment.end and segment.end / 16_000)
        for segment in [*segments, *tracker.close()]
    ]


def of_labels(labels: list[str]) -> list[tuple[str, float, float | None]]:
    return told(*(window(k, label) for k, label in enumerate(labels)))


def test_a_segment_ends_where_its_label_was_last_carried_whatever_follows() -> None:
    begun = ("happy", 0, None)
    assert of_labels(["happy", "happy", *["sad", "neutral"] * 60]) == [begun, ("happy", 0, 3.5)]
    # And the next one begins with the hop that first carried its label.
    assert of_labels(["happy", "happy", "sad", *["neutral"] * 3]) == [
        begun,
        ("happy", 0, 3.5),
        ("neutral", 4, None),
        ("neutral", 4, 5.5),
    ]
    # Odd windows do not end it.
    assert of_labels(["happy", "happy", "sad"]) == [begun, ("happy", 0, 4)]
    assert of_labels(["happy", "happy", *["sad", "happy"] * 5]) == [begun, ("happy", 0, 8.5)]


def spoken(labels: str, *voices_s: tuple[float, float], first: int = 0, hop: int = 8_000) -> list[Prediction]:
    """Return successive windows from the one numbered `first`, and what each hears of these voices."""
    names = {"n": "neutral", "h": "happy", "s": "sad"}
    windows = []
    for k, letter in enumerate(labels, start=first):
        begin_s, end_s = k * hop / 16_000, k * hop / 16_000 + 3
        heard = [(max(a, begin_s), min(b, end_s)) for a, b in voices_s if max(a, begin_s) < min(b, end_s)]
        windows.append(window(k, names[letter], 0.5, (heard[0][0], heard[-1][1]), hop))
    return windows


def test_segments_begin_and_end_with_the_voice() -> None:
    # The voice falls silent with the window from 8 to 11 s.
    assert told(*spoken("h" * 11, (5, 7.8), first=5)) == [("happy", 4.8, None), ("happy", 4.8, 8)]
    # A label that comes up when the voice is over makes no segment.
    assert told(*spoken("h" * 6 + "s" * 5, (5, 7.8), first=5)) == [("happy", 4.8, None), ("happy", 4.8, 8)]
    # But one of which some voice is left does, and joins the one before it.
    assert told(*spoken("h" * 4 + "s" * 7, (5, 7.8), first=5)) == [
        ("happy", 4.8, None),
        ("happy", 4.8, 7),
        ("sad", 7, None),
        ("sad", 7, 8),
    ]


def test_a_word_too_short_for_a_stable_label_has_a_segment_of_what_is_said_behind_it() -> None:
    assert told(*spoken("nsnhhh", (10, 10.8), first=15)) == [("happy", 9.8, None), ("happy", 9.8, 11)]
    # However often windows hear it: it is told of once.
    assert told(*spoken("nnshh", (10, 10.8), first=15)) == [("neutral", 9.8, None), ("neutral", 9.8, 11)]


def test_a_pause_that_no_window_hears_across_is_in_no_segment() -> None:
    voices = ((2, 5), (8, 11))
    # There are windows with a voice all the while: the one from 5 s on hears none, but it is not told of.
    windows = [*spoken("h" * 10, *voices), *spoken("h" * 10, *voices, first=11)]
    assert told(*windows) == [
        ("happy", 1.8, None),
        ("happy", 1.8, 5.2),
        ("happy", 7.8, None),
        ("happy", 7.8, 11.2),
    ]
    # Of two seconds there is one that does.
    assert told(*spoken("h" * 15, (2, 5), (7, 10))) == [("happy", 1.8, None), ("happy", 1.8, 10)]


def test_a_voice_that_is_heard_again_has_its_segment_already() -> None:
    tracker = SegmentTracker(STREAM)
    for one in spoken("hhh", (1, 4)):
        tracker.push(one)
    (first,) = tracker.close()
    assert (first.start, first.end) == (12_800, 64_000)
    # The state said that there was none for a moment.
    assert [s for one in spoken("ss", (1, 4), first=3) for s in tracker.push(one)] == []
    (second,) = (s for one in spoken("ss", (1, 7), first=5) for s in tracker.push(one))
    assert (second.start, second.end) == (64_000, None)


@given(
    st.lists(st.tuples(st.floats(0.2, 6), st.floats(0.1, 6)), min_size=1, max_size=8),
    st.sampled_from([800, 4_000, 8_000, 16_000, 48_000]),
    st.randoms(use_true_random=False),
)
def test_segments_hold_voices_in_order_and_no_long_pauses(
    pieces_s: list[tuple[float, float]], hop: int, draw: random.Random
) -> None:
    edges_s = np.cumsum(pieces_s).reshape(-1, 2)
    voices_s = [(pause_s, end_s) for pause_s, end_s in edges_s.tolist()]
    tracker = SegmentTracker(STREAM)
    heard: list[tuple[int, int]] = []
    made: list[Segment] = []
    label = "happy"
    for k in range(int((voices_s[-1][1] + 3) * 16_000 / hop)):
        begin_s, end_s = k * hop / 16_000, k * hop / 16_000 + 3
        inside = [(max(a, begin_s), min(b, end_s)) for a, b in voices_s if b > begin_s and a < end_s]
        if sum(b - a for a, b in inside) < 0.3:
            made += tracker.close()
            continue
        label = draw.choice([label, label, *LABELS])
        one = window(k, label, 0.5, (inside[0][0], inside[-1][1]), hop)
        heard.append(one.heard)
        made += tracker.push(one)
    made += tracker.close()
    closed = made[1::2]
    for begun, ended in zip(made[::2], closed, strict=True):
        assert begun.end is None
        assert ended.end is not None
        assert (begun.label, begun.start) == (ended.label, ended.start)
        assert ended.end - ended.start > 0.4 * 16_000
        for edge in (ended.start, ended.end):
            assert any(start <= edge <= end for start, end in heard)
    edges = [edge for segment in closed for edge in (segment.start, segment.end or 0)]
    assert edges == sorted(edges)
    for (_, a), (b, _) in pairwise(voices_s):
        if b - a > 3.4:
            middle = (a + b) / 2 * 16_000
            assert not any(start < middle < end for start, end in zip(edges[::2], edges[1::2], strict=True))


def test_however_short_the_hops_a_segment_holds_a_voice() -> None:
    begun = [("happy", 0, None), ("happy", 0, 4.95)]
    assert told(*spoken("h" * 40 + "sn" + "s" * 8, (0, 20), hop=800)) == begun
    assert told(*spoken("h" * 40 + "sn" + "s" * 9, (0, 20), hop=800)) == [
        *begun,
        ("sad", 5.05, None),
        ("sad", 5.05, 5.5),
    ]
