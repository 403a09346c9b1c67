"""``tonewatch analyze``: recordings, judged."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from realtime import process
from realtime.commands.options import EXIT_BAD_INPUT, add_config, add_judging, report, settings_of
from realtime.errors import SettingsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import Literal

    from realtime.analysis import Analysis
    from realtime.config import Settings
    from realtime.loaded import LoadedModel
    from realtime.speaker import Voice
    from realtime.voices import Shared


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "analyze",
        help="judge recordings",
        description="Judge recordings: files, and folders with everything in them. "
        "Where names carry RAVDESS labels, how often the answers are right is told too.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="an audio file or a folder")
    parser.add_argument("--whole", action="store_true", help="one answer per file instead of a timeline")
    parser.add_argument(
        "--format",
        dest="report",
        choices=("table", "json", "csv", "audacity"),
        default="table",
        help="what to print (table)",
    )
    parser.add_argument(
        "--same-speaker",
        choices=("folder", "all"),
        help="which recordings are of one speaker: each folder's, or all; each is judged after the voice was "
        "got used to in the others (default: every voice is new)",
    )
    add_judging(parser)
    add_config(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what is heard in each recording; those that cannot be used are told of."""
    from pathlib import Path  # noqa: PLC0415 - help is quick

    from realtime import analysis, classifier  # noqa: PLC0415

    # Recordings are judged here, whatever server the file names for those who listen.
    settings = settings_of(arguments, ignored=("to",))
    closed: list[str] = []

    def pass_over(text: str) -> None:
        closed.append(text)
        report(text)

    files = analysis.find_files((Path(path) for path in arguments.paths), pass_over)
    model = classifier.load(settings.model)
    failed: list[str] = []
    found = _judge(files, model, settings, arguments.same_speaker, failed.append)
    if arguments.report == "table":
        _print_tables(found, model, whole=arguments.whole)
    elif found or not failed:
        _write(found, arguments.report, whole=arguments.whole)
    lost = [f"{a.path}: {a.dropped} samples lost: {'; '.join(a.losses)}" for a in found if a.dropped]
    for text in (*failed, *lost):
        report(text)
    if failed and len(files) > 1:
        report(f"{len(failed)} of {len(files)} files could not be judged")
    return EXIT_BAD_INPUT if failed or closed else 0


def _judge(
    files: list[Path],
    model: LoadedModel,
    settings: Settings,
    same_speaker: Shared | None,
    tell: Callable[[str], None],
) -> list[Analysis]:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import track  # noqa: PLC0415

    from realtime import analysis, config, voices  # noqa: PLC0415
    from realtime.artifact import DEFAULT_MODEL  # noqa: PLC0415

    if same_speaker and model.adaptation is None:
        raise SettingsError(
            f"--same-speaker: {model.name} does not get used to speakers; wanted a model that does, such as "
            f"{DEFAULT_MODEL}"
        )
    smoothing = config.parse_smoothing(settings.smoothing) if settings.smoothing else None
    known: dict[Path, Voice | None] = {}

    def judge(path: Path) -> Analysis:
        return analysis.analyze(
            path,
            model,
            hop_s=settings.hop_s,
            smoothing=smoothing,
            min_probability=settings.min_probability,
            voice=known.get(path),
        )

    quiet = len(files) == 1 or not sys.stderr.isatty()
    if not quiet:
        # The progress bar hides the cursor, which must come back.
        process.close_on_signals()

    def shown(what: str) -> Iterable[Path]:
        return track(files, what, console=Console(stderr=True), disable=quiet, transient=True)

    if same_speaker:
        known = voices.know_voices(shown("getting used to voices"), judge, same_speaker)
    return list(analysis.analyze_all(shown("listening"), judge, tell))


def _print_tables(found: list[Analysis], model: LoadedModel, *, whole: bool) -> None:
    from rich.console import Console  # noqa: PLC0415

    from realtime import analysis, reports  # noqa: PLC0415

    # Piped to a file, tables are as wide as they need.
    console = Console(width=None if sys.stdout.isatty() else 160)
    if found:
        reports.print_table(console, found, whole=whole)
    score = analysis.score(found, model.labels)
    if score is not None:
        reports.print_score(console, score, model.artifact.card.training.corpora)


def _write(found: list[Analysis], form: Literal["json", "csv", "audacity"], *, whole: bool) -> None:
    from realtime import reports  # noqa: PLC0415

    write = {"json": reports.as_json, "csv": reports.as_csv, "audacity": reports.as_audacity}
    text = write[form](found, whole=whole).rstrip("\n")
    # Of recordings without a voice a label track is empty, and a line of nothing is no row of it.
    sys.stdout.write(f"{text}\n" if text else "")
    sys.stdout.flush()
