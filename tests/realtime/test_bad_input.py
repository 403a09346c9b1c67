"""What cannot be used is refused in one line, which says what was found and what was wanted."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from realtime import artifact
from realtime.messages import Status
from realtime.types import State

if TYPE_CHECKING:
    import numpy.typing as npt

    from tests.conftest import MakeVoice
    from tests.realtime.conftest import Outcome, PlugIn, Tonewatch


def check_refusal(outcome: Outcome, *parts: str) -> None:
    assert outcome.code == 2
    assert outcome.err.startswith("tonewatch: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.endswith("\n")
    for part in parts:
        assert part in outcome.err
    assert outcome.out == ""


def check_demo(outcome: Outcome, reason: str) -> None:
    """The demo plays, after a line that says why."""
    assert outcome.code == 0
    assert len(outcome.predictions) > 50
    first, second = outcome.err.splitlines()
    assert reason in first
    assert second == "tonewatch: plays the bundled demo audio instead of a microphone"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("", ["COMMAND", "see: tonewatch --help"]),
        ("lisen", ["invalid choice: 'lisen'", "listen", "see: tonewatch --help"]),
        ("listen --bogus", ["--bogus", "--help"]),
        ("listen --hop fast", ["--hop", "'fast'", "see: tonewatch listen --help"]),
        ("listen --json --lines", ["not allowed with", "see: tonewatch listen --help"]),
        ("analyze", ["PATH", "see: tonewatch analyze --help"]),
        ("analyze x.wav --format pdf", ["'pdf'", "audacity"]),
    ],
)
def test_wrong_flags(arguments: str, parts: list[str], tonewatch: Tonewatch) -> None:
    check_refusal(tonewatch(*arguments.split()), *parts)


# --- microphones ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_portaudio")
def test_no_portaudio(listen: Tonewatch, tonewatch: Tonewatch) -> None:
    for outcome in (listen(), listen("--device", "USB"), tonewatch("devices")):
        check_refusal(outcome, "PortAudio library not found", "apt install libportaudio2", "--demo")
    check_demo(listen("--or-demo", "--fast", "--json"), "PortAudio")


@pytest.mark.usefixtures("broken_portaudio")
def test_portaudio_that_does_not_start(listen: Tonewatch, tonewatch: Tonewatch) -> None:
    for outcome in (listen(), listen("--device", "USB"), listen("--device", "USB", "--or-demo")):
        check_refusal(outcome, "PortAudio, which microphones need", "[PaErrorCode -9999]", "--demo")
    check_refusal(tonewatch("devices"), "[PaErrorCode -9999]")
    check_demo(listen("--or-demo", "--fast", "--json"), "[PaErrorCode -9999]")


def test_no_device(listen: Tonewatch, tonewatch: Tonewatch, plug_in: PlugIn) -> None:
    plug_in()
    check_refusal(listen(), "no input device was found", "--demo")
    check_refusal(tonewatch("devices"), "no microphone", "tonewatch listen --demo")
    assert len(listen("--or-demo", "--fast", "--json").predictions) > 50


@pytest.mark.parametrize(
    ("wanted", "parts"),
    [
        ("Headset", ["'Headset'", "0 'USB Camera' (ALSA), 1 'USB Stick' (ALSA), 2 'Built-in' (ALSA)"]),
        ("usb", ["'usb' fits 2 input devices: 0 'USB Camera' (ALSA), 1 'USB Stick' (ALSA)"]),
        ("7", ["no input device has the index 7", "2 'Built-in'"]),
        ("built", ["2 'Built-in' (ALSA) cannot be opened at 48000 Hz: Device unavailable"]),
    ],
)
def test_device_that_cannot_be_used(
    wanted: str, parts: list[str], listen: Tonewatch, plug_in: PlugIn
) -> None:
    plug_in("USB Camera", "USB Stick", "Built-in")
    check_refusal(listen("--device", wanted), *parts)
    # Who names a device wants that one, and no demo instead.
    check_refusal(listen("--device", wanted, "--or-demo", "--fast"), *parts)


# --- files that cannot be used ----------------------------------------------------------------------------


def no_audio(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.wav"
    match kind:
        case "empty":
            path.touch()
        case "headless":
            path.write_bytes(b"This is no audio at all.\n" * 100)
        case "silent":
            soundfile.write(path, np.zeros(0), 16_000)
        case "cut":
            soundfile.write(path, np.zeros(16_000), 16_000)
            path.write_bytes(path.read_bytes()[:44])
        case "looped":
            path.symlink_to(path)
        case "folder":
            path.mkdir()
        case "too long":
            path = folder / f"{300 * 'x'}.wav"
    return path


@pytest.mark.parametrize(
    ("kind", "listening", "analyzing"),
    [
        ("missing", "does not exist; wanted an audio file", "no such file or folder"),
        ("empty", "is empty (0 bytes); wanted an audio file", "is empty (0 bytes)"),
        ("headless", "is not audio that can be read: wanted WAV, FLAC", "is not audio that can be read"),
        ("silent", "holds no audio (0 samples)", "holds no audio (0 samples)"),
        ("cut", "holds no audio (0 samples)", "holds no audio (0 samples)"),
        ("looped", "cannot be opened: ", "no such file or folder"),
        ("too long", "cannot be opened: File name too long", "File name too long; wanted a file or folder"),
        (
            "folder",
            "is a directory; wanted an audio file",
            "a folder without audio; wanted files that end in",
        ),
    ],
)
def test_file_that_cannot_be_used(
    *,
    kind: str,
    listening: str,
    analyzing: str,
    listen: Tonewatch,
    tonewatch: Tonewatch,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    path = no_audio(tmp_path, kind)
    check_refusal(
        listen("--input", path, "--fast", "--log", tmp_path / "log.jsonl", "--quiet"), str(path), listening
    )
    for flags in ([], ["--whole"], ["--format", "json"], ["--format", "csv"]):
        check_refusal(tonewatch("analyze", path, "--model", tiny_model, *flags), str(path), analyzing)


def lock(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let nobody enter a folder; modes do not bind the superuser."""
    look = os.stat

    def refuse(path: Any, *arguments: Any, **more: Any) -> os.stat_result:
        if not isinstance(path, int) and folder in Path(os.fsdecode(path)).parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return look(path, *arguments, **more)

    monkeypatch.setattr(os, "stat", refuse)


