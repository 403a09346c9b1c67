"""``tonewatch listen``: emotions, live; judged here, or by a server."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from realtime import process
from realtime.commands.options import (
    EXIT_SINKS_FAILED,
    add_config,
    add_judging,
    add_output,
    add_serving,
    add_token,
    report,
    screen_of,
    settings_of,
)
from realtime.commands.serve import ADDRESS
from realtime.errors import DeviceError, NoPortAudioError, SettingsError, TonewatchError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable
    from contextlib import ExitStack

    from realtime import messages
    from realtime.config import Settings
    from realtime.live import AnySource
    from realtime.recognizer import Model
    from realtime.run import Listener
    from realtime.types import Chunk, Event, Sink, Stream

_ANY_RATE = 16_000
"""Of a file that is only looked at, in Hz."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "listen",
        help="recognise emotions live",
        description="Recognise emotions live: from the microphone, from a file, or from standard input.",
    )
    where = parser.add_argument_group("where to listen")
    where.add_argument(
        "--device", type=_device, metavar="N|NAME", help="microphone, by index or part of its name"
    )
    where.add_argument(
        "--input", metavar="FILE|-", help="an audio file, or - for raw samples on standard input"
    )
    where.add_argument("--demo", action="store_true", default=None, help="the bundled demo audio")
    where.add_argument(
        "--or-demo", action="store_true", default=None, help="the demo audio where there is no microphone"
    )
    where.add_argument(
        "--fast", action="store_true", default=None, help="a file or standard input as fast as possible"
    )
    where.add_argument("--name", metavar="NAME", help="names the stream (after the source)")
    raw = parser.add_argument_group("raw samples (--input -)")
    raw.add_argument("--rate", type=int, metavar="HZ", help="sample rate (16000)")
    raw.add_argument("--format", help="sample format: s16le (default), s24le, s32le, f32le or u8")
    raw.add_argument("--channels", type=int, metavar="N", help="number of channels (1)")
    add_judging(parser)
    out = parser.add_argument_group("where events go")
    add_output(out, can_be_quiet=True)
    out.add_argument(
        "--log", action="append", metavar="FILE", help="append to a .jsonl or .csv file; repeatable"
    )
    out.add_argument(
        "--serve",
        nargs="?",
        const=ADDRESS,
        metavar="HOST:PORT",
        help=f"serve the page, subscribers and other senders ({ADDRESS})",
    )
    out.add_argument(
        "--to",
        metavar="URL",
        help="let the server at this address, such as ws://HOST:PORT, judge: no model is loaded",
    )
    server = parser.add_argument_group("the server (--serve, --to)")
    add_token(server)
    add_serving(server)
    add_config(parser)
    parser.set_defaults(command=run)


