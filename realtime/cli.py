"""The command `tonewatch`: flags to settings, settings to parts, and nothing else."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

# Everything heavier is imported by the command that needs it: help, and an early interrupt, are quick.
from realtime import process
from realtime.errors import DeviceError, NoPortAudioError, SettingsError, TonewatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack

    from realtime.config import Settings
    from realtime.live import AnySource
    from realtime.types import Sink, Stream

EXIT_BAD_INPUT = 2
EXIT_SINKS_FAILED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code.

    Parameters
    ----------
    argv
        Its arguments; the process's own by default.

    Returns
    -------
    int
        0 for success, 1 where every output failed, 2 for bad input, 130 and 143 after Ctrl-C and SIGTERM.
    """
    is_own_process = argv is None
    if is_own_process:
        process.exit_on_signals()
    try:
        process.prepare_streams()
        arguments = _parser().parse_args(argv)
        code: int = arguments.command(arguments)
    except TonewatchError as error:
        _report(str(error))
        code = EXIT_BAD_INPUT
    except process.Terminated:
        code = 128 + signal.SIGTERM
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except OSError as error:
        if not process.is_output_gone(error):
            raise
        # Who reads no further, as `head` does, knows that; a full disk is news.
        if error.errno != errno.EPIPE:
            _report(f"standard output: {error.strerror}")
        code = EXIT_SINKS_FAILED
    finally:
        if is_own_process:
            process.ignore_signals()
        process.give_up_broken_output()
    return code


def _report(text: str) -> None:
    # Where standard error does not take it, there is nobody left to tell.
    with contextlib.suppress(OSError):
        print(f"tonewatch: {text}", file=sys.stderr, flush=True)


# --- flags ------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Refuses flags as everything else is refused: in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise what `main` prints."""
        raise SettingsError(f"{message}; see: {self.prog} --help")


