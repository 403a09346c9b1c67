"""Live audio from a microphone, which may vanish and come back."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Self

import numpy as np

from realtime.errors import DeviceError
from realtime.ring import RingBuffer
from realtime.sources.device import devices, find_device, load_backend
from realtime.sources.outage import FIRST_SAMPLES_WITHIN_S, POLL_S, SILENT_AFTER_S, Outage
from realtime.sources.resample import StreamResampler
from realtime.types import Chunk, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from realtime.ring import RingRead
    from realtime.sources.device import AudioBackend, CallbackFlags, CallbackTime, Device, InputStream
    from realtime.types import FloatArray

RETRY_EVERY_S = 2.0
"""Seconds between attempts to open a dead device again."""

CLOSE_WITHIN_S = 2.0
"""Seconds that closing a device may take before the loop stops waiting for it."""

BLOCK_S = 0.02
"""Seconds of audio per callback."""

_NOTHING: FloatArray = np.zeros(0, dtype=np.float32)


class _Capture:
    """One opening of a device: PortAudio's thread fills `ring` until `close`.

    Parameters
    ----------
    backend
        The module `sounddevice`.
    device
        What to open. Of its channels two are asked for, or all where it allows no other number: what
        lies in the further channels of sound servers and microphone arrays is silence or playback.
    buffer_s
        Capacity of the ring, in seconds.
    clock
        Monotonic time in seconds.

    Raises
    ------
    DeviceError
        If it cannot be opened.
    """

    def __init__(
        self, backend: AudioBackend, device: Device, buffer_s: float, clock: Callable[[], float]
    ) -> None:
        self.device = device
        self._buffer_s = buffer_s
        self._clock = clock
        self._next_adc_s = math.nan
        self._last_call_s = clock()
        self._closing: threading.Thread | None = None
        self._closing_lock = threading.Lock()
        try:
            self._stream = self._open(backend, min(2, device.channels))
        except DeviceError:
            if device.channels <= 2:  # noqa: PLR2004 - stereo
                raise
            self._stream = self._open(backend, device.channels)

    def close(self) -> bool:
        """Stop and close the device; return whether that is done.

        PortAudio may hang here when a device has vanished. Then the loop is not held up for more than
        `CLOSE_WITHIN_S`; ask again later.
        """
        with self._closing_lock:
            if self._closing is None:
                self._closing = threading.Thread(target=self._close, name="close-microphone", daemon=True)
                self._closing.start()
        self._closing.join(CLOSE_WITHIN_S)
        return not self._closing.is_alive()

    def _close(self) -> None:
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)

    def _open(self, backend: AudioBackend, channels: int) -> InputStream:
        rate = self.device.sample_rate
        self.channels = channels
        self.ring = RingBuffer(max(1, int(self._buffer_s * rate)), channels, clock=self._clock)
        stream = None
        try:
            stream = backend.InputStream(
                device=self.device.index,
                samplerate=rate,
                channels=channels,
                blocksize=max(1, int(BLOCK_S * rate)),
                dtype="float32",
                callback=self._receive,
            )
            stream.start()
        except (backend.PortAudioError, ValueError) as error:
            if stream is not None:
                stream.close(ignore_errors=True)
            raise DeviceError(
                f"input device {self.device} cannot be opened at {rate} Hz: {error}; "
                "does another program use it, or may this one not record?"
            ) from error
        return stream

    def _receive(self, indata: FloatArray, frames: int, at: CallbackTime, status: CallbackFlags) -> None:
        """Take a buffer; runs in PortAudio's thread, where nothing may wait."""
        adc_s, now_s, rate = at.inputBufferAdcTime, self._clock(), self.device.sample_rate
        lost = 0
        if status.input_overflow:
            # PortAudio says that samples were lost, not how many. The capture times tell, where the
            # system fills them in; no more can be missing than time has passed.
            gap_s = min(adc_s - self._next_adc_s, now_s - self._last_call_s)
            lost = max(1, round(gap_s * rate)) if math.isfinite(gap_s) else 1
        self._next_adc_s = adc_s + frames / rate
        self._last_call_s = now_s
        self.ring.write(indata, lost=lost)


