from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from realtime import artifact
from realtime.errors import SettingsError
from training import cli, evaluation, recipes, ruler
from training import study as studies
from training.commands.evaluate import _require_same_pairs
from training.fit import fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.evaluation import Evaluation

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "recipes": (),
    "fit": (
        "--data",
        "--map",
        "--out",
        "--seed",
        "--hold-out",
        "--quantise",
        "--no-report",
        "--cache",
        "--jobs",
        "--fresh",
    ),
    "evaluate": (
        "--protocols",
        "--seeds",
        "--add",
        "--data",
        "--cross",
        "--out",
        "--cache",
        "--cluster",
        "--fresh",
    ),
    "compare": ("--models", "--out"),
    "report": ("--out",),
    "search": ("--trials",),
    "corpus": ("--json", "--cache"),
    "fetch": ("--to",),
}
FEATURES = """
description = "for tests"
labels = ["neutral", "calm", "happy"]
window_s = 1.0
[features]
families = [
    { kind = "mfcc", n = 8, n_mels = 24, pool = ["mean", "std"] },
    { kind = "zcr", pool = ["mean", "std"] },
]
"""
FOREST = f"""{FEATURES}
[model]
kind = "random-forest"
n_trees = 12
max_depth = 6
"""
NETWORK = f"""{FEATURES}
[model]
kind = "dense"
layers = [{{ units = 12, dropout = 0.1 }}]
[fitting]
batch_size = 16
n_epochs = 2
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with recipes of one's own."""
    (tmp_path / "forest.toml").write_text(FOREST, encoding="utf-8")
    (tmp_path / "network.toml").write_text(NETWORK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TONEWATCH_DATA", str(tmp_path / "data"))
    return tmp_path


def with_data(*arguments: str | Path, data: Path) -> list[str]:
    return [*map(str, arguments), "--data", str(data), "--cache", "cache", "--jobs", "1"]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return the one line that a command ends with."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("tonewatch-train: ")]
    assert len(lines) == 1
    # Above it stands what was done until then.
    assert err.splitlines()[-1] == lines[0]
    return lines[0]


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(recipes.recipe_names())


def test_a_recipe_of_ones_own_is_checked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes", "forest.toml"]) == 0
    assert capsys.readouterr().out == "forest  for tests (3 classes)\n"
    (here / "bad.toml").write_text(FOREST.replace("n_trees", "n_tree"), encoding="utf-8")
    line = refusal(capsys, "recipes", "bad.toml")
    assert "bad.toml: model: unknown key 'n_tree'; did you mean 'n_trees'?" in line


def test_every_command_has_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    overview = capsys.readouterr().out
    assert {command.__name__.rpartition(".")[2] for command in cli._COMMANDS} == set(COMMANDS)
    for command, flags in COMMANDS.items():
        assert f"\n    {command} " in overview
        with pytest.raises(SystemExit) as caught:
            cli.main([command, "--help"])
        assert caught.value.code == 0
        text = capsys.readouterr().out
        assert all(flag in text for flag in flags)


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from training.cli import main\n"
        f"for command in {list(COMMANDS)!r}:\n"
        "    try: main([command, '--help'])\n"
        "    except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'librosa', 'joblib', 'scipy', 'matplotlib', 'optuna',\n"
        "    'dask', 'distributed', 'audiomentations', 'pyroomacoustics', 'skops'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("command", ["fit", "evaluate"])
@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["nope"], "there is no recipe 'nope'; there are: ann-392"),
        (["ann-393"], "there is no recipe 'ann-393'; did you mean 'ann-392'?"),
        (["gone.toml"], "gone.toml: No such file or directory; wanted a recipe's TOML file"),
        (["forest.toml", "--jobs", "0"], "--jobs is 0; wanted a whole number from 1 up"),
        (["forest.toml", "--cluster", "here"], "--cluster is 'here'; wanted an address"),
        (["forest.toml", "--map", "joyful"], "--map is 'joyful'; wanted LABEL=OURS"),
        (["forest.toml", "--data", "/nowhere"], "/nowhere is no corpus, folder or .csv file"),
        (["forest.toml", "--data", "empty"], "empty holds 0 FLAC and WAV files"),
        (["forest.toml", "--data", "ravdess=empty"], "empty holds no RAVDESS recording"),
        (["forest.toml"], "ravdess is not a folder; wanted the RAVDESS recordings"),
    ],
)
def test_what_users_can_set_right_is_one_line_and_code_2(
    command: str, arguments: list[str], wanted: str, here: Path, *, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "empty").mkdir()
    assert wanted in refusal(capsys, command, *arguments)


