"""axe-core finds nothing to complain about, in any state of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

import pytest

from realtime.server.access import Access
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from realtime.server.server import EventServer
    from tests.browser.conftest import Complaints, Fill, MakeSpeaker, OpenPage, OpenServer


class Look(TypedDict):
    """How a page is opened."""

    theme: Literal["light", "dark"]
    width: int
    height: int


LOOKS: dict[str, Look] = {
    "light": {"theme": "light", "width": 1280, "height": 900},
    "dark": {"theme": "dark", "width": 1280, "height": 900},
    "phone": {"theme": "light", "width": 360, "height": 740},
    "phone in the dark": {"theme": "dark", "width": 360, "height": 740},
}


@pytest.fixture(scope="session")
def scan() -> Callable[[Page], None]:
    """Find what axe-core has against a page; skips where axe-core is missing."""
    module = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    )
    axe = module.Axe()

    def run(page: Page) -> None:
        results = axe.run(page)
        assert results.violations_count == 0, results.generate_report()

    return run


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest) -> Look:
    return LOOKS[request.param]


def test_the_live_view(  # noqa: PLR0917 - fixtures
    server: EventServer,
    open_page: OpenPage,
    make_speaker: MakeSpeaker,
    fill: Fill,
    scan: Callable[[Page], None],
    look: Look,
) -> None:
    speaker = make_speaker(server, "kitchen", age_s=120)
    fill(speaker, 120)
    for label in (*speaker.stream.labels, "unknown"):
        one = make_speaker(server, f"says {label}", age_s=5)
        one.tell(State.LISTENING, dropped=800)
        one.say(label, 2)
    for state in State:
        make_speaker(server, f"is {state.value}", age_s=5).tell(state, "for a reason")
    page = open_page(server.page_url, **look)
    page.locator(".card").nth(len(speaker.stream.labels) + 1).wait_for()
    page.wait_for_timeout(500)
    scan(page)
    page.locator(".timeline").first.focus()
    page.locator(".timeline").first.press("ArrowLeft")
    page.locator(".readout:visible").wait_for()
    scan(page)


def test_the_file_view(
    server: EventServer, open_page: OpenPage, scan: Callable[[Page], None], look: Look
) -> None:
    page = open_page(f"{server.page_url}#files", **look)
    page.locator("#files").wait_for()
    scan(page)


def test_without_a_stream(
    server: EventServer, open_page: OpenPage, scan: Callable[[Page], None], look: Look
) -> None:
    page = open_page(server.page_url, **look)
    page.locator(".empty").wait_for()
    scan(page)


def test_the_question_for_a_token(
    open_server: OpenServer,
    open_page: OpenPage,
    scan: Callable[[Page], None],
    look: Look,
    complaints: Complaints,
) -> None:
    complaints.server_may_be_gone = True
    server = open_server(access=Access(token="a-token-for-tests-0123456789"))
    page = open_page(server.page_url, **look, wait=False)
    page.locator("#token-field").wait_for()
    scan(page)


def test_without_a_server(  # noqa: PLR0917 - fixtures
    open_server: OpenServer,
    open_page: OpenPage,
    make_speaker: MakeSpeaker,
    scan: Callable[[Page], None],
    look: Look,
    complaints: Complaints,
) -> None:
    complaints.server_may_be_gone = True
    server = open_server()
    speaker = make_speaker(server, "kitchen", age_s=5)
    speaker.tell(State.LISTENING)
    speaker.say("happy", 2)
    page = open_page(server.page_url, **look)
    page.locator(".card").wait_for()
    server.close()
    page.locator("#notice").wait_for()
    page.wait_for_timeout(300)
    scan(page)
