from __future__ import annotations

import ast
import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from http import HTTPStatus
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import messages
from realtime.server.access import Access
from realtime.server.asyncapi import asyncapi
from realtime.server.headers import Headers
from realtime.server.http import Answer, Site, Snapshot, StreamState
from realtime.types import State

TOKEN = "correct-horse-battery"
HOST = "localhost:8765"
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}
DASHBOARD = resources.files("realtime.server") / "dashboard"
ONE_OF_EACH = (
    "/",
    "/index.html",
    "/health",
    "/metrics",
    "/schema.json",
    "/asyncapi.json",
    "/events",
    "/audio",
)


def site(access: Access | None = None, snapshot: Snapshot | None = None, *, takes_audio: bool = True) -> Site:
    return Site(
        access or Access(),
        lambda: snapshot or Snapshot(),
        lambda: b"# HELP x\n",
        takes_audio=takes_audio,
        clock_s=iter((10.0, 12.5, 13.0)).__next__,
    )


def ask(
    asked: Site, path: str, /, headers: dict[str, str] | None = None, method: str = "GET", host: str = HOST
) -> Answer:
    answer = asked.answer(path, Headers({"Host": host, **(headers or {})}.items()), method)
    assert answer is not None
    # What holds for every answer.
    fields = dict(answer.headers)
    assert len(fields) == len(answer.headers)
    assert fields["Connection"] == "close"
    assert fields["Content-Type"] == answer.content_type
    if answer.status is HTTPStatus.NOT_MODIFIED:
        assert not answer.body
    else:
        assert fields["Content-Length"] == str(len(answer.body))
    assert fields["X-Content-Type-Options"] == "nosniff"
    assert fields["Referrer-Policy"] == "no-referrer"
    assert fields["Permissions-Policy"].startswith("microphone=(self)")
    assert fields["Cross-Origin-Opener-Policy"] == fields["Cross-Origin-Resource-Policy"] == "same-origin"
    assert fields["Cache-Control"] in {"no-cache", "no-store"}
    assert "Access-Control-Allow-Origin" not in fields
    assert all(name.isascii() and value.isascii() and value.isprintable() for name, value in answer.headers)
    if answer.reason is not None:
        assert answer.status >= 400
        assert answer.content_type.startswith("text/plain")
        assert answer.body.endswith(b"\n")
        assert answer.body[:-1].decode().isprintable()
    return answer


def test_neither_websockets_nor_asyncio_nor_prometheus_is_needed() -> None:
    for name in ("http", "access", "headers", "asyncapi"):
        path = resources.files("realtime.server") / f"{name}.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = {getattr(node, "module", None), *(alias.name for alias in node.names)}
                assert not modules & {"websockets", "asyncio", "prometheus_client"}


# The page


def test_the_page() -> None:
    answer = ask(site(), "/")
    assert answer.status is HTTPStatus.OK
    assert answer.content_type == "text/html; charset=utf-8"
    assert answer.body == (DASHBOARD / "index.html").read_bytes()
    assert ask(site(), "/index.html").body == answer.body
    assert ask(site(), "/?lang=de#live").body == answer.body


def test_every_file_of_the_page_is_served_as_what_it_is() -> None:
    files = [file for file in Path(str(DASHBOARD)).rglob("*") if file.is_file()]
    assert files
    served = site()
    for file in files:
        answer = ask(served, "/" + file.relative_to(str(DASHBOARD)).as_posix())
        assert answer.status is HTTPStatus.OK
        assert answer.body == file.read_bytes()
        kinds = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
        assert answer.content_type.startswith(kinds[file.suffix])


def test_folders_of_the_page_are_served_and_what_no_browser_takes_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dashboard" / "pictures").mkdir(parents=True)
    (tmp_path / "dashboard" / "pictures" / "a.svg").write_text("<svg/>")
    (tmp_path / "dashboard" / "secret.py").write_text("x = 1")
    (tmp_path / "dashboard" / "README").write_text("read me")
    monkeypatch.setattr("realtime.server.http.resources.files", lambda _name: tmp_path)
    served = site()
    assert ask(served, "/pictures/a.svg").body == b"<svg/>"
    for path in ("/secret.py", "/README", "/pictures", "/pictures/", "/"):
        assert ask(served, path).status is HTTPStatus.NOT_FOUND