def test_what_lies_in_a_folder_that_may_not_be_entered(
    *,
    listen: Tonewatch,
    tonewatch: Tonewatch,
    recording: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    path = Path(shutil.copy(recording, locked))
    shutil.copytree(tiny_model, locked / "model")
    lock(monkeypatch, locked)
    told = [str(path), "Permission denied"]
    check_refusal(listen("--input", path, "--fast"), *told)
    analyze = ("analyze", "--model", tiny_model, "--whole", "--format", "csv")
    check_refusal(tonewatch(*analyze, path), *told)
    for command in (["listen", "--demo"], ["analyze", recording]):
        outcome = tonewatch(*command, "--model", locked / "model")
        check_refusal(outcome, str(locked / "model"), "Permission denied", "there are: ")
    # It is listed, and then told of apart: the others are judged.
    outcome = tonewatch(*analyze, tmp_path)
    assert outcome.code == 2
    assert len(outcome.out.splitlines()) == 2
    assert outcome.err.splitlines()[0] == f"tonewatch: {path} cannot be opened: Permission denied"


def test_a_folder_within_one_that_may_not_be_looked_into_is_told_of(
    tonewatch: Tonewatch, recording: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = tmp_path / "all" / "locked"
    locked.mkdir(parents=True)
    look = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", refuse)
    analyze = ("analyze", "--model", tiny_model, "--whole", "--format", "csv")
    line = f"tonewatch: {locked}: Permission denied; wanted a file or folder that can be read"
    outcome = tonewatch(*analyze, tmp_path / "all")
    assert outcome.code == 2
    assert [text for text in outcome.err.splitlines() if "locked" in text] == [line]
    assert "a folder without audio" in outcome.err
    shutil.copy(recording, tmp_path / "all")
    outcome = tonewatch(*analyze, tmp_path / "all")
    assert outcome.code == 2
    assert outcome.err.splitlines() == [line]
    assert len(outcome.out.splitlines()) == 2
    check_refusal(tonewatch(*analyze, locked), line)


# --- standard input ---------------------------------------------------------------------------------------


class Stdin:
    """A standard input that holds bytes."""

    def __init__(self, data: bytes, *, terminal: bool = False) -> None:
        self.buffer = io.BytesIO(data)
        self.terminal = terminal
        self.buffer.isatty = self.isatty  # type: ignore[method-assign]

    def isatty(self) -> bool:
        return self.terminal


def pcm(samples: npt.NDArray[np.float32]) -> bytes:
    data: bytes = np.clip(samples * 32_768, -32_768, 32_767).astype("<i2").tobytes()
    return data


def test_standard_input_that_ends_inside_a_sample(
    listen: Tonewatch, make_voice: MakeVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pcm(make_voice(5.2))
    outcomes = []
    for more in (b"", b"\x07"):
        monkeypatch.setattr(sys, "stdin", Stdin(data + more))
        outcomes.append(listen("--input", "-", "--json"))
    whole, torn = outcomes
    assert whole.code == torn.code == 0
    assert whole.predictions[-1].end_s == 5.2
    assert [(p.end_s, p.probabilities) for p in torn.predictions] == [
        (p.end_s, p.probabilities) for p in whole.predictions
    ]
    (told,) = (m for m in torn.messages if isinstance(m, Status) and m.state is State.RECOVERING)
    assert "stdin ended with 1 bytes left over; wanted whole frames of 2 bytes" in told.detail
    # The sample that was cut, and no other.
    assert told.dropped == 1


def test_standard_input_without_a_byte(listen: Tonewatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(b""))
    outcome = listen("--input", "-", "--json")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("tonewatch: stdin ended without a single byte; ")
    assert [m.state for m in outcome.messages if isinstance(m, Status)] == [State.STOPPED]


def test_standard_input_that_is_a_terminal(listen: Tonewatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(b"", terminal=True))
    check_refusal(
        listen("--input", "-", "--rate", "44100", "--channels", "2"),
        "stdin is a terminal; pipe raw samples in",
        "arecord -q -t raw -f S16_LE -r 44100 -c 2",
    )


# --- settings, logs, addresses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hopp_s = 1", ["mine.toml", "unknown key 'hopp_s'", "'hop_s'"]),
        ("hop_s = ", ["mine.toml", "not TOML"]),
        ("channels = 'two'", ["mine.toml", "channels is 'two'; wanted a whole number", "channels"]),
        (None, ["mine.toml", "No such file"]),
    ],
)
def test_configuration_that_cannot_be_used(
    text: str | None, parts: list[str], tonewatch: Tonewatch, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    check_refusal(tonewatch("listen", "--config", path), *parts)
    check_refusal(tonewatch("analyze", "x.wav", "--config", path), *parts)


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--hop", "0.013"], ["hop is 0.013 s", "0.025 s"]),
        (["--hop", "-1"], ["hop_s is -1.0", "above 0"]),
        (["--smoothing", "mean"], ["'mean'", "none, exponential:ALPHA"]),
        (["--smoothing", "majority:99999999999999999999"], ["majority:9999", "majority:N (1 to 10000)"]),
        (["--min-probability", "1.5"], ["1.5", "from 0 to 1"]),
        (["--format", "mp3"], ["'mp3'", "format"]),
        (["--rate", "10"], ["rate is 10", "1000 to 768000 Hz"]),
        (["--channels", "0"], ["channels is 0", "1 to 64"]),
        (["--device", "1"], ["device and demo", "one place to listen to"]),
        (["--serve", "127.0.0.1:http"], ["'127.0.0.1:http'", "HOST:PORT"]),
        (["--quiet"], ["nowhere to go", "--log or --serve"]),
        (["--serve", "0.0.0.0:0"], ["'0.0.0.0'", "--token or --token-file, or --insecure", "127.0.0.1"]),
        (["--serve", ":0", "--token", "short"], ["found 5 characters", "openssl rand"]),
        (["--serve", ":0", "--token-file", "no.txt"], ["no.txt", "No such file"]),
        (["--serve", ":0", "--cert", "no.pem"], ["cert is given alone"]),
        (["--serve", ":0", "--cert", "no.pem", "--key", "no.pem"], ["no.pem", "No such file", "--cert"]),
        (["--serve", ":0", "--origin", "example.org"], ["'example.org'", "https://example.org"]),
        (["--capacity", "3"], ["capacity is given", "--serve"]),
        (["--name", ""], ["name is ''", "printable"]),
        (["--log", "day.txt"], ["day.txt", "'.txt'", ".jsonl", ".csv"]),
        (["--log", "no/such/folder/day.csv"], ["no/such/folder/day.csv", "No such file"]),
    ],
)
def test_settings_that_cannot_be_used(flags: list[str], parts: list[str], listen: Tonewatch) -> None:
    check_refusal(listen("--demo", "--fast", *flags), *parts)


