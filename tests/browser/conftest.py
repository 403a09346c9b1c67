"""A browser, servers to show to it, and streams that say what a test wants them to."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import pytest

import realtime
from realtime.server.engine import SharedModel
from realtime.server.server import EventServer
from realtime.types import LABELS, Latency, Prediction, Segment, State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

    from realtime.server.access import Access
    from realtime.server.limits import Limits

Theme: TypeAlias = Literal["light", "dark"]
Motion: TypeAlias = Literal["no-preference", "reduce"]

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--use-fake-ui-for-media-stream")
TIMEOUT_MS = 20_000


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the system's Chromium; skips where there is none, or Playwright is missing."""
    pytest.importorskip("playwright", reason="needs Playwright: pip install playwright")
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if path is None:
        pytest.skip(f"found none of {', '.join(CHROMIUMS)}: install Chromium")
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A browser for the tests of one file: while it is there, this thread has an event loop that runs."""
    from playwright.sync_api import expect, sync_playwright

    # As long as everything else is waited for on a busy machine.
    expect.set_options(timeout=20_000)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Complaints:
    """What a page complained about in its console: nothing, as a rule."""

    all: list[str] = field(default_factory=list)
    server_may_be_gone: bool = False
    """Whether failed requests are part of the test; a browser cannot be told not to mention them."""

    cancels: bool = False
    """Whether the page hangs up on purpose, maybe before the server has answered: a browser says so."""

    def note(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        if self.cancels and "closed before the connection is established" in message.text:
            return
        is_network = "Failed to load resource" in message.text or "WebSocket connection to" in message.text
        if not (is_network and self.server_may_be_gone):
            self.all.append(f"{message.type}: {message.text}")

    def note_error(self, error: Exception) -> None:
        self.all.append(f"exception: {error}")


class OpenPage(Protocol):
    """Opens a page in a browser of its own: English, light and 1280 by 900 unless a test wants otherwise.

    `script` runs before the page's own.
    """

    def __call__(
        self,
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        theme: Theme = "light",
        locale: str = "en-GB",
        reduced_motion: Motion = "no-preference",
        script: str = "",
        wait: bool = True,
    ) -> Page: ...


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    found = Complaints()
    yield found
    assert not found.all


@pytest.fixture
def open_page(browser: Browser, complaints: Complaints) -> Iterator[OpenPage]:
    contexts: list[BrowserContext] = []

    def open_one(
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        theme: Theme = "light",
        locale: str = "en-GB",
        reduced_motion: Motion = "no-preference",
        script: str = "",
        wait: bool = True,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            reduced_motion=reduced_motion,
            locale=locale,
            timezone_id="UTC",
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", complaints.note)
        page.on("pageerror", complaints.note_error)
        if script:
            page.add_init_script(script)
        page.goto(url)
        if wait:
            page.locator("#connection[data-state=open]").wait_for()
        return page

    yield open_one
    for context in contexts:
        context.close()


class OpenServer(Protocol):
    """Starts a server, which ends with the test; `port` 0 is any free one."""

    def __call__(
        self, *, port: int = 0, access: Access | None = None, limits: Limits | None = None
    ) -> EventServer: ...


@pytest.fixture(scope="session")
def model() -> SharedModel:
    """The model that a user gets."""
    return SharedModel(realtime.load())


@pytest.fixture
def open_server(model: SharedModel) -> Iterator[OpenServer]:
    servers: list[EventServer] = []

    def open_one(*, port: int = 0, access: Access | None = None, limits: Limits | None = None) -> EventServer:
        server = EventServer("127.0.0.1", port, model=model, access=access, limits=limits)
        server.start()
        servers.append(server)
        return server

    yield open_one
    for server in servers:
        server.close()


@pytest.fixture
def server(open_server: OpenServer) -> EventServer:
    return open_server()


class Speaker:
    """A stream whose events are made up.

    Parameters
    ----------
    server
        Where they are published.
    name
        Names the stream.
    model
        Whose name and classes the stream claims; a server takes those of its own model alone.
    age_s
        How long ago the stream began, in seconds.
    """

    def __init__(self, server: EventServer, name: str, model: SharedModel, *, age_s: float = 0.0) -> None:
        started = datetime.now(UTC) - timedelta(seconds=age_s)
        rate = model.spec.sample_rate
        self.stream = Stream(name, model.name, model.labels, rate, model.window, model.hop, started)
        self._server = server
        self._seq = 0
        self._end = 0
        self._open: Segment | None = None

    def tell(self, state: State, detail: str = "", *, dropped: int = 0) -> None:
        """Publish a status, and end the segment where the state says that nothing is predicted."""
        if state not in {State.LISTENING, State.CLIPPING}:
            self._close()
        self._server.publish(Status(self.stream, state, detail, self._end, self._end, -55.0, dropped))

    def say(
        self,
        label: str,
        n: int = 1,
        probability: float = 0.8,
        *,
        level_dbfs: float = -24.0,
        intensity: float | None = 0.6,
        is_over: bool = False,
    ) -> None:
        """Publish `n` predictions of a label, and the segment where it is new.

        Where the voice is over, they tell that it ended where the predictions before them did.
        """
        voice_end = self._end if is_over else None
        labels = self.stream.labels
        rest = (1 - probability) / max(1, len(labels) - 1)
        shares = tuple(probability if other == label else rest for other in labels)
        for _ in range(n):
            self._end += self.stream.hop
            start = max(0, self._end - self.stream.window)
            latency = Latency(1.0, 2.0, 3.0)
            self._server.publish(
                Prediction(
                    self.stream,
                    self._seq,
                    start,
                    self._end,
                    label,
                    probability,
                    shares,
                    shares,
                    level_dbfs,
                    0,
                    latency,
                    intensity,
                    None if voice_end is None else start,
                    voice_end,
                )
            )
            self._seq += 1
            if self._open is None or self._open.label != label:
                self._close()
                self._open = Segment(self.stream, label, self._end - self.stream.hop, None, probability)
                self._server.publish(self._open)

    def skip(self, seconds: float) -> None:
        """Let time pass in which nothing is said."""
        self._end += round(seconds * self.stream.sample_rate)

    def _close(self) -> None:
        if self._open is not None:
            ended = Segment(
                self.stream, self._open.label, self._open.start, self._end, self._open.probability
            )
            self._server.publish(ended)
            self._open = None


class MakeSpeaker(Protocol):
    """`Speaker`, as tests get it."""

    def __call__(self, server: EventServer, name: str, *, age_s: float = 0.0) -> Speaker: ...


@pytest.fixture
def make_speaker(model: SharedModel) -> MakeSpeaker:
    return lambda server, name, *, age_s=0.0: Speaker(server, name, model, age_s=age_s)


def fill(speaker: Speaker, seconds: float, *, moods: tuple[str, ...] = LABELS) -> None:
    """Make up a past of so many seconds, with pauses, up to now."""
    known = [mood for mood in moods if mood in speaker.stream.labels]
    hop_s = speaker.stream.hop / speaker.stream.sample_rate
    left_s, turn = seconds, 0
    speaker.tell(State.LISTENING)
    while left_s > 0:
        n = min(round(left_s / hop_s), 8 + 5 * (turn % 5))
        if n < 1:
            return
        speaker.say(known[(3 * turn) % len(known)], n, 0.5 + 0.08 * (turn % 6))
        left_s -= n * hop_s
        turn += 1
        if turn % 4 == 0 and left_s > 20:
            speaker.tell(State.SILENT, "no voice in the last window")
            speaker.skip(10)
            left_s -= 10
            speaker.tell(State.LISTENING)


def shoot(page: Page, name: str) -> None:
    """Keep a picture of the page in the folder that TONEWATCH_SCREENSHOTS names, for people to look at."""
    folder = os.environ.get("TONEWATCH_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(500)
        page.screenshot(path=Path(folder) / f"{name}.png")


class Shoot(Protocol):
    """`shoot`, as tests get it."""

    def __call__(self, page: Page, name: str) -> None: ...


@pytest.fixture(name="shoot")
def shoot_fixture() -> Shoot:
    return shoot


class Fill(Protocol):
    """`fill`, as tests get it."""

    def __call__(self, speaker: Speaker, seconds: float, *, moods: tuple[str, ...] = LABELS) -> None: ...


@pytest.fixture(name="fill")
def fill_fixture() -> Fill:
    return fill