@pytest.mark.usefixtures("here")
def test_a_corpus_that_cross_alone_wants_is_no_data(
    corpus_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, "evaluate", "forest.toml", "--data", str(corpus_folder))
    assert "nemo is not a folder" in line
    assert "cross tests on it: name its folder or another corpus with --cross" in line
    # As data it would be trained on.
    assert "--data" not in line
    line = refusal(capsys, "evaluate", "forest.toml", "--data", str(corpus_folder), "--cross", "tess")
    assert "tess is not a folder" in line
    assert "--protocols" not in line


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["fit", "--seed", "-1"], "--seed is -1; wanted a whole number from 0 to 2147483647"),
        (["fit", "--seed", "2147483648"], "--seed is 2147483648; wanted a whole number from 0 to"),
        (["search", "--seed", "4294967296"], "--seed is 4294967296; wanted a whole number from 0 to"),
        (["evaluate", "--seeds", "0"], "--seeds is 0; wanted a whole number from 1 up"),
        (["evaluate", "--protocols", "random,speakers"], "there is no protocol 'speakers'"),
        (["evaluate", "--protocols", "random,speakers"], "did you mean 'speaker'?"),
        (["evaluate", "--protocols", "zzz"], "there are: random, kfold, speaker, robust, cross"),
        (["evaluate", "--protocols", ","], "--protocols is ','; wanted some of"),
    ],
)
def test_flags_of_one_command_alone(
    arguments: list[str], wanted: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wanted in refusal(capsys, arguments[0], here / "forest.toml", *arguments[1:])


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["compare", "--models", "nowhere"], "--models is 'nowhere', no folder"),
        (["compare", "--models", ".", "--out", "table.xls"], "wanted a file that ends in .md, .csv, .json"),
        (["report", "nowhere"], "nowhere"),
        (["fetch", "nothing"], "nothing"),
    ],
)
def test_other_commands_refuse_in_one_line_too(
    arguments: list[str], wanted: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here.is_dir()
    assert wanted in refusal(capsys, *arguments)


@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_recordings_that_no_class_covers_are_refused(
    command: str, here: Path, corpus_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = FOREST.replace('["neutral", "calm", "happy"]', '["disgust", "surprised"]')
    (here / "other.toml").write_text(text, encoding="utf-8")
    protocols = ["--protocols", "random"] if command == "evaluate" else []
    line = refusal(capsys, *with_data(command, "other.toml", *protocols, data=corpus_folder))
    assert "carry the labels ['calm', 'happy', 'neutral', 'sad']; wanted some of the recipe's" in line


def test_more_features_than_there_are_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f'{FOREST}\n[selection]\nmethod = "forest"\nn_features = 19\n'
    (here / "many.toml").write_text(text, encoding="utf-8")
    line = refusal(capsys, "fit", "many.toml")
    assert "many.toml: selection: n_features is 19; wanted 1 to 18, the number computed" in line


def test_a_learning_rate_that_ruins_the_loss_is_told(
    here: Path, corpus_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "wild.toml").write_text(f"{NETWORK}learning_rate = 1e30\n", encoding="utf-8")
    line = refusal(capsys, *with_data("fit", "wild.toml", "--no-report", data=corpus_folder))
    assert "recipe wild: the loss is nan in epoch 1, at a learning rate of 1e+30" in line
    assert not (here / "models").exists()


def test_corpora_that_do_not_go_together_are_refused(
    here: Path, corpus_folder: Path, other_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("evaluate", "forest.toml", "--protocols", "cross", "--cross")
    line = refusal(capsys, *with_data(*asked, corpus_folder, data=corpus_folder))
    assert "as is --data; wanted another corpus" in line
    line = refusal(capsys, *with_data(*asked, "nemo", data=corpus_folder))
    assert f"{here / 'data' / 'nemo'} is not a folder" in line
    line = refusal(capsys, *with_data("evaluate", "forest.toml", "--protocols", "random", data=other_folder))
    assert "has 6 clips; wanted at least 10" in line


def test_damaged_scores_are_told_at_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "models" / "forest").mkdir(parents=True)
    (here / "models" / "forest" / "scores.json").write_text("{")
    line = refusal(capsys, "evaluate", "forest.toml", "--protocols", "random", "--data", "empty")
    assert "not an evaluation" in line


def test_a_recipes_way_through_the_commands(
    here: Path, corpus_folder: Path, other_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocols = ["--protocols", "random,cross", "--cross", str(other_folder)]
    assert cli.main(with_data("evaluate", "forest.toml", *protocols, data=corpus_folder)) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["protocol", "unit", "n", "accuracy"]
    shown = {(line.split()[0], line.split()[1]) for line in lines[1:]}
    assert ("random", "clips") in shown
    assert ("cross/nemo-to-ravdess/four/adapted", "windows") in shown
    assert "random: models: 1 done in" in err
    assert "cross: models: 2 done in" in err
    found = evaluation.read(here / "models" / "forest")
    assert found is not None
    assert found.corpora == ["ravdess"]
    assert found.seeds == {"random": [42], "cross": [42]}
    command = f"tonewatch-train evaluate forest.toml --protocols random --seeds 1 --data {corpus_folder}"
    assert found.commands["random"] == command

    assert cli.main(with_data("fit", "forest.toml", data=corpus_folder)) == 0
    out, _ = capsys.readouterr()
    assert "forest: trained on" in out
    assert "random" in out
    model = here / "models" / "forest"
    card = artifact.read(model).card
    assert set(card.scores) == set(found.scores)
    assert (model / "report" / "report.html").exists()

    # What is measured later goes into the card too.
    later = ["--protocols", "kfold", "--seeds", "2"]
    assert cli.main(with_data("evaluate", "forest.toml", *later, data=corpus_folder)) == 0
    card = artifact.read(model).card
    assert set(card.scores) == {*found.scores, "kfold"}
    assert card.scores["kfold"]["clips"]["all"].n_seeds == 2
    assert "--protocols kfold" in card.scores_note

    # Those of another recipe take their place, and they are kept beside them.
    before = (model / "scores.json").read_bytes()
    (here / "forest.toml").write_text(FOREST.replace("max_depth = 6", "max_depth = 5"), encoding="utf-8")
    again = with_data("evaluate", "forest.toml", "--protocols", "random", data=corpus_folder)
    assert cli.main(again) == 0
    out, err = capsys.readouterr()
    assert "its scores are of another recipe or other recordings (of ravdess)" in err
    (aside,) = model.glob("scores-*.json")
    assert aside.name in out
    assert aside.read_bytes() == before
    newer = evaluation.read(model)
    assert newer is not None
    assert set(newer.scores) == {"random"}
    assert set(artifact.read(model).card.scores) == {*found.scores, "kfold"}
    # A model that cannot be read is told of before anything is measured.
    content = (model / "card.json").read_bytes()
    (model / "card.json").write_bytes(content[:-40])
    assert "card.json" in refusal(capsys, *again)
    (model / "card.json").write_bytes(content)

    # The report is of the model, whose scores it does not make.
    assert cli.main(["report", str(model), "--out", "elsewhere"]) == 0
    assert (here / "elsewhere" / "report.html").exists()


def test_seeds_are_added_to_those_that_are_measured(
    here: Path, corpus_folder: Path, other_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluate(*asked: str, data: Path = corpus_folder) -> Evaluation:
        assert cli.main(with_data("evaluate", "forest.toml", *asked, data=data)) == 0
        found = evaluation.read(here / "models" / "forest")
        assert found is not None
        return found

    alone = evaluate("--protocols", "random", "--add")
    assert "random: models: 1 done in" in capsys.readouterr().err
    both = evaluate("--protocols", "random,kfold", "--seeds", "2", "--add")
    out, err = capsys.readouterr()
    assert "random: models: 1 done in" in err
    assert "kfold: models: 10 done in" in err
    assert both.seeds == {"random": [42, 43], "kfold": [42, 43]}
    assert both.cost == alone.cost is not None
    assert both.commands["random"].endswith(f"--protocols random --seeds 2 --data {corpus_folder}")
    # Told of all of them.
    shown = next(line.split() for line in out.splitlines() if line.startswith("random"))
    assert shown[3] == f"{both.scores['random']['clips']['all'].accuracy:.1%}"
    asked = ["--protocols", "random", "--seeds", "2"]
    at_once = evaluate(*asked).scores["random"]["clips"]["all"]
    added = both.scores["random"]["clips"]["all"]
    assert (added.n_seeds, added.confusion) == (at_once.n_seeds, at_once.confusion)
    assert added.sd == pytest.approx(at_once.sd, abs=2e-4)

    capsys.readouterr()
    line = refusal(capsys, *with_data("evaluate", "forest.toml", *asked, "--add", data=corpus_folder))
    assert "random of forest: every seed asked for is measured already" in line
    asked[-1] = "3"
    line = refusal(capsys, *with_data("evaluate", "forest.toml", *asked, "--add", data=other_folder))
    assert "its scores are of another recipe or other recordings" in line


def test_seeds_are_added_between_the_same_corpora_alone(
    here: Path, corpus_folder: Path, other_folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def found() -> Evaluation:
        measured = evaluation.read(here / "models" / "forest")
        assert measured is not None
        return measured

    asked = ["evaluate", "forest.toml", "--protocols", "cross", "--cross", str(other_folder)]
    assert cli.main(with_data(*asked, data=corpus_folder)) == 0
    alone = found()
    assert cli.main(with_data(*asked, "--seeds", "2", "--add", data=corpus_folder)) == 0
    both = found()
    assert set(both.scores) == set(alone.scores)
    assert {parts["clips"]["all"].n_seeds for parts in both.scores.values()} == {2}
    assert both.other_sha256 == alone.other_sha256 != ""

    capsys.readouterr()
    fewer = shutil.copytree(other_folder, tmp_path / "nemo")
    next(fewer.rglob("*.flac")).unlink()
    asked = [*asked[:-1], str(fewer), "--seeds", "3", "--add"]
    line = refusal(capsys, *with_data(*asked, data=corpus_folder))
    assert "its scores of cross are of other recordings" in line
    with pytest.raises(SettingsError, match=r"cross/nemo-to-ravdess, .* and cross/crema-d-to-.* would"):
        _require_same_pairs(both, ["ravdess", "crema-d"])
    assert found() == both


def test_seeds_that_came_meanwhile_are_not_lost(
    here: Path, corpus_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["evaluate", "forest.toml", "--protocols", "random"]
    assert cli.main(with_data(*asked, data=corpus_folder)) == 0
    before = evaluation.read(here / "models" / "forest")
    assert before is not None
    merged = evaluation.merge(before, msgspec.structs.replace(before, seeds={"random": [43]}))
    real = ruler.measure

    def slow(*rest: Any, **settings: Any) -> Any:
        measured = real(*rest, **settings)
        # Another evaluation is done first.
        evaluation.write(here / "models" / "forest", merged)
        return measured

    monkeypatch.setattr(ruler, "measure", slow)
    capsys.readouterr()
    assert cli.main(with_data(*asked, "--seeds", "3", "--add", data=corpus_folder)) == 2
    assert "have got seeds [42, 43] of random meanwhile" in capsys.readouterr().err
    assert evaluation.read(here / "models" / "forest") == merged


def test_only_what_is_missing_asks_for_anything(
    here: Path, corpus_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither noise nor another corpus is wanted for protocols whose seeds are all there."""
    asked = ["evaluate", "forest.toml", "--protocols", "random"]
    assert cli.main(with_data(*asked, data=corpus_folder)) == 0
    path = here / "models" / "forest"
    found = evaluation.read(path)
    assert found is not None
    evaluation.write(path, msgspec.structs.replace(found, seeds={"random": [42], "robust": [42, 43]}))
    required: list[list[str]] = []
    monkeypatch.setattr(ruler, "require", required.append)
    asked[-1] = "random,robust"
    assert cli.main(with_data(*asked, "--seeds", "2", "--add", data=corpus_folder)) == 0
    assert required == [["random"]]


def test_the_other_corpus_is_no_ones_own_wherever_it_stands(
    here: Path, corpus_folder: Path, other_folder: Path
) -> None:
    # Known corpora have an order of their own, in which this one comes second.
    protocols = ["--protocols", "cross", "--cross", str(corpus_folder)]
    assert cli.main(with_data("evaluate", "forest.toml", *protocols, data=other_folder)) == 0
    found = evaluation.read(here / "models" / "forest")
    assert found is not None
    assert found.corpora == ["nemo"]


def test_several_corpora_are_tested_on_each_other(
    here: Path, corpus_folder: Path, other_folder: Path
) -> None:
    asked = ["evaluate", "forest.toml", "--protocols", "cross", "--data", str(other_folder)]
    assert cli.main(with_data(*asked, data=corpus_folder)) == 0
    found = evaluation.read(here / "models" / "forest")
    assert found is not None
    assert found.corpora == ["ravdess", "nemo"]
    assert "cross/nemo-to-ravdess/four" in found.scores
    assert "--cross" not in found.commands["cross"]


def test_all_recipes_in_one_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "models").mkdir()
    for suffix in (".md", ".csv", ".json"):
        assert cli.main(["compare", "--out", f"table{suffix}"]) == 0
        out = capsys.readouterr().out
        assert all(name in out for name in recipes.recipe_names())
        assert all(name in (here / f"table{suffix}").read_text() for name in recipes.recipe_names())
    assert len(json.loads((here / "table.json").read_text())) == len(recipes.recipe_names())


def test_a_networks_fit_is_written_as_asked(
    here: Path, corpus_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--quantise", "int8", "--no-report", "--out", "models/mine"]
    assert cli.main(with_data("fit", "network.toml", *options, data=corpus_folder)) == 0
    card = artifact.read(here / "models" / "mine").card
    assert (card.name, card.quantisation) == ("mine", "int8")
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("mine: trained on")
    assert "There are no scores yet" in out
    assert "training: 2 done in" in err
    assert not (here / "models" / "mine" / "report").exists()


def start(here: Path, *arguments: str, before: str = "") -> subprocess.Popen[str]:
    """Start a command as a terminal does: with interrupts let in, in a process group of its own."""
    script = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"{before}\n"
        "from training.cli import main\n"
        "sys.exit(main())\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def interrupt_when(process: subprocess.Popen[str], found: Iterator[bool]) -> str:
    """Press Ctrl-C as soon as something holds; return what was told."""
    deadline_s = time.monotonic() + 120
    try:
        while not next(found) and process.poll() is None:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return err


def assert_interrupted(process: subprocess.Popen[str], err: str) -> None:
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("tonewatch-train: interrupted; what was done is kept")


class Thing:
    """Something that ends."""


def test_an_interrupt_that_python_drops_comes_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    def work(_: object) -> None:
        thing = Thing()
        watched = weakref.ref(thing, interrupted)
        del thing
        assert watched() is None
        threading.Event().wait(60)

    hook = sys.unraisablehook
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        parser = argparse.ArgumentParser()
        parser.set_defaults(run=work)
        monkeypatch.setattr(cli, "_parser", lambda: parser)
        assert cli.main([]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1
    assert sys.unraisablehook is hook


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_ctrl_c_in_an_evaluation_keeps_the_models_that_are_done(
    here: Path, corpus_folder: Path, other_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = NETWORK.replace("n_epochs = 2", "n_epochs = 5")
    (here / "network.toml").write_text(text, encoding="utf-8")
    asked = ("--protocols", "cross", "--cross", other_folder)
    arguments = with_data("evaluate", "network.toml", *asked, data=corpus_folder)
    process = start(here, *arguments)

    def done() -> list[Path]:
        return [path for path in here.glob("cache/models/*.npz") if "unfinished" not in path.name]

    def one_is_done() -> Iterator[bool]:
        while True:
            yield bool(done())

    assert_interrupted(process, interrupt_when(process, one_is_done()))
    assert len(done()) == 1
    assert not (here / "models").exists()

    trained: list[int] = []

    def spy(*given: Any, **others: Any) -> Any:
        trained.append(1)
        return fit(*given, **others)

    monkeypatch.setattr(studies, "fit", spy)
    assert cli.main(arguments) == 0
    assert len(trained) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_ctrl_c_in_a_fit_keeps_its_epochs(here: Path, corpus_folder: Path) -> None:
    text = NETWORK.replace("n_epochs = 2", "n_epochs = 100000\npatience = 100000")
    (here / "network.toml").write_text(text, encoding="utf-8")
    arguments = with_data("fit", "network.toml", data=corpus_folder)
    kept: list[Any] = [np.zeros((0, 6))]

    def more_epochs() -> Iterator[bool]:
        while True:
            paths = list(here.glob("cache/models/*.unfinished.npz"))
            if paths:
                with np.load(paths[0]) as archive:
                    history = archive["history"]
                yield len(history) > len(kept[-1])
            else:
                yield False

    for _ in range(2):
        process = start(here, *arguments, before="from training import epochs; epochs._KEEP_EVERY_S = 0")
        assert_interrupted(process, interrupt_when(process, more_epochs()))
        (path,) = here.glob("cache/models/*.npz")
        with np.load(path) as archive:
            kept.append(archive["history"])
    # The second run went on where the first one had been.
    first, second = kept[1:]
    assert len(second) > len(first)
    assert np.array_equal(second[: len(first)], first)
    assert not (here / "models").exists()
