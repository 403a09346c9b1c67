"""The browser's microphone, which Chromium plays from a file here."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Protocol

import pytest
import soundfile

from realtime.live import DEMO
from realtime.server.limits import Limits
from realtime.server.server import EventServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

    from realtime.server.engine import SharedModel
    from tests.browser.conftest import Complaints, OpenServer, Shoot

expect = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright").expect

TIMEOUT_MS = 20_000
FAKE = ("--no-sandbox", "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required")


class OpenMicrophonePage(Protocol):
    """Opens the page in a browser with a made-up microphone, in a context of its own."""

    def __call__(self, url: str, *, script: str = "", may: bool = True, **settings: object) -> Page: ...


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the microphone hears, again and again."""
    samples, rate = soundfile.read(DEMO, dtype="int16")
    path: Path = tmp_path_factory.mktemp("capture") / "voice.wav"
    soundfile.write(path, samples[8 * rate : 20 * rate], rate)
    return path


@pytest.fixture(scope="module")
def browsers(browser: Browser, chromium: str, capture: Path) -> Iterator[dict[bool, Browser]]:
    """A browser that grants the microphone, and one in which somebody has refused it."""
    file = f"--use-file-for-fake-audio-capture={capture}"
    launch = browser.browser_type.launch
    granting = launch(executable_path=chromium, args=[*FAKE, file, "--use-fake-ui-for-media-stream"])
    refusing = launch(executable_path=chromium, args=[*FAKE, file, "--deny-permission-prompts"])
    yield {True: granting, False: refusing}
    granting.close()
    refusing.close()


@pytest.fixture
def open_microphone_page(
    browsers: dict[bool, Browser], complaints: Complaints
) -> Iterator[OpenMicrophonePage]:
    contexts: list[BrowserContext] = []

    def open_one(url: str, *, script: str = "", may: bool = True, **settings: object) -> Page:
        context = browsers[may].new_context(locale="en-GB", **settings)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", complaints.note)
        page.on("pageerror", complaints.note_error)
        if script:
            page.add_init_script(script)
        page.goto(url)
        page.locator("#connection[data-state=open]").wait_for()
        return page

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture
def listen() -> Iterator[Callable[[EventServer], Callable[[str], dict[str, object]]]]:
    """Subscribe to a server; what comes back waits for the next message of a type."""
    from websockets.sync.client import connect

    stack = contextlib.ExitStack()

    def subscribe(server: EventServer) -> Callable[[str], dict[str, object]]:
        connection = stack.enter_context(connect(server.url))

        def wait_for(kind: str) -> dict[str, object]:
            while True:
                message: dict[str, object] = json.loads(connection.recv(timeout=TIMEOUT_MS / 1000))
                if kind in {message["type"], message.get("state")}:
                    return message

        return wait_for

    with stack:
        yield subscribe


def start(page: Page, name: str | None = None) -> None:
    if name is not None:
        page.evaluate("(name) => localStorage.setItem('tonewatch.name', name)", name)
        page.reload()
    page.get_by_role("button", name="Use microphone").first.click()


def wait_for_words(page: Page, words: str) -> None:
    page.locator("#microphone-status", has_text=words).wait_for()


def test_gives_predictions(
    server: EventServer,
    open_microphone_page: OpenMicrophonePage,
    listen: Callable[[EventServer], Callable[[str], dict[str, object]]],
    shoot: Shoot,
) -> None:
    wait_for = listen(server)
    page = open_microphone_page(server.page_url)
    start(page, "desk by the window")
    wait_for_words(page, "The server hears this microphone as “desk by the window”.")
    prediction = wait_for("prediction")
    assert prediction["stream"] == "desk by the window"
    assert float(str(prediction["level_dbfs"])) > -45
    assert prediction["dropped"] == 0
    page.locator("#live .card.predicting", has_text="desk by the window").wait_for()
    level = page.locator(".microphone-meter")
    assert level.get_attribute("aria-valuetext") is not None
    devices = page.locator(".microphone-device option").all_inner_texts()
    assert devices[0].endswith("choice")
    assert any("Fake" in device for device in devices[1:])
    shoot(page, "microphone")
    page.get_by_role("button", name="Stop microphone").click()
    assert wait_for("stopped")["detail"] == "the stream has ended"
    page.get_by_role("button", name="Use microphone").first.wait_for()
    expect(page.locator(".microphone-panel")).to_be_hidden()
    start(page)
    wait_for("prediction")


