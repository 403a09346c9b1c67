"""Connections: which addresses are understood, and how often it is tried."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from realtime import classifier, messages
from realtime.connection import UnreachableError, connect, delays, endpoint
from realtime.errors import SubscriptionError
from realtime.messages import AUDIO_PATH, EVENTS_PATH
from realtime.server.engine import SharedModel
from realtime.server.server import EventServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import OpenProxy


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("ws://127.0.0.1:8765/events", "ws://127.0.0.1:8765/audio"),
        ("ws://127.0.0.1:8765/audio", "ws://127.0.0.1:8765/audio"),
        ("http://127.0.0.1:8765/", "ws://127.0.0.1:8765/audio"),
        ("https://pi.example.org", "wss://pi.example.org/audio"),
        ("https://pi.example.org/#live", "wss://pi.example.org/audio"),
        ("wss://[::1]:9000", "wss://[::1]:9000/audio"),
        ("localhost:9000", "ws://localhost:9000/audio"),
        ("192.168.0.5", "ws://192.168.0.5/audio"),
        ("wss://example.org/voices/audio?a=b", "wss://example.org/voices/audio?a=b"),
        ("wss://example.org/voices/events?a=b", "wss://example.org/voices/audio?a=b"),
        ("https://example.org/voices/", "wss://example.org/voices/audio"),
        ("https://example.org/voices/of/mine/#live", "wss://example.org/voices/of/mine/audio"),
        ("wss://example.org/voices", "wss://example.org/voices"),
        ("wss://example.org/voices/my-events", "wss://example.org/voices/my-events"),
    ],
)
def test_addresses(url: str, wanted: str) -> None:
    assert endpoint(url, "/audio") == wanted


def test_delays_grow_to_half_a_minute_and_differ() -> None:
    ours, others = delays(), delays()
    first = [next(ours) for _ in range(20)]
    assert 0.25 <= first[0] <= 0.5
    assert all(15.0 <= delay <= 30.0 for delay in first[-5:])
    assert first != [next(others) for _ in range(20)]


def attempt(
    url: str, answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]
) -> type[Exception]:
    """Return what a connection to a server that answers in some way ends in."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        answer(reader, writer)
        writer.close()

    async def check() -> type[Exception]:
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises((SubscriptionError, UnreachableError)) as caught:
                await connect(f"{url}:{port}/events")
            return caught.type

    return asyncio.run(check())


def test_only_what_may_pass_is_tried_again() -> None:
    assert attempt("ws://127.0.0.1", lambda _, writer: writer.transport.abort()) is UnreachableError
    assert attempt("wss://127.0.0.1", lambda _, writer: writer.transport.abort()) is UnreachableError
    assert attempt("wss://127.0.0.1", lambda _, writer: writer.write(b"HTTP/1.1 400 No\r\n\r\n")) is (
        SubscriptionError
    )


@pytest.mark.parametrize("has_tls", [True, False])
def test_who_mistakes_a_server_for_one_with_tls_or_without_is_told(
    certificate: tuple[str, str], tiny_model: Path, *, has_tls: bool
) -> None:
    tls = None
    if has_tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    server = EventServer("127.0.0.1", 0, model=SharedModel(classifier.load(tiny_model)), tls=tls)
    server.start()
    wrong, right = ("ws", "wss") if has_tls else ("wss", "ws")
    try:
        with pytest.raises(UnreachableError, match=f"closed it at once .*: is it {right}://"):
            asyncio.run(connect(f"{wrong}://127.0.0.1:{server.port}/events"))
    finally:
        server.close()


def test_a_closed_port_is_no_reason_to_give_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UnreachableError, match="no server is there"):
        asyncio.run(connect(f"ws://127.0.0.1:{port}/events"))


@pytest.mark.parametrize("keeps_host", [True, False])
@pytest.mark.parametrize("path", [EVENTS_PATH, AUDIO_PATH])
def test_a_server_behind_a_proxy_that_ends_tls_is_reached(
    open_proxy: OpenProxy, certificate: tuple[str, str], tiny_model: Path, path: str, *, keeps_host: bool
) -> None:
    cert, key = certificate
    ending = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ending.load_cert_chain(cert, key)
    server = EventServer("127.0.0.1", 0, model=SharedModel(classifier.load(tiny_model)))
    server.start()
    try:
        proxy = open_proxy(server.port, prefix="/voices/of/mine", keeps_host=keeps_host, tls=ending)

        async def check() -> None:
            url = endpoint(proxy.url, path)
            async with await connect(url, tls=ssl.create_default_context(cafile=cert)) as connection:
                if path == AUDIO_PATH:
                    start = messages.Start(sample_rate=16_000, channels=1, format="s16le")
                    await connection.send(messages.encode(start), text=True)
                hello = messages.decode(await asyncio.wait_for(connection.recv(), 20))
                assert isinstance(hello, messages.Hello)

        asyncio.run(check())
    finally:
        server.close()


def test_a_certificate_that_is_not_trusted_is_refused(certificate: tuple[str, str]) -> None:
    cert, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def check() -> None:
        async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context) as server:
            url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
            with pytest.raises(SubscriptionError, match=r"not trusted .*SSL_CERT_FILE"):
                await connect(url)
            # With it, it goes further: to a server that says nothing.
            with pytest.raises(UnreachableError):
                await connect(url, tls=ssl.create_default_context(cafile=cert))

    asyncio.run(check())
