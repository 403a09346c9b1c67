"""What all tests share keeps its own promises."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPING = {
    "a test": "import pytest\ndef test_it(): pytest.skip('no such thing')\n",
    "a module": "import pytest\npytest.importorskip('no_such_thing')\ndef test_it(): pass\n",
    "an expected failure": "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n",
}


def run(folder: Path, code: str, *, no_skips: str) -> tuple[int, str]:
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_one.py").write_text(code, encoding="utf-8")
    (folder / "test_other.py").write_text("def test_it(): pass\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", folder, folder],
        env={**os.environ, "TONEWATCH_NO_SKIPS": no_skips, "PYTEST_ADDOPTS": ""},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("what", ["a test", "a module"])
def test_where_nothing_may_be_skipped_it_fails(tmp_path: Path, what: str) -> None:
    code, output = run(tmp_path, SKIPPING[what], no_skips="1")
    assert code
    assert "skipped, although TONEWATCH_NO_SKIPS is set" in output
    assert "no such thing" in output.replace("_", " ")


@pytest.mark.parametrize("what", ["a test", "a module"])
def test_elsewhere_it_is_skipped(tmp_path: Path, what: str) -> None:
    code, output = run(tmp_path, SKIPPING[what], no_skips="")
    assert code == 0
    assert "1 passed, 1 skipped" in output


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    code, output = run(tmp_path, SKIPPING["an expected failure"], no_skips="1")
    assert code == 0
    assert "1 passed, 1 xfailed" in output
