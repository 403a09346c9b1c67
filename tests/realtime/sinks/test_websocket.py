from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from websockets.asyncio.client import connect

from realtime import messages
from realtime.errors import SinkError
from realtime.server.server import EventServer
from realtime.sinks.websocket import WebSocketSink
from realtime.types import Segment, Stream

if TYPE_CHECKING:
    from realtime.types import Sink

STREAM = Stream(
    "microphone", "tiny", ("neutral", "angry"), 22050, 66150, 11025, datetime(2026, 1, 1, tzinfo=UTC)
)
SEGMENT = Segment(STREAM, "angry", 0, None, 0.9)


def test_publishes_and_closes() -> None:
    server = EventServer("127.0.0.1", 0, [STREAM])
    server.start()
    sink: Sink = WebSocketSink(server)

    async def check() -> None:
        async with connect(server.url) as connection:
            assert isinstance(messages.decode(await connection.recv()), messages.Hello)
            sink.emit(SEGMENT)
            message = messages.decode(await connection.recv())
            assert msgspec.structs.replace(message, sent=None) == messages.to_message(SEGMENT)
            await asyncio.to_thread(sink.close)

    asyncio.run(check())
    sink.close()
    with pytest.raises(SinkError, match="has ended"):
        sink.emit(SEGMENT)
