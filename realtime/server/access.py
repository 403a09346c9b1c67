"""Who may use a server: tokens, the pages that may talk to it, the names it goes by, and TLS; pure.

Two things are kept apart: programs, which prove themselves by a token where one is set, and web pages, which
a browser lets talk to any server at all, also to one on this machine. A page is named by `Origin`, so that
foreign ones are turned away. One whose own name was made to point at this machine (DNS rebinding) is of the
same origin as the server it talks to; it is told by `Host`, which then holds that name.

A browser does not tell a page what a server answered to its WebSocket. So a page may ask by a plain request
whether it would be let in, for which a browser names no `Origin` where the page is from the same address: the
page names itself in `Page-Origin` then. That can turn it away, but lets nobody in.

References
----------
RFC 6454, "The Web Origin Concept"; RFC 6750, "Bearer Token Usage"; RFC 6455, section 10.2.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import ssl
from dataclasses import dataclass, field, replace
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from realtime.errors import SettingsError
from realtime.server.headers import Headers, Origin

if TYPE_CHECKING:
    import os

MIN_TOKEN_LENGTH: Final = 16
"""Characters of a token at the least: about 96 bits where they are random letters and digits."""

TOKEN_PROTOCOL: Final = "tonewatch.token."  # noqa: S105 - what stands before a token
"""What the WebSocket subprotocol that carries a token begins with; the token follows in base64url."""

PAGE_ORIGIN: Final = "Page-Origin"
"""The header in which a page names its origin where the browser does not."""

_MAX_TOKEN_LENGTH: Final = 1024
_EXCERPT_LENGTH: Final = 100


class Kind(Enum):
    """What a path is, for those who guard it."""

    PUBLIC = "public"
    """The page, the schema and the like: the same for everybody, and says nothing of any voice."""
    GUARDED = "guarded"
    """Tells what goes on here: for those alone who have the token."""
    SOCKET = "socket"
    """A WebSocket: guarded, and closed to the pages of others."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is turned away.

    Parameters
    ----------
    status
        The HTTP status: 400, 401 or 403.
    reason
        What it is, for programs and for counting: `host`, `origin` or `token`.
    text
        What it is, for people: one line without a line break. Never holds a token.
    """

    status: HTTPStatus
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a server. By default: programs and own pages of this machine.

    Parameters
    ----------
    token
        What programs and pages must know; None where nothing is asked for.
    origins
        Other sites whose pages may talk to the server, as in `https://example.org`; its own always may.
        The server may be called by their names as well, as it is behind a proxy.
    insecure
        Whether everybody on the network may use it, where it has an address for the network and no token.
    is_loopback
        Whether it can be reached from this machine alone.
    is_tls
        Whether it speaks TLS.

    Raises
    ------
    SettingsError
        The token is too short or holds other than visible ASCII characters, or an origin is none.
    """

    token: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()
    insecure: bool = False
    is_loopback: bool = True
    is_tls: bool = False

    def __post_init__(self) -> None:
        if self.token is not None:
            check_token(self.token, "the token")
        for text in self.origins:
            if Origin.parse(text) is None:
                raise SettingsError(
                    f"found the origin {_excerpt(text)}; wanted one like https://example.org or "
                    "http://192.168.0.5:8080, without a path"
                )

    def at(self, host: str, *, is_tls: bool) -> Access:
        """Return this access as it is for a server on the address `host`.

        Raises
        ------
        SettingsError
            The address is for the network, and nothing says who may use it (see `check_exposure`).
        """
        check_exposure(host, self.token, insecure=self.insecure)
        return replace(self, is_loopback=is_loopback(host), is_tls=is_tls)

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return "https" if self.is_tls else "http"

    def refuse(self, headers: Headers, kind: Kind) -> Refusal | None:
        """Return why a request is turned away, or None where it may pass.

        Parameters
        ----------
        headers
            Those of the request.
        kind
            What it asks for.
        """
        refusal = self._refuse_host(headers)
        if refusal is None and kind is not Kind.PUBLIC:
            refusal = self._refuse_origin(headers)
            if refusal is None and not self.trusts(headers):
                refusal = _refuse_token(headers)
        return refusal

    def trusts(self, headers: Headers) -> bool:
        """Return whether a request has the token, or needs none."""
        if self.token is None:
            return True
        # Both are looked at, whole and in constant time, so that the time tells nothing of the token.
        expected = self.token.encode("ascii")
        scheme, _, bearer = (headers.get("Authorization") or "").partition(" ")
        is_known = scheme.lower() == "bearer" and _are_equal(bearer.strip(" "), expected)
        named = base64.urlsafe_b64encode(expected).rstrip(b"=")
        for offer in headers.options("Sec-WebSocket-Protocol"):
            if offer.startswith(TOKEN_PROTOCOL):
                is_known |= _are_equal(offer.removeprefix(TOKEN_PROTOCOL), named)
        return is_known

    def _refuse_host(self, headers: Headers) -> Refusal | None:
        text = headers.get("Host")
        own = None if text is None else Origin.of_host(text, self.scheme)
        if text is None or own is None:
            found = "no Host" if text is None else f"Host {_excerpt(text)}"
            return Refusal(
                HTTPStatus.BAD_REQUEST,
                "host",
                f"found {found}; wanted the server's own, as in localhost:8765",
            )
        if not self.is_loopback or self.token is not None or _is_loopback_name(own.name):
            return None
        listed = {origin.name for origin in map(Origin.parse, self.origins) if origin is not None}
        if own.name in listed:
            return None
        return Refusal(
            HTTPStatus.FORBIDDEN,
            "host",
            f"found Host {_excerpt(text)}; wanted localhost, 127.0.0.1 or [::1], since this server is for "
            "its own machine: start it with --token, or with --origin for that name",
        )

    def _refuse_origin(self, headers: Headers) -> Refusal | None:
        text = headers.get("Origin")
        if text is None:
            text = headers.get(PAGE_ORIGIN)
        if text is None:
            # A program, or a page that reads what is its own.
            return None
        origin = Origin.parse(text)
        own = Origin.of_host(headers.get("Host") or "", self.scheme)
        if origin is not None and (origin == own or origin in map(Origin.parse, self.origins)):
            return None
        return Refusal(
            HTTPStatus.FORBIDDEN,
            "origin",
            f"found a page of {_excerpt(text)}; wanted one of this server, which is asked for as "
            f"{_excerpt(headers.get('Host') or '')}: start it with --origin for that page to let it in, as "
            "behind a proxy",
        )


