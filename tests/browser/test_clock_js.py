"""How the page finds out what the server's clock shows, by messages that come when a test says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from realtime.server.server import EventServer
    from tests.browser.conftest import OpenPage

Heard: TypeAlias = "tuple[float, dict[str, float] | None]"
BEGAN_S = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
ASK = """async (heard) => {
  const { ServerClock } = await import("./clock.js");
  const clock = new ServerClock();
  const now = Date.now;
  try {
    return heard.map(([at, message]) => {
      if (message) clock.note(message, at);
      Date.now = () => at;
      return clock.now() - at;
    });
  } finally {
    Date.now = now;
  }
}"""


@pytest.fixture
def page(server: EventServer, open_page: OpenPage) -> Page:
    return open_page(server.page_url)


def ahead(page: Page, *heard: Heard) -> list[float]:
    """Return how far the server's clock is taken to be ahead of the page's, in seconds, after each message.

    Messages come so many seconds after the page began; `sent` and `clock` are seconds of the same kind. What
    has a `hello` is one.
    """

    def date(seconds: float) -> str:
        moment = datetime.fromtimestamp(BEGAN_S, UTC) + timedelta(seconds=seconds)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def message(fields: dict[str, float]) -> dict[str, Any]:
        dates: dict[str, Any] = {name: date(fields[name]) for name in ("sent", "clock") if name in fields}
        return {"type": "hello" if "hello" in fields else "prediction", **dates}

    told = [[1000 * (BEGAN_S + at), None if fields is None else message(fields)] for at, fields in heard]
    return [round(it / 1000, 3) for it in page.evaluate(ASK, told)]


def greeting(clock: float, sent: float) -> dict[str, float]:
    return {"hello": 1, "sent": sent, "clock": clock}


def test_before_anything_is_known_the_clocks_are_the_same(page: Page) -> None:
    assert ahead(page, (0, None), (1, {})) == [0, 0]


def test_the_greeting_tells_and_the_history_does_not(page: Page) -> None:
    # The history of a server that was set back by an hour, and once more what it says then.
    heard: list[Heard] = [
        (0, greeting(-5, 3600)),
        (0.1, {"sent": -600}),
        (0.2, {"sent": 3599}),
        (20, {"sent": 15.2}),
    ]
    assert ahead(page, *heard) == [-5, -5, -5, -4.8]
    # Later than it takes to arrive, it was sent long ago.
    assert ahead(page, (0, greeting(5, -600)), (11, {"sent": -500})) == [5, 5]


def test_the_least_delay_of_a_minute_counts(page: Page) -> None:
    heard: list[Heard] = [
        (0, greeting(7, 0)),
        *((20 + i, {"sent": 27 + i - (0.1 if i % 9 else 0)}) for i in range(80)),
    ]
    assert set(ahead(page, *heard)) == {7}


def test_clocks_that_are_not_equally_fast_are_followed(page: Page) -> None:
    # The page's gains a second in a minute.
    heard: list[Heard] = [(at, {"sent": at - at / 60}) for at in range(30, 1800)]
    found = ahead(page, (0, greeting(0, 0)), *heard)
    assert max(abs(it + at / 60) for it, (at, _) in zip(found[1:], heard, strict=True)) <= 1.0


def test_a_server_whose_clock_is_set_back_is_followed_within_a_minute(page: Page) -> None:
    before: list[Heard] = [(at, {"sent": float(at)}) for at in range(20, 100)]
    # `sent` stands still until its clock has caught up.
    after: list[Heard] = [(at, {"sent": 99.0, "clock": at - 3600.0}) for at in range(100, 180)]
    found = ahead(page, (0, greeting(0, 0)), *before, *after)
    assert set(found[: len(before) + 1]) == {0}
    assert set(found[len(before) + 1 + 60 :]) == {-3600}
    # Whoever comes then knows at once.
    assert ahead(page, (0, greeting(-3600, 0)), (0.1, {"sent": 0}), (15, {"sent": 0, "clock": -3585})) == (
        [-3600] * 3
    )


def test_a_clock_that_is_set_forward_is_followed_at_once(page: Page) -> None:
    assert ahead(page, (0, greeting(0, 0)), (20, {"sent": 20}), (21, {"sent": 3621})) == [0, 0, 3600]
    # The page's own: by what comes next.
    assert ahead(page, (0, greeting(0, 0)), (20, {"sent": 20}), (3621, {"sent": 21})) == [0, 0, -3600]


def test_what_is_known_stays_known_while_nothing_comes(page: Page) -> None:
    assert ahead(page, (0, greeting(9, 0)), (5000, None), (5001, {"sent": 5009.5})) == [9, 9, 8.5]
