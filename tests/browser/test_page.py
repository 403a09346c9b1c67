"""What is around the views: language, theme, token, keyboard, announcements, and the texts."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

import realtime
from realtime.server.access import Access
from realtime.server.limits import Limits
from realtime.types import LABELS, State

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from realtime.server.server import EventServer
    from tests.browser.conftest import Complaints, MakeSpeaker, OpenPage, OpenServer, Shoot

expect = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright").expect

DASHBOARD = Path(realtime.__file__).parent / "server" / "dashboard"
TOKEN = "a-token-for-tests-0123456789"


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


def test_another_language_changes_everything_and_is_kept(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker, shoot: Shoot
) -> None:
    speaker = make_speaker(server, "Küche", age_s=5)
    speaker.tell(State.LISTENING)
    speaker.say("happy", 2, 0.7)
    page = open_page(server.page_url)
    kitchen = card(page, "Küche")
    wait_for_text(kitchen.locator(".emotion"), "^happy$")
    page.locator("#language").select_option("de")
    wait_for_text(kitchen.locator(".emotion"), "^fröhlich$")
    expect(kitchen.locator(".share")).to_have_text("70\u00a0%", use_inner_text=True)
    expect(kitchen.locator(".state-name")).to_have_text("Hört zu", use_inner_text=True)
    expect(page.locator("html")).to_have_attribute("lang", "de")
    shoot(page, "german")
    page.reload()
    wait_for_text(kitchen.locator(".emotion"), "^fröhlich$")


def test_the_browsers_language_is_the_first_choice(server: EventServer, open_page: OpenPage) -> None:
    page = open_page(server.page_url, locale="de-AT")
    wait_for_text(page.locator(".empty"), "Noch hört niemand zu")


def test_the_theme_follows_the_system_until_somebody_chooses(
    server: EventServer, open_page: OpenPage
) -> None:
    background = "getComputedStyle(document.documentElement).backgroundColor"
    page = open_page(server.page_url, theme="dark")
    dark = page.evaluate(background)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(background)
    assert dark != light
    page.locator("#theme").click()
    page.locator("#theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(background) == dark
    page.reload(wait_until="commit")
    page.wait_for_load_state()
    assert page.evaluate(background) == dark
    page.locator("#theme").click()
    assert page.evaluate(background) == light


def test_a_changed_emotion_is_announced_but_not_all_the_time(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    page = open_page(server.page_url)
    page.evaluate(
        """() => {
          window.told = [];
          const region = document.querySelector('.announcer');
          new MutationObserver(() => window.told.push([performance.now(), region.textContent]))
            .observe(region, { childList: true, characterData: true, subtree: true });
        }"""
    )
    speaker = make_speaker(server, "kitchen", age_s=60)
    speaker.tell(State.LISTENING)
    for turn in range(24):
        speaker.say(("happy", "sad")[turn % 2], 1, 0.75)
        page.wait_for_timeout(250)
    speaker.say("angry", 1, 0.75)
    until(page, "window.told.at(-1)?.[1] === 'kitchen: angry, 75%'")
    told = page.evaluate("window.told")
    expect(page.locator(".announcer")).to_have_attribute("aria-live", "polite")
    assert len(told) >= 2
    assert all(later[0] - earlier[0] >= 4900 for earlier, later in pairwise(told))


def test_everything_can_be_reached_with_the_keyboard(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    speaker = make_speaker(server, "kitchen", age_s=5)
    speaker.tell(State.LISTENING)
    speaker.say("happy", 2)
    page = open_page(server.page_url)
    wait_for_text(card(page, "kitchen").locator(".emotion"), "^happy$")
    seen = []
    for _ in range(20):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "(({ id, className, hash, type }) => id || hash || type || className)(document.activeElement)"
            )
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or seen[-1] in {"", "radio"}, seen
        if "timeline" in seen[-1]:
            break
    for wanted in ("#main", "#live", "#files", "microphone", "language", "theme", "radio", "timeline"):
        assert any(wanted in it for it in seen), (wanted, seen)


def answer_with_token(page: Page) -> None:
    """Give the token that is asked for, and wait until that connects the page."""
    field = page.locator("#token-field")
    field.fill(TOKEN)
    field.press("Enter")
    page.locator("#connection[data-state=open]").wait_for()


def test_a_token_is_asked_for_until_it_is_right_and_kept_for_the_tab(
    open_server: OpenServer, open_page: OpenPage, complaints: Complaints, shoot: Shoot
) -> None:
    complaints.server_may_be_gone = True
    server = open_server(access=Access(token=TOKEN))
    page = open_page(server.page_url, wait=False)
    field = page.locator("#token-field")
    field.wait_for()
    shoot(page, "token")
    field.fill("not-the-token-of-this-server")
    field.press("Enter")
    wait_for_text(page.locator("#token-why"), "not the server.s token")
    field.fill(TOKEN)
    page.get_by_role("button", name="Connect").click()
    page.locator("#connection[data-state=open]").wait_for()
    expect(page.locator("#token")).to_be_hidden()
    page.reload()
    page.locator("#connection[data-state=open]").wait_for()
    assert page.evaluate("JSON.stringify(localStorage)").find(TOKEN) == -1


def test_a_token_in_the_address_is_used_and_taken_out_of_it(
    open_server: OpenServer, open_page: OpenPage
) -> None:
    server = open_server(access=Access(token=TOKEN))
    page = open_page(f"{server.page_url}#token={TOKEN}")
    assert TOKEN not in page.url
    expect(page.locator("#live")).to_be_visible()


@pytest.mark.parametrize("stray", ["  ", "\u200b", "\u2026", "\t"])
def test_what_is_copied_along_with_a_token_locks_nobody_out(
    open_server: OpenServer, open_page: OpenPage, complaints: Complaints, stray: str
) -> None:
    complaints.server_may_be_gone = True
    server = open_server(access=Access(token=TOKEN))
    page = open_page(server.page_url, wait=False)
    field = page.locator("#token-field")
    field.fill(TOKEN + stray)
    field.press("Enter")
    if stray.strip():
        wait_for_text(page.locator("#token-why"), "not the server.s token")
        page.reload()
        field.fill(TOKEN)
        field.press("Enter")
    page.locator("#connection[data-state=open]").wait_for()


def test_a_token_in_the_address_is_read_as_it_was_written(
    open_server: OpenServer, open_page: OpenPage, complaints: Complaints
) -> None:
    token = "abcdefgh+/ABCDEFGH%zz=&=="
    server = open_server(access=Access(token=token))
    for written in (token, f"{quote(token, safe='')}%20"):
        page = open_page(f"{server.page_url}#token={written}")
        assert page.url.endswith("#live")
    complaints.server_may_be_gone = True
    page = open_page(f"{server.page_url}#token={token}\u2026", wait=False)
    wait_for_text(page.locator("#token-why"), "not the server.s token")
    assert page.url.endswith("#live")


def test_an_address_with_a_token_is_opened_in_a_tab_that_shows_the_page(
    open_server: OpenServer, open_page: OpenPage, complaints: Complaints
) -> None:
    complaints.server_may_be_gone = True
    server = open_server(access=Access(token=TOKEN))
    page = open_page(server.page_url, wait=False)
    page.locator("#token-field").wait_for()
    # Nothing is loaded anew by any of these.
    page.goto(f"{server.page_url}#token=\u2026")
    wait_for_text(page.locator("#token-why"), "not the server.s token")
    page.goto(f"{server.page_url}#token={TOKEN}")
    page.locator("#connection[data-state=open]").wait_for()
    expect(page.locator("#token")).to_be_hidden()
    page.goto(f"{server.page_url}#token=not-the-token-of-this-server")
    wait_for_text(page.locator("#token-why"), "not the server.s token")
    assert page.url.endswith("#live")
    page.goto(f"{server.page_url}#token={TOKEN}")
    page.locator("#connection[data-state=open]").wait_for()


def test_a_token_that_opens_nothing_is_asked_for_again(
    open_server: OpenServer, open_page: OpenPage, complaints: Complaints
) -> None:
    complaints.server_may_be_gone = True
    server = open_server(access=Access(token=TOKEN))
    accept_all = "window.fetch = async () => new Response('');"
    page = open_page(f"{server.page_url}#token={TOKEN}-of-old", script=accept_all, wait=False)
    answer_with_token(page)


COUNT_SOCKETS = """window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    window.sockets.push(this);
  }
};"""


def test_while_a_token_is_asked_for_nothing_else_tries_to_connect(
    open_server: OpenServer, open_page: OpenPage, complaints: Complaints
) -> None:
    complaints.server_may_be_gone = True
    server = open_server(access=Access(token=TOKEN))
    page = open_page(server.page_url, script=COUNT_SOCKETS, wait=False)
    field = page.locator("#token-field")
    field.wait_for()
    n_before = page.evaluate("window.sockets.length")
    page.evaluate("dispatchEvent(new Event('online'))")
    page.evaluate("document.getElementById('retry').click()")
    page.wait_for_timeout(1000)
    assert page.evaluate("window.sockets.length") == n_before
    answer_with_token(page)
    page.wait_for_timeout(1500)
    assert page.evaluate("window.sockets.length") == n_before + 1
    expect(page.locator("#connection")).to_have_attribute("data-state", "open")


def test_the_question_for_a_token_comes_back_when_it_is_dismissed(
    open_server: OpenServer, open_page: OpenPage, complaints: Complaints
) -> None:
    complaints.server_may_be_gone = True
    server = open_server(access=Access(token=TOKEN))
    page = open_page(server.page_url, script=COUNT_SOCKETS, wait=False)
    field = page.locator("#token-field")
    field.wait_for()
    n_before = page.evaluate("window.sockets.length")
    for _ in range(5):
        page.keyboard.press("Escape")
        page.wait_for_timeout(100)
    expect(page.locator("#token")).to_be_visible()
    page.evaluate("document.getElementById('token').close()")
    field.wait_for()
    answer_with_token(page)
    expect(page.locator("#token")).to_be_hidden()
    assert page.evaluate("window.sockets.length") == n_before + 1


FORBID_STORAGE = """for (const storage of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, storage, { get() { throw new DOMException("no", "SecurityError"); } });
}"""


def test_a_browser_that_forbids_storage_shows_the_page_all_the_same(
    open_server: OpenServer, open_page: OpenPage, complaints: Complaints
) -> None:
    complaints.server_may_be_gone = True
    server = open_server(access=Access(token=TOKEN))
    page = open_page(f"{server.page_url}#token={TOKEN}", script=FORBID_STORAGE)
    expect(page.locator("#live")).to_be_visible()
    page.locator("#language").select_option("de")
    wait_for_text(page.locator(".empty"), "Noch hört niemand zu")
    page = open_page(server.page_url, script=FORBID_STORAGE, wait=False)
    answer_with_token(page)


def test_a_full_server_is_told_of_steadily_and_not_asked_all_the_time(
    open_server: OpenServer, open_page: OpenPage
) -> None:
    server = open_server(limits=Limits(n_subscribers=1))
    first = open_page(server.page_url)
    page = open_page(server.page_url, script=COUNT_SOCKETS, wait=False)
    wait_for_text(page.locator("#notice"), "The server has no place left for this page")
    page.evaluate(
        """() => {
          window.seen = new Set();
          setInterval(() => {
            const notice = document.getElementById("notice");
            window.seen.add(notice.hidden ? "" : document.getElementById("notice-text").textContent);
            window.seen.add(document.getElementById("connection").dataset.state);
          }, 10);
        }"""
    )
    page.locator("#retry").click()
    page.wait_for_timeout(3000)
    assert page.evaluate("window.sockets.length") == 2
    told = page.evaluate("[...window.seen]")
    assert "open" not in told
    assert len({text for text in told if text not in {"waiting", "connecting"}}) == 1
    page.locator("#language").select_option("de")
    wait_for_text(page.locator("#notice"), "keinen Platz mehr")
    first.close()
    page.locator("#retry").click()
    page.locator("#connection[data-state=open]").wait_for()
    expect(page.locator("#notice")).to_be_hidden()


def test_without_a_stream_the_page_says_how_to_send_one(
    server: EventServer, open_page: OpenPage, shoot: Shoot
) -> None:
    page = open_page(server.page_url)
    wait_for_text(page.locator(".empty"), f"tonewatch listen --to ws://127.0.0.1:{server.port}/audio")
    # The running server has the port already: its own machine's microphone is one more sender.
    wait_for_text(page.locator(".empty"), f"tonewatch listen --to {server.page_url}")
    shoot(page, "empty")
    page.locator(".empty a").click()
    expect(page.locator("#files")).to_be_visible()
    expect(page.locator("#live")).to_be_hidden()
    expect(page.locator("a[href='#files'][aria-current=page]")).to_have_count(1)
    page.go_back()
    expect(page.locator("#live")).to_be_visible()


def test_less_motion_for_those_who_want_less(
    server: EventServer, open_page: OpenPage, make_speaker: MakeSpeaker
) -> None:
    speaker = make_speaker(server, "kitchen", age_s=5)
    speaker.tell(State.LISTENING)
    duration = "getComputedStyle(document.querySelector('.bar-fill')).transitionDuration"
    page = open_page(server.page_url)
    card(page, "kitchen").wait_for()
    assert page.evaluate(duration) == "0.25s"
    page = open_page(server.page_url, reduced_motion="reduce")
    card(page, "kitchen").wait_for()
    assert page.evaluate(duration) == "0s"


def test_every_text_that_is_asked_for_exists_in_every_language(
    server: EventServer, open_page: OpenPage
) -> None:
    page = open_page(server.page_url)
    sources = {
        path.name: path.read_text(encoding="utf-8")
        for path in DASHBOARD.glob("*")
        if path.suffix in {".js", ".html"}
    }
    wanted = set(re.findall(r'data-(?:text|label|hint|placeholder)="([^"]+)"', sources["index.html"]))
    for text in sources.values():
        wanted |= set(re.findall(r'\.t\(\s*"([^"]+)"', text))
    wanted |= {f"live.{state.value}" for state in State} | {
        f"label.{label}" for label in (*LABELS, "unknown")
    }
    assert len(wanted) > 50
    tables = page.evaluate("import('/texts.js').then(({ textsOf }) => [textsOf('en'), textsOf('de')])")
    english, german = (
        {key: json.dumps(text, ensure_ascii=False) for key, text in table.items()} for table in tables
    )
    assert not wanted - set(english)
    assert set(english) == set(german)
    for key, text in english.items():
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", german[key])), key


def test_scripts_are_short_enough_to_be_read() -> None:
    lengths = {
        path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in DASHBOARD.glob("*.js")
    }
    assert {name: n for name, n in lengths.items() if n > 320} == {}
