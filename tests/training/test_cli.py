from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from realtime import artifact
from training import cli, recipes

if TYPE_CHECKING:
    from training.recipes import Recipe

ROOT = Path(__file__).resolve().parents[2]


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [recipe.name for recipe in recipes.RECIPES]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["nope"], "there is no recipe 'nope'; there are: ann-392"),
        (["ann-392", "--data", "/nowhere"], "/nowhere is not a folder; wanted the RAVDESS recordings"),
        (["ann-392", "--jobs", "0"], "--jobs is 0; wanted a whole number from 1 up"),
        (["ann-392", "--seed", "-1"], "--seed is -1; wanted a whole number from 0 up"),
    ],
)
def test_what_users_can_set_right_is_one_line_and_code_2(
    arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["fit", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert wanted in err


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from training.cli import main\n"
        "try: main(['fit', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'librosa', 'joblib', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    for flag in ("--data", "--out", "--seed", "--cache", "--quantise", "--jobs", "--fresh"):
        assert flag in found.stdout


@pytest.mark.slow
def test_a_fit_from_the_command_line(
    quick: Recipe,
    corpus_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(recipes, "RECIPES", (quick,))
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    arguments = [
        "fit",
        "tiny",
        "--data",
        str(corpus_folder),
        "--cache",
        "cache",
        "--quantise",
        "int8",
        "--jobs",
        "1",
    ]
    assert cli.main(arguments) == 0
    card = artifact.read(tmp_path / "models" / "tiny").card
    assert card.quantisation == "int8"
    out, err = capsys.readouterr()
    # A line for each protocol, unit and part, below two of head.
    assert len(out.splitlines()) == 2 + 2 * 3 * 3
    assert "model 5 of 5: shipped" in err


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_ctrl_c_ends_with_130_and_one_line(corpus_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.cli", "fit", "ann-392", "--data", str(corpus_folder)]
    # A process group of its own, as a terminal gives: Ctrl-C reaches the workers too.
    process = subprocess.Popen(
        [*command, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out"), "--jobs", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.npy")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted" in err
