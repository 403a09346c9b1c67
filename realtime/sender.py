"""Send audio to a Tonewatch server from a Python program, and get back what it hears.

::

    async for message in stream_audio("ws://127.0.0.1:8765/audio", blocks, sample_rate=16_000):
        if isinstance(message, Prediction):
            print(message.label, message.probability)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import queue
import threading
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
import numpy as np

from realtime import connection, messages
from realtime.backlog import Backlog
from realtime.client import disconnected
from realtime.connection import OPEN_TIMEOUT_S, UnreachableError
from realtime.errors import ProtocolError, SettingsError, SourceError, SubscriptionError
from realtime.messages import AUDIO_PATH

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Iterable

    from websockets.asyncio.client import ClientConnection

    from realtime.types import FloatArray

Samples: TypeAlias = "bytes | bytearray | memoryview | FloatArray"
"""Raw samples in the format declared, or numbers of full scale ±1 [shape=(n,) or (n, channels)]."""

_SAMPLE_BYTES: Final = {"s16le": 2, "f32le": 4}
_STOP_TIMEOUT_S: Final = 0.5
_NORMAL: Final = 1000
# Somebody may still be there, or the place may be free later; but who comes for the first time is told.
_PASSING: Final = frozenset({"at_capacity", "name_taken"})


async def stream_audio(
    url: str,
    audio: AsyncIterable[Samples] | Iterable[Samples] | Samples,
    *,
    sample_rate: int,
    channels: int = 1,
    format: Literal["s16le", "f32le"] = "s16le",  # noqa: A002 - its name on the wire
    name: str | None = None,
    private: bool = False,
    realtime: bool = True,
    hop_s: float | None = None,
    smoothing: str | None = None,
    min_probability: float = 0.0,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    buffer_s: float = 10.0,
    open_timeout_s: float = OPEN_TIMEOUT_S,
) -> AsyncGenerator[messages.Message, None]:
    """Send audio to the server at `url`, and yield what it hears, `hello` first, until all is judged.

    When the connection is lost it tries again, as `subscribe` does, and goes on as the same stream: under
    its name. Meanwhile audio is kept, and sent first when the server is back. Of live audio no more than
    `buffer_s` is kept, and the oldest is lost: the server counts it as dropped; a server that was started
    anew cannot know of it, so an `error` with the code `disconnected` says how many samples those were
    (its `dropped`). A recording is read no further meanwhile.

    Parameters
    ----------
    url
        As in `ws://127.0.0.1:8765/audio`; the address of the server's page will do.
    audio
        Blocks of samples, of any length, or a single one. One that is no asynchronous iterable is read in a
        thread.
    sample_rate
        Samples per second of each channel, in Hz.
    channels
        Number of interleaved channels.
    format
        Format of raw samples, and of what is sent: `s16le` or `f32le`.
    name
        Names the stream, and is how the server knows it again; the server chooses one where it is None.
    private
        Whether the events come here alone, not to the server's subscribers.
    realtime
        Whether the audio is live; otherwise it is a recording, sent as fast as the server takes it.
    hop_s, smoothing, min_probability
        How to judge, as on the command line; as the model does by default.
    token
        The server's token, if it has one.
    tls
        How a `wss` server is trusted; as the system does by default.
    buffer_s
        Audio kept while there is no connection, in seconds.
    open_timeout_s
        How long one attempt to connect may take, in seconds.

    Yields
    ------
    Message
        In the order sent: those of this stream alone.

    Raises
    ------
    SubscriptionError
        The address is wrong, the server refuses the audio, or what it sends is not understood.
    SettingsError
        The format is unknown, or a number is out of range.
    """
    start = _checked(
        messages.Start(
            sample_rate=sample_rate,
            channels=channels,
            format=format,
            name=name,
            private=private,
            realtime=realtime,
            hop_s=hop_s,
            smoothing=smoothing,
            min_probability=min_probability,
        )
    )
    if not buffer_s >= 0:
        raise SettingsError(f"buffer_s is {buffer_s}; wanted a number of seconds from 0 up")
    backlog = Backlog(sample_rate, _SAMPLE_BYTES[format] * channels, buffer_s, is_live=realtime)
    sender = _Sender(connection.endpoint(url, AUDIO_PATH), start, backlog)
    reading = asyncio.create_task(_read(audio, start, backlog))
    delays = connection.delays()
    is_known_lost = False
    try:
        while True:
            try:
                server = await connection.connect(
                    sender.url, token=token, tls=tls, open_timeout_s=open_timeout_s
                )
            except UnreachableError as error:
                reason = str(error)
            else:
                async with contextlib.aclosing(sender.talk(server)) as told:
                    async for message in told:
                        if isinstance(message, messages.Hello):
                            delays, is_known_lost = connection.delays(), False
                        yield message
                if sender.is_done:
                    break
                reason = sender.reason
            if not is_known_lost:
                is_known_lost = True
                yield disconnected(sender.url, reason)
            await asyncio.sleep(next(delays))
            if sender.is_stalled:
                # There is nothing to say until there is something to hear.
                await backlog.wait()
        # What ailed the audio is told when what came before is judged.
        await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


class _Sender:
    """A stream of audio, over as many connections as it takes."""

    def __init__(self, url: str, start: messages.Start, backlog: Backlog) -> None:
        self.url = url
        self.is_done = False
        self.is_stalled = False
        self.reason = ""
        self._start = start
        self._backlog = backlog
        self._was_taken = self._is_told = self._is_stopped = False
        self._n_unheard = self._n_lost = 0
        self._model_rate = start.sample_rate
        # Where the stream has come, in seconds: a server that is not as far has begun anew.
        self._come_s = math.inf

    async def talk(self, server: ClientConnection) -> AsyncGenerator[messages.Message, None]:
        """Send what there is, and yield what comes back, until the connection ends."""
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - slow to import

        self._n_lost += self._n_unheard
        self._n_unheard = 0
        self._is_told = self._is_stopped = self.is_stalled = False
        self.reason = "the connection is lost"
        self._backlog.when_overflowing = lambda: self._cut(server)
        sending = asyncio.create_task(self._send(server))
        try:
            async for data in server:
                message = messages.decode(data)
                if isinstance(message, messages.Prediction | messages.Status):
                    loss = self._come(message)
                    if loss is not None:
                        yield loss
                elif isinstance(message, messages.Hello):
                    self._was_taken = True
                    self._model_rate = message.sample_rate
                    # Who did not choose a name has got one, under which it goes on.
                    self._start = msgspec.structs.replace(self._start, name=message.streams[0])
                elif isinstance(message, messages.Error) and message.fatal:
                    self._bear(message)
                    message = msgspec.structs.replace(message, fatal=False)
                yield message
        except ConnectionClosed:
            pass
        finally:
            self._backlog.when_overflowing = None
            self.is_done = self._is_stopped and server.close_code == _NORMAL
            sending.cancel()
            # Also when nobody wants to know more: the server is not to wait for more of this stream.
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await asyncio.wait([sending])
                    if not self._is_stopped:
                        await server.send(messages.encode(messages.Stop()), text=True)
            await server.close()

    async def _send(self, server: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - slow to import

        backlog = self._backlog
        # What the first connection finds waiting is the beginning, and makes up for nothing.
        kept_s = backlog.seconds if self._was_taken else 0.0
        try:
            await server.send(
                messages.encode(msgspec.structs.replace(self._start, backlog_s=kept_s)), text=True
            )
            while (block := await backlog.take()) is not None:
                try:
                    await server.send(block)
                except ConnectionClosed:
                    backlog.put_back(block)
                    raise
                self._n_unheard += len(block) // backlog.n_frame_bytes
            await server.send(messages.encode(messages.Stop()), text=True)
            self._is_stopped = True
        except ConnectionClosed:
            pass  # whoever reads from it is told

    def _come(self, message: messages.Prediction | messages.Status) -> messages.Error | None:
        """Note how far the stream has come; return what a server that began anew cannot know of."""
        come_s = message.end_s if isinstance(message, messages.Prediction) else message.at_s
        began_anew, self._come_s = come_s < self._come_s, come_s
        self._n_unheard = 0
        if self._is_told:
            return None
        self._is_told = True
        n_lost = self._n_lost + self._backlog.take_lost()
        self._n_lost = 0
        if not (began_anew and n_lost):
            return None
        lost_s = n_lost / self._start.sample_rate
        return messages.Error(
            code="disconnected",
            message=f"{self.url}: {lost_s:.2f} s of audio are lost: there was no connection",
            fatal=False,
            dropped=max(1, round(lost_s * self._model_rate)),
        )

    def _bear(self, error: messages.Error) -> None:
        """Take in the error that ends a connection.

        Raises
        ------
        SubscriptionError
            The next connection would end in the same way.
        """
        self.reason = error.message
        self.is_stalled = error.code == "stalled"
        # Who was there before comes back: the place may still be held by the connection that was lost.
        if not (self.is_stalled or (self._was_taken and error.code in _PASSING)):
            raise SubscriptionError(f"{self.url}: {error.message}")

    def _cut(self, server: ClientConnection) -> None:
        """Break off a connection that takes live audio too slowly: the server counts what is missing."""
        self.reason = "the server takes the audio more slowly than it comes"
        server.transport.abort()


async def _read(
    audio: AsyncIterable[Samples] | Iterable[Samples] | Samples, start: messages.Start, backlog: Backlog
) -> None:
    if isinstance(audio, bytes | bytearray | memoryview | np.ndarray):
        # One by one its samples would be blocks too, and take longer than they last.
        audio = [audio]
    blocks = audio if isinstance(audio, AsyncIterable) else _iterate(audio)
    try:
        async for block in blocks:
            await backlog.put(_encoded(block, start))
    finally:
        backlog.end()


async def _iterate(blocks: Iterable[Samples]) -> AsyncGenerator[Samples, None]:
    """Iterate in a thread of its own, for which nobody waits: what reads a pipe cannot be interrupted."""
    loop = asyncio.get_running_loop()
    wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
    found: asyncio.Queue[Samples | BaseException | None] = asyncio.Queue()

    def read() -> None:
        # Which asks for the iterator with the first block, so that what is no iterable is told as well.
        iterator = itertools.chain(blocks)
        while wanted.get():
            one: Samples | BaseException | None
            try:
                one = next(iterator, None)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever iterates
                one = error
            # RuntimeError: the loop has ended.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(found.put_nowait, one)

    threading.Thread(target=read, name="tonewatch-audio", daemon=True).start()
    try:
        while True:
            wanted.put(True)
            one = await found.get()
            if one is None:
                return
            if isinstance(one, BaseException):
                raise one
            yield one
    finally:
        wanted.put(False)


def _encoded(samples: Samples, start: messages.Start) -> bytes:
    """Return samples as they are sent.

    Raises
    ------
    SourceError
        They are an array of another kind than numbers of full scale ±1.
    """
    if isinstance(samples, bytes | bytearray | memoryview):
        return bytes(samples)
    shape, kind = getattr(samples, "shape", None), getattr(samples, "dtype", None)
    if shape is None or not np.issubdtype(kind, np.floating) or shape[1:] not in {(), (start.channels,)}:
        found = type(samples).__name__ if shape is None else f"an array of {kind} of shape {shape}"
        raise SourceError(
            f"samples are {found}; wanted bytes, or a NumPy array of floating-point numbers of shape (n,) or "
            f"(n, {start.channels}), full scale ±1"
        )
    if start.format == "f32le":
        wire = samples.astype("<f4")
    else:
        # What is no number has no integer: it is sent as silence.
        scaled = np.nan_to_num(np.rint(samples.astype(np.float64) * 32_768))
        wire = np.clip(scaled, -32_768, 32_767).astype("<i2")
    return bytes(wire.tobytes())


def _checked(start: messages.Start) -> messages.Start:
    """Refuse here, and at once, what the server would refuse."""
    try:
        messages.decode_client(messages.encode(start))
    except ProtocolError as error:
        raise SettingsError(str(error)) from error
    return start
