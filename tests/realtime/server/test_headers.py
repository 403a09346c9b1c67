from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.server.headers import Headers, Origin


def test_names_are_found_in_any_case() -> None:
    headers = Headers([("hOST", "localhost"), ("Accept", "*/*")])
    assert headers.get("Host") == "localhost"
    assert headers.get("accept") == "*/*"
    assert headers.get("Origin") is None


def test_values_of_a_name_that_comes_again_are_joined() -> None:
    headers = Headers([("Host", "localhost"), ("host", "example.org")])
    assert headers.get("Host") == "localhost, example.org"


def test_a_list_may_be_split_over_headers() -> None:
    headers = Headers([("Sec-WebSocket-Protocol", "a , b"), ("sec-websocket-protocol", "c,,")])
    assert headers.options("Sec-WebSocket-Protocol") == ("a", "b", "c")
    assert headers.options("Upgrade") == ()


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://localhost", Origin("http", "localhost", "80")),
        ("http://localhost:80", Origin("http", "localhost", "80")),
        ("HTTPS://Example.ORG", Origin("https", "example.org", "443")),
        ("https://example.org.:8443", Origin("https", "example.org", "8443")),
        ("http://[::1]:8765", Origin("http", "[::1]", "8765")),
        ("http://192.168.0.5:08080", Origin("http", "192.168.0.5", "8080")),
    ],
)
def test_origins(text: str, origin: Origin) -> None:
    assert Origin.parse(text) == origin
    scheme, _, host = text.partition("://")
    assert Origin.of_host(host, scheme.lower()) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "localhost",
        "http://",
        "http://localhost/",
        "http://localhost/page",
        "http://user@localhost",
        "http://localhost:",
        "http://localhost:port",
        "http://localhost:999999",
        "http://localhost\n",
        "http://local host",
        "http://localhost, http://localhost",
        "http://-",
        "http://[::1",
        "http://\u217cocalhost",
        "http://localhost:\u0661",  # an Arabic digit
        "file://",
        "ws://localhost",
        "chrome-extension://abcdefghij",
        f"http://{'a' * 300}",
    ],
)
def test_what_is_no_origin(text: str) -> None:
    assert Origin.parse(text) is None


@given(st.text())
def test_any_text_is_an_origin_or_none(text: str) -> None:
    """What is taken for a host stands in headers and in a document: it must not be able to break out."""
    for origin in (Origin.parse(text), Origin.of_host(text, "http")):
        if origin is not None:
            assert all(c.isascii() and (c.isalnum() or c in "[]:._-") for c in origin.name + origin.port)
            assert not set(text) & set(" \t\r\n;,'\"<>\\%@?#")
