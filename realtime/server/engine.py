"""Many streams, one model, one thread: each stream gets a turn of about one hop of audio, then the next.

Predictions are made in one place at a time, since an interpreter of TFLite serves one thread; so more
threads would only wait for each other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime.features import FeatureSpec
    from realtime.recognizer import Model
    from realtime.server.audio import AudioStream, Output
    from realtime.speaker import Adaptation, Speaker
    from realtime.types import FloatArray, Judgement, Smoothing

_logger: Final = logging.getLogger("realtime.server")


class SharedModel:
    """A model that several threads may ask: one at a time.

    Parameters
    ----------
    model
        The model.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._lock = threading.Lock()
        # Asked for each stream: properties of a model may read them from its card each time.
        self.name: str = model.name
        self.labels: tuple[str, ...] = model.labels
        self.spec: FeatureSpec = model.spec
        self.window: int = model.window
        self.hop: int = model.hop
        self.smoothing: Smoothing = model.smoothing
        self.adaptation: Adaptation | None = model.adaptation

    def judge(self, features: FloatArray, speaker: Speaker | None = None, *, new_s: float = 0.0) -> Judgement:
        """Return the probability of each label for the features of one window, and how strong they are."""
        with self._lock:
            return self._model.judge(features, speaker, new_s=new_s)


Step: TypeAlias = "Callable[[AudioStream], list[Output]]"
"""Something to do with a stream besides hearing samples: `AudioStream.finish`, for instance."""


class Channel:
    """The way of one stream into the engine: a queue of bytes and steps, to be done in order.

    Parameters
    ----------
    engine
        The engine.
    stream
        The stream; only the engine's thread touches what changes in it.
    """

    def __init__(self, engine: Engine, stream: AudioStream) -> None:
        self.stream = stream
        self._engine = engine
        self._n_bytes = 0
        self.items: deque[tuple[bytes | Step, float]] = deque()

    @property
    def queued_s(self) -> float:
        """Audio that waits for its turn, in seconds."""
        return self.stream.seconds(self._n_bytes)

    def put(self, item: bytes | Step) -> None:
        """Queue bytes or a step; never waits."""
        with self._engine.news:
            if isinstance(item, bytes):
                self._n_bytes += len(item)
            self.items.append((item, self._engine.now()))
            self._engine.wake(self)

    def abandon(self) -> None:
        """Drop what is queued, and end the stream with that counted as lost."""
        with self._engine.news:
            n_bytes, self._n_bytes = self._n_bytes, 0
            self.items.clear()
            self.items.append((lambda stream: stream.abandon(n_bytes), self._engine.now()))
            self._engine.wake(self)

    def take(self) -> tuple[bytes | Step, float]:
        """Return bytes of one turn, or a step, and when they came; to be called with the engine's lock."""
        item, came_s = self.items.popleft()
        if not isinstance(item, bytes):
            return item, came_s
        parts, n_wanted, came_s_last = [item], self.stream.n_turn_bytes - len(item), came_s
        # Many small messages are heard at once, which changes nothing but the time it takes.
        while n_wanted > 0 and self.items and isinstance(self.items[0][0], bytes):
            part, came_s_last = self.items.popleft()
            assert isinstance(part, bytes)
            parts.append(part)
            n_wanted -= len(part)
        if n_wanted < 0:
            rest = parts[-1][n_wanted:]
            parts[-1] = parts[-1][:n_wanted]
            self.items.appendleft((rest, came_s_last))
        data = b"".join(parts)
        self._n_bytes -= len(data)
        return data, came_s


@dataclass(frozen=True, slots=True)
class Turn:
    """What a stream's turn gave.

    Parameters
    ----------
    channel
        Whose turn it was.
    outputs
        Events and errors.
    audio_s
        Audio heard, in seconds.
    failure
        Where it failed, which ends the stream: a defect of Tonewatch or of the model.
    """

    channel: Channel
    outputs: list[Output]
    audio_s: float = 0.0
    failure: Exception | None = None


class Engine:
    """Runs streams in a thread of its own.

    Parameters
    ----------
    deliver
        Takes turns, in order; called from the engine's thread after each.
    now
        A monotonic clock in seconds.
    """

    def __init__(self, deliver: Callable[[Turn], None], now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.news = threading.Condition()
        self._deliver = deliver
        self._ready: deque[Channel] = deque()
        self._is_ended = False
        self._thread = threading.Thread(target=self._run, name="tonewatch-engine", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def open(self, stream: AudioStream) -> Channel:
        """Return the way in for a new stream."""
        return Channel(self, stream)

    def wake(self, channel: Channel) -> None:
        """Give a channel its turn; to be called with the lock."""
        if channel not in self._ready:
            self._ready.append(channel)
            self.news.notify()

    def close(self) -> None:
        """End the thread once nothing is queued any more; does not wait for it."""
        with self.news:
            self._is_ended = True
            self.news.notify()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self.news:
                while not self._ready:
                    if self._is_ended:
                        return
                    self.news.wait()
                channel = self._ready.popleft()
                if not channel.items:
                    continue
                item, came_s = channel.take()
                if channel.items:
                    self._ready.append(channel)
            self._deliver(self._do(channel, item, came_s))

    def _do(self, channel: Channel, item: bytes | Step, came_s: float) -> Turn:
        stream = channel.stream
        try:
            if isinstance(item, bytes):
                return Turn(channel, stream.push(item, self.now() - came_s), stream.seconds(len(item)))
            return Turn(channel, item(stream))
        except Exception as error:  # one stream's failure must not be everybody's
            _logger.exception("stream %r failed", stream.stream.name)
            return Turn(channel, [], failure=error)
