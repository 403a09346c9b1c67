"""The README is true: its commands parse, its examples run, its tables are what the code and the card say.

``python tests/test_readme.py`` writes the generated tables into the README anew.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import realtime
from realtime import artifact, cli, config, messages
from realtime.live import DEMO
from realtime.server.access import check_token
from realtime.server.engine import SharedModel
from realtime.server.server import EventServer
from realtime.types import State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


def text() -> str:
    return README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text(), re.DOTALL | re.MULTILINE)


def with_interval(value: float, ends: tuple[float, float] | None) -> str:
    return f"{value:.1%}" + (f" ({ends[0]:.1%} to {ends[1]:.1%})" if ends else "")


def scores_table() -> str:
    card = artifact.read(artifact.find(artifact.DEFAULT_MODEL)).card
    lines = ["| protocol | unit | what | n | accuracy | UAR | ECE |", "|---|---|---|---|---|---|---|"]
    whole = [name for name in ("speaker", "speaker/adapted", "random", "kfold") if name in card.scores]
    others = [
        name
        for name in card.scores
        if name.startswith("robust/")
        or name.endswith(("/four", "/four/adapted", "/arousal", "/arousal/adapted"))
    ]
    # Of a model of several corpora each is shown apart: their mean tells of neither.
    several = len(card.training.corpora) > 1
    shown = ("ravdess", "ravdess-speech", "ravdess-song", "nemo") if several else ("all", "speech", "song")
    first = "ravdess" if several else "all"
    rows = [
        *((name, unit, part) for name in whole for unit in ("clips", "windows") for part in shown),
        *((name, "clips", first if first in card.scores[name]["clips"] else "all") for name in others),
    ]
    for name, unit, part in rows:
        s = card.scores[name][unit][part]
        lines.append(
            f"| {name} | {unit} | {part} | {s.n} | {with_interval(s.accuracy, s.ci95.get('accuracy'))} | "
            f"{with_interval(s.uar, s.ci95.get('uar'))} | {s.ece:.3f} |"
        )
    seeds = {name.split("/")[0]: card.scores[name]["clips"]["all"].n_seeds for name in card.scores}
    data = "".join(f" --data {corpus}" for corpus in card.training.corpora) if several else ""
    # Without --protocols all of them are measured.
    some = "" if "kfold" in seeds else f" --protocols {','.join(seeds)}"
    made = f"Made by `tonewatch-train evaluate {card.training.recipe}{some} --seeds {seeds['speaker']}{data}`"
    others = [f"`{name}` with {n}" for name, n in seeds.items() if n != seeds["speaker"]]
    return "\n".join([*lines, "", f"{made}; {', '.join(others)}." if others else f"{made}."])


def headline_table() -> str:
    """What to expect, of the default model: a few of its rows, the unheard first."""
    scores = artifact.read(artifact.find(artifact.DEFAULT_MODEL)).card.scores
    rows = [
        ("a stranger who speaks English, window by window", "speaker", "windows", "ravdess-speech", 8),
        ("the same, a whole recording", "speaker", "clips", "ravdess-speech", 8),
        ("the same, of a voice heard before", "speaker/adapted", "clips", "ravdess-speech", 8),
        ("a stranger who sings", "speaker", "clips", "ravdess-song", 8),
        ("a stranger who speaks Polish", "speaker", "clips", "nemo", 6),
        ("a stranger in noise, 10 dB below the voice", "robust/noise-10db", "clips", "ravdess", 8),
        ("a stranger, aroused or not, either language", "speaker/arousal", "clips", "all", 2),
        ("a speaker of the training data, in English", "random", "clips", "ravdess-speech", 8),
        ("a speaker of the training data, in Polish", "random", "clips", "nemo", 6),
        ("trained on English alone: Polish, four emotions", "cross/ravdess-to-nemo/four", "clips", "all", 4),
        ("trained on Polish alone: English, four emotions", "cross/nemo-to-ravdess/four", "clips", "all", 4),
    ]
    lines = ["| who is heard | right (UAR) | by chance |", "|---|---|---|"]
    for who, protocol, unit, part, n_labels in rows:
        s = scores[protocol][unit][part]
        lines.append(f"| {who} | {with_interval(s.uar, s.ci95.get('uar'))} | 1 in {n_labels} |")
    return "\n".join(lines)


def comparison_table() -> str:
    comparison = pytest.importorskip("training.comparison")
    table: str = comparison.to_markdown(comparison.compare(ROOT / "models"))
    return f"{table}\n{comparison.NOTE} Made by `tonewatch-train compare`."


GENERATED = {
    "headline": headline_table,
    "scores": scores_table,
    "comparison": comparison_table,
    "messages": messages.markdown_table,
}


def section(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: begin -->\n)(.*?)(<!-- {name}: end -->)", re.DOTALL)


@pytest.mark.parametrize("name", GENERATED)
def test_generated_tables_are_up_to_date(name: str) -> None:
    match = section(name).search(text())
    assert match is not None
    assert match[2].strip() == GENERATED[name]().strip(), "run: python tests/test_readme.py"


def commands() -> list[list[str]]:
    lines = [line.split(" #")[0] for block in blocks("sh") for line in block.splitlines()]
    pieces = [piece.strip() for line in lines for piece in re.split(r"\||&&", line)]
    return [shlex.split(piece) for piece in pieces if piece]


def test_there_are_two_lines_to_paste() -> None:
    install = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("python3 -m")]
    assert len(install) == 2
    assert install[0].endswith("tonewatch listen --or-demo")
    assert install[1].endswith("-m pytest")


@pytest.mark.parametrize("words", [words for words in commands() if words[0] == "tonewatch"], ids=" ".join)
def test_commands_parse(words: list[str]) -> None:
    arguments = cli._parser().parse_args(words[1:])
    if words[1] == "listen":
        flags = {name: getattr(arguments, name, None) for name in config.Settings.__struct_fields__}
        config.load({name: value for name, value in flags.items() if value is not None})


def test_training_commands_parse() -> None:
    training_cli = pytest.importorskip("training.cli")
    for words in commands():
        if words[0] == "tonewatch-train":
            training_cli._parser().parse_args(words[1:])


def test_every_command_and_flag_is_documented() -> None:
    shown = text()
    parser = cli._parser()
    (subparsers,) = (action for action in parser._actions if hasattr(action, "choices") and action.choices)
    assert subparsers.choices is not None
    for name, command in dict(subparsers.choices).items():
        assert f"tonewatch {name}" in shown
        for action in command._actions:
            for flag in action.option_strings:
                if flag.startswith("--") and flag != "--help":
                    assert flag in shown, f"{name} {flag}"


def test_the_recipe_can_be_read(tmp_path: Path) -> None:
    recipes = pytest.importorskip("training.recipes")
    path = tmp_path / "mine.toml"
    path.write_text(blocks("toml")[1])
    assert recipes.read_recipe(path).name == "mine"


def test_every_training_command_and_flag_is_documented() -> None:
    shown = text()
    parser = pytest.importorskip("training.cli")._parser()
    (subparsers,) = (action for action in parser._actions if hasattr(action, "choices") and action.choices)
    assert subparsers.choices is not None
    for name in dict(subparsers.choices):
        assert f"tonewatch-train {name}" in shown
    for flag in (
        "--data",
        "--map",
        "--protocols",
        "--seeds",
        "--cross",
        "--jobs",
        "--cluster",
        "--cache",
        "--fresh",
    ):
        assert flag in shown


def test_every_state_and_setting_of_the_file_is_real(tmp_path: Path) -> None:
    stored, _recipe = blocks("toml")
    path = tmp_path / "tonewatch.toml"
    path.write_text(stored)
    token = config.load({}, path).token
    assert token is not None
    check_token(token, "the example")
    for name in config.Settings.__struct_fields__:
        assert f"{name} = " in stored
    table = messages.markdown_table()
    for state in State:
        assert f"`{state}`" in table


def test_the_message_shown_is_one_with_every_field() -> None:
    (shown,) = blocks("json")
    message = messages.decode(shown)
    assert isinstance(message, messages.Prediction)
    absent = {name for name in message.__struct_fields__ if getattr(message, name) is None}
    assert absent == {"clock"}, "which is of other messages"
    assert set(message.probabilities) == set(artifact.read(artifact.find(artifact.DEFAULT_MODEL)).card.labels)
    for probabilities in (message.probabilities, message.smoothed):
        assert sum(probabilities.values()) == pytest.approx(1)
    assert message.probability == message.smoothed[message.label] == max(message.smoothed.values())


def test_the_licence_of_the_models_names_them_under_what_they_are_trained_on() -> None:
    notice = (ROOT / "models" / "LICENSE").read_text(encoding="utf-8")
    assert "https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode" in notice
    named = {
        title.lower(): names.split(", ")
        for title, names in re.findall(r"^(\w+): (?:.+\n)+?    (.+)$", notice, re.MULTILINE)
    }
    cards = [artifact.read(path.parent).card for path in sorted((ROOT / "models").glob("*/card.json"))]
    for corpus in ("ravdess", "nemo"):
        assert named[corpus] == [card.name for card in cards if corpus in card.training.corpora]
    assert {corpus for card in cards for corpus in card.training.corpora} == set(named)


@pytest.fixture
def server() -> Iterator[EventServer]:
    model = realtime.load()
    stream = Stream("readme", model.name, model.labels, 16_000, model.window, model.hop)
    server = EventServer("127.0.0.1", 0, model=SharedModel(model))
    server.start()
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.1):
            server.publish(Status(stream, State.SILENT, "", 0, 0))

    thread = threading.Thread(target=send)
    thread.start()
    yield server
    stop.set()
    thread.join()
    server.close()


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_examples_run(number: int, tmp_path: Path, server: EventServer) -> None:
    code = blocks("python")[number].replace("ws://127.0.0.1:8765/events", server.url)
    code = code.replace("ws://127.0.0.1:8765", server.url)
    # The subscriber's example goes on for ever: three messages are enough.
    code = code.replace(
        "        print(message)\n",
        "        print(message, flush=True)\n        n += 1\n        if n == 3: return\n",
    )
    code = code.replace("async def main() -> None:\n", "async def main() -> None:\n    n = 0\n")
    shutil.copy(DEMO, tmp_path / "talk.wav")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "the example shows something"


def write() -> None:
    """Write the generated tables into the README."""
    shown = text()
    for name, make in GENERATED.items():
        match = section(name).search(shown)
        assert match is not None
        shown = f"{shown[: match.start(2)]}{make().strip()}\n{shown[match.end(2) :]}"
    README.write_text(shown, encoding="utf-8")


if __name__ == "__main__":
    write()
