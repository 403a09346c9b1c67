"""The JavaScript client by itself, on a page of its own, against a server that does what a test says."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

import realtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CLIENT = Path(realtime.__file__).parent / "server" / "dashboard" / "client.js"
TIMEOUT_MS = 20_000
PAGE = """<!doctype html><link rel="icon" href="data:,"><script type="module">
  import { connect, protocols } from "/client.js";
  Object.assign(window, { client: { connect, protocols }, got: [], states: [] });
</script>"""


class ScriptedServer:
    """Serves the page; sends each connection its messages, then closes it where that is asked for."""

    def __init__(self) -> None:
        self.scripts: list[tuple[list[dict[str, Any]], bool]] = []
        self.queries: list[dict[str, list[str]]] = []
        self.offers: list[str] = []
        self._server = serve(
            self._handle,
            "127.0.0.1",
            0,
            subprotocols=["tonewatch.v1"],  # type: ignore[list-item]
            process_request=self._answer,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.port = self._server.socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/events"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()

    def _answer(self, _: ServerConnection, request: Request) -> Response | None:
        files = {
            "/": ("text/html", PAGE),
            "/client.js": ("text/javascript", CLIENT.read_text(encoding="utf-8")),
        }
        if request.path not in files:
            # Before the browser is answered, so that nobody sees a connection whose request is not noted.
            self.queries.append(parse_qs(urlsplit(request.path).query))
            self.offers.append(request.headers.get("Sec-WebSocket-Protocol", ""))
            return None
        kind, text = files[request.path]
        body = text.encode()
        headers = Headers({"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"})
        return Response(HTTPStatus.OK, "OK", headers, body)

    def _handle(self, connection: ServerConnection) -> None:
        messages, ends = self.scripts.pop(0) if self.scripts else ([], False)
        for message in messages:
            connection.send(json.dumps(message))
        if not ends:
            with contextlib.suppress(ConnectionClosed):
                connection.recv()


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def page(browser: Browser, scripted: ScriptedServer) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"http://127.0.0.1:{scripted.port}/")
    page.wait_for_function("window.client !== undefined")
    yield page
    context.close()


START = """([url, options]) => {
  window.connection = window.client.connect(url, {
    ...options,
    onMessage: (message) => window.got.push(message),
    onState: (change) => window.states.push(change),
  });
}"""


def start(page: Page, url: str, **options: Any) -> None:
    page.evaluate(START, [url, options])


def wait_for(page: Page, condition: str) -> None:
    page.wait_for_function(condition)


def hello() -> dict[str, Any]:
    return {"v": 1, "type": "hello", "streams": []}


def prediction(sent: str) -> dict[str, Any]:
    return {"v": 1, "type": "prediction", "stream": "one", "label": "happy", "probability": 0.9, "sent": sent}


def test_it_is_under_a_hundred_lines() -> None:
    assert len(CLIENT.read_text(encoding="utf-8").splitlines()) < 100


def test_it_stands_alone() -> None:
    assert "\nimport " not in CLIENT.read_text(encoding="utf-8")


def test_messages_come_in_order_and_the_state_is_told(page: Page, scripted: ScriptedServer) -> None:
    scripted.scripts = [([hello(), prediction("2026-01-01T00:00:00.000001Z")], False)]
    start(page, scripted.url)
    wait_for(page, "window.got.length === 2")
    assert [message["type"] for message in page.evaluate("window.got")] == ["hello", "prediction"]
    assert page.evaluate("window.states") == [{"state": "connecting"}, {"state": "open"}]
    assert scripted.queries == [{}]
    assert scripted.offers == ["tonewatch.v1"]


def test_filters_go_into_the_query(page: Page, scripted: ScriptedServer) -> None:
    start(
        page,
        scripted.url,
        streams=["a", "b & c"],
        types=["prediction", "segment"],
        minProbability=0.5,
        since=600,
    )
    wait_for(page, "window.states.length === 2")
    assert scripted.queries == [
        {
            "stream": ["a", "b & c"],
            "types": ["prediction,segment"],
            "min_probability": ["0.5"],
            "since": ["600"],
        }
    ]


def test_a_lost_connection_goes_on_after_the_last_message(page: Page, scripted: ScriptedServer) -> None:
    sent = ["2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:01.000001Z"]
    status = {"v": 1, "type": "status", "stream": "one", "state": "silent"}
    scripted.scripts = [
        ([hello(), status, prediction(sent[0]), prediction(sent[1])], True),
        ([hello(), status], True),
        ([hello()], False),
    ]
    start(page, scripted.url, since=600)
    wait_for(page, "window.got.length === 7")
    # What greets a newcomer carries no date, and changes nothing.
    assert [query["since"] for query in scripted.queries] == [["600"], [sent[1]], [sent[1]]]
    states = [change["state"] for change in page.evaluate("window.states")]
    assert states == ["connecting", "open", "waiting"] * 2 + ["connecting", "open"]


def test_it_waits_longer_each_time_and_not_always_the_same(page: Page, scripted: ScriptedServer) -> None:
    scripted.close()
    start(page, scripted.url)
    wait_for(page, "window.states.filter(({ state }) => state === 'waiting').length >= 4")
    delays = [change["retryInS"] for change in page.evaluate("window.states") if change["state"] == "waiting"]
    for attempt, delay in enumerate(delays):
        longest = 0.5 * 1.6**attempt
        assert longest / 2 <= delay <= longest
    assert len({round(delay / 1.6**attempt, 6) for attempt, delay in enumerate(delays)}) == len(delays)


def test_a_full_server_is_given_time(page: Page, scripted: ScriptedServer) -> None:
    full = {"v": 1, "type": "error", "code": "at_capacity", "message": "found 1 subscribers", "fatal": True}
    scripted.scripts = [([full], True)]
    start(page, scripted.url)
    wait_for(page, "window.states.length === 3")
    change = page.evaluate("window.states.at(-1)")
    assert change["state"] == "waiting"
    assert 7.5 <= change["retryInS"] <= 15


def test_a_greeting_makes_it_hopeful_again(page: Page, scripted: ScriptedServer) -> None:
    error = {"v": 1, "type": "error", "code": "internal", "message": "found a fault", "fatal": True}
    scripted.scripts = [([error], True)] * 3 + [([hello()], True), ([], False)]
    start(page, scripted.url)
    wait_for(page, "window.states.filter(({ state }) => state === 'open').length === 5")
    delays = [change["retryInS"] for change in page.evaluate("window.states") if change["state"] == "waiting"]
    assert delays[2] >= 0.5 * 1.6**2 / 2 > 0.5
    assert delays[3] <= 0.5


def test_a_token_is_offered_as_a_subprotocol(page: Page, scripted: ScriptedServer) -> None:
    token = "a+/token=with~all_kinds-of.marks?>>>"
    start(page, scripted.url, token=token)
    wait_for(page, "window.states.length === 2")
    version, name = scripted.offers[0].split(", ")
    assert version == "tonewatch.v1"
    encoded = name.removeprefix("tonewatch.token.")
    assert base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode() == token
    assert not set(encoded) & set("+/=")


def test_closed_it_stays_closed(page: Page, scripted: ScriptedServer) -> None:
    scripted.scripts = [([hello()], False)]
    start(page, scripted.url)
    wait_for(page, "window.got.length === 1")
    page.evaluate("window.connection.close()")
    page.evaluate("window.connection.retry()")
    page.wait_for_timeout(1200)
    assert page.evaluate("window.states.at(-1)") == {"state": "closed"}
    assert len(scripted.queries) == 1


def test_retry_leaves_one_connection_alone(page: Page, scripted: ScriptedServer) -> None:
    start(page, scripted.url)
    wait_for(page, "window.states.length === 2")
    page.evaluate("window.connection.retry()")
    wait_for(page, "window.states.length === 4")
    page.wait_for_timeout(1200)
    assert [change["state"] for change in page.evaluate("window.states")] == ["connecting", "open"] * 2
    assert len(scripted.queries) == 2