@pytest.mark.parametrize("name", ["a.csv", "./a.csv", "link.csv", "hard.csv", "link.jsonl"])
def test_a_log_that_is_named_twice(
    name: str, listen: Tonewatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = Path("a.csv")
    if name.startswith("link"):
        Path(name).symlink_to(log)
    elif name.startswith("hard"):
        log.touch()
        Path(name).hardlink_to(log)
    outcome = listen("--demo", "--fast", "--log", "b.csv", "--log", log, "--log", name)
    check_refusal(outcome, f"{name}: this log is named twice, first as a.csv; wanted it once")
    assert log.read_bytes() == b""


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("serve host:x", ["'host:x'", "HOST:PORT"]),
        ("serve 0.0.0.0:0", ["'0.0.0.0'", "--insecure"]),
        ("serve --token T --token-file F", ["not allowed with"]),
        ("watch", ["URL", "see: tonewatch watch --help"]),
        ("watch ftp://127.0.0.1", ["'ftp://127.0.0.1'", "ws://127.0.0.1:8765/events"]),
        ("watch 127.0.0.1 --token-file no.txt", ["no.txt", "No such file"]),
        ("watch 127.0.0.1 --min-probability 2", ["min_probability is 2", "0 to 1"]),
        ("listen --to ftp://127.0.0.1", ["'ftp://127.0.0.1'", "ws://127.0.0.1:8765/events"]),
        ("listen --to 127.0.0.1 --model x", ["model is given", "--to"]),
        ("listen --to 127.0.0.1 --serve :0", ["serve and to are given"]),
    ],
)
def test_servers_that_cannot_be_used(words: str, parts: list[str], tonewatch: Tonewatch) -> None:
    check_refusal(tonewatch(*words.split()), *parts)


