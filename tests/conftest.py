"""What all tests share: where the recordings are, made-up signals, and the vow to skip nothing in CI."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import hypothesis
import numpy as np
import pytest
import soundfile

import realtime

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator, Iterator

    import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
RATE = 16_000

# Processes that compile librosa's functions at the same time leave a cache that crashes whoever loads it
# (numba/numba#10128), and each that pytest-xdist starts imports librosa: each has a cache of its own.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["NUMBA_CACHE_DIR"] = str(ROOT / ".pytest_cache" / f"numba-{os.environ['PYTEST_XDIST_WORKER']}")

# How long a machine takes that does other things as well says nothing of what is tested.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def data_folder() -> Path:
    return Path(os.environ.get("TONEWATCH_DATA", ROOT.parent / "shared" / "data"))


def pytest_configure() -> None:
    """Hear Ctrl-C: a shell that starts this in the background has it ignored, here and in all children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Share tests out to two processes (`-n 2 --dist loadgroup`): training computes, all others mostly wait.

    Those others stay together, since some use the one sound server, and some watch the time.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return
    training = ROOT / "tests" / "training"
    for item in items:
        group = item.path.stem if item.path.is_relative_to(training) else "realtime"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,  # noqa: ARG001 - the hook's signature
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what would be skipped where TONEWATCH_NO_SKIPS is set: CI has everything a test may need."""
    report = yield
    if not hasattr(report, "wasxfail"):
        forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,  # noqa: ARG001 - the hook's signature
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail whole modules that would be skipped, too: none of their tests is reported on."""
    report = yield
    forbid_skip(report)
    return report


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where TONEWATCH_NO_SKIPS is set."""
    if report.skipped and os.environ.get("TONEWATCH_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipped, although TONEWATCH_NO_SKIPS is set: {report.longrepr}"


@pytest.fixture(scope="session")
def ravdess() -> Path:
    """Folder of the RAVDESS recordings; skips where it is absent."""
    folder = data_folder() / "ravdess"
    if not folder.is_dir():
        pytest.skip(f"no RAVDESS recordings in {folder}: set TONEWATCH_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def noise_folder() -> Path:
    """Folder of everyday noise; skips where it is absent."""
    folder = data_folder() / "noise"
    if not folder.is_dir():
        pytest.skip(f"no noise recordings in {folder}: set TONEWATCH_DATA to the folder that holds them")
    return folder


def voice(seconds: float, seed: int = 0, rate: int = RATE) -> npt.NDArray[np.float32]:
    """Make a voice-like signal: a gliding pulse train with formants, in syllables, over faint noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    f0 = 140 * 2 ** (0.3 * np.sin(2 * np.pi * 0.7 * time + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(f0) / rate
    signal = np.zeros_like(time)
    for harmonic in range(1, 25):
        frequency = harmonic * 140
        gain = sum(np.exp(-(((frequency - formant) / 250) ** 2)) for formant in (500, 1500, 2500)) + 0.02
        signal += gain * np.sin(harmonic * phase + rng.uniform(0, 6))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time + rng.uniform(0, 6)) + 0.6, 0, 1)
    signal = 0.1 * signal * syllables + 0.0005 * rng.standard_normal(len(time))
    made: npt.NDArray[np.float32] = signal.astype(np.float32)
    return made


@pytest.fixture(scope="session")
def signals() -> dict[str, npt.NDArray[np.float32]]:
    """Signals on which features are compared with the reference, 2 s each."""
    rng = np.random.default_rng(7)
    n = 2 * RATE
    time = np.arange(n) / RATE
    impulses = np.zeros(n)
    impulses[::1777] = 0.9
    made_up = {
        "noise": 0.1 * rng.standard_normal(n),
        "faint noise": 1e-5 * rng.standard_normal(n),
        "silence": np.zeros(n),
        "clipping": np.clip(4 * np.sin(2 * np.pi * 220 * time) + 0.5 * rng.standard_normal(n), -1, 1),
        "impulses": impulses,
        "chirp": 0.5 * np.sin(2 * np.pi * (50 * time + 1900 * time**2)),
        "voice": voice(2.0),
    }
    folder = data_folder() / "ravdess"
    if folder.is_dir():
        for name in ("speech/Actor_01/03-01-05-02-01-01-01.flac", "song/Actor_02/03-02-04-01-02-01-02.flac"):
            samples, _ = soundfile.read(folder / name, dtype="float64")
            # At 24 kHz, taken for 16 kHz: a real recording, slowed down.
            made_up[name] = samples[12_000 : 12_000 + n]
    return {name: samples.astype(np.float32) for name, samples in made_up.items()}


class MakeVoice(Protocol):
    """`voice`, as tests get it."""

    def __call__(self, seconds: float, seed: int = 0, rate: int = RATE) -> npt.NDArray[np.float32]: ...


@pytest.fixture(scope="session")
def make_voice() -> MakeVoice:
    return voice


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """Folder of a small model, whose answers mean nothing."""
    return ROOT / "tests" / "realtime" / "models" / "tiny-float32"


def wait_until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until something holds; fails where it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"waited {timeout_s} s in vain"
        time.sleep(0.01)