def test_another_name_and_another_device(
    server: EventServer,
    open_microphone_page: OpenMicrophonePage,
    listen: Callable[[EventServer], Callable[[str], dict[str, object]]],
) -> None:
    wait_for = listen(server)
    page = open_microphone_page(server.page_url)
    start(page, "one")
    wait_for("prediction")
    page.get_by_label("Name of the stream").fill("two")
    page.get_by_label("Name of the stream").press("Enter")
    assert wait_for("stopped")["stream"] == "one"
    assert wait_for("prediction")["stream"] == "two"
    page.locator(".microphone-device").select_option(index=2)
    assert wait_for("stopped")["stream"] == "two"
    assert wait_for("prediction")["stream"] == "two"


def test_server_killed_and_restarted(
    open_server: OpenServer,
    open_microphone_page: OpenMicrophonePage,
    listen: Callable[[EventServer], Callable[[str], dict[str, object]]],
    complaints: Complaints,
) -> None:
    complaints.server_may_be_gone = True
    server = open_server()
    page = open_microphone_page(server.page_url)
    start(page, "desk")
    wait_for_words(page, "hears this microphone")
    server.close()
    wait_for_words(page, "The connection is lost.")
    again = open_server(port=server.port)
    wait_for = listen(again)
    assert wait_for("prediction")["stream"] == "desk"
    wait_for_words(page, "hears this microphone")


def test_page_that_is_left_lets_go(
    server: EventServer,
    open_microphone_page: OpenMicrophonePage,
    listen: Callable[[EventServer], Callable[[str], dict[str, object]]],
) -> None:
    wait_for = listen(server)
    page = open_microphone_page(server.page_url)
    start(page, "desk")
    wait_for("prediction")
    page.goto("about:blank")
    assert wait_for("stopped")["stream"] == "desk"


def test_refusal_is_explained(
    server: EventServer, open_microphone_page: OpenMicrophonePage, shoot: Shoot
) -> None:
    page = open_microphone_page(server.page_url, may=False)
    start(page)
    wait_for_words(page, "This page may not use the microphone. Allow it")
    expect(page.get_by_role("button", name="Use microphone").first).to_be_visible()
    shoot(page, "microphone-denied")


def rejecting(name: str, message: str = "") -> str:
    error = f"new DOMException({message!r}, {name!r})"
    return f"navigator.mediaDevices.getUserMedia = () => Promise.reject({error});"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (rejecting("NotFoundError"), "There is no microphone."),
        (rejecting("NotReadableError"), "perhaps another program uses it"),
        (rejecting("NotAllowedError", "Permission denied by system"), "privacy settings"),
        (rejecting("TypeError", "odd"), "cannot be used: odd"),
        ("Object.defineProperty(globalThis, 'isSecureContext', { value: false });", "https://"),
        ("delete globalThis.AudioWorkletNode;", "This browser cannot record sound."),
    ],
)
def test_every_fault_is_explained(
    script: str, words: str, server: EventServer, open_microphone_page: OpenMicrophonePage
) -> None:
    page = open_microphone_page(server.page_url, script=script)
    start(page)
    wait_for_words(page, words)
    page.get_by_role("button", name="Use microphone").first.wait_for()