def test_the_page_may_do_what_it_must_and_nothing_else() -> None:
    policy = dict(ask(site(), "/").headers)["Content-Security-Policy"]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert directives == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "media-src": "blob:",
        "connect-src": f"'self' ws://{HOST} wss://{HOST}",
        "worker-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_behind_a_proxy_the_page_may_talk_to_what_it_is_called_there() -> None:
    access = Access(origins=("https://voices.example", "HTTP://pi:8080"))
    policy = dict(ask(site(access), "/").headers)["Content-Security-Policy"]
    assert policy.endswith(f"'self' ws://{HOST} wss://{HOST} wss://voices.example ws://pi:8080")


def test_the_page_fetches_nothing_from_elsewhere_and_holds_no_script() -> None:
    """What the policy would stop in a browser."""
    page = (DASHBOARD / "index.html").read_text(encoding="utf-8")
    assert "http://" not in page
    assert "https://" not in page
    assert "<script>" not in page
    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page


def test_a_file_that_a_browser_has_is_not_sent_again() -> None:
    first = ask(site(), "/")
    tag = dict(first.headers)["ETag"]
    assert dict(first.headers)["Cache-Control"] == "no-cache"
    for asked in (tag, f'"other", {tag}'):
        again = ask(site(), "/", {"If-None-Match": asked})
        assert again.status is HTTPStatus.NOT_MODIFIED
        assert dict(again.headers)["ETag"] == tag
    assert ask(site(), "/", {"If-None-Match": '"other"'}).status is HTTPStatus.OK
    assert dict(ask(site(), "/schema.json").headers)["ETag"] != tag


# What is not found

SPELLINGS = [
    "/../server.py",
    "/..",
    "/../../pyproject.toml",
    "/./index.html",
    "/dashboard/../server.py",
    "/%2e%2e/server.py",
    "/%2e%2e%2fserver.py",
    "/..%2fserver.py",
    "/..%5cserver.py",
    "/..\\server.py",
    "/%252e%252e/server.py",
    "/%c0%ae%c0%ae/server.py",
    "/%uff0e%uff0e/server.py",
    "/....//server.py",
    "/..;/server.py",
    "/index.html/..",
    "/index.html/",
    "/index.html%00",
    "/index.html%00.png",
    "/%69ndex.html",
    "/INDEX.HTML",
    "//index.html",
    "//events",
    "///etc/passwd",
    "/etc/passwd",
    "/server.py",
    "/__init__.py",
    "/dashboard/index.html",
    "/events/",
    "/event",
    "/Events",
    "/metrics/",
    "/%6detrics",
    "",
    "*",
    "index.html",
    "http://localhost:8765/",
    "http://localhost:8765/metrics",
    "/favicon.ico",
    "/.git/config",
    "/" + "a" * 8000,
]


@pytest.mark.parametrize("upgrade", [{}, UPGRADE])
@pytest.mark.parametrize("path", SPELLINGS)
def test_other_paths_are_not_found(path: str, upgrade: dict[str, str]) -> None:
    answer = ask(site(), path, upgrade)
    assert answer.status is HTTPStatus.NOT_FOUND
    assert b"; wanted / or /events" in answer.body
    assert len(answer.body) < 300
    assert answer.reason == "path"


@given(st.text(st.characters(max_codepoint=127)))
def test_only_paths_of_the_table_are_found(path: str) -> None:
    answer = SITE.answer(path, Headers([("Host", HOST)]))
    known = {*ONE_OF_EACH, *(f"/{file.name}" for file in DASHBOARD.iterdir())}
    assert answer is not None
    if answer.status in (HTTPStatus.OK, HTTPStatus.UPGRADE_REQUIRED):
        assert path.partition("?")[0] in known


