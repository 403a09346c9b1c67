from __future__ import annotations

import itertools
import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import realtime.sources.microphone
from realtime.errors import DeviceError
from realtime.sources.microphone import MicrophoneSource
from realtime.types import Chunk, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from realtime.types import FloatArray


class FakePortAudioError(Exception):
    pass


class FakeClock:
    """A clock that stands still but for a small step at each look, so that waiting ends."""

    def __init__(self, step_s: float = 0.01) -> None:
        self.now_s = 100.0
        self.step_s = step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@dataclass
class FakeDevice:
    name: str
    rate: int = 16_000
    channels: int = 1
    host_api: int = 0
    problem: str = ""
    allowed: tuple[int, ...] = (1, 2)
    greeting: FloatArray | None = None
    """What it delivers as soon as it is started."""


@dataclass
class Times:
    inputBufferAdcTime: float = 0.0  # noqa: N815 - PortAudio's name


@dataclass
class Flags:
    input_overflow: bool = False


class FakeStream:
    def __init__(self, device: FakeDevice, callback: Callable[..., None], channels: int, rate: float) -> None:
        self.device = device
        self.callback = callback
        self.channels = channels
        self.rate = rate
        self.closed = threading.Event()
        self.close_hangs: threading.Event | None = None

    def start(self) -> None:
        if self.device.problem == "start":
            raise FakePortAudioError("cannot start")
        if self.device.greeting is not None:
            self.send(self.device.greeting)

    def abort(self, ignore_errors: bool = True) -> None:  # noqa: FBT001, FBT002 - sounddevice's signature
        assert ignore_errors
        if self.close_hangs is not None:
            self.close_hangs.wait(60)

    def close(self, ignore_errors: bool = True) -> None:  # noqa: FBT001, FBT002 - sounddevice's signature
        assert ignore_errors
        self.closed.set()

    def send(self, samples: FloatArray, *, overflow: bool = False, adc_s: float = 0.0) -> None:
        assert not self.closed.is_set()
        buffer = np.repeat(samples[:, None], self.channels, axis=1).astype(np.float32)
        self.callback(buffer, len(buffer), Times(adc_s), Flags(overflow))
        buffer[:] = 99  # PortAudio uses its buffer again


@dataclass
class FakeSounddevice:
    """Stands in for the module: devices appear only when it is started anew, as in PortAudio."""

    plugged: list[FakeDevice]
    default: int = 0
    streams: list[FakeStream] = field(default_factory=list)
    n_starts: int = 1
    PortAudioError: type[Exception] = FakePortAudioError

    def __post_init__(self) -> None:
        self.seen = list(self.plugged)
        self.n_ends = 0

    def query_hostapis(self, index: int | None = None) -> Any:
        assert index is None
        return ({"name": "ALSA"}, {"name": "JACK"})

    def query_devices(self, device: int | None = None, kind: str | None = None) -> Any:
        assert device is None
        if kind is not None and not self.seen:
            raise FakePortAudioError("Error querying device -1")
        found = [
            {
                "index": index,
                "name": device.name,
                "hostapi": device.host_api,
                "max_input_channels": device.channels,
                "default_samplerate": float(device.rate),
            }
            for index, device in enumerate(self.seen)
        ]
        return found if kind is None else found[self.default]

    def InputStream(  # noqa: N802 - sounddevice's name
        self,
        *,
        device: int,
        samplerate: float,
        channels: int,
        blocksize: int,
        dtype: str,
        callback: Callable[..., None],
    ) -> FakeStream:
        assert dtype == "float32"
        assert blocksize == int(0.02 * samplerate)
        chosen = self.seen[device]
        if chosen.problem not in {"", "start"}:
            raise FakePortAudioError(chosen.problem)
        if channels not in chosen.allowed:
            raise FakePortAudioError("Invalid number of channels")
        self.streams.append(FakeStream(chosen, callback, channels, samplerate))
        return self.streams[-1]

    def _terminate(self) -> None:
        if self.n_ends == self.n_starts:
            raise FakePortAudioError("PortAudio not initialized")
        self.n_ends += 1

    def _initialize(self) -> None:
        self.n_starts += 1
        self.seen = list(self.plugged)


