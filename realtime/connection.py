"""Connections to a server, as subscribers and senders both need them.

Importing this module is cheap; connecting imports websockets.
"""

from __future__ import annotations

import random
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from realtime.errors import SubscriptionError
from realtime.messages import AUDIO_PATH, EVENTS_PATH, SUBPROTOCOL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.asyncio.client import ClientConnection
    from websockets.http11 import Response

OPEN_TIMEOUT_S: Final = 10.0
"""How long one attempt to connect may take, in seconds."""

_FIRST_DELAY_S: Final = 0.5
_LAST_DELAY_S: Final = 30.0
_DELAY_FACTOR: Final = 1.6
_CLOSE_TIMEOUT_S: Final = 1.0
_LONGEST_REASON: Final = 300
_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
# TLS that ends in the middle is a lost connection; the rest of its errors will be the same next time.
_PASSING: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class UnreachableError(Exception):
    """There is no connection now, but there may be one later; says why."""


def endpoint(url: str, path: str) -> str:
    """Return the WebSocket address of one of a server's endpoints.

    Parameters
    ----------
    url
        The server as people know it: `ws://HOST:PORT/events`, the address of its page
        (`http://HOST:PORT/`), or `HOST:PORT`; behind a proxy with a path before it, which then ends in `/`
        or in one of the endpoints. Any other path is left as it is.
    path
        The endpoint's path.

    Raises
    ------
    SubscriptionError
        It is no such address.
    """
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url}")
        is_good = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.username is None
        problem = "" if parts.port is None or parts.port else " (the port 0)"
    except ValueError as error:
        is_good, problem = False, f" ({error})"
    if not is_good or problem:
        raise SubscriptionError(
            f"found the address {url!r}{problem}; wanted one like ws://127.0.0.1:8765{path}"
        )
    before, _, last = parts.path.rpartition("/")
    if f"/{last}" in {"/", EVENTS_PATH, AUDIO_PATH}:
        parts = parts._replace(path=before + path)
    return urlunsplit(parts._replace(scheme=_SCHEMES[parts.scheme], fragment=""))


async def connect(
    url: str,
    *,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    open_timeout_s: float = OPEN_TIMEOUT_S,
) -> ClientConnection:
    """Return a connection.

    websockets' own loop, `async for connection in connect(...)`, is not used since it waits 3 s at the
    least and goes on at once, for ever, with a server that accepts and then closes.

    Parameters
    ----------
    url
        As `endpoint` gives it.
    token
        What the server asks for, if it does.
    tls
        How a `wss` server is trusted; as the system does by default.
    open_timeout_s
        How long it may take, in seconds.

    Raises
    ------
    UnreachableError
        There is none now.
    SubscriptionError
        The server refuses, or it is another one: trying again would not help.
    """
    from websockets.asyncio import client  # noqa: PLC0415 - slow to import
    from websockets.exceptions import InvalidHandshake, InvalidURI  # noqa: PLC0415
    from websockets.typing import Subprotocol  # noqa: PLC0415

    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        raise SubscriptionError("found a token with characters that no token has; wanted printable ASCII")
    try:
        # A server on this machine or this network is not to be found behind a proxy for the web.
        return await client.connect(
            url,
            additional_headers=None if token is None else {"Authorization": f"Bearer {token}"},
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            open_timeout=open_timeout_s,
            close_timeout=_CLOSE_TIMEOUT_S,
            compression=None,
            proxy=None,
            ssl=(tls or True) if url.startswith("wss:") else None,
        )
    except (InvalidURI, UnicodeError) as error:
        raise SubscriptionError(
            f"found the address {url!r} ({error}); wanted one like ws://127.0.0.1:8765{EVENTS_PATH}"
        ) from error
    except InvalidHandshake as error:
        raise _judge_handshake(url, error, has_token=token is not None) from error
    except ssl.SSLError as error:
        raise _judge_tls(url, error) from error
    except OSError as error:
        raise UnreachableError(_reason(url, error)) from error


def delays(first_s: float = _FIRST_DELAY_S) -> Iterator[float]:
    """Yield how long to wait before each attempt, in seconds.

    Half a second at the most at first, or `first_s`, half a minute in the end, each time a little less at
    random, so that many who lost one server do not come back at once.
    """
    delay_s = first_s
    while True:
        yield delay_s * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        delay_s = min(delay_s * _DELAY_FACTOR, _LAST_DELAY_S)


def _judge_handshake(url: str, error: Exception, *, has_token: bool) -> Exception:
    """Return what it means that a handshake failed."""
    from websockets.exceptions import InvalidMessage, InvalidStatus  # noqa: PLC0415 - slow to import

    if isinstance(error, InvalidStatus):
        return _judge_answer(url, error.response, has_token=has_token)
    if not isinstance(error, InvalidMessage):
        return SubscriptionError(f"{url}: found no WebSocket ({error}); wanted a Tonewatch server")
    if isinstance(error.__cause__, EOFError):
        return UnreachableError(_closed_at_once(url))
    return SubscriptionError(f"{url}: found no web server ({error}); wanted a Tonewatch server")


def _judge_answer(url: str, response: Response, *, has_token: bool) -> Exception:
    """Return what it means that the answer is an HTTP status."""
    status = response.status_code
    said = " ".join(bytes(response.body or b"").decode(errors="replace").split())[:_LONGEST_REASON]
    found = f"HTTP status {status}" + (f" ({said})" if said else "")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        return UnreachableError(f"the server answers {found}")
    wanted = f"a subscription: is it ws://HOST:PORT{EVENTS_PATH}?"
    if url.partition("?")[0].endswith(AUDIO_PATH):
        wanted = "a server that takes audio"
    if status == HTTPStatus.UNAUTHORIZED:
        wanted = "its token: another one" if has_token else "its token: --token-file, or TONEWATCH_TOKEN"
    return SubscriptionError(f"{url}: found {found}; wanted {wanted}")


def _judge_tls(url: str, error: ssl.SSLError) -> Exception:
    """Return what it means that TLS failed."""
    if isinstance(error, _PASSING):
        return UnreachableError(_closed_at_once(url))
    if isinstance(error, ssl.SSLCertVerificationError):
        return SubscriptionError(
            f"{url}: found a certificate that is not trusted ({error.verify_message}); wanted one that is: "
            "name the file of one's own in the environment variable SSL_CERT_FILE"
        )
    return SubscriptionError(
        f"{url}: found no TLS ({error.reason or error}); wanted a server with a certificate: "
        "without one its address begins with ws:// or http://"
    )


def _closed_at_once(url: str) -> str:
    """Return that a server hung up before it said a word: where TLS is spoken on one side alone, it does."""
    other, wanted = (
        ("with", "wss:// or https://") if url.startswith("ws:") else ("without", "ws:// or http://")
    )
    return f"the server closed it at once (one {other} TLS does: is it {wanted}?)"


def _reason(url: str, error: OSError) -> str:
    """Return in a few words why there is no connection."""
    if isinstance(error, ConnectionRefusedError):
        return "no server is there"
    if isinstance(error, TimeoutError):
        return "the server does not answer"
    if isinstance(error, ConnectionResetError) and url.startswith("wss:"):
        # So asyncio calls the end of a connection in the middle of TLS's greeting.
        return _closed_at_once(url)
    text = error.strerror or str(error) or type(error).__name__
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
