"""Settings: flags win over the file, the file over defaults, and what cannot be used is named."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from realtime import config
from realtime.config import Settings
from realtime.errors import SettingsError
from realtime.types import Smoothing

if TYPE_CHECKING:
    from pathlib import Path


TOKEN = "an-example-of-a-token"


@pytest.fixture(autouse=True)
def no_user_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv(config.TOKEN_VARIABLE, raising=False)
    path = tmp_path / "own" / config.FILE_NAME
    monkeypatch.setattr(config, "user_file", lambda: path)
    return path


def test_defaults() -> None:
    assert config.load({}) == Settings()
    assert config.load({"model": None}) == Settings()


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('model = "other"\nhop_s = 1.0\nlog = ["a.csv"]\ndevice = "USB"\n')
    settings = config.load({"hop_s": 0.25}, path)
    assert settings == Settings(model="other", hop_s=0.25, log=("a.csv",), device="USB")
    # Where to listen is one thing: a flag replaces all that the file says of it.
    assert config.load({"demo": True}, path).device is None


def test_flags_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="rate and channels are given, which only raw samples"):
        config.load({"input": "a.wav", "rate": 8000, "channels": 2})
    assert config.load({"input": "-", "rate": 8000}).rate == 8000
    path = tmp_path / "mine.toml"
    path.write_text("rate = 8000\n")
    assert config.load({"input": "a.wav"}, path).rate == 8000


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ({"insecure": True}, "insecure is given, which only a server needs; wanted --serve"),
        ({"cert": "a", "key": "b", "to": "ws://pi"}, "cert and key are given, which only a server needs"),
        ({"origin": ["https://a.org"]}, "origin is given"),
        ({"capacity": 3}, "capacity is given"),
        ({"token": TOKEN}, "token is given, which only a server needs, here or elsewhere"),
        ({"token_file": "a"}, "token_file is given"),
        ({"model": "ann-392", "to": "ws://pi"}, "model is given, which the server that --to names chooses"),
    ],
)
def test_flags_of_servers_that_are_not_there_are_refused(flags: dict[str, Any], wanted: str) -> None:
    with pytest.raises(SettingsError, match=wanted):
        config.load(flags)


def test_what_the_file_says_of_servers_holds_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('serve = ":9000"\ntoken = "in-the-file"\ncapacity = 3\norigin = ["https://a.org"]\n')
    settings = config.load({"insecure": True}, path)
    assert (settings.serve, settings.capacity, settings.origin) == (":9000", 3, ("https://a.org",))
    # A flag that says who judges replaces whatever the file says of that.
    assert config.load({"to": "ws://pi"}, path).serve is None
    assert config.load({}, path, ignored=("serve",)).serve is None
    assert config.load({}, path, defaults={"serve": ":1"}).serve == ":9000"
    assert config.load({}, defaults={"serve": ":1"}).serve == ":1"


def test_where_the_token_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('to = "ws://pi"\ntoken_file = "mine.txt"\n')
    assert config.load({}, path).token_file == "mine.txt"
    monkeypatch.setenv(config.TOKEN_VARIABLE, TOKEN)
    settings = config.load({}, path)
    assert (settings.token, settings.token_file) == (TOKEN, None)
    settings = config.load({"token_file": "other.txt"}, path)
    assert (settings.token, settings.token_file) == (None, "other.txt")
    # It says nothing where there is no server: it is no flag.
    assert config.load({}).token == TOKEN


def test_the_token_is_not_shown() -> None:
    shown = repr(Settings(token=TOKEN, to="ws://pi"))
    assert shown == "Settings(to='ws://pi', token=...)"


def test_the_users_own_file_is_found(no_user_file: Path) -> None:
    no_user_file.parent.mkdir()
    no_user_file.write_text("min_probability = 0.4\n")
    assert config.load({}).min_probability == 0.4


def test_the_users_own_file_need_not_be_there_for_us(
    no_user_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # As for a service whose home is another user's.
    monkeypatch.setattr(os, "stat", refuse)
    assert config.load({}) == Settings()
    # What is named is wanted.
    with pytest.raises(SettingsError, match=f"{config.FILE_NAME}: No such file"):
        config.load({}, no_user_file)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('modle = "x"', "unknown key 'modle'; the nearest known one is 'model'"),
        ('smooth = "none"', "nearest known one is 'smoothing'"),
        ("zzz = 1", "unknown key 'zzz'; wanted some of model, hop_s"),
        ("hop_s = 'fast'", "hop_s is 'fast'; wanted a number"),
        ('log = "a.jsonl"', "log is 'a.jsonl'; wanted a list, such as"),
        ("log = [1]", "log is [1]; wanted text in quotes"),
        ("serve = true", "serve is True; wanted text in quotes"),
        ("device = 1.5", "device is 1.5; wanted a whole number or text in quotes"),
        ('[listen]\nmodel = "x"', "found a table [listen]; wanted settings outside of tables"),
        ("demo = true\ndevice = 0", "device and demo are given; wanted one place to listen to"),
        ("rate = 10", "rate is 10; wanted 1000 to 768000 Hz"),
        ("hop_s = -1", "hop_s is -1"),
        ("channels = 0", "channels is 0"),
        ("min_probability = 2", "min_probability is 2"),
        ('smoothing = "mean"', "smoothing is 'mean'; wanted none, exponential:ALPHA"),
        ('serve = "host:notaport"', "wanted HOST:PORT"),
        ('format = "mp3"', "format is 'mp3'; wanted one of s16le, s24le, s32le, f32le, u8"),
        ('input = "a.wav"\ndemo = true', "input and demo are given"),
        ('serve = ":0"\nto = "ws://pi"', "serve and to are given; wanted one place where it is judged"),
        ('token = "a"\ntoken_file = "b"', "token and token_file are given; wanted one of them"),
        ('cert = "a.pem"', "cert is given alone; wanted cert and key"),
        ('key = "a.pem"', "key is given alone; wanted cert and key"),
        ("capacity = 0", "capacity is 0; wanted at least 1"),
        ("name = ''", "name is ''; wanted 1 to 64 printable characters"),
        ('name = "two\\nlines"', "name is 'two\\nlines'"),
        ("= 3", "not TOML"),
    ],
)
def test_bad_files_are_refused_by_name(text: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        config.load({}, path)
    assert wanted in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: No such file"):
        config.load({}, tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "smoothing"),
    [
        ("none", Smoothing(method="none")),
        ("exponential", Smoothing(method="exponential", alpha=0.5)),
        ("exponential:0.25", Smoothing(method="exponential", alpha=0.25)),
        ("majority:5", Smoothing(method="majority", n=5)),
    ],
)
def test_smoothing_in_words(text: str, smoothing: Smoothing) -> None:
    assert config.parse_smoothing(text) == smoothing


@pytest.mark.parametrize(
    "text", ["", "none:1", "exponential:0", "exponential:x", "majority:0", "majority:1.5", "majority:10001"]
)
def test_bad_smoothing_in_words(text: str) -> None:
    with pytest.raises(SettingsError, match="smoothing is"):
        config.parse_smoothing(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9000", ("127.0.0.1", 9000)),
        ("0.0.0.0", ("0.0.0.0", 8765)),
        (":9000", ("127.0.0.1", 9000)),
        ("9000", ("127.0.0.1", 9000)),
        ("[::1]:9000", ("::1", 9000)),
        ("[::1]", ("::1", 8765)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert config.parse_address(text) == address


@pytest.mark.parametrize("text", ["host:", "host:70000", "host:-1", "host:x"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(SettingsError, match="wanted HOST:PORT"):
        config.parse_address(text)


def test_every_setting_has_a_flag_or_is_said_not_to(capsys: pytest.CaptureFixture[str]) -> None:
    from realtime.cli import _parser

    parsed: dict[str, Any] = vars(_parser().parse_args(["listen"]))
    assert set(Settings.__struct_fields__) <= parsed.keys()
    capsys.readouterr()