@pytest.fixture(autouse=True)
def _poll_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime.sources.microphone, "POLL_S", 0.0002)


def noise(n_samples: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(0, 0.1, n_samples).astype(np.float32)


def take(chunks: Iterator[Chunk], n_samples: int) -> list[Chunk]:
    """Take chunks until they hold that many samples."""
    taken: list[Chunk] = []
    while sum(len(chunk.samples) for chunk in taken) < n_samples:
        taken.append(next(chunks))
    return taken


def joined(chunks: list[Chunk]) -> FloatArray:
    return np.concatenate([chunk.samples for chunk in chunks])


def test_samples_arrive_in_order() -> None:
    backend, samples = FakeSounddevice([FakeDevice("mic")]), noise(1_000)
    with MicrophoneSource(16_000, backend=backend, clock=FakeClock()) as source:
        chunks = iter(source)
        (stream,) = backend.streams
        stream.send(samples[:320])
        first = next(chunks)
        stream.send(samples[320:640])
        stream.send(samples[640:])
        rest = next(chunks)
    assert joined([first, rest]).tobytes() == samples.tobytes()
    assert {(chunk.dropped, chunk.state, chunk.detail) for chunk in (first, rest)} == {
        (0, State.LISTENING, "")
    }
    assert not list(chunks)
    assert stream.closed.is_set()


def test_device_runs_at_its_own_rate_and_is_mixed_down() -> None:
    backend = FakeSounddevice([FakeDevice("mic", rate=48_000, channels=2)])
    sine = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    with MicrophoneSource(16_000, backend=backend, clock=FakeClock()) as source:
        (stream,) = backend.streams
        assert (stream.rate, stream.channels) == (48_000, 2)
        stream.send(sine)
        samples = joined(take(iter(source), 15_000))
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(samples)) / 16_000)
    np.testing.assert_allclose(samples[1_000:], expected[1_000:], atol=1e-3)


def test_clipping_is_told_of_each_sample_before_channels_are_mixed() -> None:
    backend = FakeSounddevice([FakeDevice("mic", rate=48_000, channels=2)])
    with MicrophoneSource(16_000, backend=backend, clock=FakeClock()) as source:
        backend.streams[0].send(np.repeat([0.0, -1.0], 24_000))
        chunks = take(iter(source), 15_000)
    told = np.concatenate([chunk.clipped for chunk in chunks if chunk.clipped is not None])
    np.testing.assert_array_equal(told, np.arange(len(joined(chunks))) >= 8_000)


@pytest.mark.parametrize(("allowed", "expected"), [((1, 2, 32), 2), ((32,), 32)])
def test_of_many_channels_two_are_asked_for(allowed: tuple[int, ...], expected: int) -> None:
    backend = FakeSounddevice([FakeDevice("array", channels=32, allowed=allowed)])
    with MicrophoneSource(16_000, backend=backend, clock=FakeClock()) as source:
        assert [stream.channels for stream in backend.streams] == [expected]
        backend.streams[0].send(np.ones(320, np.float32))
        np.testing.assert_allclose(next(iter(source)).samples, 1, rtol=1e-6)


def test_waiting_time_is_told() -> None:
    backend, clock = FakeSounddevice([FakeDevice("mic", rate=48_000)]), FakeClock(0)
    with MicrophoneSource(16_000, backend=backend, clock=clock) as source:
        chunks, (stream,) = iter(source), backend.streams
        for _ in range(10):
            stream.send(noise(960))
        clock.now_s += 0.3
        first = next(chunks)
        assert first.queued_s == pytest.approx(0.3)
        stream.send(noise(9600))
        # What the resampler held back waited too.
        assert next(chunks).queued_s == pytest.approx(0.2 - len(first.samples) / 16_000)