def test_device_that_goes_away(server: EventServer, open_microphone_page: OpenMicrophonePage) -> None:
    script = """
        const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wanted) => (globalThis.stream = await real(wanted));
    """
    page = open_microphone_page(server.page_url, script=script)
    start(page)
    wait_for_words(page, "hears this microphone")
    # Pages cannot pull plugs, but they can tell what browsers tell then.
    page.evaluate("() => stream.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
    wait_for_words(page, "The microphone is gone")
    assert page.evaluate("() => stream.getAudioTracks()[0].readyState") == "ended"


HELD_BACK = """
    const RealContext = AudioContext;
    globalThis.AudioContext = class extends RealContext {
      constructor(...settings) {
        super(...settings);
        globalThis.context = this;
      }
      resume() {
        return globalThis.isHeldBack ? new Promise(() => {}) : super.resume();
      }
    };
    globalThis.sockets = [];
    globalThis.WebSocket = class extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols);
        if (url.includes("/audio")) globalThis.sockets.push(url);
      }
    };
"""
"""A browser that holds the sound back where a test wants that."""


def test_sound_that_the_browser_holds_back_is_woken_up(
    server: EventServer, open_microphone_page: OpenMicrophonePage
) -> None:
    page = open_microphone_page(server.page_url, script=HELD_BACK)
    start(page)
    wait_for_words(page, "hears this microphone")
    page.evaluate("() => context.suspend()")
    deadline_s = time.monotonic() + TIMEOUT_MS / 1000
    while page.evaluate("() => context.state") != "running":
        assert time.monotonic() < deadline_s
        page.wait_for_timeout(50)


def test_a_pause_is_told_and_ends_when_somebody_looks(
    open_server: OpenServer,
    open_microphone_page: OpenMicrophonePage,
    listen: Callable[[EventServer], Callable[[str], dict[str, object]]],
) -> None:
    server = open_server(limits=Limits(stall_s=1.5))
    wait_for = listen(server)
    page = open_microphone_page(server.page_url, script=HELD_BACK)
    start(page, "desk")
    wait_for_words(page, "hears this microphone")
    wait_for("prediction")
    page.evaluate("() => { globalThis.isHeldBack = true; context.suspend(); }")
    wait_for_words(page, "The browser has paused the microphone")
    # Nothing comes that would move the meter, and nothing is heard.
    expect(page.locator(".microphone-meter")).to_have_attribute("aria-valuenow", "-60")
    assert wait_for("recovering")["stream"] == "desk"
    # The server has hung up: it is not asked again for something to say nothing to.
    page.wait_for_timeout(4000)
    assert page.evaluate("() => sockets.length") == 1
    expect(page.locator("#microphone-status")).to_contain_text("The browser has paused the microphone")
    page.evaluate("() => { isHeldBack = false; document.dispatchEvent(new Event('visibilitychange')); }")
    wait_for_words(page, "hears this microphone")
    assert wait_for("prediction")["stream"] == "desk"


def test_plain_sound_is_asked_for(server: EventServer, open_microphone_page: OpenMicrophonePage) -> None:
    script = """
        const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = (wanted) => (globalThis.wanted = wanted, real(wanted));
    """
    page = open_microphone_page(server.page_url, script=script)
    start(page)
    wait_for_words(page, "hears this microphone")
    assert page.evaluate("() => wanted.audio") == {
        "echoCancellation": False,
        "noiseSuppression": False,
        "autoGainControl": False,
    }


def test_name_in_use_is_told(server: EventServer, open_microphone_page: OpenMicrophonePage) -> None:
    first = open_microphone_page(server.page_url)
    start(first, "desk")
    wait_for_words(first, "hears this microphone")
    second = open_microphone_page(server.page_url)
    start(second, "desk")
    wait_for_words(second, "There is a stream named “desk” already.")
    second.get_by_label("Name of the stream").fill("chair")
    second.get_by_label("Name of the stream").press("Enter")
    wait_for_words(second, "hears this microphone as “chair”")


def test_full_server_is_told(model: SharedModel, open_microphone_page: OpenMicrophonePage) -> None:
    server = EventServer("127.0.0.1", 0, model=model, limits=Limits(n_senders=1))
    server.start()
    try:
        pages = [open_microphone_page(server.page_url) for _ in range(2)]
        start(pages[0], "desk")
        wait_for_words(pages[0], "hears this microphone")
        start(pages[1], "chair")
        wait_for_words(pages[1], "The server has no place left.")
        for page in pages:
            page.close()
    finally:
        server.close()