SITE = Site(Access(), Snapshot, bytes)


@pytest.mark.parametrize("path", ["/", "/events", "/metrics", "/absent"])
@pytest.mark.parametrize(
    "method", ["POST", "PUT", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "x" * 999, ""]
)
def test_other_methods_are_refused(method: str, path: str) -> None:
    for upgrade in ({}, UPGRADE):
        answer = ask(site(), path, upgrade, method)
        assert (answer.status, answer.reason) == (HTTPStatus.METHOD_NOT_ALLOWED, "method")
        assert dict(answer.headers)["Allow"] == "GET"
        assert len(answer.body) < 200


# WebSockets


@pytest.mark.parametrize("path", ["/events", "/audio", "/events?since=600", "/events?", "/audio?x"])
def test_the_handshake_of_a_websocket_goes_on(path: str) -> None:
    for upgrade in (UPGRADE, {"Upgrade": "WebSocket"}):
        assert site().answer(path, Headers({"Host": HOST, **upgrade}.items())) is None


@pytest.mark.parametrize("path", ["/events", "/audio"])
def test_a_plain_request_for_a_websocket_is_told_so(path: str) -> None:
    for upgrade in ({}, {"Upgrade": "h2c"}, {"Upgrade": "nowebsocket"}):
        answer = ask(site(), path, upgrade)
        assert answer.status is HTTPStatus.UPGRADE_REQUIRED
        assert dict(answer.headers)["Upgrade"] == "websocket"


def test_without_a_model_there_is_no_place_for_audio() -> None:
    assert ask(site(takes_audio=False), "/audio", UPGRADE).status is HTTPStatus.NOT_FOUND
    assert site(takes_audio=False).answer("/events", Headers({"Host": HOST, **UPGRADE}.items())) is None


# Who is let in


@pytest.mark.parametrize("path", ONE_OF_EACH)
def test_what_needs_the_token(path: str) -> None:
    guarded = site(Access(token=TOKEN))
    headers = Headers({"Host": HOST, **UPGRADE}.items())
    answer = guarded.answer(path, headers)
    if path not in {"/events", "/audio", "/metrics"}:
        assert answer is not None
        assert answer.status is HTTPStatus.OK
        return
    assert answer is not None
    assert (answer.status, answer.reason) == (HTTPStatus.UNAUTHORIZED, "token")
    assert dict(answer.headers)["WWW-Authenticate"] == 'Bearer realm="tonewatch"'
    named = base64.urlsafe_b64encode(TOKEN.encode()).rstrip(b"=").decode()
    for proof in (
        {"Authorization": f"Bearer {TOKEN}"},
        {"Sec-WebSocket-Protocol": f"tonewatch.token.{named}"},
    ):
        let_in = guarded.answer(path, Headers({"Host": HOST, **UPGRADE, **proof}.items()))
        assert let_in is None or let_in.status is HTTPStatus.OK


@pytest.mark.parametrize("path", ["/events", "/audio", "/", "/metrics", "/absent"])
@pytest.mark.parametrize(
    "query", [f"token={TOKEN}", f"since=1&token={TOKEN}", f"%74oken={TOKEN}", f"access_token={TOKEN}"]
)
def test_a_token_in_the_address_is_refused_and_not_repeated(path: str, query: str) -> None:
    for access in (Access(token=TOKEN), Access()):
        for proof in ({}, {"Authorization": f"Bearer {TOKEN}"}):
            answer = ask(site(access), f"{path}?{query}", {**UPGRADE, **proof})
            assert answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED)
            assert TOKEN.encode() not in answer.body


@pytest.mark.parametrize("path", ONE_OF_EACH)
def test_a_name_that_was_made_to_point_here_finds_nothing(path: str) -> None:
    answer = ask(site(), path, {**UPGRADE, "Origin": "http://evil.example"}, host="evil.example")
    assert (answer.status, answer.reason) == (HTTPStatus.FORBIDDEN, "host")


