"""The sink for WebSocket subscribers: hands events to the event server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime.server.server import EventServer
    from realtime.types import Event


class WebSocketSink:
    """Publishes every event on `server`, which must have been started.

    Parameters
    ----------
    server
        The server; `close` closes it.
    """

    name = "websocket"

    def __init__(self, server: EventServer) -> None:
        self._server = server

    def emit(self, event: Event) -> None:
        """Publish `event`; raises SinkError where the server is not running."""
        self._server.publish(event)

    def close(self) -> None:
        """Close the server; may be called twice."""
        self._server.close()
