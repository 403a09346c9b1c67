"""What the page knows of a stream, from messages alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from realtime.server.server import EventServer
    from tests.browser.conftest import OpenPage

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
RATE = 16_000
TAKE = """async ([messages, heard, trimmedAt]) => {
  const { Track } = await import("/track.js");
  const track = new Track("kitchen", ["happy", "sad"], 16000);
  for (const message of messages) track.take(message, heard);
  if (trimmedAt !== null) track.trim(trimmedAt);
  const { points, stretches, conditions, hop_ms } = track;
  return { points, stretches, conditions, hop_ms };
}"""


@pytest.fixture
def page(server: EventServer, open_page: OpenPage) -> Page:
    return open_page(server.page_url)


def take(
    page: Page, messages: list[dict[str, Any]], *, trimmed_after_s: float | None = None
) -> dict[str, Any]:
    """Return what a track knows after these messages, and so long after the last of them."""
    heard = 0
    trimmed = None if trimmed_after_s is None else heard + 1000 * trimmed_after_s
    found: dict[str, Any] = page.evaluate(TAKE, [messages, heard, trimmed])
    return found


def milliseconds(at_s: float) -> float:
    return 1000 * (BEGAN.timestamp() + at_s)


def date(at_s: float) -> str:
    return (BEGAN + timedelta(seconds=at_s)).isoformat().replace("+00:00", "Z")


def prediction(seq: int, end_s: float, label: str = "happy") -> dict[str, Any]:
    return {
        "type": "prediction",
        "seq": seq,
        "start_s": max(0, end_s - 3),
        "end_s": end_s,
        "time": date(end_s),
        "label": label,
        "probability": 0.8,
        "smoothed": {label: 0.8},
        "level_dbfs": -24,
    }


def hearing(message: dict[str, Any], voice_end_s: float) -> dict[str, Any]:
    """Return a prediction that tells where its voice ends."""
    return {**message, "voice_start_s": message["start_s"], "voice_end_s": voice_end_s}


def segment(label: str, start_s: float, end_s: float | None = None) -> dict[str, Any]:
    return {"type": "segment", "label": label, "start_s": start_s, "end_s": end_s, "probability": 0.8}


def status(state: str, since_s: float, at_s: float) -> dict[str, Any]:
    return {
        "type": "status",
        "state": state,
        "detail": "",
        "since_s": since_s,
        "at_s": at_s,
        "time": date(at_s),
        "level_dbfs": -55,
        "sent": date(at_s),
    }


def stretches(found: dict[str, Any]) -> list[tuple[str, float, float | None]]:
    """Return label, beginning and end of each stretch, in seconds of the stream."""
    return [
        (
            stretch["label"],
            (stretch["from"] - milliseconds(0)) / 1000,
            None if stretch["to"] is None else (stretch["to"] - milliseconds(0)) / 1000,
        )
        for stretch in sorted(found["stretches"], key=lambda stretch: float(stretch["from"]))
    ]


SPOKEN = [
    prediction(0, 0.5),
    segment("happy", 0),
    *[prediction(seq, (seq + 1) / 2) for seq in range(1, 20)],
]
"""Ten seconds of one emotion, which goes on."""


def test_a_segment_whose_end_was_missed_ends_where_it_was_last_heard(page: Page) -> None:
    after = [prediction(1400, 700.5, "sad"), prediction(1401, 701, "sad")]
    assert stretches(take(page, SPOKEN + after)) == [("happy", 0, 10), ("sad", 700, None)]
    # The next one tells when it ended, and so does the one that was missed.
    after += [prediction(1402, 701.5), segment("sad", 650, 701), segment("happy", 701)]
    told = [("happy", 0, 10), ("sad", 650, 701), ("happy", 701, None)]
    assert stretches(take(page, SPOKEN + after)) == told


def test_a_segment_that_went_on_all_the_while_is_one(page: Page) -> None:
    after = [prediction(1400, 700.5), prediction(1401, 701, "sad"), segment("happy", 0, 700.5)]
    assert stretches(take(page, SPOKEN + after)) == [("happy", 0, 700.5)]


def test_what_goes_on_has_come_as_far_as_the_voice(page: Page) -> None:
    fallen_silent = [hearing(prediction(seq, (seq + 1) / 2), 9.9) for seq in range(19, 24)]
    found = take(page, SPOKEN[:-1] + fallen_silent)
    heard_s = [(point["heard"] - milliseconds(0)) / 1000 for point in found["points"]]
    # Older servers do not tell; what is near a voice is part of it, as far as the window goes.
    assert heard_s == pytest.approx([(seq + 1) / 2 for seq in range(19)] + [10] + [10.1] * 4)
    # So far a segment goes whose end was missed.
    after = [prediction(1400, 700.5, "sad"), prediction(1401, 701, "sad")]
    told = stretches(take(page, SPOKEN[:-1] + fallen_silent + after))
    assert told == [("happy", 0, pytest.approx(10.1)), ("sad", 700, None)]


def test_a_pause_is_no_part_of_a_stretch(page: Page) -> None:
    after = [segment("happy", 0, 10), status("silent", 10, 10), prediction(20, 20.5), segment("happy", 20)]
    assert stretches(take(page, SPOKEN + after)) == [("happy", 0, 10), ("happy", 20, None)]


def test_a_stream_that_began_anew_meanwhile(page: Page) -> None:
    anew = [{**prediction(seq, seq / 2), "time": date(700 + seq / 2)} for seq in (100, 101)]
    assert stretches(take(page, SPOKEN + anew)) == [("happy", 0, 10), ("happy", 749.5, None)]


@pytest.mark.parametrize("hop_s", [0.25, 0.5, 1, 4])
def test_the_hop_is_the_streams_own(page: Page, hop_s: float) -> None:
    found = take(page, [prediction(seq, (seq + 1) * hop_s) for seq in range(5)])
    assert found["hop_ms"] == pytest.approx(1000 * hop_s)
    assert [point["follows"] for point in found["points"]] == [False, True, True, True, True]


def test_a_pause_is_not_taken_for_the_hop(page: Page) -> None:
    found = take(page, [prediction(0, 1), prediction(1, 11), prediction(2, 12), prediction(3, 13)])
    assert found["hop_ms"] == 1000
    assert [point["follows"] for point in found["points"]] == [False, False, True, True]


def test_a_stream_that_begins_anew_may_have_a_longer_hop(page: Page) -> None:
    anew = [{**prediction(seq, seq + 1), "time": date(20 + seq)} for seq in range(4)]
    found = take(page, SPOKEN + anew)
    assert found["hop_ms"] == 1000
    assert [point["follows"] for point in found["points"][-4:]] == [False, True, True, True]


def test_what_is_older_than_an_hour_is_forgotten_without_news_too(page: Page) -> None:
    assert len(take(page, SPOKEN, trimmed_after_s=3500)["points"]) == 20
    found = take(page, SPOKEN, trimmed_after_s=3900)
    assert found["points"] == []
    assert found["stretches"] == []


def test_of_a_silent_stream_too_an_hour_is_kept(page: Page) -> None:
    states = [status(("silent", "no_signal")[i % 2], 60 * i, 60 * i) for i in range(200)]
    conditions = take(page, states, trimmed_after_s=0)["conditions"]
    # And the one that was there when the hour began.
    assert len(conditions) == 61 + 1
    assert conditions[-1]["from"] == milliseconds(60 * 199)
    silent = [*SPOKEN, segment("happy", 0, 10), *[status("silent", 10, at) for at in range(10, 5000, 5)]]
    found = take(page, silent, trimmed_after_s=0)
    assert found["points"] == []
    assert len(found["conditions"]) == 1
