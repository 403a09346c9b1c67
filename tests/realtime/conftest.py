"""The commands, run in this process, and microphones that they shall find or miss."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import soundfile

from realtime import artifact, cli, config, messages
from realtime.messages import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

    from tests.conftest import MakeVoice


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def messages(self) -> list[messages.Message]:
        return [messages.decode(line) for line in self.out.splitlines()]

    @property
    def predictions(self) -> list[Prediction]:
        return [message for message in self.messages if isinstance(message, Prediction)]


class Tonewatch(Protocol):
    def __call__(self, *arguments: str | Path) -> Outcome: ...


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(config, "user_file", lambda: tmp_path / "none.toml")
    monkeypatch.delenv(config.TOKEN_VARIABLE, raising=False)


@pytest.fixture
def tonewatch(capsys: pytest.CaptureFixture[str]) -> Tonewatch:
    """Run a command; it must not end by an exception, except for `SystemExit` after help."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def listen(tonewatch: Tonewatch, tiny_model: Path) -> Tonewatch:
    """Run `tonewatch listen` with a small model."""

    def run(*arguments: str | Path) -> Outcome:
        return tonewatch("listen", "--model", tiny_model, *arguments)

    return run


@pytest.fixture
def demo(listen: Tonewatch) -> Outcome:
    """What the bundled demo gives, as messages."""
    return listen("--demo", "--fast", "--json")


@pytest.fixture
def recording(tmp_path: Path, make_voice: MakeVoice) -> Path:
    """Five seconds of a voice."""
    path = tmp_path / "voice.wav"
    soundfile.write(path, make_voice(5), 16_000)
    return path


class PortAudioError(Exception):
    """As sounddevice names it."""


class PlugIn(Protocol):
    """Lets there be these microphones, of which the first is the default; none can be opened."""

    def __call__(self, *names: str) -> None: ...


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> PlugIn:
    return lambda *names: plug(monkeypatch, *names)


def plug(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let there be these microphones, of which the first is the default, and cannot be opened."""

    def query_devices(device: int | None = None, kind: str | None = None) -> Any:
        assert device is None
        found = [
            {
                "index": index,
                "name": name,
                "hostapi": 0,
                "max_input_channels": 1,
                "default_samplerate": 48_000.0,
            }
            for index, name in enumerate(names)
        ]
        if kind is None:
            return found
        if not found:
            raise PortAudioError("Error querying device -1")
        return found[0]

    def refuse(**_: object) -> None:
        raise PortAudioError("Device unavailable [PaErrorCode -9985]")

    fake = types.ModuleType("sounddevice")
    fake.__dict__.update(
        PortAudioError=PortAudioError,
        query_hostapis=lambda: ({"name": "ALSA"},),
        query_devices=query_devices,
        InputStream=refuse,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)


class NoPortAudio:
    """Lets `import sounddevice` fail."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: object = None) -> ModuleSpec | None:
        if name == "sounddevice":
            raise self._error
        return None


@pytest.fixture
def no_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library be missing."""
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    error = OSError("PortAudio library not found")
    monkeypatch.setattr(sys, "meta_path", [NoPortAudio(error), *sys.meta_path])


@pytest.fixture
def broken_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library be there and refuse to start, which sounddevice has it do as it is imported."""
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    error = PortAudioError("Error initializing PortAudio: Unanticipated host error [PaErrorCode -9999]")
    monkeypatch.setattr(sys, "meta_path", [NoPortAudio(error), *sys.meta_path])


@pytest.fixture
def my_models(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setattr(artifact, "model_folders", lambda: (tiny_model.parent,))
