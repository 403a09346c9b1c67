"""The past of a stream: where it comes from, how it is drawn and read."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from realtime.server.limits import Limits
from realtime.types import State

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from realtime.server.server import EventServer
    from tests.browser.conftest import Fill, MakeSpeaker, OpenPage, OpenServer, Shoot


expect = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright").expect


def card(page: Page, name: str) -> Locator:
    return page.locator(".card").filter(
        has=page.locator(".name", has_text=re.compile(f"^{re.escape(name)}$"))
    )


def wait_for_text(locator: Locator, text: str) -> None:
    locator.filter(has_text=re.compile(text)).wait_for()


def value_of(timeline: Locator, key: str) -> str:
    """Return what the timeline says after a key was pressed on it."""
    timeline.press(key)
    timeline.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return timeline.get_attribute("aria-valuetext") or ""


def minutes_between(first: str, last: str) -> float:
    times = [[int(part) for part in text.split(",")[0].split(":")] for text in (first, last)]
    seconds = [60 * 60 * hours + 60 * minutes + seconds for hours, minutes, seconds in times]
    return ((seconds[1] - seconds[0]) % 86_400) / 60


def test_a_page_opened_late_is_filled_from_the_history(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker, fill: Fill, shoot: Shoot
) -> None:
    speaker = make_speaker(server, "kitchen", age_s=580)
    fill(speaker, 580)
    speaker.say("happy", 3)
    page = open_page(server.page_url)
    kitchen = card(page, "kitchen")
    wait_for_text(kitchen.locator(".emotion"), "^happy$")
    timeline = kitchen.locator(".timeline")
    assert minutes_between(value_of(timeline, "Home"), value_of(timeline, "End")) >= 9
    shoot(page, "one-light")


def test_what_a_slow_page_missed_is_fetched_again(
    open_server: OpenServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    server = open_server(limits=Limits(n_queued=2))
    page = open_page(server.page_url)
    speaker = make_speaker(server, "kitchen", age_s=300)
    speaker.tell(State.LISTENING)
    speaker.say("happy", 500)
    kitchen = card(page, "kitchen")
    wait_for_text(kitchen.locator(".emotion"), "^happy$")
    wait_for_text(kitchen.locator(".why"), "^for 5:")
    timeline = kitchen.locator(".timeline")

    def minutes_shown() -> float:
        last = value_of(timeline, "End")
        for _ in range(40):
            timeline.press("PageDown")
        return minutes_between(value_of(timeline, "ArrowLeft"), last)

    # What was missed comes when the server is asked again, a moment after the newest.
    deadline_s = time.monotonic() + 15
    while (minutes := minutes_shown()) < 3 and time.monotonic() < deadline_s:
        pass
    assert minutes == pytest.approx(401 / 120, abs=0.05)
    expect(page.locator("#notice")).to_be_hidden()


def test_the_timeline_answers_to_the_pointer_and_the_keyboard(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker, shoot: Shoot
) -> None:
    speaker = make_speaker(server, "kitchen", age_s=30)
    speaker.tell(State.LISTENING)
    speaker.say("happy", 30, 0.6)
    speaker.say("sad", 30, 0.9)
    page = open_page(server.page_url)
    timeline = card(page, "kitchen").locator(".timeline")
    timeline.wait_for()
    page.locator(".spans input").first.check(force=True)
    box = timeline.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 40)
    readout = timeline.locator(".readout")
    wait_for_text(readout.locator(".readout-row.leads"), "happy")
    shoot(page, "readout")
    page.mouse.move(0, 0)
    readout.wait_for(state="hidden")

    timeline.focus()
    timeline.press("ArrowLeft")
    wait_for_text(readout.locator(".readout-row.leads"), r"sad\s*90%")
    last = value_of(timeline, "End")
    assert minutes_between(value_of(timeline, "PageDown"), last) * 60 >= 4
    assert value_of(timeline, "End") == last
    timeline.press("-")
    expect(page.locator(".spans input:checked")).to_have_attribute("value", "10")
    timeline.press("-")
    timeline.press("-")
    timeline.press("-")
    expect(page.locator(".spans input:checked")).to_have_attribute("value", "60")
    timeline.press("+")
    expect(page.locator(".spans input:checked")).to_have_attribute("value", "30")
    timeline.press("Escape")
    readout.wait_for(state="hidden")
    page.reload()
    expect(page.locator(".spans input:checked")).to_have_attribute("value", "30")


def test_the_timeline_has_the_colours_of_what_was_said(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    speaker = make_speaker(server, "kitchen", age_s=600)
    speaker.tell(State.LISTENING)
    speaker.say("angry", 1190, 1.0)
    page = open_page(server.page_url)
    assert_all_is_red(page)


def test_what_goes_on_is_drawn_as_far_as_the_voice(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    speaker = make_speaker(server, "kitchen", age_s=62)
    speaker.tell(State.LISTENING)
    speaker.say("angry", 120, 1.0)
    speaker.say("angry", 4, 1.0, is_over=True)
    page = open_page(server.page_url)
    canvas = card(page, "kitchen").locator("canvas")
    wait_for_text(card(page, "kitchen").locator(".emotion"), "^angry$")
    page.locator(".spans input").first.check(force=True)
    page.wait_for_timeout(300)
    # How far the areas and the strip below them go from the left, in device pixels, and how wide a second is.
    areas, strip, second = page.evaluate(
        """(canvas) => {
            const { width, height, clientHeight } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            const end = (row) => {
                const first = 4 * width * Math.round((row * height) / clientHeight);
                let x = width - 1;
                while (x > 0 && data[first + 4 * x] < data[first + 4 * x + 2] + 60) x--;
                return x;
            };
            const span_s = 60 * Number(document.querySelector(".spans input:checked").value);
            return [end(20), end(clientHeight - 31), width / span_s];
        }""",
        canvas.element_handle(),
    )
    # Two seconds less, but for what is around a voice.
    assert (areas - strip) / second == pytest.approx(1.8, abs=0.4)


def assert_all_is_red(page: Page) -> None:
    """Check the middle of the timeline of a kitchen where somebody is angry all the time."""
    canvas = card(page, "kitchen").locator("canvas")
    wait_for_text(card(page, "kitchen").locator(".emotion"), "^angry$")
    page.wait_for_timeout(300)
    pixel = """(canvas) => [...canvas.getContext('2d').getImageData(canvas.width / 2 | 0, 20, 8, 8).data]"""
    red, green, blue = page.evaluate(pixel, canvas.element_handle())[:3]
    assert red > 150
    assert green < 120
    assert blue < 80


def test_the_timeline_is_that_of_a_server_whose_clock_was_set_back(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    # As a machine's is that starts with a wrong clock, and hears the right time later.
    assert server._publisher is not None
    server._publisher._clock._now = lambda: datetime.now(UTC) - timedelta(hours=1)
    speaker = make_speaker(server, "kitchen", age_s=3600 + 600)
    speaker.tell(State.LISTENING)
    speaker.say("angry", 1190, 1.0)
    page = open_page(server.page_url)
    wait_for_text(card(page, "kitchen").locator(".emotion"), "^angry$")
    speaker.say("angry", 3, 1.0)
    assert_all_is_red(page)