def test_slow_loop_loses_the_oldest_and_is_told() -> None:
    backend, samples = FakeSounddevice([FakeDevice("mic")]), noise(24_000)
    with MicrophoneSource(16_000, buffer_s=1.0, backend=backend, clock=FakeClock()) as source:
        for start in range(0, 24_000, 320):
            backend.streams[0].send(samples[start : start + 320])
        chunk = next(iter(source))
    assert chunk.dropped == 8_000
    assert chunk.samples.tobytes() == samples[8_000:].tobytes()


@pytest.mark.parametrize(
    ("adc_s", "passed_s", "expected"),
    [
        (50.02 + 0.5, 0.6, 8_000),  # half a second is missing by the capture times
        (50.02 + 0.5, 0.1, 1_600),  # more than has passed cannot be missing
        (50.02, 0.6, 1),  # the times say that nothing is missing, which is not so
        (0.0, 0.6, 1),  # the system tells no times
        (math.nan, 0.6, 1),
        (math.inf, 0.6, 9_600),
    ],
)
def test_overflow_is_counted_before_its_buffer(adc_s: float, passed_s: float, expected: int) -> None:
    backend, clock = FakeSounddevice([FakeDevice("mic")]), FakeClock(0)
    with MicrophoneSource(16_000, backend=backend, clock=clock) as source:
        chunks, (stream,) = iter(source), backend.streams
        stream.send(noise(320, 1), adc_s=50.0)
        clock.now_s += passed_s
        stream.send(noise(320, 2), overflow=True, adc_s=adc_s)
        before, after = next(chunks), next(chunks)
    assert (before.dropped, after.dropped) == (0, expected)
    assert before.samples.tobytes() == noise(320, 1).tobytes()
    assert after.samples.tobytes() == noise(320, 2).tobytes()


def test_overflow_of_the_first_buffer() -> None:
    backend = FakeSounddevice([FakeDevice("mic")])
    with MicrophoneSource(16_000, backend=backend, clock=FakeClock()) as source:
        backend.streams[0].send(noise(320), overflow=True, adc_s=5.0)
        assert next(iter(source)).dropped == 1


def test_gap_is_not_blended_and_counted_at_the_rate_of_the_chunks() -> None:
    backend, clock = FakeSounddevice([FakeDevice("mic", rate=48_000)]), FakeClock(0)
    with MicrophoneSource(16_000, backend=backend, clock=clock) as source:
        chunks, (stream,) = iter(source), backend.streams
        stream.send(np.full(48_000, 0.5, np.float32), adc_s=0.0)
        clock.now_s += 3
        stream.send(np.full(48_000, -0.5, np.float32), overflow=True, adc_s=3.0)
        before = list(
            itertools.takewhile(lambda chunk: not chunk.dropped, (first := [*take(chunks, 16_000)]))
        )
        assert first == before
        after = next(chunks)
    assert len(joined(before)) == 16_000  # all that came before the gap comes out before it
    assert joined(before).min() > 0
    assert after.dropped == 2 * 16_000
    assert after.samples.max() < 0


def outage(chunks: Iterator[Chunk], n_chunks: int) -> list[Chunk]:
    """Take that many chunks that are not from listening."""
    return list(itertools.islice((chunk for chunk in chunks if chunk.state is not State.LISTENING), n_chunks))


