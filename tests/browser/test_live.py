"""What the live view shows of its streams, in a real browser, on a real server."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import soundfile
from websockets.sync.client import connect

import realtime
from realtime.types import LABELS, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

    from realtime.server.server import EventServer
    from tests.browser.conftest import Complaints, Fill, MakeSpeaker, OpenPage, OpenServer, Shoot, Speaker

expect = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright").expect

VOICES = Path(realtime.__file__).parent / "demo" / "voices.flac"


def card(page: Page, name: str) -> Locator:
    return page.locator(".card").filter(
        has=page.locator(".name", has_text=re.compile(f"^{re.escape(name)}$"))
    )


def wait_for_text(locator: Locator, text: str) -> None:
    locator.filter(has_text=re.compile(text)).wait_for()


def until(page: Page, expression: str) -> None:
    """Wait until an expression is true; Playwright's own way needs `eval`, which the page forbids."""
    deadline = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"waited in vain for {expression}"
        page.wait_for_timeout(50)


def value_of(timeline: Locator, key: str) -> str:
    """Return what the timeline says after a key was pressed on it."""
    timeline.press(key)
    timeline.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return timeline.get_attribute("aria-valuetext") or ""


def send_recording(
    server: EventServer, path: Path, name: str, seconds: float, *, pause_s: float = 0.0
) -> Iterator[dict[str, Any]]:
    """Send a recording as a client would, faster than it was spoken, and yield what comes back."""
    samples, rate = soundfile.read(path, dtype="int16", stop=round(seconds * 16_000))
    url = server.url.replace("/events", "/audio")
    with connect(url, subprotocols=["tonewatch.v1"], compression=None) as connection:  # type: ignore[list-item]
        start = {"v": 1, "type": "start", "sample_rate": rate, "channels": 1, "format": "s16le", "name": name}
        connection.send(json.dumps({**start, "realtime": False}))

        def send() -> None:
            for i in range(0, len(samples), rate // 10):
                connection.send(samples[i : i + rate // 10].tobytes())
                time.sleep(pause_s)
            connection.send(json.dumps({"v": 1, "type": "stop"}))

        sender = threading.Thread(target=send)
        sender.start()
        for data in connection:
            yield json.loads(data)
        sender.join()


def test_a_recording_that_a_client_sends_shows_up_live(server: EventServer, open_page: OpenPage) -> None:
    page = open_page(server.page_url)
    wait_for_text(page.locator(".empty"), "Nobody is listening yet")
    labels = []
    for message in send_recording(server, VOICES, "voices", 12):
        if message["type"] == "prediction":
            labels.append(message["label"])
            if len(labels) == 1:
                card(page, "voices").wait_for()
    assert labels
    voices = card(page, "voices")
    wait_for_text(voices.locator(".state-name"), "Stopped")
    expect(page.locator(".empty")).to_be_hidden()
    # Its past is the one that the client was told.
    timeline = voices.locator(".timeline")
    assert labels[-1] in value_of(timeline, "End")
    assert labels[0] in value_of(timeline, "Home")


def test_what_is_said_is_shown_large_with_bars_level_and_latency(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    page = open_page(server.page_url)
    speaker = make_speaker(server, "kitchen", age_s=5)
    speaker.tell(State.LISTENING, dropped=8000)
    speaker.say("happy", 3, 0.7, level_dbfs=-24.0)
    kitchen = card(page, "kitchen")
    wait_for_text(kitchen.locator(".emotion"), "^happy$")
    wait_for_text(kitchen.locator(".share"), "^70%$")
    expect(kitchen.locator(".state-name")).to_have_text("Listening", use_inner_text=True)
    assert kitchen.locator(".bar-row.leads").inner_text().split() == ["happy", "70%"]
    expect(kitchen.locator(".bar-row")).to_have_count(len(speaker.stream.labels))
    expect(kitchen.locator(".level")).to_have_text("-24 dBFS", use_inner_text=True)
    expect(kitchen.locator(".meter")).to_have_attribute("aria-valuenow", "-24")
    expect(kitchen.locator(".latency")).to_have_text("6 ms", use_inner_text=True)
    assert kitchen.locator(".lost").inner_text().endswith(" s")
    expect(kitchen.locator(".face-skin")).to_have_count(1)
    until(page, "document.title.includes('happy · kitchen')")


def test_arousal_valence_and_intensity_are_shown_where_the_model_tells_them(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    page = open_page(server.page_url)
    speaker = make_speaker(server, "kitchen", age_s=5)
    speaker.tell(State.LISTENING)
    kitchen = card(page, "kitchen")
    kitchen.wait_for()
    expect(kitchen.locator(".scales")).to_be_hidden()
    speaker.say("angry", 2, 1.0, intensity=0.6)
    values = kitchen.locator(".scale-value")
    expect(values).to_have_text(["+0.8", "-0.6", "60%"], use_inner_text=True)
    arousal, valence = (kitchen.locator(f".scale-{name} [role=meter]") for name in ("arousal", "valence"))
    expect(arousal).to_have_attribute("aria-valuenow", "0.8")
    # A tenth of the way from unpleasant to pleasant for each 0.2 above -1.
    dots = [meter.locator(".scale-dot").evaluate("(dot) => dot.style.left") for meter in (arousal, valence)]
    assert dots == ["90%", "20%"]
    # Of the past too, where somebody points at it.
    speaker.say("sad", 2, 1.0, intensity=None)
    expect(kitchen.locator(".scale-intensity")).to_be_hidden()
    expect(values.first).to_have_text("-0.5", use_inner_text=True)
    timeline = kitchen.locator(".timeline")
    assert "angry" in value_of(timeline, "Home")
    expect(kitchen.locator(".readout-scale")).to_have_text(["Arousal+0.8", "Valence-0.6", "Intensity60%"])
    timeline.press("Escape")
    # What was told before the silence says nothing of it.
    speaker.tell(State.SILENT)
    expect(values.first).to_have_text("\u2013", use_inner_text=True)
    expect(arousal.locator(".scale-dot")).to_be_hidden()


def test_a_recording_sent_again_under_its_name_begins_anew(server: EventServer, open_page: OpenPage) -> None:
    page = open_page(server.page_url)
    voices = card(page, "voices")
    list(send_recording(server, VOICES, "voices", 20))
    wait_for_text(voices.locator(".state-name"), "Stopped")
    page.evaluate(
        """() => {
          const name = document.querySelector('.state-name');
          window.states = [];
          new MutationObserver(() => window.states.push(name.textContent)).observe(name, { childList: true });
        }"""
    )
    # It is heard faster than it was spoken, so that the second time begins before the first has ended.
    # But not so fast that the page, which is drawn now and then, misses all that lies between.
    told = list(send_recording(server, VOICES, "voices", 8, pause_s=0.02))
    until(page, "window.states.at(-1) === 'Stopped'")
    assert page.evaluate("window.states.length") > 1
    labels = [message["label"] for message in told if message["type"] == "prediction"]
    assert labels[-1] in value_of(voices.locator(".timeline"), "End")


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (State.STARTING, "Starting"),
        (State.SILENT, "Silent"),
        (State.NO_SIGNAL, "No signal"),
        (State.RECOVERING, "Recovering"),
        (State.STOPPED, "Stopped"),
    ],
)
def test_a_stream_without_predictions_says_so_instead_of_an_emotion(  # noqa: PLR0917 - fixtures
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker, shoot: Shoot, state: State, name: str
) -> None:
    page = open_page(server.page_url)
    speaker = make_speaker(server, "kitchen", age_s=60)
    speaker.tell(State.LISTENING)
    speaker.say("angry", 100)
    kitchen = card(page, "kitchen")
    wait_for_text(kitchen.locator(".emotion"), "^angry$")
    speaker.tell(state, "for a reason")
    wait_for_text(kitchen.locator(".emotion"), f"^{name}$")
    expect(kitchen.locator(".state-name")).to_have_text(name, use_inner_text=True)
    expect(kitchen.locator(".why")).to_have_text("for a reason", use_inner_text=True)
    expect(kitchen.locator(".share")).to_have_text("", use_inner_text=True)
    assert set(kitchen.locator(".bar-value").all_inner_texts()) == {"\u2013"}
    shoot(page, f"state-{state.value}")


def test_clipping_is_told_beside_the_emotion(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    page = open_page(server.page_url)
    speaker = make_speaker(server, "kitchen", age_s=5)
    speaker.tell(State.CLIPPING, "too loud")
    speaker.say("angry", 2, level_dbfs=-1.0)
    kitchen = card(page, "kitchen")
    wait_for_text(kitchen.locator(".emotion"), "^angry$")
    expect(kitchen.locator(".state-name")).to_have_text("Too loud", use_inner_text=True)
    wait_for_text(kitchen.locator(".why"), "turn it down")


def test_a_model_that_abstains_has_no_share(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    page = open_page(server.page_url)
    speaker = make_speaker(server, "kitchen", age_s=5)
    speaker.tell(State.LISTENING)
    speaker.say("unknown", 2)
    kitchen = card(page, "kitchen")
    wait_for_text(kitchen.locator(".emotion"), "^uncertain$")
    expect(kitchen.locator(".share")).to_have_text("", use_inner_text=True)


def test_a_server_that_is_killed_and_started_again_is_found_again_with_its_history(  # noqa: PLR0917 - fixtures
    open_server: OpenServer,
    open_page: OpenPage,
    make_speaker: MakeSpeaker,
    fill: Fill,
    shoot: Shoot,
    complaints: Complaints,
) -> None:
    complaints.server_may_be_gone = True
    server = open_server()
    speaker = make_speaker(server, "kitchen", age_s=300)
    fill(speaker, 300)
    speaker.say("happy", 3)
    page = open_page(server.page_url)
    page.evaluate("window.isTheSamePage = true")
    kitchen = card(page, "kitchen")
    wait_for_text(kitchen.locator(".emotion"), "^happy$")
    timeline = kitchen.locator(".timeline")
    before = value_of(timeline, "Home")
    timeline.press("Escape")

    server.close()
    wait_for_text(page.locator("#notice"), "connection to the server is lost")
    wait_for_text(kitchen.locator(".emotion"), "^Disconnected$")
    expect(page.locator("#connection")).to_have_attribute("data-state", "waiting")
    shoot(page, "disconnected")

    again = open_server(port=server.port)
    speaker = make_speaker(again, "kitchen", age_s=5)
    speaker.tell(State.LISTENING)
    speaker.say("sad", 3)
    # It may have found the server by itself, and hidden the button.
    page.locator("#retry").dispatch_event("click")
    wait_for_text(kitchen.locator(".emotion"), "^sad$")
    expect(page.locator("#notice")).to_be_hidden()
    assert value_of(timeline, "Home") == before
    assert page.evaluate("window.isTheSamePage")


def test_the_page_comes_back_by_itself(
    open_server: OpenServer, open_page: OpenPage, make_speaker: MakeSpeaker, complaints: Complaints
) -> None:
    complaints.server_may_be_gone = True
    server = open_server()
    page = open_page(server.page_url)
    server.close()
    page.locator("#connection[data-state=waiting]").wait_for()
    speaker = make_speaker(open_server(port=server.port), "kitchen", age_s=5)
    speaker.tell(State.LISTENING)
    speaker.say("sad", 3)
    wait_for_text(card(page, "kitchen").locator(".emotion"), "^sad$")


def test_a_stream_without_news_does_not_look_alive(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    page = open_page(server.page_url)
    speaker = make_speaker(server, "kitchen", age_s=5)
    speaker.tell(State.LISTENING)
    speaker.say("happy", 2)
    kitchen = card(page, "kitchen")
    wait_for_text(kitchen.locator(".emotion"), "^happy$")
    wait_for_text(kitchen.locator(".emotion"), "^No news$")
    speaker.say("happy", 1)
    wait_for_text(kitchen.locator(".emotion"), "^happy$")


def test_four_streams_side_by_side(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker, fill: Fill, shoot: Shoot
) -> None:
    for name in ("kitchen", "reception", "call centre", "headset"):
        speaker = make_speaker(server, name, age_s=590)
        fill(speaker, 588)
        speaker.say("calm" if "calm" in speaker.stream.labels else LABELS[0], 3)
    for theme in ("light", "dark"):
        page = open_page(server.page_url, width=1440, height=1000, theme=theme)
        page.locator(".card").nth(3).wait_for()
        boxes = [page.locator(".card").nth(i).bounding_box() for i in range(4)]
        assert len({box["x"] for box in boxes if box}) == 2
        expect(page.locator(".filter")).to_be_hidden()
        shoot(page, f"four-{theme}")
    phone = open_page(server.page_url, width=360, height=740)
    phone.locator(".card").nth(3).wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    shoot(phone, "phone")


def test_many_streams_can_be_searched_pinned_and_cleared_away(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker, shoot: Shoot
) -> None:
    speakers: dict[str, Speaker] = {}
    page = open_page(server.page_url)
    for number in range(12):
        speakers[f"room {number}"] = make_speaker(server, f"room {number}", age_s=5)
        speakers[f"room {number}"].tell(State.LISTENING)
        speakers[f"room {number}"].say(LABELS[number % 5], 2)
    page.locator(".card").nth(11).wait_for()
    card(page, "room 7").locator(".pin").click()
    expect(page.locator(".card .name").first).to_have_text("room 7", use_inner_text=True)
    assert page.evaluate("document.activeElement.className").endswith("pin")
    page.reload()
    page.locator(".card").nth(11).wait_for()
    expect(page.locator(".card .name").first).to_have_text("room 7", use_inner_text=True)

    page.locator(".filter").fill("ROOM 1")
    assert page.locator(".card:visible .name").all_inner_texts() == ["room 1", "room 10", "room 11"]
    shoot(page, "filtered")
    page.locator(".filter").fill("nowhere")
    page.locator(".no-match").wait_for()
    page.locator(".filter").fill("")

    speakers["room 3"].tell(State.STOPPED)
    card(page, "room 3").locator(".remove").click()
    card(page, "room 3").wait_for(state="detached")
    expect(page.locator(".card")).to_have_count(11)


def test_what_stopped_an_hour_ago_is_taken_away_unless_it_is_pinned(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    clock = "const now = Date.now; window.ahead_min = 0; Date.now = () => now() + 60_000 * window.ahead_min;"
    page = open_page(server.page_url, script=clock)
    for name in ("kept", "gone"):
        speaker = make_speaker(server, name, age_s=5)
        speaker.tell(State.LISTENING)
        speaker.say("happy", 2)
        speaker.tell(State.STOPPED)
        wait_for_text(card(page, name).locator(".state-name"), "Stopped")
    card(page, "kept").locator(".pin").click()
    page.mouse.move(0, 0)
    # The page looks after what stopped now and then.
    page.wait_for_timeout(600)
    page.evaluate("window.ahead_min = 50")
    page.wait_for_timeout(600)
    expect(page.locator(".card")).to_have_count(2)
    page.evaluate("window.ahead_min = 61")
    card(page, "gone").wait_for(state="detached")
    expect(card(page, "kept")).to_be_visible()


def test_of_many_that_stopped_the_last_ones_are_kept(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    page = open_page(server.page_url)
    for number in range(23):
        speaker = make_speaker(server, f"room {number}", age_s=5)
        speaker.tell(State.LISTENING)
        speaker.tell(State.STOPPED)
        if number == 2:
            # Those that are seen to stop at once are as old as one another.
            wait_for_text(card(page, "room 2").locator(".state-name"), "Stopped")
            page.wait_for_timeout(600)
    card(page, "room 0").wait_for(state="detached")
    expect(page.locator(".card")).to_have_count(20)
    expect(page.locator(".card .name").first).to_have_text("room 3", use_inner_text=True)
