from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

from realtime.errors import CorpusError, TrainingError
from training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

INTERRUPTED = """
import signal
import sys
from pathlib import Path

# A shell has what it runs in the background ignore them.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = [{here!r}, {root!r}]
import numpy as np

import chores
from training.workers import Workers

large = chores.Large(np.zeros(200_000))
items = [chores.Chore(large, number, Path({folder!r})) for number in range(20)]
print("begins", flush=True)
try:
    for number in Workers(2).map(chores.take_long, items):
        print("done", number, flush=True)
        {body}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


@pytest.fixture
def chores(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(HERE))
    import chores
    from joblib.externals.loky import get_reusable_executor

    # Processes of before do not know where it is.
    get_reusable_executor().shutdown(kill_workers=True)
    module: ModuleType = chores
    return module


@pytest.fixture
def items(chores: ModuleType, tmp_path: Path) -> list[object]:
    large = chores.Large(np.full(1_000_000, 0.5))
    return [chores.Chore(large, number, tmp_path) for number in range(8)]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_item_is_done(chores: ModuleType, items: list[object], n_jobs: int) -> None:
    workers = Workers(n_jobs)
    assert sorted(workers.map(chores.add, items)) == [0.5 + number for number in range(8)]
    assert sorted(workers.stream(chores.add, iter(items))) == [0.5 + number for number in range(8)]
    assert list(workers.map(chores.add, [])) == []


def test_one_job_is_done_in_this_process(chores: ModuleType, items: list[object]) -> None:
    assert {pid for pid, *_ in Workers(1).map(chores.tell_how_it_came, items)} == {os.getpid()}


def test_large_arrays_are_mapped(chores: ModuleType, items: list[object]) -> None:
    told = list(Workers(2).map(chores.tell_how_it_came, items))
    assert os.getpid() not in {pid for pid, *_ in told}
    assert {kind for _, kind, _ in told} == {"memmap"}


def test_processes_share_the_cores(chores: ModuleType, items: list[object]) -> None:
    n_cores = os.cpu_count() or 1
    for n_jobs in (2, 3):
        assert set(Workers(n_jobs).map(chores.count_cores, items)) == {max(1, n_cores // n_jobs)}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_errors_come_as_themselves(chores: ModuleType, items: list[object], n_jobs: int) -> None:
    with pytest.raises(CorpusError, match=r"^three is not wanted$"):
        list(Workers(n_jobs).map(chores.refuse_three, items))
    with pytest.raises(ZeroDivisionError):
        list(Workers(n_jobs).map(chores.divide_by_zero, items))
    # Those after it find workers as before.
    assert len(list(Workers(n_jobs).map(chores.add, items))) == len(items)


def test_a_killed_process_is_told(chores: ModuleType, items: list[object]) -> None:
    with pytest.raises(TrainingError, match=r"one of 2 processes was killed.*--jobs"):
        list(Workers(2).map(chores.die_once, items))
    assert len(list(Workers(2).map(chores.die_once, items))) == len(items)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_items_of_a_stream_are_taken_as_workers_are_free(
    chores: ModuleType, items: list[object], n_jobs: int
) -> None:
    n_taken = 0

    def take() -> Iterator[object]:
        nonlocal n_taken
        for item in items * 4:
            n_taken += 1
            yield item

    for n_done, _ in enumerate(Workers(n_jobs).stream(chores.add, take())):
        if n_done == 0:
            # One at work in each, and as many that wait; others may end before the first is looked at.
            assert n_taken <= (1 if n_jobs == 1 else 8 * n_jobs)
    assert n_taken == 4 * len(items)


@contextlib.contextmanager
def started(code: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run code as a terminal would, in a group of its own, of which nothing is left."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing on Windows")
@pytest.mark.parametrize("body", ["pass", "while number == 0: pass"], ids=["waiting", "busy"])
def test_an_interrupt_ends_all(tmp_path: Path, body: str) -> None:
    """Ctrl-C at a terminal, which the processes get too: they leave neither words nor files."""
    code = INTERRUPTED.format(here=str(HERE), root=str(ROOT), folder=str(tmp_path), body=body)
    kept = tmp_path / "kept"
    kept.mkdir()
    with started(code, JOBLIB_TEMP_FOLDER=str(kept)) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["begins\n", "done 0\n"]
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (130, "interrupted\n", "")
    assert not list(kept.iterdir())
    # Those that waited were never begun.
    assert len(list(tmp_path.glob("begun-*"))) <= 4


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing on Windows")
def test_an_interrupt_while_processes_begin_ends_all(tmp_path: Path) -> None:
    code = INTERRUPTED.format(here=str(HERE), root=str(ROOT), folder=str(tmp_path), body="pass")
    with started(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        # Some tenths of a second in which they load what they need.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.4)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (130, "")