class Proxy:
    """What stands before a server and goes by another name: hands on requests, and what follows them.

    Parameters
    ----------
    port
        The server's; `server_port` may be set later, since a server may have to know its proxy.
    prefix
        The path at which the server's own begin; it is taken away.
    keeps_host
        Whether the server is told what the client asked for; otherwise its own address.
    tls
        What ends TLS.
    """

    def __init__(
        self, port: int = 0, *, prefix: str = "", keeps_host: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        self.server_port = port
        self._prefix = prefix
        self._keeps_host = keeps_host
        self._loop = asyncio.new_event_loop()
        self._tasks = set[asyncio.Task[None]]()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        begun = asyncio.start_server(self._take, "127.0.0.1", 0, ssl=tls)
        self._server = asyncio.run_coroutine_threadsafe(begun, self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.origin = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self.url = f"{self.origin}{prefix}/"

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        try:
            # A browser that opens a connection to have one says nothing on it.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                from_server, to_server = await asyncio.open_connection("127.0.0.1", self.server_port)
                writers.append(to_server)
                to_server.write(self._rewritten(head.decode("latin-1")).encode("latin-1"))
                await asyncio.gather(_pass_on(reader, to_server), _pass_on(from_server, writer))
        finally:
            self._tasks.discard(task)
            for one in writers:
                one.transport.abort()
                with contextlib.suppress(OSError):
                    await one.wait_closed()

    def _rewritten(self, head: str) -> str:
        method, path, rest = head.split(" ", 2)
        assert path.startswith(f"{self._prefix}/"), path
        if not self._keeps_host:
            host = f"Host: 127.0.0.1:{self.server_port}\r\n"
            rest = re.sub(r"(?im)^host:.*\r\n", host, rest)
        return f"{method} {path.removeprefix(self._prefix)} {rest}"


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        # The other direction goes on, where that is possible.
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()


class OpenProxy(Protocol):
    """`Proxy`, as tests get it; it ends with the test."""

    def __call__(
        self, port: int = 0, *, prefix: str = "", keeps_host: bool = False, tls: ssl.SSLContext | None = None
    ) -> Proxy: ...


@pytest.fixture
def open_proxy() -> Iterator[OpenProxy]:
    proxies = list[Proxy]()

    def open_one(
        port: int = 0, *, prefix: str = "", keeps_host: bool = False, tls: ssl.SSLContext | None = None
    ) -> Proxy:
        proxies.append(Proxy(port, prefix=prefix, keeps_host=keeps_host, tls=tls))
        return proxies[-1]

    yield open_one
    for proxy in proxies:
        proxy.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Files of a certificate for this machine, and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


class Terminal:
    """A terminal of 100 by 30 cells, with everything that was written to it."""

    def __init__(self) -> None:
        import fcntl
        import termios

        self._master, self.end = os.openpty()
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self._attributes = termios.tcgetattr(self.end)
        self._written = b""
        self._is_there = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """What was written, with its escape sequences."""
        return self._written.decode(errors="replace")

    def is_restored(self) -> bool:
        """Return whether the first screen and the cursor are shown, and keys do what they did before."""
        import termios

        text = self.text
        return (
            text.rfind("\x1b[?1049h") <= text.rfind("\x1b[?1049l")
            and text.rfind("\x1b[?25l") <= text.rfind("\x1b[?25h")
            and termios.tcgetattr(self.end) == self._attributes
        )

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, text: str, timeout_s: float = 60.0) -> None:
        """Wait until something was written."""
        wait_until(lambda: text in self.text, timeout_s)

    def hang_up(self) -> None:
        """Go away, as a window that is closed does."""
        self._is_there = False
        self._reader.join()
        os.close(self._master)

    def close(self) -> None:
        """Close both ends; returns when everything that was written was read."""
        os.close(self.end)
        if self._is_there:
            self._reader.join()
            os.close(self._master)

    def _read(self) -> None:
        # Ends by an error when nobody has the other end open any more.
        with contextlib.suppress(OSError):
            while self._is_there:
                # Who closes what another thread reads closes nothing before there is something to read.
                if select.select([self._master], [], [], 0.05)[0]:
                    self._written += os.read(self._master, 65_536)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    pytest.importorskip("termios", reason="needs a Unix terminal")
    terminal = Terminal()
    yield terminal
    terminal.close()


# What the console script does, in the same interpreter, and with interrupts let in: shells shut them out
# for what they start in the background, which may be these tests, and nohup the end of the terminal.
CONSOLE_SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
{before}
from realtime.cli import main
sys.exit(main())
"""

# Makes standard input the controlling terminal, from which Ctrl-C comes.
AT_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"


class StartTonewatch(Protocol):
    """Starts the command in a process of its own; on a terminal where one is given."""

    def __call__(
        self,
        *arguments: str | os.PathLike[str],
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.PIPE,
        stderr: int | IO[Any] = subprocess.PIPE,
        terminal: Terminal | None = None,
        before: str = "",
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]: ...


@pytest.fixture
def start_tonewatch(tmp_path: Path) -> Iterator[StartTonewatch]:
    """Start commands, each in a session of its own; what is left of them at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        *arguments: str | os.PathLike[str],
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.PIPE,
        stderr: int | IO[Any] = subprocess.PIPE,
        terminal: Terminal | None = None,
        before: str = "",
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        if terminal is not None:
            stdin = stdout = stderr = terminal.end
            before = f"{AT_TERMINAL}\n{before}"
        process = subprocess.Popen(
            [sys.executable, "-c", CONSOLE_SCRIPT.format(before=before), *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=tmp_path,
            env={
                **os.environ,
                # The same package as in this process, and nobody's own settings.
                "PYTHONPATH": str(Path(realtime.__file__).parent.parent),
                "XDG_CONFIG_HOME": str(tmp_path / "config"),
                # Standard output as users have it, with a buffer.
                "PYTHONUNBUFFERED": "",
                **(environment or {}),
            },
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
