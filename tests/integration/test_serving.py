"""Servers, senders and watchers as processes: what one hears all see, whatever happens between them."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Protocol

import pytest
import soundfile
from websockets.sync.client import connect

from realtime import messages
from realtime.messages import Error, Hello, Prediction, Segment, Status
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import MakeVoice, StartTonewatch, Terminal

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing on Windows"),
]

TOKEN = "an-example-of-a-token"
DEADLINE_S = 60.0


class Serve(Protocol):
    """Starts a server in a process; returns it with the address of its page."""

    def __call__(self, *words: str | Path, port: int = 0) -> tuple[subprocess.Popen[bytes], str]: ...


def address_of(process: subprocess.Popen[bytes]) -> str:
    """Return the page's address, which a process that serves tells on standard error."""
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    match = re.fullmatch(r"tonewatch: serves wss?://\S+/events; open (https?://\S+:\d+/)\n", line)
    assert match is not None, line
    return match[1]


@pytest.fixture
def serve(start_tonewatch: StartTonewatch, tiny_model: Path) -> Serve:
    def start(*words: str | Path, port: int = 0) -> tuple[subprocess.Popen[bytes], str]:
        process = start_tonewatch("serve", f"127.0.0.1:{port}", "--model", tiny_model, *words)
        return process, address_of(process)

    return start


@pytest.fixture
def recording(tmp_path: Path, make_voice: MakeVoice) -> Path:
    """Eight seconds of a voice, at a rate that is not the model's."""
    path = tmp_path / "voice.wav"
    soundfile.write(path, make_voice(8, rate=44_100), 44_100)
    return path


