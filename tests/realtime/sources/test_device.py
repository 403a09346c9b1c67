from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import pytest

from realtime.errors import DeviceError, NoPortAudioError
from realtime.sources.device import Device, devices, find_device, load_backend

BUILT_IN = Device(0, "Built-in Microphone", "Core Audio", 2, 44_100, default=True)
HEADSET = Device(2, "USB Headset", "MME", 1, 16_000, default=False)
HEADSET_TOO = Device(5, "USB Headset", "Windows WASAPI", 1, 48_000, default=False)
WEBCAM = Device(7, "USB Headset Webcam", "MME", 2, 48_000, default=False)
ALL = (BUILT_IN, HEADSET, HEADSET_TOO, WEBCAM)


class FakePortAudioError(Exception):
    pass


class FakeSounddevice:
    PortAudioError = FakePortAudioError
    InputStream: Any = None

    def __init__(self, default: int | Exception = 2) -> None:
        self.default = default

    def query_hostapis(self, index: int | None = None) -> Any:
        assert index is None
        return ({"name": "ALSA"}, {"name": "JACK"})

    def query_devices(self, device: int | None = None, kind: str | None = None) -> Any:
        found = [
            {"index": i, "name": name, "hostapi": api, "max_input_channels": n, "default_samplerate": 44100.0}
            for i, (name, api, n) in enumerate([("speaker", 0, 0), ("pulse", 0, 32), ("line", 1, 2)])
        ]
        if kind is None:
            return found
        assert (device, kind) == (None, "input")
        if isinstance(self.default, Exception):
            raise self.default
        return found[self.default]

    def _initialize(self) -> None: ...

    def _terminate(self) -> None: ...


def test_devices_are_those_with_inputs() -> None:
    assert devices(backend=FakeSounddevice()) == (
        Device(1, "pulse", "ALSA", 32, 44_100, default=False),
        Device(2, "line", "JACK", 2, 44_100, default=True),
    )


@pytest.mark.parametrize(
    "error", [FakePortAudioError("Error querying device -1"), ValueError("Not an input")]
)
def test_devices_without_a_default(error: Exception) -> None:
    assert [device.default for device in devices(backend=FakeSounddevice(error))] == [False, False]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, BUILT_IN),
        (5, HEADSET_TOO),
        ("built", BUILT_IN),
        ("MICROPHONE", BUILT_IN),
        ("webcam", WEBCAM),
        ("usb headset, mme", HEADSET),
        ("headset, windows", HEADSET_TOO),
    ],
)
def test_finds(wanted: int | str | None, expected: Device) -> None:
    assert find_device(wanted, ALL) is expected


def test_whole_name_wins_over_parts() -> None:
    assert find_device("usb headset", (WEBCAM, HEADSET)) is HEADSET


@pytest.mark.parametrize(
    ("wanted", "available", "message"),
    [
        ("usb", ALL, r"'usb' fits 3 input devices: 2 'USB Headset' \(MME\), 5 .*, 7 'USB Headset Webcam'"),
        ("usb headset", ALL, r"fits 2 input devices: 2 .*, 5 [^,]*; choose one by its index"),
        ("phone jack", ALL, r"no input device has 'phone jack' in its name; choose one of: 0 'Built-in"),
        (3, ALL, r"no input device has the index 3; choose one of: 0 .*, 2 .*, 5 .*, 7 "),
        (None, (HEADSET,), "has no default input device; choose one of: 2 'USB Headset'"),
        (None, (), "no input device was found.*--demo"),
        ("usb", (), "no input device was found.*--demo"),
    ],
)
def test_says_what_there_is(wanted: int | str | None, available: tuple[Device, ...], message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        find_device(wanted, available)


def test_missing_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def fail(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(NoPortAudioError, match=r"apt install libportaudio2.*brew install portaudio"):
        load_backend()


def test_only_what_portaudio_says_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    class PortAudioError(Exception):
        pass

    def fail(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "sounddevice":
            raise error
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    error: Exception = PortAudioError("Error initializing PortAudio")
    with pytest.raises(DeviceError, match=r"cannot be used: Error initializing PortAudio; .*--demo"):
        load_backend()
    error = RuntimeError("a defect")
    with pytest.raises(RuntimeError, match="a defect"):
        load_backend()


@pytest.mark.parametrize("question", ["query_hostapis", "query_devices"])
def test_portaudio_that_cannot_be_asked(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FakePortAudioError("PortAudio not initialized")

    backend = FakeSounddevice()
    monkeypatch.setattr(backend, question, fail)
    with pytest.raises(DeviceError, match="cannot be used: PortAudio not initialized; "):
        devices(backend=backend)


def test_importing_the_sources_loads_no_audio_library() -> None:
    code = (
        "import sys, realtime.sources\n"
        "print(sorted({'sounddevice', 'soundfile', 'soxr', 'websockets', 'rich'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
