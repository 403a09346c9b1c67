"""The real path from a sound server through PortAudio: needs no hardware, only a private PulseAudio."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from realtime.errors import DeviceError
from realtime.sources import Device, MicrophoneSource, devices
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from realtime.types import Chunk, FloatArray
    from tests.integration.conftest import VirtualMicrophone

pytestmark = [pytest.mark.microphone, pytest.mark.slow, pytest.mark.timeout(120)]

RATE = 16_000
TONE_HZ = 440.0


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A minute of a tone, as WAV."""
    path = tmp_path / "tone.wav"
    samples = 0.5 * np.sin(2 * np.pi * TONE_HZ * np.arange(48_000 * 60) / 48_000)
    soundfile.write(path, samples, 48_000)
    return path


def listen(chunks: Iterator[Chunk], seconds: float) -> FloatArray:
    """Return that much sound of a stream that is listening all the while."""
    samples: list[FloatArray] = []
    while sum(map(len, samples)) < seconds * RATE:
        chunk = next(chunks)
        assert chunk.state is State.LISTENING, chunk.detail
        samples.append(chunk.samples)
    return np.concatenate(samples)


def loudest_hz(samples: FloatArray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * RATE / len(samples))


def wait_for_tone(chunks: Iterator[Chunk], timeout_s: float = 20) -> FloatArray:
    """Return half a second in which the tone is heard throughout."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        samples = listen(chunks, 0.5)
        if abs(loudest_hz(samples) - TONE_HZ) < 4 and np.abs(samples).max() > 0.4:
            return samples
    pytest.fail(f"the tone was not heard within {timeout_s} s")


def wait_for(chunks: Iterator[Chunk], state: State, timeout_s: float) -> tuple[Chunk, float]:
    """Return the first chunk of a state, and the seconds until it came."""
    start_s = time.monotonic()
    for chunk in chunks:
        waited_s = time.monotonic() - start_s
        if chunk.state is state and (len(chunk.samples) or state is not State.LISTENING):
            return chunk, waited_s
        assert waited_s < timeout_s, f"no {state} within {timeout_s} s"
    raise AssertionError("the source ended")


def test_default_device_is_found(virtual_microphone: VirtualMicrophone) -> None:
    del virtual_microphone
    (default,) = [device for device in devices() if device.default]
    assert isinstance(default, Device)
    assert (default.host_api, default.channels > 0, default.sample_rate > 0) == ("ALSA", True, True)


def test_hears_a_tone(virtual_microphone: VirtualMicrophone, tone: Path) -> None:
    player = virtual_microphone.play(tone)
    try:
        with MicrophoneSource(RATE) as source:
            chunks = iter(source)
            wait_for_tone(chunks)
            start_s = time.monotonic()
            samples = listen(chunks, 3)
            took_s = time.monotonic() - start_s
    finally:
        player.terminate()
        player.wait()
    assert loudest_hz(samples) == pytest.approx(TONE_HZ, abs=0.5)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.1)
    assert took_s == pytest.approx(3, abs=0.5)


def test_goes_on_where_the_sound_server_finds_another_input(
    virtual_microphone: VirtualMicrophone, tone: Path
) -> None:
    """PulseAudio moves the stream to an input that is left: nobody need be told, for nothing is lost."""
    player = virtual_microphone.play(tone)
    try:
        with MicrophoneSource(RATE) as source:
            chunks = iter(source)
            wait_for_tone(chunks)
            virtual_microphone.unplug_front()
            listen(chunks, 3)
            wait_for_tone(chunks)
    finally:
        player.terminate()
        player.wait()


def test_unplugged_and_plugged_in_again(virtual_microphone: VirtualMicrophone, tone: Path) -> None:
    player = virtual_microphone.play(tone)
    with MicrophoneSource(RATE) as source:
        n_accounted = 0

        def account() -> Iterator[Chunk]:
            nonlocal n_accounted
            for chunk in source:
                n_accounted += len(chunk.samples) + chunk.dropped
                yield chunk

        chunks = account()
        wait_for_tone(chunks)
        player.terminate()
        player.wait()
        start_s, n_accounted = time.monotonic(), 0

        virtual_microphone.unplug()
        dead, waited_s = wait_for(chunks, State.NO_SIGNAL, 10)
        assert waited_s < 4
        assert "has delivered nothing for" in dead.detail
        for _ in range(2):
            failed, waited_s = wait_for(chunks, State.RECOVERING, 10)
            assert waited_s < 5
            assert "cannot be opened" in failed.detail

        virtual_microphone.plug()
        wait_for(chunks, State.LISTENING, 20)
        player = virtual_microphone.play(tone)
        try:
            wait_for_tone(chunks)
            # Every moment since is sound or counted as dropped.
            assert n_accounted / RATE == pytest.approx(time.monotonic() - start_s, abs=0.5)
        finally:
            player.terminate()
            player.wait()


def test_sound_server_dies(virtual_microphone: VirtualMicrophone) -> None:
    with MicrophoneSource(RATE) as source:
        chunks = iter(source)
        listen(chunks, 1)
        virtual_microphone.stop()
        _, waited_s = wait_for(chunks, State.NO_SIGNAL, 10)
        assert waited_s < 4
        wait_for(chunks, State.RECOVERING, 10)


def test_without_any_input(virtual_microphone: VirtualMicrophone) -> None:
    virtual_microphone.unplug()
    with pytest.raises(DeviceError, match="cannot be opened"), MicrophoneSource(RATE):
        pass
