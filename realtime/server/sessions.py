"""The server's socket: handshakes, their bounds, what is served at which path, and the end of it all.

Importing this module imports websockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol, Self, cast

import websockets.datastructures
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Response
from websockets.protocol import State

from realtime.errors import ProtocolError
from realtime.messages import EVENTS_PATH, SUBPROTOCOL
from realtime.server.crowd import RUSH, Crowd
from realtime.server.filters import parse_query
from realtime.server.headers import Headers
from realtime.server.links import SenderLink, refuse, serve_subscriber

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from websockets.asyncio.server import Server
    from websockets.http11 import Request
    from websockets.typing import Subprotocol

    from realtime.server.filters import Query
    from realtime.server.http import Site
    from realtime.server.limits import Limits
    from realtime.server.publisher import Publisher
    from realtime.server.senders import Senders
    from realtime.server.subscribers import Subscriber

_SEND_BUFFER_BYTES: Final = 1 << 15
_FLUSH_TIMEOUT_S: Final = 0.8
_ENGINE_TIMEOUT_S: Final = 0.5
# How long the other side may take over the end of a connection, the rest of a file included.
_CLOSE_TIMEOUT_S: Final = 5.0
# Messages of a sender kept by the library before it stops reading: few, since each may be long.
_N_UNREAD: Final = 4
_TLS_FAREWELL_S: Final = 2.0
# More than that cannot be waiting for a reader: messages wait in queues, pongs nowhere.
_MOST_UNREAD_BYTES: Final = 1 << 20

_logger: Final = logging.getLogger("realtime.server.connections")
# Without it, Python would print a stack trace into the console's output for every interrupted handshake.
_logger.addHandler(logging.NullHandler())
# The library's DEBUG log holds all headers, and tokens with them.
_logger.setLevel(logging.INFO)


class Counters(Protocol):
    """What is counted here; `realtime.server.metrics.Metrics` does."""

    def subscribers(self, n: int) -> None: ...  # noqa: D102
    def refused(self, reason: str) -> None: ...  # noqa: D102


class Sessions:
    """The server's socket, and a session for each subscriber and each sender.

    Parameters
    ----------
    publisher
        Takes and gives events.
    senders
        Who sends audio; None where none is taken.
    site
        Answers requests for everything else.
    limits
        How many there may be of everything.
    counters
        What counts subscribers, and those refused.
    """

    def __init__(
        self,
        publisher: Publisher,
        senders: Senders | None,
        site: Site,
        limits: Limits,
        counters: Counters,
    ) -> None:
        self._publisher = publisher
        self._senders = senders
        self._site = site
        self._limits = limits
        self._counters = counters
        self._connections: set[ServerConnection] = set()
        # Those whose request has not come yet, and those to whom the answer was all.
        self._half_open = Crowd[ServerConnection](limits.n_handshakes, self._cut_off)
        self._answered = Crowd[ServerConnection](limits.n_handshakes, self._cut_off)
        self._queries: dict[ServerConnection, Query] = {}
        self._links: dict[Subscriber, ServerConnection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: Server | None = None

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> Self:
        """Serve on `host` and `port`; raises OSError where that fails."""
        if port == 0:
            # A name may stand for several addresses, each of which would get another free port.
            loop = asyncio.get_running_loop()
            addresses = await loop.getaddrinfo(
                host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            host = str(addresses[0][4][0])
        limits = self._limits
        _allow_files(self._n_most)
        self._server = await serve(
            self._serve_one,
            host,
            port,
            process_request=self._decide,
            select_subprotocol=_select_subprotocol,
            # Messages are short and few; compression would cost more memory per session than it saves, and
            # lets a small message become a large one.
            compression=None,
            max_size=limits.n_request_bytes,
            max_queue=_N_UNREAD,
            open_timeout=limits.handshake_s,
            close_timeout=_CLOSE_TIMEOUT_S,
            server_header=None,
            logger=_logger,
            create_connection=self._connection_type(),
            ssl=tls,
            # Many may come at once, as after a restart.
            backlog=1024,
            ssl_handshake_timeout=None if tls is None else limits.handshake_s,
            ssl_shutdown_timeout=None if tls is None else _TLS_FAREWELL_S,
        )
        return self

    @property
    def port(self) -> int:
        """The port served on."""
        assert self._server is not None
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    def send_now(self, subscriber: Subscriber, data: bytes) -> bool:
        """Send a message at once where nothing is before it; return whether that was so."""
        connection = self._links.get(subscriber)
        if connection is None:
            return False
        transport = connection.transport
        if transport.is_closing() or transport.get_write_buffer_size():
            return False
        broadcast((connection,), data, text=True)
        return True

    async def close(self) -> None:
        """Send what is queued, close every session with code 1001, and stop serving.

        Whoever does not read within 0.8 s is cut off.
        """
        assert self._server is not None
        self._server.close(close_connections=False)
        if self._senders is not None:
            await self._senders.close(_ENGINE_TIMEOUT_S)
        self._publisher.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_FLUSH_TIMEOUT_S)
        # Closing a connection in order waits for its buffer to drain, without a limit of its own.
        for connection in tuple(self._connections):
            connection.transport.abort()
        await self._server.wait_closed()

    @property
    def _n_most(self) -> int:
        """Connections at a time at the most, those included that come and go."""
        limits = self._limits
        return limits.n_subscribers + limits.n_senders + 2 * RUSH * limits.n_handshakes

    def _cut_off(self, connection: ServerConnection) -> None:
        connection.transport.abort()
        self._counters.refused("handshakes")

    def _connection_type(self) -> type[ServerConnection]:
        connections, queries = self._connections, self._queries
        half_open, answered = self._half_open, self._answered
        n_most, refused = self._n_most, self._counters.refused

        class Connection(ServerConnection):
            """A connection that can be cut off from the moment it is there, in its handshake too."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                connections.add(self)
                if len(connections) > n_most:
                    transport.abort()  # type: ignore[attr-defined]
                    refused("connections")
                else:
                    half_open.add(self)
                # Left alone, it grows to megabytes: who reads late would get predictions of an hour ago.
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES
                )

            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                if self.request is not None:
                    # It waits for us now.
                    half_open.discard(self)
                # Each ping is answered at once: who never reads the answers would fill the memory.
                if self.transport.get_write_buffer_size() > _MOST_UNREAD_BYTES:
                    self.transport.abort()
                    refused("flood")

            def connection_lost(self, exc: Exception | None) -> None:
                connections.discard(self)
                half_open.discard(self)
                answered.discard(self)
                queries.pop(self, None)
                super().connection_lost(exc)

        return Connection

    def _decide(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer requests that are for no session; None lets the handshake go on."""
        answer = self._site.answer(request.path, Headers(request.headers.raw_items()), request.method)
        # One that was cut off since it asked is gone for good: nobody would ever forget it again.
        is_there = connection in self._connections
        if answer is not None:
            if is_there:
                self._answered.add(connection)
            if answer.reason is not None:
                self._counters.refused(answer.reason)
            fields = websockets.datastructures.Headers(answer.headers)
            return Response(answer.status, answer.status.phrase, fields, answer.body)
        path, _, query = request.path.partition("?")
        if path == EVENTS_PATH:
            try:
                wanted = parse_query(query, datetime.now(UTC))
            except ProtocolError as error:
                self._counters.refused("query")
                if is_there:
                    self._answered.add(connection)
                return connection.respond(HTTPStatus.BAD_REQUEST, f"{error}\n")
            if is_there:
                self._queries[connection] = wanted
            return None
        # Whatever is longer is not even read.
        connection.protocol.max_message_size = self._limits.n_message_bytes
        return None

    async def _serve_one(self, connection: ServerConnection) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        try:
            query = self._queries.pop(connection, None)
            if query is not None:
                await self._serve_subscriber(connection, query)
            elif self._senders is not None and connection.state is State.OPEN:
                await SenderLink(connection, self._senders, self._publisher, self._limits).serve()
        finally:
            self._tasks.discard(task)

    async def _serve_subscriber(self, connection: ServerConnection, query: Query) -> None:
        subscribers = self._publisher.subscribers
        if len(subscribers) >= self._limits.n_subscribers:
            text = f"found {len(subscribers)} subscribers; wanted fewer: try again later"
            self._counters.refused("subscribers")
            await refuse(connection, ProtocolError("at_capacity", text), self._publisher)
            return
        greeting, subscriber = self._publisher.greet(query)
        self._links[subscriber] = connection
        self._counters.subscribers(len(subscribers))
        try:
            await serve_subscriber(connection, greeting, subscriber)
        finally:
            del self._links[subscriber]
            subscribers.remove(subscriber)
            self._counters.subscribers(len(subscribers))


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Return our own where it is offered; beside it there may be a token, which is no protocol."""
    return next((name for name in offered if name == SUBPROTOCOL), None)


def _allow_files(n: int) -> None:
    """Raise the number of sockets this process may have, as far as the system lets it."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - Windows has none, and needs none

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = n + 256
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