def _device(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def run(arguments: argparse.Namespace) -> int:
    """Listen until the source ends, or an interrupt comes."""
    settings = settings_of(arguments)
    if settings.log or settings.serve is not None or settings.to is not None:
        process.outlive_terminal()
    with contextlib.ExitStack() as stack:
        return _listen_here(settings, stack) if settings.to is None else _listen_there(settings, stack)


def _listen_here(settings: Settings, stack: ExitStack) -> int:
    import time  # noqa: PLC0415 - help is quick
    from datetime import UTC, datetime  # noqa: PLC0415

    from realtime import classifier, config, live  # noqa: PLC0415
    from realtime.recognizer import Recognizer  # noqa: PLC0415
    from realtime.sinks import console, files  # noqa: F401, PLC0415 - before a server says that it is there

    model: Model = classifier.load(settings.model)
    if settings.serve is not None:
        from realtime.server.engine import SharedModel  # noqa: PLC0415 - only those who serve need it

        model = SharedModel(model)
    smoothing = config.parse_smoothing(settings.smoothing) if settings.smoothing else None
    source = _enter_source(settings, model.spec.sample_rate, stack)
    recognizer = Recognizer(
        model,
        hop_s=settings.hop_s,
        smoothing=smoothing,
        min_probability=settings.min_probability,
        name=settings.name or source.name,
        started=datetime.now(UTC),
        timer=time.perf_counter,
    )
    server = [] if settings.serve is None else [_serve(settings, model, recognizer.stream, stack)]
    sinks = [*server, *_outputs(settings, stack)]
    if not sinks:
        raise SettingsError("events have nowhere to go; wanted --log or --serve beside --quiet")
    return _run(live.dated(source, model.spec.sample_rate), recognizer, sinks, [])


def _listen_there(settings: Settings, stack: ExitStack) -> int:
    """Send what is heard to a server, and show what comes back."""
    from realtime import live  # noqa: PLC0415 - help is quick
    from realtime.commands.serving import token_of  # noqa: PLC0415 - only those who send need it
    from realtime.remote import RemoteRecognizer  # noqa: PLC0415
    from realtime.sources import MicrophoneSource  # noqa: PLC0415

    assert settings.to is not None
    token = token_of(settings)
    if settings.input not in {None, "-"}:
        # A file that cannot be read is told of at once, whether a server is there or not.
        with live.source_of(settings, _ANY_RATE):
            pass
    # Asked first, so that a refusal is told at once, and the microphone runs at the rate of the model.
    hello = _ask(settings.to, token)
    source = _enter_source(settings, hello.sample_rate, stack)
    later: list[str] = []
    sinks = _outputs(settings, stack)
    if not sinks or sys.stdout.isatty():
        # The server's own subscribers hear of it anyway, also when the terminal was closed.
        sinks.append(_Nowhere())
    recognizer = RemoteRecognizer(
        settings.to,
        hello.sample_rate,
        _teller(sinks, later),
        name=settings.name or _name_of(source),
        # A microphone knows no other pace.
        realtime=not settings.fast or isinstance(source, MicrophoneSource),
        hop_s=settings.hop_s,
        smoothing=settings.smoothing,
        min_probability=settings.min_probability,
        token=token,
    )
    return _run(source, recognizer, sinks, later)


class _Nowhere:
    """A sink for those who only send."""

    name = "nowhere"

    def emit(self, event: Event) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _run(source: Iterable[Chunk], recognizer: Listener, sinks: list[Sink], later: list[str]) -> int:
    from realtime.run import run as run_loop  # noqa: PLC0415 - help is quick

    process.close_on_signals()
    try:
        is_heard = run_loop(source, recognizer, sinks, _teller(sinks, later))
    finally:
        for text in later:
            report(text)
    return 0 if is_heard else EXIT_SINKS_FAILED


def _teller(sinks: list[Sink], later: list[str]) -> Callable[[str], None]:
    """Return what tells people how things go; what they should find behind the panel goes to `later` too."""
    from realtime.sinks.console import PanelConsole  # noqa: PLC0415 - help is quick

    panels = [sink for sink in sinks if isinstance(sink, PanelConsole)]
    if not panels:
        return report

    def tell(text: str) -> None:
        # It owns the terminal while it runs, and takes what it shows with it.
        for panel in panels:
            panel.tell(text)
        later.append(text)

    return tell


def _ask(url: str, token: str | None) -> messages.Hello:
    """Return how a server introduces itself, as soon as it is there."""
    from realtime.background import Background  # noqa: PLC0415
    from realtime.client import subscribe  # noqa: PLC0415 - only those who send need it
    from realtime.messages import Error, Hello  # noqa: PLC0415

    told = Background(subscribe(url, types=("status",), token=token))
    try:
        for message in told:
            if isinstance(message, Hello):
                return message
            if isinstance(message, Error):
                report(message.message)
    finally:
        told.close()
    raise AssertionError("a subscription has no end")


def _name_of(source: AnySource) -> str:
    """Return a name that a server takes: a microphone's says on which machine it is."""
    import platform  # noqa: PLC0415 - only those who send need it

    from realtime.messages import LONGEST_NAME  # noqa: PLC0415

    name = source.name
    if name == "microphone":
        name = platform.node() or name
    return "".join(c if c.isprintable() else "?" for c in name)[:LONGEST_NAME].strip() or "stream"


def _enter_source(settings: Settings, sample_rate: int, stack: ExitStack) -> AnySource:
    """Return the source, opened: the demo where there is no microphone, if that is asked for or agreed to."""
    import msgspec  # noqa: PLC0415 - help is quick

    from realtime import live  # noqa: PLC0415

    try:
        source = live.source_of(settings, sample_rate)
        stack.enter_context(source)
    except (NoPortAudioError, DeviceError) as error:
        if settings.device is not None or not (settings.or_demo or _agrees_to_demo(error)):
            raise
        if settings.or_demo:
            report(str(error))
        report("plays the bundled demo audio instead of a microphone")
        source = live.source_of(msgspec.structs.replace(settings, demo=True), sample_rate)
        stack.enter_context(source)
    return source


def _agrees_to_demo(error: TonewatchError) -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    report(str(error))
    try:
        answer = input("Listen to the bundled demo audio instead? [Y/n] ")
    except EOFError:
        return False
    return answer.strip().lower() in {"", "y", "yes"}


def _serve(settings: Settings, model: Model, stream: Stream, stack: ExitStack) -> Sink:
    """Return the sink of subscribers, whose server runs."""
    from realtime.commands.serving import start_server  # noqa: PLC0415 - only those who serve need it
    from realtime.sinks.websocket import WebSocketSink  # noqa: PLC0415

    sink = WebSocketSink(start_server(settings, model, [stream]))
    stack.callback(sink.close)
    return sink


def _outputs(settings: Settings, stack: ExitStack) -> list[Sink]:
    """Return logs and screen, opened; those opened before one that fails are closed by the stack."""
    from pathlib import Path  # noqa: PLC0415 - help is quick

    from realtime.sinks.files import open_log  # noqa: PLC0415

    sinks: list[Sink] = []
    for i, path in enumerate(settings.log):
        sinks.append(open_log(path))
        stack.callback(sinks[-1].close)
        # Once both are open there are files to compare, whatever their names and the links between them.
        twin = next((other for other in settings.log[:i] if Path(path).samefile(other)), None)
        if twin is not None:
            raise SettingsError(f"{path}: this log is named twice, first as {twin}; wanted it once")
    screen = screen_of(settings)
    return sinks if screen is None else [*sinks, screen]