def test_a_file_for_a_server_is_looked_at_before_the_server(tonewatch: Tonewatch, tmp_path: Path) -> None:
    # Nobody is at port 1, and that would be waited for.
    failed = tonewatch("listen", "--to", "ws://127.0.0.1:1", "--input", tmp_path / "none.wav")
    assert failed.code == 2
    assert "none.wav does not exist; wanted an audio file" in failed.err


def test_log_with_another_header(listen: Tonewatch, tmp_path: Path) -> None:
    path = tmp_path / "shopping.csv"
    path.write_text("item,price\nmilk,1\n")
    check_refusal(listen("--demo", "--fast", "--log", path), str(path), "item,price", "wanted")
    assert path.read_text() == "item,price\nmilk,1\n"


def test_port_in_use(listen: Tonewatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        check_refusal(
            listen("--demo", "--fast", "--serve", address), address, "another program", "choose another one"
        )


# --- models --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("my_models")
@pytest.mark.parametrize(
    "command", [["listen", "--demo", "--model"], ["analyze", ".", "--model"], ["models"]]
)
def test_unknown_model(command: list[str], tonewatch: Tonewatch, recording: Path) -> None:
    command = [str(recording) if word == "." else word for word in command]
    check_refusal(
        tonewatch(*command, "large"),
        "no model 'large'",
        "there are: tiny-float16, tiny-float32, tiny-forest, tiny-frames, tiny-int8, tiny-knn, tiny-svm",
    )


def test_a_models_name_that_is_too_long(tonewatch: Tonewatch) -> None:
    name = 300 * "x"
    check_refusal(tonewatch("listen", "--demo", "--model", name), name, "File name too long", "there are: ")


def damage(folder: Path, how: str) -> None:
    model, card = folder / "model.tflite", folder / "card.json"
    data, plain = model.read_bytes(), json.loads(card.read_text())
    match how:
        case "truncated":
            model.write_bytes(data[: len(data) // 2])
        case "tampered":
            model.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "missing":
            model.unlink()
        case "no card":
            card.unlink()
        case "cut card":
            card.write_text(card.read_text()[:100])
        case "newer":
            card.write_text(json.dumps({**plain, "format_version": artifact.FORMAT_VERSION + 1, "more": 1}))
        case "mismatched":
            card.write_text(json.dumps({**plain, "n_selected": 31, "input_shape": [1, 31]}))
        case "other labels":
            card.write_text(json.dumps({**plain, "labels": plain["labels"][:-1]}))
        case "no model":
            other = folder / "preprocess.npz"
            model.write_bytes(other.read_bytes())
            plain["sha256"]["model.tflite"] = plain["sha256"]["preprocess.npz"]
            card.write_text(json.dumps(plain))


@pytest.mark.parametrize(
    ("how", "parts"),
    [
        ("truncated", ["model.tflite", "SHA-256", "wants", "copy the model's folder again"]),
        ("tampered", ["model.tflite", "SHA-256", "wants", "copy the model's folder again"]),
        ("missing", ["model.tflite", "No such file"]),
        ("no card", ["card.json", "No such file"]),
        ("cut card", ["card.json"]),
        ("newer", ["card.json", "format_version is 3", "reads up to 2"]),
        ("mismatched", ["preprocess.npz", "shape (30,)", "wanted", "shape (31,)"]),
        ("other labels", ["card.json", "output_shape is [1, 8]; wanted [1, 7]"]),
        ("no model", ["model.tflite"]),
    ],
)
def test_damaged_model(
    *, how: str, parts: list[str], tonewatch: Tonewatch, tiny_model: Path, tmp_path: Path, recording: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(tiny_model, folder)
    damage(folder, how)
    check_refusal(tonewatch("listen", "--demo", "--fast", "--model", folder), str(folder), *parts)
    check_refusal(tonewatch("analyze", recording, "--model", folder), str(folder), *parts)
