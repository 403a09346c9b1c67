"""One recording, four ways in and out: the same samples give the same predictions, to the last digit."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import sys
import threading
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
import soundfile

import realtime
from realtime import messages
from realtime.messages import Hello, LatencyMs, Prediction, Segment, Status
from realtime.sources import MicrophoneSource
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from realtime.types import FloatArray
    from tests.conftest import MakeVoice, StartTonewatch

pytestmark = pytest.mark.timeout(120)

WINDOW_S = 3.0
NO_LATENCY = LatencyMs(queue=0.0, features=0.0, inference=0.0)
# Odd, so that they end inside samples and frames; some longer than a pipe's buffer.
PIECES = (1, 7, 333, 4_097, 70_001)


@dataclass(frozen=True)
class Recording:
    """A recording as 16-bit samples [shape=(n, channels)], which every way in takes as they are."""

    path: Path
    rate: int
    samples: npt.NDArray[np.int16]

    @property
    def channels(self) -> int:
        return self.samples.shape[1]

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @property
    def pieces(self) -> Iterator[bytes]:
        data, begin = self.samples.astype("<i2").tobytes(), 0
        for size in itertools.cycle(PIECES):
            if begin >= len(data):
                return
            yield data[begin : begin + size]
            begin += size

    @property
    def raw_flags(self) -> tuple[str, ...]:
        return ("--input", "-", "--rate", str(self.rate), "--channels", str(self.channels))


@pytest.fixture(params=["mono, 16 kHz", "stereo, 44.1 kHz", "stereo, 48 kHz", "RAVDESS"])
def recording(request: pytest.FixtureRequest, tmp_path: Path, make_voice: MakeVoice) -> Recording:
    path = tmp_path / "voice.wav"
    if request.param == "RAVDESS":
        folder: Path = request.getfixturevalue("ravdess")
        path = folder / "speech" / "Actor_01" / "03-01-05-02-01-01-01.flac"
    else:
        rate = {"mono, 16 kHz": 16_000, "stereo, 44.1 kHz": 44_100, "stereo, 48 kHz": 48_000}[request.param]
        left, right = make_voice(6.3, rate=rate), make_voice(6.3, seed=1, rate=rate)
        channels = [left] if rate == 16_000 else [left, 0.3 * right]
        soundfile.write(path, np.stack(channels, axis=1), rate)
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    return Recording(path, rate, samples)


def said(told: list[messages.Message]) -> list[messages.Message]:
    """Return what the messages say of the recording: all but times of day, latencies and names."""
    plain: list[messages.Message] = []
    for message in told:
        if isinstance(message, Prediction):
            change: dict[str, Any] = {"time": None, "latency_ms": NO_LATENCY}
        elif isinstance(message, Status):
            change = {"time": None}
        elif isinstance(message, Segment):
            change = {}
        else:
            continue
        plain.append(msgspec.structs.replace(message, stream="", sent=None, **change))
    return plain


def predictions(told: list[messages.Message]) -> list[Prediction]:
    return [message for message in said(told) if isinstance(message, Prediction)]


def filled(told: list[messages.Message], recording: Recording) -> list[Prediction]:
    """The predictions of windows that the recording fills: the last one ends before its window does."""
    found = [p for p in predictions(told) if p.start_s + WINDOW_S <= recording.seconds]
    assert found
    return found


def read(text: bytes) -> list[messages.Message]:
    return [messages.decode(line) for line in text.splitlines()]


@pytest.fixture
def from_file(
    recording: Recording, tiny_model: Path, start_tonewatch: StartTonewatch
) -> list[messages.Message]:
    """What the recording gives as a file."""
    process = start_tonewatch(
        "listen", "--input", recording.path, "--fast", "--json", "--model", tiny_model
    )  # fmt: skip
    out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    told = read(out)
    # Enough to compare: all windows that the recording fills, and one that is filled up with silence.
    assert filled(told, recording)
    assert len({p.probability for p in predictions(told)}) > 1
    return told


def test_standard_input(
    recording: Recording,
    tiny_model: Path,
    start_tonewatch: StartTonewatch,
    from_file: list[messages.Message],
) -> None:
    process = start_tonewatch(
        "listen", *recording.raw_flags, "--json", "--model", tiny_model, stdin=subprocess.PIPE
    )  # fmt: skip
    feed(process, recording)
    assert process.stdout is not None
    told = read(process.stdout.read())
    assert process.wait() == 0
    assert said(told) == said(from_file)


def feed(process: subprocess.Popen[bytes], recording: Recording) -> None:
    assert process.stdin is not None
    for piece in recording.pieces:
        process.stdin.write(piece)
        process.stdin.flush()
    process.stdin.close()


def test_subscriber(
    recording: Recording,
    tiny_model: Path,
    start_tonewatch: StartTonewatch,
    from_file: list[messages.Message],
) -> None:
    process = start_tonewatch(
        "listen", *recording.raw_flags, "--quiet", "--serve", "127.0.0.1:0", "--model", tiny_model,
        stdin=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    match = re.fullmatch(rb"tonewatch: serves (ws://\S+); open .*\n", process.stderr.readline())
    assert match is not None
    told = asyncio.run(hear(match[1].decode(), lambda: feed(process, recording)))
    assert process.wait() == 0
    assert process.stderr.read() == b""
    assert said(told) == said(from_file)


async def hear(url: str, begin: Callable[[], None]) -> list[messages.Message]:
    """Return what a subscriber gets until the stream stops; the recording begins when it has subscribed."""
    told: list[messages.Message] = []
    async with asyncio.timeout(60), aclosing(realtime.subscribe(url)) as stream:
        async for message in stream:
            told.append(message)
            if isinstance(message, Hello) and len(told) == 1:
                feeding = asyncio.create_task(asyncio.to_thread(begin))
            if isinstance(message, Status) and message.state is State.STOPPED:
                await feeding
                break
    return told


class PlayedIntoMicrophone:
    """Stands in for the module `sounddevice`: one device, which hears the recording, then silence."""

    PortAudioError = OSError

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def query_hostapis(self) -> Any:
        return ({"name": "ALSA"},)

    def query_devices(self, kind: str | None = None) -> Any:
        device = {
            "index": 0,
            "name": "microphone",
            "hostapi": 0,
            "max_input_channels": self._recording.channels,
            "default_samplerate": float(self._recording.rate),
        }
        return [device] if kind is None else device

    def InputStream(self, *, blocksize: int, callback: Callable[..., None], **_: Any) -> Any:  # noqa: N802
        heard = self._recording.samples.astype(np.float32) / np.float32(2**15)
        samples: FloatArray = np.concatenate([heard, np.zeros_like(heard[: self._recording.rate])])

        def play() -> None:
            times, flags = SimpleNamespace(inputBufferAdcTime=0.0), SimpleNamespace(input_overflow=False)
            for begin in range(0, len(samples), blocksize):
                block = samples[begin : begin + blocksize].copy()
                callback(block, len(block), times, flags)
                block[:] = 9  # PortAudio uses its buffer again

        # As fast as it can, beside the loop that reads: chunks are as long as chance will have it.
        thread = threading.Thread(target=play)
        return SimpleNamespace(start=thread.start, abort=lambda **_: thread.join(), close=lambda **_: None)


def test_microphone(
    recording: Recording,
    tiny_model: Path,
    from_file: list[messages.Message],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("sounddevice")
    fake = PlayedIntoMicrophone(recording)
    for name in ("PortAudioError", "query_hostapis", "query_devices", "InputStream"):
        setattr(module, name, getattr(fake, name))
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    model = realtime.load(tiny_model)
    recognizer = realtime.Recognizer(model)
    told: list[messages.Message] = []
    n_heard = 0
    with MicrophoneSource(model.spec.sample_rate) as source:
        for chunk in source:
            told += map(messages.to_message, recognizer.push(chunk))
            n_heard += len(chunk.samples)
            if n_heard >= recording.seconds * model.spec.sample_rate:
                break
    # A microphone does not end: windows beyond the recording are its own.
    assert filled(told, recording) == filled(from_file, recording)