def check_token(token: str, where: str) -> None:
    """Raise SettingsError where `token` is none; `where` says where it stands.

    It must fit into a header as it is, and be too long to be guessed.
    """
    if not MIN_TOKEN_LENGTH <= len(token) <= _MAX_TOKEN_LENGTH:
        raise SettingsError(
            f"{where}: found {len(token)} characters; wanted {MIN_TOKEN_LENGTH} to {_MAX_TOKEN_LENGTH}: "
            "make one, as with `openssl rand -hex 24`"
        )
    if not all("!" <= character <= "~" for character in token):
        raise SettingsError(
            f"{where}: found a space or another character that a header cannot hold; wanted letters, digits "
            "and signs: make one, as with `openssl rand -hex 24`"
        )


def read_token(path: str | os.PathLike[str]) -> str:
    """Return the token that is the first line of a file.

    Raises
    ------
    SettingsError
        It cannot be read, or holds no token.
    """
    try:
        with Path(path).open("rb") as file:
            line = file.readline(_MAX_TOKEN_LENGTH + 3)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}); wanted a file with a token in its first line"
        ) from error
    token = line.strip().decode("utf-8", "replace")
    check_token(token, f"{path}: the token in the first line")
    return token


def is_loopback(host: str) -> bool:
    """Return whether an address to serve on can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        # An empty one is every address; where another name points is not ours to say.
        return False


def check_exposure(host: str, token: str | None, *, insecure: bool) -> None:
    """Raise SettingsError where everybody on the network could listen in, and nobody said that they may.

    Parameters
    ----------
    host
        Address to serve on.
    token
        What those who use it must know.
    insecure
        Whether everybody may.
    """
    if token is None and not insecure and not is_loopback(host):
        raise SettingsError(
            f"found the address {host or '(all)'!r} without a token; wanted who may listen in there: give "
            "--token or --token-file, or --insecure to let everybody in, or serve on 127.0.0.1"
        )


def server_tls(cert: str | os.PathLike[str], key: str | os.PathLike[str]) -> ssl.SSLContext:
    """Return what makes a server speak TLS.

    Parameters
    ----------
    cert
        File with the certificate, and those between it and its root, in PEM.
    key
        File with its private key, in PEM, not encrypted. May be the same file.

    Raises
    ------
    SettingsError
        One of them cannot be used.
    """
    _check_pem(cert, "CERTIFICATE-----", "--cert", "a certificate")
    _check_pem(key, "PRIVATE KEY-----", "--key", "a private key")
    encrypted = SettingsError(
        f"{key}: found an encrypted private key; wanted one that can be read without a password: take it "
        "off, as with `openssl pkey -in KEY -out NEW`, and let nobody else read the file"
    )

    def refuse_password() -> str:
        # Without this, OpenSSL asks on the terminal, where nobody may be.
        raise encrypted

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(
                f"{key}: found the private key of another certificate than {cert}; wanted its own"
            ) from error
        raise SettingsError(
            f"{cert}, {key}: found a damaged certificate or private key ({error.reason}); wanted both in PEM"
        ) from error
    return context


def _check_pem(path: str | os.PathLike[str], marker: str, flag: str, wanted: str) -> None:
    """Raise SettingsError where a file cannot be read or does not hold what is wanted.

    OpenSSL itself names neither the file nor what is wrong with it.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}); wanted {wanted} in PEM for {flag}"
        ) from error
    if marker.encode() not in content:
        raise SettingsError(
            f"{path}: found no {wanted.removeprefix('a ')}; wanted {wanted} in PEM for {flag}"
        )


def _refuse_token(headers: Headers) -> Refusal:
    offers = headers.options("Sec-WebSocket-Protocol")
    has_one = headers.get("Authorization") is not None or any(o.startswith(TOKEN_PROTOCOL) for o in offers)
    return Refusal(
        HTTPStatus.UNAUTHORIZED,
        "token",
        f"found {'a wrong' if has_one else 'no'} token; wanted the server's: send it as "
        f"`Authorization: Bearer TOKEN`, or as the WebSocket subprotocol {TOKEN_PROTOCOL}BASE64URL",
    )


def _are_equal(found: str, wanted: bytes) -> bool:
    # On bytes, since text of other than ASCII characters raises; headers are decoded as Latin-1.
    return hmac.compare_digest(found.encode("utf-8", "surrogateescape"), wanted)


def _is_loopback_name(name: str) -> bool:
    return name == "localhost" or is_loopback(name)


def _excerpt(text: str) -> str:
    """Return a text of others for a message: short, and without what moves a terminal's cursor."""
    return ascii(text if len(text) <= _EXCERPT_LENGTH else f"{text[:_EXCERPT_LENGTH]}...")
