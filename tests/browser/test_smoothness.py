"""How quickly the page is there, and how smoothly it runs."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import pytest

from realtime.types import LABELS, State

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from realtime.server.server import EventServer
    from tests.browser.conftest import Fill, MakeSpeaker, OpenPage, Speaker


def busy_share(page: Page, seconds: float, speakers: list[Speaker]) -> float:
    """Return how much of one processor the page's main thread uses: that, other processes do not change."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def used_s() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    before_s = used_s()
    for turn in range(round(2 * seconds)):
        for speaker in speakers:
            speaker.say(LABELS[turn % 5], 1, 0.5)
        page.wait_for_timeout(500)
    return (used_s() - before_s) / seconds


@pytest.mark.slow
def test_the_first_paint_is_quick_and_four_streams_are_smooth(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker, fill: Fill
) -> None:
    speakers = [make_speaker(server, name, age_s=590) for name in ("one", "two", "three", "four")]
    for speaker in speakers:
        fill(speaker, 585)
        speaker.tell(State.LISTENING)
    page = open_page(server.page_url, width=1440, height=1000)
    page.locator(".card").nth(3).wait_for()
    page.evaluate(
        """() => {
          window.frames_ms = [];
          let last = performance.now();
          const step = (now) => {
            window.frames_ms.push(now - last);
            last = now;
            requestAnimationFrame(step);
          };
          requestAnimationFrame(step);
        }"""
    )
    deadline = time.monotonic() + 8
    turn = 0
    while time.monotonic() < deadline:
        for speaker in speakers:
            speaker.say(LABELS[turn // 7 % 5], 1, 0.4 + 0.05 * (turn % 8))
        turn += 1
        page.wait_for_timeout(500)
    busy = busy_share(page, 3, speakers)
    frames_ms = sorted(page.evaluate("window.frames_ms"))
    paint_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    p95_ms = frames_ms[round(0.95 * len(frames_ms))]
    print(  # noqa: T201
        f"first paint {paint_ms:.0f} ms; "
        f"frames p50 {statistics.median(frames_ms):.1f} ms, p95 {p95_ms:.1f} ms; "
        f"{busy:.0%} of one processor"
    )
    assert paint_ms < 1000
    assert statistics.median(frames_ms) < 17.5
    assert busy < 0.4
