"""Settings: what a command is asked to do, from its flags and from a TOML file, checked once."""

from __future__ import annotations

import os
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from realtime.artifact import DEFAULT_MODEL
from realtime.errors import SettingsError
from realtime.messages import LONGEST_NAME
from realtime.types import LONGEST_VOTE, Smoothing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
FILE_NAME = "tonewatch.toml"
TOKEN_VARIABLE = "TONEWATCH_TOKEN"  # noqa: S105 - the name of one
"""The environment variable that holds the server's token."""

_PLACES = ("input", "device", "demo")
_TOKENS = ("token", "token_file")
_JUDGES = ("serve", "to")
# Unlike enough that the nearest key is no help.
_NEAR = 0.5
_TYPES = {
    "array": 'a list, such as ["a", "b"]',
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}
_WRONG_TYPE = re.compile(
    r"(?:Expected `(?P<types>[^`]*)`, got `[^`]*`|Invalid enum value .*) - at `\$\.(?P<name>\w+)(?:\[.*)?`"
)
_SERVING = ("insecure", "cert", "key", "origin", "capacity")

SampleFormat = Literal["s16le", "s24le", "s32le", "f32le", "u8"]
Output = Literal["auto", "panel", "lines", "json", "none"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set, with its default; the keys of the TOML file are these names."""

    model: str = DEFAULT_MODEL
    """Name of a model, or path of its folder."""
    hop_s: float | None = None
    """Seconds between predictions; the model's own by default."""
    smoothing: str | None = None
    """`none`, `exponential:ALPHA` or `majority:N`; the model's own by default."""
    min_probability: float = 0.0
    """Below this the answer is `unknown`."""
    input: str | None = None
    """A file, or `-` for raw samples on standard input; the microphone by default."""
    device: int | str | None = None
    """Index, or part of the name, of the microphone."""
    demo: bool = False
    """Listen to the bundled demo audio."""
    or_demo: bool = False
    """Listen to the demo audio where there is no microphone."""
    fast: bool = False
    """Read a file as fast as possible instead of at real-time pace."""
    rate: int = 16_000
    """Sample rate of standard input, in Hz."""
    format: SampleFormat = "s16le"
    """Sample format of standard input."""
    channels: int = 1
    """Number of channels of standard input."""
    output: Output = "auto"
    """What standard output shows: a panel on a terminal and lines elsewhere (`auto`), or just one."""
    log: tuple[str, ...] = ()
    """Files to append events to, `.jsonl` or `.csv`."""
    serve: str | None = None
    """`HOST:PORT` at which to serve the page, subscribers and senders; nowhere by default."""
    to: str | None = None
    """Address of a server that shall do the judging; here by default."""
    name: str | None = None
    """Names the stream; after the source by default."""
    token: str | None = None
    """The server's token, here or there."""
    token_file: str | None = None
    """A file whose first line is the token."""
    insecure: bool = False
    """Serve beyond this machine without a token."""
    cert: str | None = None
    """File of the server's TLS certificate, in PEM."""
    key: str | None = None
    """File of the certificate's private key, in PEM."""
    origin: tuple[str, ...] = ()
    """Origins of other web pages that may connect."""
    capacity: int = 128
    """Senders at a time."""

    def __post_init__(self) -> None:
        for name, value, wanted in (
            ("min_probability", 0 <= self.min_probability <= 1, "a number from 0 to 1"),
            ("hop_s", self.hop_s is None or self.hop_s > 0, "a number of seconds above 0"),
            ("rate", 1000 <= self.rate <= 768_000, "1000 to 768000 Hz"),  # noqa: PLR2004
            ("channels", 1 <= self.channels <= 64, "1 to 64"),  # noqa: PLR2004
            ("capacity", self.capacity >= 1, "at least 1"),
            ("name", self.name is None or _is_name(self.name), f"1 to {LONGEST_NAME} printable characters"),
        ):
            if not value:
                raise SettingsError(f"{name} is {getattr(self, name)!r}; wanted {wanted}")
        for names, wanted in (
            (_PLACES, "one place to listen to"),
            (_TOKENS, "one of them"),
            (_JUDGES, "one place where it is judged"),
        ):
            # The first microphone is number 0, which equals False.
            given = {name: getattr(self, name) for name in names}
            chosen = [name for name, value in given.items() if value is not None and value is not False]
            if len(chosen) > 1:
                raise SettingsError(f"{' and '.join(chosen)} are given; wanted {wanted}")
        if (self.cert is None) != (self.key is None):
            raise SettingsError(
                f"{'key' if self.cert is None else 'cert'} is given alone; wanted cert and key"
            )
        if self.smoothing is not None:
            parse_smoothing(self.smoothing)
        if self.serve is not None:
            parse_address(self.serve)

    def __repr__(self) -> str:
        """Return the settings that are not the default's, without the token."""
        shown = (
            f"{name}={'...' if name == 'token' else repr(getattr(self, name))}"
            for name, default in zip(self.__struct_fields__, self.__struct_defaults__, strict=True)
            if getattr(self, name) != default
        )
        return f"Settings({', '.join(shown)})"


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= LONGEST_NAME and text.isprintable() and not text.isspace()


def parse_smoothing(text: str) -> Smoothing:
    """Return the smoothing that `none`, `exponential:ALPHA` or `majority:N` asks for.

    Raises
    ------
    SettingsError
        Where the text says something else.
    """
    method, _, value = text.partition(":")
    try:
        if method == "none" and not value:
            return Smoothing(method="none")
        if method == "exponential" and 0 < float(value or 0.5) <= 1:
            return Smoothing(method="exponential", alpha=float(value or 0.5))
        if method == "majority" and 1 <= int(value or 3) <= LONGEST_VOTE:
            return Smoothing(method="majority", n=int(value or 3))
    except ValueError:
        pass
    raise SettingsError(
        f"smoothing is {text[:60]!r}; wanted none, exponential:ALPHA (above 0 up to 1) or majority:N "
        f"(1 to {LONGEST_VOTE})"
    )


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `HOST`, `:PORT` or `PORT`; an IPv6 host stands in brackets.

    Raises
    ------
    SettingsError
        Where the port is no number from 0 to 65535.
    """
    host, colon, port = text.rpartition(":")
    if text.endswith("]") or not (colon or text.isdigit()):
        host, port = text, str(DEFAULT_PORT)
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):  # noqa: PLR2004 - the largest port
        raise SettingsError(f"serve is {text!r}; wanted HOST:PORT with a port from 0 to 65535")
    return host.removeprefix("[").removesuffix("]") or DEFAULT_HOST, int(port)


def user_file() -> Path:
    """Return where the user's own configuration file would be."""
    from platformdirs import user_config_path  # noqa: PLC0415 - only commands need it

    return user_config_path("tonewatch", appauthor=False) / FILE_NAME


def _found_user_file() -> Path | None:
    path = user_file()
    try:
        return path if path.is_file() else None
    except OSError:
        return None


def load(
    flags: Mapping[str, Any],
    path: Path | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    ignored: Iterable[str] = (),
) -> Settings:
    """Return the settings of a command: its flags, else the file's values, else the defaults.

    The token may also stand in the environment variable TONEWATCH_TOKEN, which wins over the file.

    Parameters
    ----------
    flags
        Values by setting; those that are None were not given.
    path
        The file; by default the user's own, where there is one that may be looked for: services may run
        with somebody else's home, which they cannot enter.
    defaults
        Values by setting that hold for this command where neither flags nor file say anything.
    ignored
        Settings of the file that are for other commands.

    Raises
    ------
    SettingsError
        Where the file cannot be read, a key is unknown (the nearest known one is named), or a value
        cannot be used.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    stored: dict[str, Any] = {}
    if path is None:
        path = _found_user_file()
    if path is not None:
        stored = _read(path)
        _check_keys(path, stored)
        _convert(stored, f"{path}: ")
        stored = _without(stored, tuple(ignored))
    token = os.environ.get(TOKEN_VARIABLE)
    if token and not given.keys() & set(_TOKENS):
        stored = {**_without(stored, _TOKENS), "token": token}
    # A flag that says where to listen replaces whatever the file says of that.
    for names in (_PLACES, _TOKENS, _JUDGES):
        if given.keys() & set(names):
            stored = _without(stored, names)
    settings = _convert({**(defaults or {}), **stored, **given}, "")
    _check_use(given, settings)
    return settings


def _without(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _check_use(given: Mapping[str, Any], settings: Settings) -> None:
    """Refuse flags that would do nothing."""
    has_server = settings.serve is not None
    for names, is_used, reason in (
        (
            ("rate", "format", "channels"),
            settings.input == "-",
            (
                "which only raw samples on standard input need: audio files and microphones say theirs; "
                "wanted --input - beside them"
            ),
        ),
        (_SERVING, has_server, "which only a server needs; wanted --serve beside them"),
        (
            _TOKENS,
            has_server or settings.to is not None,
            "which only a server needs, here or elsewhere; wanted --serve or --to beside it",
        ),
        (("model",), settings.to is None, "which the server that --to names chooses; wanted one of them"),
    ):
        unused = [name for name in names if name in given]
        if unused and not is_used:
            are = "are" if len(unused) > 1 else "is"
            raise SettingsError(f"{' and '.join(unused)} {are} given, {reason}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}; wanted a configuration file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None


def _check_keys(path: Path, stored: Mapping[str, Any]) -> None:
    known = Settings.__struct_fields__
    for key in stored:
        if key not in known:
            if isinstance(stored[key], dict):
                raise SettingsError(f"{path}: found a table [{key}]; wanted settings outside of tables")
            near = get_close_matches(key, known, n=1, cutoff=_NEAR)
            hint = f"the nearest known one is {near[0]!r}" if near else f"wanted some of {', '.join(known)}"
            raise SettingsError(f"{path}: unknown key {key!r}; {hint}")


def _convert(values: Mapping[str, Any], where: str) -> Settings:
    try:
        return msgspec.convert(dict(values), Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}{_in_words(error, values)}") from None
    except SettingsError as error:
        raise SettingsError(f"{where}{error}") from None


def _in_words(error: msgspec.ValidationError, values: Mapping[str, Any]) -> str:
    """Return what was found and what was wanted, where msgspec tells it in the words of programs."""
    told = _WRONG_TYPE.fullmatch(str(error))
    if told is None:
        return str(error)
    name = told["name"]
    if told["types"] is None:
        kind = next(entry.type for entry in msgspec.structs.fields(Settings) if entry.name == name)
        wanted = f"one of {', '.join(get_args(kind))}"
    else:
        types = [part for part in told["types"].split(" | ") if part != "null"]
        wanted = " or ".join(_TYPES.get(part, part) for part in types)
    return f"{name} is {values[name]!r}; wanted {wanted}"
