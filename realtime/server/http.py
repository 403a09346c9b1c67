"""What a server answers over plain HTTP: its page, its schema, its health and its metrics; pure.

Nothing is looked up by path: the files are read once, into a table, and a path that is not in the table is
not found, however it is spelled. So there is no way out of the folder.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from dataclasses import dataclass
from datetime import UTC
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from realtime import messages
from realtime.messages import AUDIO_PATH, EVENTS_PATH
from realtime.server import metrics
from realtime.server.access import Access, Kind, Refusal
from realtime.server.asyncapi import asyncapi
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from importlib.resources.abc import Traversable

    from realtime.server.headers import Headers

HEALTH_PATH: Final = "/health"
METRICS_PATH: Final = "/metrics"
SCHEMA_PATH: Final = "/schema.json"
ASYNCAPI_PATH: Final = "/asyncapi.json"

LISTENING: Final = frozenset({State.LISTENING, State.CLIPPING, State.SILENT})
"""The states in which a voice would be heard if there were one."""

_CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
}
_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"

# For every answer: nothing is taken for what it is not, framed, or told to other sites.
_ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Permissions-Policy", "microphone=(self), camera=(), geolocation=()"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream, as `/health` tells of it.

    Parameters
    ----------
    name
        Its name.
    state
        What it does.
    since
        When that began.
    """

    name: str
    state: State
    since: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a server does at one moment.

    Parameters
    ----------
    streams
        Its streams.
    version
        Version of Tonewatch.
    """

    streams: tuple[StreamState, ...] = ()
    version: str = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one request, after which the connection ends.

    Parameters
    ----------
    status
        The HTTP status.
    content_type
        Media type of the body.
    body
        What is answered.
    headers
        Names and values of all headers, length and type of the body included; the date is not.
    reason
        For refusals: what it is, for counting.
    """

    status: HTTPStatus
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _File:
    content_type: str
    body: bytes
    tag: str


class Site:
    """Answers requests for everything that is no WebSocket.

    Parameters
    ----------
    access
        Who may use the server.
    snapshot
        Returns what it does now.
    render_metrics
        Returns what it has counted, as Prometheus reads it.
    takes_audio
        Whether senders are served.
    clock_s
        Monotonic clock, in seconds, for how long it has been up.
    """

    def __init__(
        self,
        access: Access,
        snapshot: Callable[[], Snapshot],
        render_metrics: Callable[[], bytes],
        *,
        takes_audio: bool = True,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._snapshot = snapshot
        self._render_metrics = render_metrics
        self._clock_s = clock_s
        self._started_s = clock_s()
        self._files = _read_files(resources.files("realtime.server") / "dashboard")
        self._files[SCHEMA_PATH] = _schema()
        # Made once now, so that nobody's request has to wait for it.
        _asyncapi("localhost", self._access.is_tls)
        self._sockets = (EVENTS_PATH, AUDIO_PATH) if takes_audio else (EVENTS_PATH,)

    def answer(self, path: str, headers: Headers, method: str = "GET") -> Answer | None:
        """Return the answer to a request; None lets the handshake of a WebSocket go on.

        Parameters
        ----------
        path
            As it stands in the request, with its query.
        headers
            Those of the request.
        method
            Its method.
        """
        path, _, query = path.partition("?")
        kind = self._kind(path)
        refused = self._refuse(kind, headers, query, method)
        if refused is not None:
            return refused
        if kind is None:
            return _say(HTTPStatus.NOT_FOUND, f"found {path[:100]!a}; wanted / or {EVENTS_PATH}", "path")
        if kind is not Kind.SOCKET:
            return self._content(path, headers)
        if "websocket" in (option.lower() for option in headers.options("Upgrade")):
            return None
        found = f"found a plain request; wanted a WebSocket: {path} is for programs, and the page is at /"
        return _say(HTTPStatus.UPGRADE_REQUIRED, found, "upgrade", ("Upgrade", "websocket"))

    def _refuse(self, kind: Kind | None, headers: Headers, query: str, method: str) -> Answer | None:
        if method != "GET":
            found = f"found the method {method[:20]!a}; wanted GET: nothing can be changed here"
            return _say(HTTPStatus.METHOD_NOT_ALLOWED, found, "method", ("Allow", "GET"))
        refusal = self._access.refuse(headers, kind or Kind.PUBLIC)
        if refusal is not None:
            return _refuse(refusal)
        if _names_token(query):
            return _say(
                HTTPStatus.BAD_REQUEST,
                "found a token in the address, where logs and histories keep it; wanted it in a header, as a "
                "WebSocket subprotocol, or for the page behind a #",
                "token",
            )
        return None

    def _kind(self, path: str) -> Kind | None:
        if path in self._sockets:
            return Kind.SOCKET
        if path == METRICS_PATH:
            return Kind.GUARDED
        return Kind.PUBLIC if path in (*self._files, HEALTH_PATH, ASYNCAPI_PATH) else None

    def _content(self, path: str, headers: Headers) -> Answer:
        host = headers.get("Host") or ""
        if path == METRICS_PATH:
            return _make(HTTPStatus.OK, metrics.CONTENT_TYPE, self._render_metrics(), _NO_STORE)
        if path == HEALTH_PATH:
            return _make(HTTPStatus.OK, _JSON, self._health(headers), _NO_STORE)
        file = _asyncapi(host, self._access.is_tls) if path == ASYNCAPI_PATH else self._files[path]
        # Kept, but asked for each time: a server that was updated shows its new page at once.
        fields = [("Cache-Control", "no-cache"), ("ETag", file.tag)]
        if file.content_type.startswith("text/html"):
            fields.append(("Content-Security-Policy", _security_policy(host, self._access.origins)))
        if file.tag in headers.options("If-None-Match"):
            return _make(HTTPStatus.NOT_MODIFIED, file.content_type, b"", tuple(fields))
        return _make(HTTPStatus.OK, file.content_type, file.body, tuple(fields))

    def _health(self, headers: Headers) -> bytes:
        if not self._access.trusts(headers):
            # That it is alive is no secret; whose streams there are is one.
            return _to_json({"status": "ok"})
        snapshot = self._snapshot()
        is_listening, since = _listening(snapshot)
        return _to_json(
            {
                "status": "ok",
                "listening": is_listening,
                "since": None if since is None else _date(since),
                "streams": [
                    {"name": stream.name, "state": stream.state.value, "since": _date(stream.since)}
                    for stream in snapshot.streams
                ],
                "uptime_s": round(self._clock_s() - self._started_s, 3),
                "version": snapshot.version,
            }
        )


def _listening(snapshot: Snapshot) -> tuple[bool, datetime | None]:
    """Return whether any stream is listened to, and since when that is so.

    Of several that listen, the one that has done so longest counts; of none, the one that was last to stop.
    """
    listening = [stream.since for stream in snapshot.streams if stream.state in LISTENING]
    if listening:
        return True, min(listening)
    return False, max((stream.since for stream in snapshot.streams), default=None)


def _read_files(folder: Traversable) -> dict[str, _File]:
    """Return the page's files by path; what a browser would not know how to take is left out."""
    files = {f"/{path}": file for path, file in _walk(folder)}
    if "/index.html" in files:
        files["/"] = files["/index.html"]
    return files


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, _File]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
            continue
        _, dot, suffix = entry.name.rpartition(".")
        content_type = _CONTENT_TYPES.get(dot + suffix)
        if content_type is not None:
            yield prefix + entry.name, _file(content_type, entry.read_bytes())