def test_dead_device_is_told_and_opened_again() -> None:
    mic = FakeDevice("mic")
    backend, clock = FakeSounddevice([mic]), FakeClock()
    with MicrophoneSource(16_000, backend=backend, clock=clock) as source:
        chunks = iter(source)
        backend.streams[0].send(noise(320))
        next(chunks)
        heard_s = clock.now_s
        backend.plugged.clear()

        dead = next(chunks)
        assert (dead.state, len(dead.samples)) == (State.NO_SIGNAL, 0)
        assert "0 'mic' (ALSA) has delivered nothing for 2.0 s" in dead.detail
        assert 2.0 <= clock.now_s - heard_s < 2.2

        failures = [next(chunks) for _ in range(3)]
        assert {chunk.state for chunk in failures} == {State.RECOVERING}
        assert all("no input device was found" in chunk.detail for chunk in failures)
        assert backend.streams[0].closed.is_set()
        assert backend.n_starts - backend.n_ends == 1
        assert 6.0 <= clock.now_s - heard_s < 6.5
        for chunk in failures[1:]:
            assert chunk.dropped == pytest.approx(2.0 * 16_000, rel=0.05)

        mic.greeting = noise(320, 2)
        backend.plugged.append(mic)
        back = next(chunks)
        assert back.state is State.LISTENING
        assert back.samples.tobytes() == noise(320, 2).tobytes()
        n_dropped = sum(chunk.dropped for chunk in [dead, *failures, back])
        assert n_dropped == pytest.approx((clock.now_s - heard_s) * 16_000 - 320, abs=0.05 * 16_000)

        backend.streams[1].send(noise(320, 3))
        assert next(chunks).dropped == 0


def test_last_samples_before_an_outage_are_delivered() -> None:
    backend = FakeSounddevice([FakeDevice("mic", rate=48_000)])
    with MicrophoneSource(16_000, backend=backend, clock=FakeClock()) as source:
        backend.streams[0].send(np.ones(4_800, np.float32))
        chunks = list(itertools.takewhile(lambda chunk: chunk.state is State.LISTENING, source))
    assert len(joined(chunks)) == 1_600


def test_slow_start_is_not_an_outage() -> None:
    backend, clock = FakeSounddevice([FakeDevice("mic")]), FakeClock()
    with MicrophoneSource(16_000, backend=backend, clock=clock) as source:
        start_s = clock.now_s
        dead = next(iter(source))
        assert dead.state is State.NO_SIGNAL
        assert 5.0 <= clock.now_s - start_s < 5.3
        assert dead.dropped == pytest.approx(5.0 * 16_000, rel=0.05)


def test_device_that_opens_but_stays_dead_is_told_again() -> None:
    backend = FakeSounddevice([FakeDevice("mic")])
    with MicrophoneSource(16_000, backend=backend, clock=FakeClock()) as source:
        states = [chunk.state for chunk in outage(iter(source), 3)]
    assert states == [State.NO_SIGNAL] * 3
    assert len(backend.streams) == 3
    assert all(stream.closed.is_set() for stream in backend.streams)


def test_portaudio_that_hangs_does_not_hang_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime.sources.microphone, "CLOSE_WITHIN_S", 0.02)
    mic = FakeDevice("mic")
    backend = FakeSounddevice([mic])
    with MicrophoneSource(16_000, backend=backend, clock=FakeClock()) as source:
        backend.streams[0].close_hangs = hangs = threading.Event()
        chunks = iter(source)
        dead, *failures = [next(chunks) for _ in range(3)]
        assert [chunk.state for chunk in (dead, *failures)] == [State.NO_SIGNAL, *[State.RECOVERING] * 2]
        assert "does not let go" in failures[0].detail
        assert backend.n_starts == 1  # starting PortAudio anew would hang, too
        mic.greeting = noise(320)
        hangs.set()
        assert backend.streams[0].closed.wait(10)
        back = next(chunk for chunk in chunks if chunk.state is State.LISTENING)
        assert back.samples.tobytes() == noise(320).tobytes()


def test_portaudio_that_does_not_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeSounddevice([FakeDevice("mic")])

    def fail() -> None:
        raise FakePortAudioError("no sound server")

    with MicrophoneSource(16_000, backend=backend, clock=FakeClock()) as source:
        chunks = iter(source)
        with monkeypatch.context() as context:
            context.setattr(backend, "_initialize", fail)
            details = [chunk.detail for chunk in outage(chunks, 3)]
        assert details[1] == details[2] == "PortAudio cannot be started again: no sound server"
        assert next(chunks).state is State.NO_SIGNAL
        assert len(backend.streams) == 2