class _ShowVersion(argparse.Action):
    """Looks the version up when it is asked for: that takes longer than all the other flags."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

        try:
            release = version("tonewatch")
        except PackageNotFoundError:
            release = "not installed"
        print(f"tonewatch {release}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tonewatch", description="Recognise emotions in a live voice.")
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_listen(commands)
    _add_analyze(commands)
    devices = commands.add_parser("devices", help="list the microphones", description="List the microphones.")
    devices.set_defaults(command=_devices)
    models = commands.add_parser(
        "models",
        help="list the models, or show one's card",
        description="List the models, or show everything that one's card says.",
    )
    models.add_argument("name", nargs="?", metavar="MODEL", help="a model's name, or the path of its folder")
    models.set_defaults(command=_models)
    return parser


def _add_listen(commands: Any) -> None:  # noqa: ANN401 - argparse's type for it is private
    listen = commands.add_parser(
        "listen",
        help="recognise emotions live",
        description="Recognise emotions live: from the microphone, from a file, or from standard input.",
    )
    where = listen.add_argument_group("where to listen")
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
    where.add_argument("--fast", action="store_true", default=None, help="a file as fast as possible")
    raw = listen.add_argument_group("raw samples (--input -)")
    raw.add_argument("--rate", type=int, metavar="HZ", help="sample rate (16000)")
    raw.add_argument("--format", help="sample format: s16le (default), s24le, s32le, f32le or u8")
    raw.add_argument("--channels", type=int, metavar="N", help="number of channels (1)")
    _add_judging(listen)
    out = listen.add_argument_group("where events go")
    shown = out.add_mutually_exclusive_group()
    shown.add_argument(
        "--json", dest="output", action="store_const", const="json", help="one message per line"
    )
    shown.add_argument(
        "--lines", dest="output", action="store_const", const="lines", help="one line per prediction"
    )
    shown.add_argument(
        "--quiet", dest="output", action="store_const", const="none", help="nothing on the screen"
    )
    out.add_argument(
        "--log", action="append", metavar="FILE", help="append to a .jsonl or .csv file; repeatable"
    )
    out.add_argument(
        "--serve",
        nargs="?",
        const="127.0.0.1:8765",
        metavar="HOST:PORT",
        help="serve WebSocket subscribers at /events (127.0.0.1:8765)",
    )
    listen.set_defaults(command=_listen)


def _add_analyze(commands: Any) -> None:  # noqa: ANN401 - argparse's type for it is private
    analyze = commands.add_parser(
        "analyze",
        help="judge recordings",
        description="Judge recordings: files, and folders with everything in them. "
        "Where names carry RAVDESS labels, how often the answers are right is told too.",
    )
    analyze.add_argument("paths", nargs="+", metavar="PATH", help="an audio file or a folder")
    analyze.add_argument("--whole", action="store_true", help="one answer per file instead of a timeline")
    analyze.add_argument(
        "--format",
        dest="report",
        choices=("table", "json", "csv", "audacity"),
        default="table",
        help="what to print (table)",
    )
    _add_judging(analyze)
    analyze.set_defaults(command=_analyze)


def _add_judging(parser: argparse.ArgumentParser) -> None:
    judging = parser.add_argument_group("how to judge")
    judging.add_argument("--model", metavar="NAME|FOLDER", help="the model (see: tonewatch models)")
    judging.add_argument("--hop", dest="hop_s", type=float, metavar="S", help="seconds between predictions")
    judging.add_argument("--smoothing", metavar="HOW", help="none, exponential:ALPHA or majority:N")
    judging.add_argument(
        "--min-probability", type=float, metavar="P", help="answer 'unknown' below this probability (0)"
    )
    judging.add_argument("--config", metavar="FILE", help="a TOML file with defaults for these flags")


def _device(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _settings(arguments: argparse.Namespace) -> Settings:
    from pathlib import Path  # noqa: PLC0415

    from realtime import config  # noqa: PLC0415

    flags = {name: getattr(arguments, name, None) for name in config.Settings.__struct_fields__}
    return config.load(flags, Path(arguments.config) if arguments.config else None)


# --- commands ---------------------------------------------------------------------------------------------


def _listen(arguments: argparse.Namespace) -> int:
    import time  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    from realtime import classifier, config  # noqa: PLC0415
    from realtime.recognizer import Recognizer  # noqa: PLC0415
    from realtime.run import run  # noqa: PLC0415

    settings = _settings(arguments)
    model = classifier.load(settings.model)
    smoothing = config.parse_smoothing(settings.smoothing) if settings.smoothing else None
    reports: list[str] = []
    with contextlib.ExitStack() as stack:
        source = _enter_source(settings, model.spec.sample_rate, stack)
        recognizer = Recognizer(
            model,
            hop_s=settings.hop_s,
            smoothing=smoothing,
            min_probability=settings.min_probability,
            name=source.name,
            started=datetime.now(UTC),
            timer=time.perf_counter,
        )
        sinks = _sinks(settings, recognizer.stream, stack)
        # The panel owns the terminal while it runs: what goes wrong meanwhile is told behind it.
        has_panel = any(sink.name == "panel" for sink in sinks)
        report: Callable[[str], None] = reports.append if has_panel else _report
        process.close_on_signals()
        try:
            is_heard = run(source, recognizer, sinks, report)
        finally:
            for text in reports:
                _report(text)
    return 0 if is_heard else EXIT_SINKS_FAILED


def _enter_source(settings: Settings, sample_rate: int, stack: ExitStack) -> AnySource:
    """Return the source, opened: the demo where there is no microphone, if that is asked for or agreed to."""
    import msgspec  # noqa: PLC0415

    from realtime import live  # noqa: PLC0415

    try:
        source = live.source_of(settings, sample_rate)
        stack.enter_context(source)
    except (NoPortAudioError, DeviceError) as error:
        if settings.device is not None or not (settings.or_demo or _agrees_to_demo(error)):
            raise
        if settings.or_demo:
            _report(str(error))
        _report("plays the bundled demo audio instead of a microphone")
        source = live.source_of(msgspec.structs.replace(settings, demo=True), sample_rate)
        stack.enter_context(source)
    return source


def _agrees_to_demo(error: TonewatchError) -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    _report(str(error))
    try:
        answer = input("Listen to the bundled demo audio instead? [Y/n] ")
    except EOFError:
        return False
    return answer.strip().lower() in {"", "y", "yes"}


def _sinks(settings: Settings, stream: Stream, stack: ExitStack) -> list[Sink]:
    """Return the sinks, opened; those opened before one that fails are closed by the stack."""
    from realtime import config  # noqa: PLC0415
    from realtime.sinks.console import JsonConsole, LineConsole, PanelConsole  # noqa: PLC0415
    from realtime.sinks.files import open_log  # noqa: PLC0415

    sinks: list[Sink] = []
    if settings.serve is not None:
        from realtime.server.server import EventServer  # noqa: PLC0415
        from realtime.sinks.websocket import WebSocketSink  # noqa: PLC0415

        server = EventServer(*config.parse_address(settings.serve), [stream])
        server.start()
        sinks.append(WebSocketSink(server))
        stack.callback(sinks[-1].close)
        _report(f"serves {server.url}")
    for path in settings.log:
        sinks.append(open_log(path))
        stack.callback(sinks[-1].close)
    output = settings.output
    if output == "auto":
        can_draw = sys.stdout.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}
        output = "panel" if can_draw else "lines"
    if output == "panel":
        sinks.append(PanelConsole())
    elif output == "lines":
        sinks.append(LineConsole(sys.stdout))
    elif output == "json":
        sinks.append(JsonConsole(sys.stdout))
    if not sinks:
        raise SettingsError("events have nowhere to go; wanted --log or --serve beside --quiet")
    return sinks


def _analyze(arguments: argparse.Namespace) -> int:
    from pathlib import Path  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415
    from rich.progress import track  # noqa: PLC0415

    from realtime import analysis, classifier, config, reports  # noqa: PLC0415

    settings = _settings(arguments)
    files = analysis.find_files(Path(path) for path in arguments.paths)
    model = classifier.load(settings.model)
    smoothing = config.parse_smoothing(settings.smoothing) if settings.smoothing else None

    def judge(path: Path) -> analysis.Analysis:
        return analysis.analyze(
            path,
            model,
            hop_s=settings.hop_s,
            smoothing=smoothing,
            min_probability=settings.min_probability,
        )

    failed: list[str] = []
    quiet = len(files) == 1 or not sys.stderr.isatty()
    if not quiet:
        # The progress bar hides the cursor, which must come back.
        process.close_on_signals()
    shown = track(files, "listening", console=Console(stderr=True), disable=quiet, transient=True)
    found = list(analysis.analyze_all(shown, judge, failed.append))
    whole = arguments.whole
    if arguments.report == "table":
        # Piped to a file, tables are as wide as they need.
        console = Console(width=None if sys.stdout.isatty() else 160)
        if found:
            reports.print_table(console, found, whole=whole)
        score = analysis.score(found, model.labels)
        if score is not None:
            reports.print_score(console, score, model.artifact.card.training.corpora)
    elif found or not failed:
        write = {"json": reports.as_json, "csv": reports.as_csv, "audacity": reports.as_audacity}
        sys.stdout.write(write[arguments.report](found, whole=whole).rstrip("\n") + "\n")
        sys.stdout.flush()
    lost = [f"{a.path}: {a.dropped} samples lost: {'; '.join(a.losses)}" for a in found if a.dropped]
    for text in (*failed, *lost):
        _report(text)
    if failed and len(files) > 1:
        _report(f"{len(failed)} of {len(files)} files could not be judged")
    return EXIT_BAD_INPUT if failed else 0


def _devices(_arguments: argparse.Namespace) -> int:
    from rich.console import Console  # noqa: PLC0415

    from realtime import reports  # noqa: PLC0415
    from realtime.sources import devices  # noqa: PLC0415

    found = devices()
    if not found:
        raise DeviceError("found no microphone; plug one in, or try: tonewatch listen --demo")
    reports.print_devices(Console(), found)
    return 0


def _models(arguments: argparse.Namespace) -> int:
    from rich.console import Console  # noqa: PLC0415

    from realtime import artifact, reports  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else 120)
    if arguments.name is not None:
        reports.print_card(console, artifact.read(artifact.find(arguments.name)).card)
        return 0
    cards, broken = [], []
    for name in artifact.model_names():
        try:
            cards.append(artifact.read(artifact.find(name)).card)
        except TonewatchError as error:
            broken.append(str(error))
    reports.print_models(console, cards, artifact.DEFAULT_MODEL)
    for text in broken:
        _report(text)
    return EXIT_BAD_INPUT if broken else 0


if __name__ == "__main__":
    sys.exit(main())
