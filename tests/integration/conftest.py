"""A microphone that needs no hardware: a private PulseAudio whose sink is heard as an input."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SINK = "tonewatch_out"
MICROPHONE = "tonewatch_mic"

# All that ALSA, and so PortAudio, shall know: whatever sound cards the machine has stay out of it.
ASOUND_CONF = """
pcm.pulse { type pulse }
ctl.pulse { type pulse }
pcm.!default { type pulse hint { show on description "Virtual microphone" } }
ctl.!default { type pulse }
"""


class VirtualMicrophone:
    """A sound server of its own, with a sink to play into and an input that hears it.

    Parameters
    ----------
    folder
        Private, empty folder for the server's socket and state.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "native"
        self._modules: list[str] = []
        self.environment = {
            "XDG_RUNTIME_DIR": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder),
            "PULSE_SERVER": f"unix:{self._socket}",
            "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
        }
        (folder / "config").mkdir()
        (folder / "asound.conf").write_text(ASOUND_CONF)

    def start(self) -> None:
        """Start the server in the foreground, as a child, so that it ends for certain; plug in."""
        server = f"module-native-protocol-unix socket={self._socket} auth-anonymous=1"
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
                 "--disable-shm=yes", "-L", server],
                env={**os.environ, **self.environment}, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 20
        while self._pactl("info", check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.skip(f"pulseaudio does not start here: {(self._folder / 'log').read_text()[-500:]}")
            time.sleep(0.05)
        self.plug()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def plug(self) -> None:
        self._load("module-null-sink", f"sink_name={SINK}", "rate=48000")
        self._load("module-remap-source", f"master={SINK}.monitor", f"source_name={MICROPHONE}")
        for kind, name in (("sink", SINK), ("source", MICROPHONE)):
            self._pactl(f"set-default-{kind}", name)

    def unplug(self) -> None:
        """Take the input away, and the last other one with it."""
        while self._modules:
            self.unplug_front()

    def unplug_front(self) -> None:
        """Take the input away; the sink's own monitor is left."""
        self._pactl("unload-module", self._modules.pop())

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        """Begin to play a file into the microphone."""
        return subprocess.Popen(
            ["paplay", f"--device={SINK}", str(path)],
            env={**os.environ, **self.environment},
            stderr=subprocess.DEVNULL,
        )

    def _load(self, *arguments: str) -> None:
        self._modules.append(self._pactl("load-module", *arguments).stdout.strip())

    def _pactl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pactl", *arguments],
            env={**os.environ, **self.environment},
            check=check,
            capture_output=True,
            text=True,
        )


@pytest.fixture
def virtual_microphone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[VirtualMicrophone]:
    """Run a private sound server, and make it all that PortAudio sees; skips where parts are missing."""
    if sys.platform != "linux":
        pytest.skip("the virtual microphone needs PulseAudio, and so Linux")
    missing = [program for program in ("pulseaudio", "pactl", "paplay") if shutil.which(program) is None]
    if missing:
        pytest.skip(
            f"the virtual microphone needs {', '.join(missing)}: install pulseaudio, pulseaudio-utils"
        )
    try:
        import sounddevice
    except OSError:
        pytest.skip("the virtual microphone needs PortAudio: install libportaudio2")
    # Sockets allow short paths only, and a test's temporary folder may be too deep.
    folder = Path(os.path.relpath(tmp_path)) if len(str(tmp_path)) > 80 else tmp_path
    microphone = VirtualMicrophone(folder.resolve())
    microphone.start()
    try:
        for name, value in microphone.environment.items():
            monkeypatch.setenv(name, value)
        restart(sounddevice)
        if not any(device["max_input_channels"] for device in sounddevice.query_devices()):
            pytest.skip("ALSA does not reach PulseAudio here: install libasound2-plugins")
        yield microphone
    finally:
        microphone.stop()
        monkeypatch.undo()
        restart(sounddevice)
        capfd.readouterr()  # what PortAudio complains about when its devices vanish


def restart(sounddevice: object) -> None:
    """Let PortAudio look for devices again."""
    for name in ("_terminate", "_initialize"):
        getattr(sounddevice, name)()
