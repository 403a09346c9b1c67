"""The event server as other threads see it: start, publish, close."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

import msgspec

from realtime import messages
from realtime.errors import AddressError, SinkError
from realtime.messages import EVENTS_PATH, FORMATS
from realtime.server.access import Access
from realtime.server.limits import Limits
from realtime.server.publisher import Publisher
from realtime.server.streams import Streams
from realtime.types import Stream

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from realtime.recognizer import Model
    from realtime.server.http import Snapshot
    from realtime.server.sessions import Sessions
    from realtime.server.subscribers import Subscriber
    from realtime.types import Event

_START_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 2.0


class EventServer:
    """Serves events, audio senders and the page on one port, from a thread with an event loop of its own.

    A subscriber gets `hello`, the newest `status` of each stream, what it asks for of the past, then every
    event from there on. One that is slow loses its own oldest messages and is told how many; nobody else
    notices.

    Parameters
    ----------
    host
        Address to serve on: `127.0.0.1` for this machine alone, `0.0.0.0` for its whole network.
    port
        Port to serve on; any free one when 0.
    streams
        The streams known from the beginning, all listened to by one model.
    model
        What judges the audio of senders: `realtime.load` gives one. None takes no audio. Where it is used
        elsewhere too, `realtime.server.engine.SharedModel` must be around it, here and there.
    limits
        How many there may be of everything.
    access
        Who may use the server.
    tls
        What makes it speak TLS: `realtime.server.access.server_tls` gives one.

    Raises
    ------
    ValueError
        There is neither a stream nor a model, or streams and model do not belong together.
    SettingsError
        The address is open to the network, and nothing is said of who may use it.
    """

    def __init__(
        self,
        host: str,
        port: int,
        streams: Sequence[Stream] = (),
        *,
        model: Model | None = None,
        limits: Limits | None = None,
        access: Access | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = host
        self._port = port
        self._model = model
        self._limits = limits or Limits()
        self._access = (access or Access()).at(host, is_tls=tls is not None)
        self._tls = tls
        of_model = [] if model is None else [_stream_of(model)]
        hello = messages.hello([*streams, *of_model])
        self._model_stream = [*streams, *of_model][0]
        self._hello = msgspec.structs.replace(hello, streams=(), history_s=self._limits.history_s)
        if model is not None:
            self._hello = msgspec.structs.replace(
                self._hello, max_message_bytes=self._limits.n_message_bytes, formats=FORMATS
            )
        self._streams = Streams(streams, self._hello)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._publisher: Publisher | None = None
        self._sessions: Sessions | None = None
        self._stopping = asyncio.Event()

    @property
    def port(self) -> int:
        """The port served on; the one asked for until `start`."""
        return self._port

    @property
    def url(self) -> str:
        """Where to subscribe, as seen from this machine."""
        return f"{'ws' if self._tls is None else 'wss'}://{self._authority}{EVENTS_PATH}"

    @property
    def page_url(self) -> str:
        """Where the page is, as seen from this machine."""
        return f"{'http' if self._tls is None else 'https'}://{self._authority}/"

    def start(self) -> None:
        """Serve from now on.

        Raises
        ------
        AddressError
            The address cannot be served on.
        """
        if self._thread is not None:
            raise RuntimeError("found a server that was started before; wanted a new one")
        started: Future[int] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)), name="tonewatch-server", daemon=True
        )
        self._thread.start()
        try:
            self._port = started.result(_START_TIMEOUT_S)
        except (OSError, OverflowError, UnicodeError) as error:
            self._thread.join(_CLOSE_TIMEOUT_S)
            raise AddressError(_explain(self.host, self._port, error)) from error

    def publish(self, event: Event) -> None:
        """Send `event` to every subscriber that wants it; never waits, and may be called from any thread.

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
        if self._loop is None or self._publisher is None:
            raise SinkError("found an event for a server that was not started; wanted `start` first")
        try:
            self._loop.call_soon_threadsafe(self._publisher.publish, event, message)
        except RuntimeError as error:
            raise SinkError("found an event for a server that has ended; wanted one that runs") from error

    def close(self) -> None:
        """Tell everyone that the streams stopped, and stop serving.

        Takes 2 s at the most, whatever the others do; may be called twice.
        """
        if self._thread is None or self._loop is None:
            return
        # RuntimeError: the loop has ended before.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_CLOSE_TIMEOUT_S)

    @property
    def _authority(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return f"{f'[{host}]' if ':' in host else host}:{self.port}"

    async def _serve(self, started: Future[int]) -> None:
        try:
            sessions = await self._open()
        except BaseException as error:  # noqa: BLE001 - whoever starts the server is told
            started.set_exception(error)
            return
        self._loop = asyncio.get_running_loop()
        started.set_result(sessions.port)
        await self._stopping.wait()
        await sessions.close()

    async def _open(self) -> Sessions:
        # Importing websockets and Prometheus' client takes a while, which only those who serve should spend.
        from realtime.server.http import Site  # noqa: PLC0415
        from realtime.server.metrics import Metrics  # noqa: PLC0415
        from realtime.server.senders import Senders  # noqa: PLC0415
        from realtime.server.sessions import Sessions  # noqa: PLC0415

        limits, metrics = self._limits, Metrics(self._hello.server)
        publisher = Publisher(self._streams, limits, metrics, send_now=self._send_now)
        senders = None if self._model is None else Senders(self._model, publisher, limits, metrics)
        site = Site(self._access, self._snapshot, metrics.render, takes_audio=senders is not None)
        self._sessions = Sessions(publisher, senders, site, limits, metrics)
        self._publisher = publisher
        try:
            return await self._sessions.open(self.host, self._port, self._tls)
        except BaseException:
            if senders is not None:
                await senders.close(0.0)
            raise

    def _send_now(self, subscriber: Subscriber, data: bytes) -> bool:
        return self._sessions is not None and self._sessions.send_now(subscriber, data)

    def _snapshot(self) -> Snapshot:
        from realtime.server.http import Snapshot, StreamState  # noqa: PLC0415 - only where it is served

        streams = (StreamState(one.stream.name, one.state, one.since) for one in self._streams.known)
        return Snapshot(tuple(streams), self._hello.server)


def _stream_of(model: Model) -> Stream:
    """Return a stream as a sender's would be, which introduces the model."""
    return Stream("", model.name, model.labels, model.spec.sample_rate, model.window, model.hop)


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
