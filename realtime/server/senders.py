"""Who sends audio, under which name; who is waited for, and for how long. No sockets, one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from realtime import messages
from realtime.dating import Dating
from realtime.errors import ProtocolError
from realtime.server.audio import Allowance, AudioStream
from realtime.server.engine import Engine
from realtime.server.subscribers import Subscriber
from realtime.types import State, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime.messages import Start
    from realtime.recognizer import Model
    from realtime.server.engine import Channel, Turn
    from realtime.server.limits import Limits
    from realtime.server.publisher import Publisher

_SILENT_S: Final = 3.0
"""A live sender that was silent for so long is taken for gone when another one comes with its name."""


_JOIN_S: Final = 0.1


class Counters(Protocol):
    """What is counted here; `realtime.server.metrics.Metrics` does."""

    def senders(self, n: int) -> None: ...  # noqa: D102
    def refused(self, reason: str) -> None: ...  # noqa: D102
    def rate_limited(self) -> None: ...  # noqa: D102
    def audio_s(self, seconds: float) -> None: ...  # noqa: D102


class Sender:
    """A stream that somebody sends, or sent until a moment ago.

    Parameters
    ----------
    channel
        The way of its audio into the engine.
    limits
        How fast it may send.
    now_s
        The monotonic clock.
    """

    def __init__(self, channel: Channel, limits: Limits, now_s: float) -> None:
        self.channel = channel
        self.start = channel.stream.start
        self.name = channel.stream.stream.name
        self.allowance = Allowance(limits.speed, limits.burst_s)
        self.outlet = Subscriber(0)
        self.heard_s = now_s
        """When audio came last, by the monotonic clock."""
        self.news = asyncio.Event()
        """Set where there may be room for more audio, or the end has come."""
        self.is_over = False
        """Whether its last event was sent."""
        self.failed = False
        self.timer: asyncio.TimerHandle | None = None
        """Runs while it is waited for."""
        self.is_given_up = False
        """Whether it is waited for no more, its last event being on its way."""


class Senders:
    """All audio streams of one server; to be used in one event loop.

    Parameters
    ----------
    model
        What judges windows.
    publisher
        Takes the events.
    limits
        How many there may be, how fast they may send, how long they are waited for.
    counters
        What counts them.
    """

    def __init__(self, model: Model, publisher: Publisher, limits: Limits, counters: Counters) -> None:
        self._model = model
        self._publisher = publisher
        self._limits = limits
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._turns: deque[Turn] = deque()
        self._is_awake = False
        self._engine = Engine(self._take)
        self._engine.start()
        self._senders: dict[Channel, Sender] = {}
        self._n_connected = 0
        self.closed = asyncio.Event()
        """Set when the server stops."""

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for a connection.

        Raises
        ------
        ProtocolError
            There is none left (`at_capacity`).
        """
        if self._n_connected >= self._limits.n_senders or self.closed.is_set():
            self._counters.refused("senders")
            raise ProtocolError(
                "at_capacity", f"found {self._n_connected} senders; wanted fewer: try again later"
            )
        self._n_connected += 1
        self._counters.senders(self._n_connected)
        try:
            yield
        finally:
            self._n_connected -= 1
            self._counters.senders(self._n_connected)

    def open(self, start: Start) -> Sender:
        """Return a new sender, or the one of that name that is waited for.

        Its outlet begins with `hello`.

        Raises
        ------
        ProtocolError
            The name is in use (`name_taken`), or the server does not offer what is asked for (`unsupported`).
        """
        # Without a name nobody can know whose stream it would be that goes on.
        is_named = start.name is not None
        name = start.name or messages.DEFAULT_NAME
        old = self._find(name) if is_named and not start.private else None
        if old is not None and old.timer is None and self._is_silent(old):
            self.leave(old)
        if old is not None and old.timer is not None and _fits(start, old.start):
            return self._go_on(old, start)
        if old is not None and (old.timer is not None or old.is_given_up):
            self._break_off(old, "another stream takes its name")
            old = None
        if not start.private and (old is not None or name in self._publisher.streams):
            if is_named:
                raise ProtocolError(
                    "name_taken", f"found a stream named {name!r}; wanted another name: choose one"
                )
            name = self._free_name(name)
        started = datetime.now(UTC)
        stream = AudioStream(
            start,
            self._model,
            name=name,
            started=started,
            timer=time.perf_counter,
            dating=Dating(self._model.spec.sample_rate, started=started),
        )
        sender = Sender(self._engine.open(stream), self._limits, self._loop.time())
        self._senders[sender.channel] = sender
        self._greet(sender)
        if not start.private:
            self._publisher.begin(stream.stream)
        sender.channel.put(AudioStream.begin)
        self._make_room()
        return sender

    async def hear(self, sender: Sender, data: bytes, gone: asyncio.Future[None]) -> None:
        """Take in bytes of audio; return once there is room for more, or `gone` is done."""
        sender.heard_s = self._loop.time()
        wait_s = sender.allowance.take(sender.channel.stream.seconds(len(data)), sender.heard_s)
        sender.channel.put(data)
        if wait_s > 0:
            if sender.allowance.should_tell():
                sender.outlet.push(self._publisher.date(self._rate_limited()))
                self._counters.rate_limited()
            await asyncio.wait({gone}, timeout=wait_s)
        while not (gone.done() or sender.is_over) and self._is_full(sender):
            sender.news.clear()
            await sender.news.wait()
        sender.heard_s = self._loop.time()

    async def finish(self, sender: Sender) -> None:
        """End a stream whose sender says that it is complete; return once its last event is out."""
        sender.channel.put(AudioStream.finish)
        await self._end_of(sender)

    async def abandon(self, sender: Sender) -> None:
        """End a stream that is broken off; return once its last event is out."""
        sender.channel.abandon()
        await self._end_of(sender)

    def leave(self, sender: Sender) -> None:
        """Note that the connection is gone: the stream waits for another one, unless it is private."""
        if sender.is_over or sender.is_given_up or sender.timer is not None:
            return
        sender.outlet.end()
        if sender.start.private or self.closed.is_set():
            self._give_up(sender)
            return
        sender.channel.put(AudioStream.break_off)
        sender.timer = self._loop.call_later(self._limits.resume_s, self._give_up, sender)
        self._make_room()

    async def close(self, timeout_s: float) -> None:
        """End all streams, and the engine."""
        self.closed.set()
        for sender in self._senders.values():
            self._give_up(sender)
        self._engine.close()
        ends = [asyncio.ensure_future(self._end_of(sender)) for sender in self._senders.values()]
        if ends:
            _, late = await asyncio.wait(ends, timeout=timeout_s)
            for end in late:
                end.cancel()
        # It has nothing more to do, or too much to be waited for.
        self._engine.join(_JOIN_S)

    # --- names ----------------------------------------------------------------------------------------------

    def _find(self, name: str) -> Sender | None:
        return next(
            (one for one in self._senders.values() if one.name == name and not one.start.private), None
        )

    def _free_name(self, name: str) -> str:
        number = 2
        while f"{name}-{number}" in self._publisher.streams or self._find(f"{name}-{number}"):
            number += 1
        return f"{name}-{number}"

    def _is_silent(self, sender: Sender) -> bool:
        return sender.start.realtime and self._loop.time() - sender.heard_s > _SILENT_S

    def _go_on(self, sender: Sender, start: Start) -> Sender:
        assert sender.timer is not None
        sender.timer.cancel()
        sender.timer = None
        away_s = self._loop.time() - sender.heard_s
        gap_s = max(0.0, away_s - start.backlog_s) if start.realtime else 0.0
        sender.heard_s = self._loop.time()
        self._greet(sender)
        sender.channel.put(lambda stream: stream.go_on(gap_s))
        return sender

    def _greet(self, sender: Sender) -> None:
        start = sender.start
        # Who sends a recording waits for its events, so the recording waits where they are not read.
        sender.outlet = Subscriber(self._limits.n_queued if start.realtime else float("inf"))
        stream = sender.channel.stream.stream
        hello = msgspec.structs.replace(
            self._publisher.streams.hello(),
            streams=(sender.name,),
            hop_s=round(stream.seconds(stream.hop), 6),
        )
        sender.outlet.push(self._publisher.date(hello))

    def _give_up(self, sender: Sender) -> None:
        if sender.timer is not None:
            sender.timer.cancel()
            sender.timer = None
        sender.is_given_up = True
        sender.channel.abandon()

    def _make_room(self) -> None:
        """Give up those who were waited for the longest, where they take the place of others."""
        waiting = [sender for sender in self._senders.values() if sender.timer is not None]
        n_over = sum(not sender.is_given_up for sender in self._senders.values()) - self._limits.n_senders
        for sender in waiting[: max(0, n_over)]:
            self._give_up(sender)

    # --- from the engine ------------------------------------------------------------------------------------

    def _take(self, turn: Turn) -> None:
        """Take a turn over from the engine's thread; one wake-up serves all that came until then."""
        self._turns.append(turn)
        if not self._is_awake:
            self._is_awake = True
            # RuntimeError: the loop has ended.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._deliver_all)

    def _deliver_all(self) -> None:
        # First, so that whatever is added from now on wakes the loop again.
        self._is_awake = False
        while self._turns:
            turn = self._turns.popleft()
            sender = self._senders.get(turn.channel)
            if sender is not None:
                self._deliver(sender, turn)

    def _deliver(self, sender: Sender, turn: Turn) -> None:
        for output in turn.outputs:
            if isinstance(output, messages.Error):
                data = self._publisher.date(output)
            elif sender.start.private:
                data = self._publisher.encode(output)
            else:
                data = self._publisher.publish(output)
            sender.outlet.push(data)
            if isinstance(output, Status) and output.state is State.STOPPED:
                self._end(sender)
        if turn.audio_s:
            self._counters.audio_s(turn.audio_s)
        if turn.failure is not None:
            sender.failed = True
            self._break_off(sender, "the stream failed")
        sender.news.set()

    def _break_off(self, sender: Sender, detail: str) -> None:
        """End a stream without its last events."""
        self._give_up(sender)
        if not sender.start.private:
            self._publisher.break_off(sender.name, detail)
        self._end(sender)

    def _end(self, sender: Sender) -> None:
        self._senders.pop(sender.channel, None)
        if sender.timer is not None:
            sender.timer.cancel()
            sender.timer = None
        sender.is_over = True
        sender.outlet.end()
        # Where the server stops, `stopped` is the last word.
        if not sender.start.private and not self.closed.is_set():
            self._publisher.forget(sender.name)

    async def _end_of(self, sender: Sender) -> None:
        while not sender.is_over:
            sender.news.clear()
            await sender.news.wait()

    def _is_full(self, sender: Sender) -> bool:
        is_unread = not sender.start.realtime and len(sender.outlet) > self._limits.n_queued
        return is_unread or sender.channel.queued_s > self._limits.queue_s

    def _rate_limited(self) -> messages.Error:
        limits = self._limits
        return messages.Error(
            code="rate_limited",
            message=(
                f"found more than {limits.burst_s:g} s of audio at once; wanted at most {limits.speed:g} "
                "times real time for long: the rest is read later, nothing is lost"
            ),
            fatal=False,
            dropped=0,
        )


def _fits(one: Start, other: Start) -> bool:
    """Return whether the same stream can go on."""
    # Whoever was given a name comes back with it.
    one, other = (msgspec.structs.replace(start, backlog_s=0.0, name=None) for start in (one, other))
    return one == other