def test_device_chosen_by_index_is_followed_by_its_name() -> None:
    other, mic = FakeDevice("other"), FakeDevice("mic", rate=8_000)
    backend = FakeSounddevice([other, mic])
    with MicrophoneSource(16_000, device=1, backend=backend, clock=FakeClock()) as source:
        assert source.device is not None
        assert source.device.name == "mic"
        chunks = iter(source)
        backend.plugged[:] = [other]
        assert "input device 1 'mic' (ALSA) is not there" in outage(chunks, 2)[1].detail
        backend.plugged[:] = [FakeDevice("another"), FakeDevice("third"), mic]
        outage(chunks, 1)
        assert backend.streams[-1].device is mic
        assert source.device.index == 2


def test_device_that_comes_back_with_another_rate() -> None:
    backend = FakeSounddevice([FakeDevice("mic", rate=48_000, channels=2)])
    with MicrophoneSource(16_000, backend=backend, clock=FakeClock()) as source:
        chunks = iter(source)
        backend.plugged[:] = [FakeDevice("mic", rate=16_000, greeting=noise(320))]
        outage(chunks, 1)
        assert next(chunks).samples.tobytes() == noise(320).tobytes()


@pytest.mark.parametrize("problem", ["Device unavailable", "Invalid sample rate", "start"])
def test_device_that_cannot_be_opened(problem: str) -> None:
    backend = FakeSounddevice([FakeDevice("mic", problem=problem)])
    message = r"0 'mic' \(ALSA\) cannot be opened at 16000 Hz: .*; does another program use it"
    with (
        pytest.raises(DeviceError, match=message),
        MicrophoneSource(16_000, backend=backend, clock=FakeClock()),
    ):
        pass
    assert all(stream.closed.is_set() for stream in backend.streams)


def test_no_device() -> None:
    source = MicrophoneSource(16_000, backend=FakeSounddevice([]), clock=FakeClock())
    with pytest.raises(DeviceError, match="--demo"), source:
        pass


def test_device_by_part_of_its_name() -> None:
    backend = FakeSounddevice([FakeDevice("Built-in"), FakeDevice("USB Headset")])
    with MicrophoneSource(16_000, device="usb", backend=backend, clock=FakeClock()):
        assert [stream.device.name for stream in backend.streams] == ["USB Headset"]


@pytest.mark.parametrize("during_outage", [False, True])
def test_closing_from_elsewhere_ends_the_iteration(*, during_outage: bool) -> None:
    backend = FakeSounddevice([FakeDevice("mic")])
    source = MicrophoneSource(16_000, backend=backend)
    with source:
        if during_outage:
            backend.plugged.clear()
        chunks = iter(source)
        threading.Timer(0.2, lambda: source.__exit__(None, None, None)).start()
        start_s = time.monotonic()
        assert not list(chunks)
        assert time.monotonic() - start_s < 10


def test_can_be_opened_twice() -> None:
    backend = FakeSounddevice([FakeDevice("mic")])
    source = MicrophoneSource(16_000, backend=backend, clock=FakeClock())
    for index in range(2):
        with source:
            backend.streams[index].send(noise(320, index))
            assert next(iter(source)).samples.tobytes() == noise(320, index).tobytes()


def test_iteration_can_be_taken_up_again_during_an_outage() -> None:
    mic = FakeDevice("mic")
    backend = FakeSounddevice([mic])
    with MicrophoneSource(16_000, backend=backend, clock=FakeClock()) as source:
        backend.plugged.clear()
        outage(iter(source), 2)
        mic.greeting = noise(320)
        backend.plugged.append(mic)
        assert next(iter(source)).samples.tobytes() == noise(320).tobytes()


def test_reading_needs_the_with_block() -> None:
    with pytest.raises(RuntimeError, match="inside its `with` block"):
        next(iter(MicrophoneSource(16_000, backend=FakeSounddevice([]))))
