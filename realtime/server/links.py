"""One connection each: a subscriber's, or a sender's. Says and hears what the parts without sockets decide.

Importing this module imports websockets.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from websockets.exceptions import ConcurrencyError, ConnectionClosed
from websockets.frames import CloseCode

from realtime import messages
from realtime.errors import ProtocolError
from realtime.server.audio import AudioSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from websockets.asyncio.server import ServerConnection

    from realtime.server.limits import Limits
    from realtime.server.publisher import Publisher
    from realtime.server.senders import Sender, Senders
    from realtime.server.subscribers import Subscriber

GOING_AWAY: Final = "the server is stopping"


async def serve_subscriber(
    connection: ServerConnection, greeting: Sequence[bytes], subscriber: Subscriber
) -> None:
    """Send what a subscriber is to get, until it leaves or the server stops."""
    sending = asyncio.create_task(_send_all(connection, greeting, subscriber))
    try:
        # What a subscriber says is read, so that its pings and its farewell are seen, and ignored.
        async for _ in connection:
            pass
    except ConnectionClosed:
        pass
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
            await sending


async def _send_all(connection: ServerConnection, greeting: Sequence[bytes], subscriber: Subscriber) -> None:
    # `send` waits while the connection's buffer (32 KiB) is full; the subscriber's queue takes over then.
    for data in greeting:
        await connection.send(data, text=True)
    async for data in subscriber:
        await connection.send(data, text=True)
    await connection.close(CloseCode.GOING_AWAY, GOING_AWAY)


async def refuse(connection: ServerConnection, error: ProtocolError, publisher: Publisher) -> None:
    """Tell a session why it ends, and end it."""
    code = CloseCode.TRY_AGAIN_LATER if error.code == "at_capacity" else CloseCode.POLICY_VIOLATION
    message = messages.Error(code=error.code, message=str(error), fatal=True, dropped=0)
    with contextlib.suppress(ConnectionClosed):
        await connection.send(publisher.date(message), text=True)
        await close(connection, code, error.code)


async def close(connection: ServerConnection, code: CloseCode, reason: str = "") -> None:
    """Close a connection; what still comes in is not listened to.

    It is read all the same: the other side's farewell stands behind it.
    """

    async def ignore() -> None:
        with contextlib.suppress(ConnectionClosed, ConcurrencyError):
            async for _ in connection:
                pass

    ignoring = asyncio.create_task(ignore())
    try:
        await connection.close(code, reason)
    finally:
        ignoring.cancel()
        await asyncio.gather(ignoring, return_exceptions=True)


class SenderLink:
    """The connection of somebody who sends audio.

    Parameters
    ----------
    connection
        The connection, its handshake done.
    senders
        Everybody who sends.
    publisher
        Dates what is said.
    limits
        How long silence lasts.
    """

    def __init__(
        self, connection: ServerConnection, senders: Senders, publisher: Publisher, limits: Limits
    ) -> None:
        self._connection = connection
        self._senders = senders
        self._publisher = publisher
        self._limits = limits
        self._session = AudioSession()

    async def serve(self) -> None:
        """Hear the sender until it stops, leaves, stalls or is not understood, or the server stops."""
        try:
            start = await self._wait_for_start()
            if start is None:
                await close(self._connection, CloseCode.GOING_AWAY, GOING_AWAY)
                return
            # Not before: who says nothing shall keep nobody out.
            with self._senders.place():
                await self._serve(self._senders.open(start))
        except ProtocolError as error:
            await refuse(self._connection, error, self._publisher)
        except ConnectionClosed:
            pass

    async def _wait_for_start(self) -> messages.Start | None:
        """Return the first message, or None where the server stops before."""
        starting = asyncio.create_task(self._receive(self._limits.handshake_s))
        closing = asyncio.create_task(self._senders.closed.wait())
        try:
            await asyncio.wait({starting, closing}, return_when=asyncio.FIRST_COMPLETED)
            if closing.done():
                return None
            start = starting.result()
            assert isinstance(start, messages.Start)
            return start
        finally:
            for task in (starting, closing):
                task.cancel()
            await asyncio.gather(starting, closing, return_exceptions=True)

    async def _serve(self, sender: Sender) -> None:
        outlet = sender.outlet
        saying = asyncio.create_task(self._say(sender, outlet))
        gone = asyncio.ensure_future(self._connection.wait_closed())
        # Whoever waits for room in a queue shall not wait for ever.
        gone.add_done_callback(lambda _: sender.news.set())
        hearing = asyncio.create_task(self._hear(sender, gone))
        try:
            await asyncio.wait({saying, hearing}, return_when=asyncio.FIRST_COMPLETED)
            if hearing.done() or self._session.is_ended:
                await asyncio.wait({hearing})
                await self._end(sender, hearing.exception(), saying)
            elif sender.failed:
                await close(self._connection, CloseCode.INTERNAL_ERROR, "the stream failed")
            elif sender.is_over:
                await close(self._connection, CloseCode.GOING_AWAY, GOING_AWAY)
            elif sender.outlet is not outlet or sender.timer is not None:
                # Another connection goes on with the stream.
                await refuse(
                    self._connection,
                    ProtocolError("name_taken", f"{sender.name!r} is sent by another connection now"),
                    self._publisher,
                )
        finally:
            for task in (saying, hearing, gone):
                task.cancel()
            await asyncio.gather(saying, hearing, gone, return_exceptions=True)
            if sender.outlet is outlet:
                self._senders.leave(sender)

    async def _end(self, sender: Sender, error: BaseException | None, saying: asyncio.Task[None]) -> None:
        """End a session that was heard to its end."""
        if isinstance(error, ProtocolError):
            await self._senders.abandon(sender)
        elif error is not None:
            raise error
        # What is left to say, the last status among it.
        await saying
        if isinstance(error, ProtocolError):
            raise error
        await close(self._connection, CloseCode.NORMAL_CLOSURE)

    async def _hear(self, sender: Sender, gone: asyncio.Future[None]) -> None:
        """Hear the sender until it says `stop`."""
        while True:
            if sender.start.realtime:
                said = await self._receive(sender.heard_s + self._limits.stall_s - self._now())
            else:
                said = self._session.receive(await self._connection.recv())
            if isinstance(said, messages.Stop):
                await self._senders.finish(sender)
                return
            # Nothing but samples is left; none in a message are no sign of life.
            if isinstance(said, bytes) and said:
                await self._senders.hear(sender, said, gone)

    async def _say(self, sender: Sender, outlet: Subscriber) -> None:
        async for data in outlet:
            await self._connection.send(data, text=True)
            sender.news.set()

    async def _receive(self, timeout_s: float) -> messages.ClientMessage | bytes:
        try:
            async with asyncio.timeout(timeout_s):
                return self._session.receive(await self._connection.recv())
        except TimeoutError as error:
            is_new = self._session.start is None
            wanted = "`start`" if is_new else "samples, silence too, or `stop`"
            waited_s = self._limits.handshake_s if is_new else self._limits.stall_s
            raise ProtocolError(
                "stalled",
                f"found nothing for {waited_s:g} s; wanted {wanted}: connect again to go on",
            ) from error

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
