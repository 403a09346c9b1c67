"""The event server as the recognizer's thread sees it: start, publish, close."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from realtime import messages
from realtime.errors import AddressError, SinkError
from realtime.messages import EVENTS_PATH
from realtime.server.streams import Streams
from realtime.server.subscribers import QUEUE_LENGTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.server.sessions import Sessions
    from realtime.types import Event, Stream

_START_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 2.0


class EventServer:
    """Sends events to WebSocket subscribers at `/events`, from a thread with an event loop of its own.

    A subscriber gets `hello`, the newest `status` of each stream, then every event from there on. One
    that is slow loses its own oldest messages and is told how many; nobody else notices.

    Parameters
    ----------
    host
        Address to serve on: `127.0.0.1` for this machine alone, `0.0.0.0` for its whole network.
    port
        Port to serve on; any free one when 0.
    streams
        The streams known from the beginning, one at least, all listened to by one model.
    n_queued
        Messages kept for each subscriber at the most.
    """

    def __init__(
        self, host: str, port: int, streams: Sequence[Stream], *, n_queued: int = QUEUE_LENGTH
    ) -> None:
        self.host = host
        self._port = port
        self._n_queued = n_queued
        self._streams = Streams(streams)
        self._model_stream = streams[0]
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sessions: Sessions | None = None
        self._stopping = asyncio.Event()

    @property
    def port(self) -> int:
        """The port served on; the one asked for until `start`."""
        return self._port

    @property
    def url(self) -> str:
        """Where to subscribe, as seen from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return f"ws://{f'[{host}]' if ':' in host else host}:{self.port}{EVENTS_PATH}"

    def start(self) -> None:
        """Serve from now on.

        Raises
        ------
        AddressError
            The address cannot be served on.
        """
        if self._thread is not None:
            raise RuntimeError("found a server that was started before; wanted a new one")
        # Importing websockets takes a tenth of a second, which only those who serve should spend.
        from realtime.server.sessions import Sessions  # noqa: PLC0415

        sessions = self._sessions = Sessions(self._greet, self._n_queued)
        started: Future[int] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(sessions, started)), name="tonewatch-server", daemon=True
        )
        self._thread.start()
        try:
            self._port = started.result(_START_TIMEOUT_S)
        except (OSError, OverflowError, UnicodeError) as error:
            self._thread.join(_CLOSE_TIMEOUT_S)
            raise AddressError(_explain(self.host, self._port, error)) from error

    def publish(self, event: Event) -> None:
        """Send `event` to every subscriber; never waits, and may be called from any thread.

        Raises
        ------
        SinkError
            The server is not running, or the event is of another model than those before.
        """
        if not _are_of_one_model(event.stream, self._model_stream):
            raise SinkError(
                f"found an event of the model {event.stream.model!r}; wanted {self._model_stream.model!r}: "
                "start one server per model"
            )
        message = messages.to_message(event)
        data = messages.encode(message)
        if self._loop is None:
            raise SinkError("found an event for a server that was not started; wanted `start` first")
        try:
            self._loop.call_soon_threadsafe(self._publish, event, message, data)
        except RuntimeError as error:
            raise SinkError("found an event for a server that has ended; wanted one that runs") from error

    def close(self) -> None:
        """Tell every subscriber that its streams stopped, and stop serving.

        Takes 2 s at the most, whatever the subscribers do; may be called twice.
        """
        if self._thread is None or self._loop is None:
            return
        # RuntimeError: the loop has ended before.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_CLOSE_TIMEOUT_S)

    async def _serve(self, sessions: Sessions, started: Future[int]) -> None:
        try:
            await sessions.open(self.host, self._port)
        except (OSError, OverflowError, UnicodeError) as error:
            started.set_exception(error)
            return
        self._loop = asyncio.get_running_loop()
        started.set_result(sessions.port)
        await self._stopping.wait()
        for status in self._streams.stopped():
            sessions.publish(messages.encode(status))
        await sessions.close()

    def _greet(self) -> list[messages.Message]:
        return [self._streams.hello(), *self._streams.statuses()]

    def _publish(self, event: Event, message: messages.Message, data: bytes) -> None:
        assert self._sessions is not None
        if self._streams.note(event, message):
            self._sessions.publish(messages.encode(self._streams.hello()))
        self._sessions.publish(data)


def _are_of_one_model(one: Stream, other: Stream) -> bool:
    return (one.model, one.labels, one.sample_rate) == (other.model, other.labels, other.sample_rate)


def _explain(host: str, port: int, error: Exception) -> str:
    """Return what is wrong with an address, and what to do."""
    where = f"{host}:{port}"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"{where}: found another program there; wanted a free port: choose another one, or 0 for any"
    if number == errno.EACCES:
        return f"{where}: found a port that needs special rights; wanted one above 1023: choose another one"
    if isinstance(error, OverflowError):
        return f"{where}: found the port {port}; wanted one from 0 to 65535"
    if number == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror | UnicodeError):
        return (
            f"{where}: found {host!r}, which is no address of this machine; wanted one of its own: "
            "127.0.0.1 for this machine alone, 0.0.0.0 for its whole network"
        )
    return f"{where}: cannot be served on ({error}); wanted a free port: choose another one, or 0 for any"