@pytest.mark.parametrize("path", ["/events", "/audio", "/metrics"])
def test_a_foreign_page_finds_nothing(path: str) -> None:
    answer = ask(site(), path, {**UPGRADE, "Origin": "https://example.org"})
    assert (answer.status, answer.reason) == (HTTPStatus.FORBIDDEN, "origin")


def test_a_request_without_a_host_is_refused() -> None:
    answer = site().answer("/", Headers())
    assert answer is not None
    assert (answer.status, answer.reason) == (HTTPStatus.BAD_REQUEST, "host")


# Documents


def test_the_schema() -> None:
    answer = ask(site(), "/schema.json")
    assert answer.content_type == "application/json"
    assert json.loads(answer.body) == json.loads(json.dumps(messages.json_schema()))


def test_the_asyncapi_document_names_the_server_as_it_was_asked() -> None:
    for host in (HOST, "127.0.0.1:8765"):
        assert json.loads(ask(site(), "/asyncapi.json", host=host).body) == asyncapi(host)
    tls = site(Access().at("localhost", is_tls=True))
    assert json.loads(ask(tls, "/asyncapi.json").body) == asyncapi(HOST, is_tls=True)


def test_metrics() -> None:
    answer = ask(site(), "/metrics")
    assert (answer.status, answer.body) == (HTTPStatus.OK, b"# HELP x\n")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert dict(answer.headers)["Cache-Control"] == "no-store"


# Health


def health(snapshot: Snapshot, access: Access | None = None, **headers: str) -> dict[str, object]:
    answer = ask(site(access, snapshot), "/health", headers)
    assert (answer.status, answer.content_type) == (HTTPStatus.OK, "application/json")
    assert dict(answer.headers)["Cache-Control"] == "no-store"
    content: dict[str, object] = json.loads(answer.body)
    return content


MICROPHONE = StreamState("microphone", State.SILENT, NOON)


def test_health() -> None:
    east = (NOON - timedelta(seconds=0.5)).astimezone(timezone(timedelta(hours=9)))
    kitchen = StreamState("kitchen", State.LISTENING, east)
    assert health(Snapshot((MICROPHONE, kitchen), "1.2.3")) == {
        "status": "ok",
        "listening": True,
        "since": "2026-03-04T11:59:59.500Z",
        "streams": [
            {"name": "microphone", "state": "silent", "since": "2026-03-04T12:00:00.000Z"},
            {"name": "kitchen", "state": "listening", "since": "2026-03-04T11:59:59.500Z"},
        ],
        "uptime_s": 2.5,
        "version": "1.2.3",
    }


@pytest.mark.parametrize("state", State)
def test_it_listens_where_a_voice_would_be_heard(state: State) -> None:
    content = health(Snapshot((replace(MICROPHONE, state=state),)))
    assert content["listening"] is (state in {State.LISTENING, State.CLIPPING, State.SILENT})
    assert content["since"] == "2026-03-04T12:00:00.000Z"


def test_what_does_not_listen_does_not_since_the_last_stopped() -> None:
    gone = StreamState("gone", State.STOPPED, NOON + timedelta(hours=1))
    dead = StreamState("dead", State.NO_SIGNAL, NOON)
    content = health(Snapshot((gone, dead)))
    assert (content["listening"], content["since"]) == (False, "2026-03-04T13:00:00.000Z")
    assert health(Snapshot((gone, dead, MICROPHONE)))["since"] == "2026-03-04T12:00:00.000Z"


def test_without_streams_nothing_is_listened_to() -> None:
    content = health(Snapshot())
    assert (content["listening"], content["since"], content["streams"]) == (False, None, [])


def test_who_has_no_token_learns_that_it_is_alive_and_nothing_else() -> None:
    snapshot = Snapshot((MICROPHONE,))
    access = Access(token=TOKEN)
    assert health(snapshot, access) == {"status": "ok"}
    assert health(snapshot, access, Authorization="Bearer wrong") == {"status": "ok"}
    assert health(snapshot, access, Authorization=f"Bearer {TOKEN}")["listening"] is True