class Reader:
    """Reads the messages that a process writes, one at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._out: IO[bytes] = process.stdout
        self.told: list[messages.Message] = []

    def until(self, holds: Callable[[messages.Message], bool]) -> messages.Message:
        """Return the next message of which something holds."""
        while True:
            line = self._out.readline()
            assert line, f"it ended after {self.told[-3:]}"
            self.told.append(messages.decode(line))
            if holds(self.told[-1]):
                return self.told[-1]


def is_state(state: State) -> Callable[[messages.Message], bool]:
    return lambda message: isinstance(message, Status) and message.state is state


def predictions(told: list[messages.Message], stream: str) -> list[tuple[object, ...]]:
    """Return all that two runs on the same audio have in common."""
    return [
        (
            p.seq,
            p.start_s,
            p.end_s,
            p.label,
            p.probability,
            p.probabilities,
            p.smoothed,
            p.level_dbfs,
            p.dropped,
        )
        for p in told
        if isinstance(p, Prediction) and p.stream == stream
    ]


def segments(told: list[messages.Message], stream: str) -> list[tuple[object, ...]]:
    return [(s.label, s.start_s, s.end_s) for s in told if isinstance(s, Segment) and s.stream == stream]


# --- what one hears all see -------------------------------------------------------------------------------


@pytest.mark.parametrize("pace", [["--fast"], []], ids=["fast", "live"])
def test_local_sent_and_watched_are_the_same(
    pace: list[str], serve: Serve, start_tonewatch: StartTonewatch, tiny_model: Path, recording: Path
) -> None:
    _, page = serve()
    watching = Reader(start_tonewatch("watch", page, "--json"))
    watching.until(lambda message: isinstance(message, Hello))
    words: tuple[str | Path, ...] = ("listen", "--input", recording, *pace, "--json")
    sending = start_tonewatch(*words, "--to", page, "--name", "there")
    here = start_tonewatch(*words, "--model", tiny_model, "--name", "here")
    out, err = sending.communicate(timeout=DEADLINE_S)
    assert (sending.returncode, err) == (0, b"")
    sent = [messages.decode(line) for line in out.splitlines()]
    out, err = here.communicate(timeout=DEADLINE_S)
    assert (here.returncode, err) == (0, b"")
    wanted = [messages.decode(line) for line in out.splitlines()]
    watching.until(is_state(State.STOPPED))
    assert len(predictions(wanted, "here")) == 11
    assert predictions(sent, "there") == predictions(wanted, "here")
    assert predictions(watching.told, "there") == predictions(wanted, "here")
    assert segments(sent, "there") == segments(watching.told, "there") == segments(wanted, "here")
    # The same messages, dates included, from both ends.
    dated = {p.time for p in sent if isinstance(p, Prediction)}
    assert dated == {p.time for p in watching.told if isinstance(p, Prediction)}
    assert isinstance(sent[0], Hello)
    assert sent[0].streams == ("there",)
    assert isinstance(sent[-1], Status)
    assert sent[-1].state is State.STOPPED


def test_samples_from_standard_input_are_sent_as_they_come(
    serve: Serve, start_tonewatch: StartTonewatch, make_voice: MakeVoice
) -> None:
    _, page = serve()
    process = start_tonewatch("listen", "--input", "-", "--to", page, "--json", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write((make_voice(4.2) * 32_768).astype("<i2").tobytes())
    process.stdin.flush()
    told = Reader(process)
    # What is heard is shown as more comes.
    process.stdin.write(bytes(320))
    process.stdin.close()
    last = told.until(is_state(State.STOPPED))
    assert isinstance(last, Status)
    assert last.stream == "stdin"
    assert [p.end_s for p in told.told if isinstance(p, Prediction)][:3] == [3.0, 3.5, 4.0]
    assert process.wait(DEADLINE_S) == 0


def test_here_and_there_are_streams_of_one_server(
    start_tonewatch: StartTonewatch, tiny_model: Path, recording: Path
) -> None:
    words = ("--model", tiny_model, "--input", "-", "--quiet", "--serve", "127.0.0.1:0")
    server = start_tonewatch("listen", *words, stdin=subprocess.PIPE)
    assert server.stdin is not None
    page = address_of(server)
    sending = start_tonewatch("listen", "--to", page, "--input", recording, "--quiet")
    watching = Reader(
        start_tonewatch("watch", page, "--json", "--stream", "voice.wav", "--min-probability", "0")
    )
    watching.until(lambda message: isinstance(message, Status) and message.stream == "voice.wav")
    hello = watching.told[0]
    assert isinstance(hello, Hello)
    assert "stdin" in hello.streams
    watching.until(is_state(State.STOPPED))
    assert {m.stream for m in watching.told if isinstance(m, Prediction | Status)} == {"voice.wav"}
    assert sending.wait(DEADLINE_S) == 0
    server.stdin.close()
    assert server.wait(DEADLINE_S) in {0, 2}


def test_the_panel_shows_what_a_server_hears(
    serve: Serve, start_tonewatch: StartTonewatch, terminal: Terminal, recording: Path
) -> None:
    server, page = serve()
    watching = start_tonewatch("watch", page, terminal=terminal)
    terminal.wait_for("the server hears nothing yet: waits for a stream")
    sending = start_tonewatch("listen", "--to", page, "--input", recording, "--quiet", "--name", "kitchen")
    terminal.wait_for("Tonewatch: kitchen")
    terminal.wait_for("LISTENING")
    server.kill()
    terminal.wait_for("RECOVERING")
    sending.kill()
    terminal.type("\x03")
    assert watching.wait(DEADLINE_S) == 130
    terminal.wait_for("kitchen: ")
    assert terminal.is_restored()
    assert "Traceback" not in terminal.text


def test_the_sender_s_own_panel(serve: Serve, start_tonewatch: StartTonewatch, terminal: Terminal) -> None:
    _, page = serve()
    sending = start_tonewatch("listen", "--to", page, "--demo", terminal=terminal)
    terminal.wait_for("Tonewatch: demo")
    terminal.wait_for("LISTENING")
    terminal.type("\x03")
    assert sending.wait(DEADLINE_S) == 130
    terminal.wait_for("predictions by tiny-float32")
    assert terminal.is_restored()
    assert "Traceback" not in terminal.text


# --- lost and found ---------------------------------------------------------------------------------------


def test_a_server_that_is_killed_and_started_again(
    serve: Serve, start_tonewatch: StartTonewatch, make_voice: MakeVoice, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, make_voice(60), 16_000)
    server, page = serve()
    port = int(page.rstrip("/").rpartition(":")[2])
    sending = start_tonewatch("listen", "--to", page, "--input", path, "--json", "--name", "me")
    watching = start_tonewatch("watch", page, "--json")
    sent, watched = Reader(sending), Reader(watching)
    for reader in (sent, watched):
        reader.until(lambda message: isinstance(message, Prediction))
    server.kill()
    server.wait()
    watched.until(lambda message: isinstance(message, Error) and message.code == "disconnected")
    sent.until(lambda message: isinstance(message, Status) and "trying again" in message.detail)
    server, again = serve(port=port)
    assert again == page
    n_sent, n_watched = len(sent.told), len(watched.told)
    for reader in (sent, watched):
        reader.until(lambda message: isinstance(message, Prediction) and message.seq == 0)
    # The old server took with it what it had heard and not judged: that is counted.
    after = [m for m in sent.told[n_sent:] if isinstance(m, Prediction | Status)]
    assert 0 < sum(m.dropped for m in after) < 5 * 16_000
    assert any(isinstance(m, Hello) for m in watched.told[n_watched:])
    # Whatever came through came once.
    seen = [p.time for p in watched.told if isinstance(p, Prediction)]
    assert len(seen) == len(set(seen))
    sending.send_signal(signal.SIGINT)
    last = sent.until(is_state(State.STOPPED))
    assert isinstance(last, Status)
    assert sending.wait(DEADLINE_S) == 130
    watched.until(is_state(State.STOPPED))
    watching.send_signal(signal.SIGTERM)
    assert watching.wait(DEADLINE_S) == 143


def test_who_comes_before_the_server_waits_for_it(serve: Serve, start_tonewatch: StartTonewatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    watching = start_tonewatch("watch", f"127.0.0.1:{port}", "--json")
    sending = start_tonewatch("listen", "--to", f"127.0.0.1:{port}", "--demo", "--fast", "--json")
    watched, sent = Reader(watching), Reader(sending)
    watched.until(lambda message: isinstance(message, Error))
    assert sending.stderr is not None
    line = sending.stderr.readline().decode()
    assert line == f"tonewatch: ws://127.0.0.1:{port}/events: no server is there: trying again\n"
    serve(port=port)
    for reader in (watched, sent):
        reader.until(lambda message: isinstance(message, Hello))
    sent.until(is_state(State.STOPPED))
    assert sending.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_server_that_is_asked_to_end_closes_every_session(number: signal.Signals, serve: Serve) -> None:
    server, page = serve()
    url = page.replace("http:", "ws:").rstrip("/")
    start = messages.encode(messages.Start(sample_rate=16_000, channels=1, format="s16le", name="me"))
    with connect(f"{url}/events") as subscriber, connect(f"{url}/audio") as sender:
        sender.send(start, text=True)
        sender.send(bytes(3200))
        for session in (subscriber, sender):
            while not is_state(State.STARTING)(messages.decode(session.recv(DEADLINE_S))):
                pass
        # One that does not even finish its handshake is no reason to wait.
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as deaf:
            deaf.sendall(b"GET /events HTTP/1.1\r\n")
            begun_s = time.monotonic()
            server.send_signal(number)
            for session in (subscriber, sender):
                told = [messages.decode(data) for data in session]
                last = [message for message in told if isinstance(message, Status)][-1]
                assert (last.stream, last.state) == ("me", State.STOPPED)
                assert session.close_code == 1001
            assert time.monotonic() - begun_s < 2.0
            assert server.wait(DEADLINE_S) == 128 + number
    assert server.stderr is not None
    assert server.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_sender_that_is_asked_to_end_says_so(
    number: signal.Signals, serve: Serve, start_tonewatch: StartTonewatch, recording: Path
) -> None:
    _, page = serve()
    watching = Reader(start_tonewatch("watch", page, "--json"))
    sending = start_tonewatch("listen", "--to", page, "--input", recording, "--json")
    sent = Reader(sending)
    sent.until(lambda message: isinstance(message, Prediction))
    begun_s = time.monotonic()
    sending.send_signal(number)
    sent.until(is_state(State.STOPPED))
    assert sending.wait(DEADLINE_S) == 128 + number
    assert time.monotonic() - begun_s < 5.0
    # At once, and not when the server is tired of waiting for it.
    watching.until(is_state(State.STOPPED))
    assert not any(isinstance(m, Status) and m.state is State.RECOVERING for m in watching.told)


def test_a_sender_goes_on_when_its_terminal_is_closed(
    serve: Serve, start_tonewatch: StartTonewatch, terminal: Terminal
) -> None:
    _, page = serve()
    watched = Reader(start_tonewatch("watch", page, "--json"))
    sending = start_tonewatch("listen", "--to", page, "--demo", "--lines", terminal=terminal)
    watched.until(lambda message: isinstance(message, Prediction))
    terminal.hang_up()
    for _ in range(4):
        watched.until(lambda message: isinstance(message, Prediction))
    sending.send_signal(signal.SIGTERM)
    watched.until(is_state(State.STOPPED))
    assert sending.wait(DEADLINE_S) == 143


def test_a_sender_whose_server_is_gone_ends_all_the_same(
    serve: Serve, start_tonewatch: StartTonewatch, recording: Path
) -> None:
    server, page = serve()
    sending = start_tonewatch("listen", "--to", page, "--input", recording, "--json")
    sent = Reader(sending)
    sent.until(lambda message: isinstance(message, Prediction))
    server.kill()
    sent.until(is_state(State.RECOVERING))
    sending.send_signal(signal.SIGTERM)
    last = sent.until(is_state(State.STOPPED))
    assert isinstance(last, Status)
    assert "before the server had answered" in last.detail
    assert sending.wait(DEADLINE_S) == 143


# --- who may come -----------------------------------------------------------------------------------------


def test_a_token_is_asked_for_and_found_wherever_it_stands(
    serve: Serve, start_tonewatch: StartTonewatch, tmp_path: Path
) -> None:
    path = tmp_path / "token.txt"
    path.write_text(f"{TOKEN}\n")
    _, page = serve("--token-file", path)
    for words in (("watch", page, "--json"), ("listen", "--to", page, "--demo", "--fast", "--json")):
        refused = start_tonewatch(*words)
        out, err = refused.communicate(timeout=DEADLINE_S)
        assert (refused.returncode, out) == (2, b"")
        assert re.fullmatch(
            rb"tonewatch: ws://\S+: found HTTP status 401 \(.*\); wanted its token: --token-file, or "
            rb"TONEWATCH_TOKEN\n",
            err,
        )
        wrong = start_tonewatch(*words, "--token", "x" * 16)
        out, err = wrong.communicate(timeout=DEADLINE_S)
        assert (wrong.returncode, out) == (2, b"")
        assert b"x" * 16 not in err
    for flags, environment in (
        (["--token", TOKEN], {}),
        (["--token-file", path], {}),
        ([], {"TONEWATCH_TOKEN": TOKEN}),
        # What is nearer wins.
        (["--token-file", path], {"TONEWATCH_TOKEN": "y" * 16}),
    ):
        process = start_tonewatch(
            "listen", "--to", page, "--demo", "--fast", "--json", *flags, environment=environment
        )
        Reader(process).until(is_state(State.STOPPED))
        assert process.wait(DEADLINE_S) == 0


def test_a_server_that_is_full_refuses_and_goes_on(
    serve: Serve, start_tonewatch: StartTonewatch, recording: Path
) -> None:
    _, page = serve("--capacity", "1")
    first = start_tonewatch("listen", "--to", page, "--input", recording, "--json", "--name", "one")
    told = Reader(first)
    told.until(is_state(State.STARTING))
    second = start_tonewatch("listen", "--to", page, "--demo", "--fast", "--json", "--name", "two")
    out, err = second.communicate(timeout=DEADLINE_S)
    assert (second.returncode, out) == (2, b"")
    assert err.startswith(b"tonewatch: ws://")
    assert err.count(b"\n") == 1
    told.until(is_state(State.STOPPED))
    assert first.wait(DEADLINE_S) == 0


def test_over_tls(serve: Serve, start_tonewatch: StartTonewatch, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    _, page = serve("--cert", cert, "--key", key, "--token", TOKEN)
    assert page.startswith("https://")
    words = ("listen", "--to", page, "--demo", "--fast", "--json", "--token", TOKEN)
    refused = start_tonewatch(*words)
    out, err = refused.communicate(timeout=DEADLINE_S)
    assert (refused.returncode, out) == (2, b"")
    assert b"a certificate that is not trusted" in err
    trusting = start_tonewatch(*words, environment={"SSL_CERT_FILE": str(cert)})
    Reader(trusting).until(is_state(State.STOPPED))
    assert trusting.wait(DEADLINE_S) == 0
    # Without the s, it is another protocol, and the server hangs up.
    plain = start_tonewatch("watch", page.replace("https", "http"), "--json", "--token", TOKEN)
    Reader(plain).until(lambda message: isinstance(message, Error))