def _file(content_type: str, body: bytes) -> _File:
    return _File(content_type, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


@functools.cache
def _schema() -> _File:
    return _file(_JSON, _to_json(messages.json_schema()))


@functools.lru_cache(maxsize=8)
def _asyncapi(host: str, is_tls: bool) -> _File:  # noqa: FBT001 - of a cache
    return _file(_JSON, _to_json(asyncapi(host, is_tls=is_tls)))


def _security_policy(host: str, origins: Sequence[str]) -> str:
    """Return what the page may do: use what is its own, and talk to its own server.

    `host` and `origins` were checked. The server may be called by the latter, behind a proxy that tells it
    another name.
    """
    others = "".join(f" ws{origin.lower()[4:]}" for origin in origins)
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src blob:; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        # Not every browser takes a WebSocket of the own host for 'self'.
        f"connect-src 'self' ws://{host} wss://{host}{others}"
    )


def _names_token(query: str) -> bool:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        return False
    return any(name.lower() in ("token", "access_token") for name, _ in pairs)


def _refuse(refusal: Refusal) -> Answer:
    is_unknown = refusal.status is HTTPStatus.UNAUTHORIZED
    more = (("WWW-Authenticate", 'Bearer realm="tonewatch"'),) if is_unknown else ()
    return _say(refusal.status, refusal.text, refusal.reason, *more)


def _say(status: HTTPStatus, text: str, reason: str, *fields: tuple[str, str]) -> Answer:
    """Return an answer of one line."""
    return _make(status, _TEXT, f"{text}\n".encode(), (*_NO_STORE, *fields), reason)


def _make(
    status: HTTPStatus,
    content_type: str,
    body: bytes,
    fields: tuple[tuple[str, str], ...],
    reason: str | None = None,
) -> Answer:
    length = () if status is HTTPStatus.NOT_MODIFIED else (("Content-Length", str(len(body))),)
    headers = (("Connection", "close"), ("Content-Type", content_type), *length, *_ALWAYS, *fields)
    return Answer(status, content_type, body, headers, reason)


_NO_STORE: Final = (("Cache-Control", "no-store"),)


def _to_json(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"


def _date(date: datetime) -> str:
    return date.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