class MicrophoneSource:
    """Listen to a microphone until closed, through whatever happens to it.

    The device runs at its own rate; its channels are mixed to mono and resampled. When samples are lost,
    the next chunk says how many. When none arrive for two seconds, an empty chunk says `NO_SIGNAL`; from
    then on the device is opened again every two seconds, each failure an empty chunk `RECOVERING`, and the
    time without audio counts as dropped samples, until it is back.

    PortAudio finds devices anew only if it is started anew, which ends every stream of the process: have
    one microphone open at a time.

    Parameters
    ----------
    sample_rate
        Samples per second of the chunks, in Hz.
    device
        An index, a name or part of one, or None for the default; see `find_device`.
    name
        Names the stream in messages.
    buffer_s
        How far the loop may fall behind before the oldest samples are dropped, in seconds.
    backend
        The module `sounddevice`, which is imported by default.
    clock
        Monotonic time in seconds.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        device: int | str | None = None,
        name: str = "microphone",
        buffer_s: float = 10.0,
        backend: AudioBackend | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sample_rate = sample_rate
        self.name = name
        self._wanted = device
        self._buffer_s = buffer_s
        self._backend = backend
        self._clock = clock
        self._closed = threading.Event()
        self._capture: _Capture | None = None
        self._opened: Device | None = None
        self._resampler = StreamResampler(sample_rate, sample_rate)
        self._lost = Outage(sample_rate)

    @property
    def device(self) -> Device | None:
        """The device that was opened last; None before."""
        return self._opened

    def __enter__(self) -> Self:
        """Open the device.

        Raises
        ------
        NoPortAudioError
            If the PortAudio library is missing from the system.
        DeviceError
            If no device fits, several do, or it cannot be opened; or if PortAudio cannot be started.
        """
        self._backend = self._backend or load_backend()
        self._closed.clear()
        self._lost = Outage(self.sample_rate)
        self._open(self._backend)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the device and end the iteration; any thread may do it."""
        self._closed.set()
        capture = self._capture
        if capture is not None:
            capture.ring.close()
            capture.close()

    def __iter__(self) -> Iterator[Chunk]:
        """Yield chunks until closed."""
        if self._backend is None or self._opened is None:
            raise RuntimeError("a MicrophoneSource is read inside its `with` block")
        while not self._closed.is_set():
            if self._capture is not None:
                yield from self._listen(self._capture)
            yield from self._recover(self._backend)

    def _listen(self, capture: _Capture) -> Iterator[Chunk]:
        """Yield what arrives, until closed or until nothing more does."""
        heard_s, patience_s = self._clock(), FIRST_SAMPLES_WITHIN_S
        while not self._closed.is_set():
            read = capture.ring.read(POLL_S)
            now_s = self._clock()
            if len(read.samples) or read.dropped:
                heard_s, patience_s = now_s, SILENT_AFTER_S
                yield from self._deliver(read, now_s)
            elif now_s - heard_s >= patience_s and not self._closed.is_set():
                yield from self._finish(now_s - heard_s)
                self._lost.begin(heard_s)
                detail = f"{capture.device} has delivered nothing for {now_s - heard_s:.1f} s"
                yield self._outage(State.NO_SIGNAL, detail)
                return

    def _recover(self, backend: AudioBackend) -> Iterator[Chunk]:
        """Yield failures until the device is open again, or until closed."""
        while not self._closed.is_set():
            next_s = self._clock() + RETRY_EVERY_S
            problem = self._reopen(backend)
            if problem is None:
                return
            yield self._outage(State.RECOVERING, problem)
            while not self._closed.is_set() and self._clock() < next_s:
                self._closed.wait(POLL_S)

    def _reopen(self, backend: AudioBackend) -> str | None:
        """Try once to open the device again; return what went wrong."""
        if self._capture is not None:
            if not self._capture.close():
                return f"PortAudio does not let go of {self._capture.device}; start the program again"
            self._capture = None
        # Only a fresh PortAudio sees devices that were plugged in since. It does not end if it did not
        # begin the last time, which is no reason not to try again.
        with contextlib.suppress(backend.PortAudioError):
            backend._terminate()  # noqa: SLF001 - sounddevice has no public name for it
        try:
            backend._initialize()  # noqa: SLF001
            self._open(backend)
        except backend.PortAudioError as error:
            return f"PortAudio cannot be started again: {error}"
        except DeviceError as error:
            return str(error)
        return None

    def _open(self, backend: AudioBackend) -> None:
        available = devices(backend=backend)
        if isinstance(self._wanted, int) and self._opened is not None:
            # Indices move when devices come and go; the name is what stays.
            same = [found for found in available if _identity(found) == _identity(self._opened)]
            if not same:
                raise DeviceError(f"input device {self._opened} is not there")
            device = min(same, key=lambda found: abs(found.index - int(self._wanted or 0)))
        else:
            device = find_device(self._wanted, available)
        capture = _Capture(backend, device, self._buffer_s, self._clock)
        self._resampler = StreamResampler(device.sample_rate, self.sample_rate, capture.channels)
        self._opened = device
        self._capture = capture

    def _deliver(self, read: RingRead, now_s: float) -> Iterator[Chunk]:
        """Turn what was read into chunks."""
        rate = self._resampler.from_rate
        dropped = 0
        if read.dropped:
            # What was before a gap and what came after it must not be blended.
            yield from self._finish(0.0)
            dropped = max(1, round(read.dropped * self.sample_rate / rate))
        if len(read.samples):
            dropped += self._lost.end(now_s - len(read.samples) / rate - read.dropped / rate)
        queued_s = read.waited_s + self._resampler.pending_s
        samples = self._resampler.push(read.samples)
        if len(samples) or dropped:
            yield Chunk(samples, dropped, queued_s, clipped=self._resampler.clipped)

    def _finish(self, waited_s: float) -> Iterator[Chunk]:
        """Yield the end of what was heard before a gap."""
        queued_s = waited_s + self._resampler.pending_s
        tail = self._resampler.finish()
        if len(tail):
            yield Chunk(tail, queued_s=queued_s, clipped=self._resampler.clipped)

    def _outage(self, state: State, detail: str) -> Chunk:
        return Chunk(_NOTHING, self._lost.count(self._clock()), state=state, detail=detail)


def _identity(device: Device) -> tuple[str, str]:
    return device.name, device.host_api
