"""The WebSocket side of the event server: handshakes, sessions and their end; runs in one event loop.

Importing this module imports websockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from realtime import messages
from realtime.messages import EVENTS_PATH
from realtime.server.subscribers import Subscriber, Subscribers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from websockets.asyncio.server import Server
    from websockets.http11 import Request, Response

# A browser names the page that opens a WebSocket, and lets any page on the web open one to this machine.
# So only pages of this machine may listen in; programs, which name none, are not held back by it.
_ORIGINS: Final = (None, re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"))
_MAX_INBOUND_BYTES: Final = 1024
_SEND_BUFFER_BYTES: Final = 1 << 15
_FLUSH_TIMEOUT_S: Final = 0.8
_CLOSE_TIMEOUT_S: Final = 0.5

_logger: Final = logging.getLogger("realtime.server")
# Without it, Python would print a stack trace into the console's output for every interrupted handshake.
_logger.addHandler(logging.NullHandler())


class Sessions:
    """The server's socket, and a session for each subscriber.

    Parameters
    ----------
    greet
        Returns what a new subscriber is told first.
    n_queued
        Messages kept for each subscriber at the most.
    """

    def __init__(self, greet: Callable[[], Sequence[messages.Message]], n_queued: int) -> None:
        self._greet = greet
        self._subscribers = Subscribers(n_queued)
        self._connections: set[ServerConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: Server | None = None

    async def open(self, host: str, port: int) -> Self:
        """Serve on `host` and `port`; raises OSError where that fails."""
        if port == 0:
            # A name may stand for several addresses, each of which would get another free port.
            loop = asyncio.get_running_loop()
            addresses = await loop.getaddrinfo(
                host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            host = str(addresses[0][4][0])
        connections = self._connections

        class Connection(ServerConnection):
            """A connection that can be cut off from the moment it is there, in its handshake too."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                connections.add(self)
                # Left alone, it grows to megabytes: who reads late would get predictions of an hour ago.
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES
                )

            def connection_lost(self, exc: Exception | None) -> None:
                connections.discard(self)
                super().connection_lost(exc)

        self._server = await serve(
            self._serve_one,
            host,
            port,
            origins=_ORIGINS,
            process_request=self._answer,
            # Messages are short and few; compression would cost more memory per session than it saves.
            compression=None,
            max_size=_MAX_INBOUND_BYTES,
            close_timeout=_CLOSE_TIMEOUT_S,
            logger=_logger,
            create_connection=Connection,
        )
        return self

    @property
    def port(self) -> int:
        """The port served on."""
        assert self._server is not None
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    def publish(self, data: bytes) -> None:
        """Queue one encoded message for every subscriber; never waits."""
        self._subscribers.publish(data)

    async def close(self) -> None:
        """Send what is queued, close every session with code 1001, and stop serving.

        Whoever does not read within 0.8 s is cut off.
        """
        assert self._server is not None
        self._server.close(close_connections=False)
        self._subscribers.end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_FLUSH_TIMEOUT_S)
        # Closing a connection in order waits for its buffer to drain, without a limit of its own.
        for connection in tuple(self._connections):
            connection.transport.abort()
        await self._server.wait_closed()

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer requests that are not for the events; None lets the handshake go on."""
        path = urlsplit(request.path).path
        if path == EVENTS_PATH:
            return None
        host, port = connection.local_address[:2]
        url = f"ws://{f'[{host}]' if ':' in host else host}:{port}{EVENTS_PATH}"
        if path == "/" and "Upgrade" not in request.headers:
            return connection.respond(HTTPStatus.OK, f"Tonewatch sends its events over WebSocket at {url}\n")
        return connection.respond(
            HTTPStatus.NOT_FOUND, f"found {path}; wanted {EVENTS_PATH}: the events are at {url}\n"
        )

    async def _serve_one(self, connection: ServerConnection) -> None:
        # Greeting and membership at one moment: no event falls between, and none comes twice.
        greeting = [messages.encode(message) for message in self._greet()]
        subscriber = self._subscribers.add()
        sender = asyncio.create_task(self._send(connection, greeting, subscriber))
        self._tasks.add(sender)
        try:
            # What a subscriber says is read, so that its pings and its farewell are seen, and ignored.
            async for _ in connection:
                pass
        except ConnectionClosed:
            pass
        finally:
            self._subscribers.remove(subscriber)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await sender
            self._tasks.discard(sender)

    @staticmethod
    async def _send(connection: ServerConnection, greeting: Sequence[bytes], subscriber: Subscriber) -> None:
        # `send` waits while the connection's buffer (32 KiB) is full; the subscriber's queue takes over then.
        for data in greeting:
            await connection.send(data, text=True)
        async for data in subscriber:
            await connection.send(data, text=True)
        await connection.close(CloseCode.GOING_AWAY, "the server is stopping")
