"""A real Dask cluster: a scheduler and two workers, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from realtime.errors import CorpusError, SettingsError, TrainingError
from training import cluster, dataset
from training.corpora import Clip
from training.corpora.measurement import measure
from training.dataset import AsItIs, Windows
from training.recipes import find_recipe
from training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import MakeVoice

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing on Windows"),
]

ROOT = Path(__file__).resolve().parent.parent.parent
CHORES = ROOT / "tests" / "training"
RATE = 16_000


def wait_until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"waited {timeout_s} s in vain"
        time.sleep(0.05)


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


class Cluster:
    """A scheduler, and as many workers as were started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._workers: list[subprocess.Popen[bytes]] = []
        self._run("scheduler", "--port", "0", "--host", "127.0.0.1", "--scheduler-file", str(self._file))
        wait_until(lambda: self._file.exists() and "address" in self._file.read_text())
        self.address: str = json.loads(self._file.read_text())["address"]

    def _run(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        log = self._folder / f"log-{len(self._processes)}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{name}", *options, "--no-dashboard"],
                cwd=self._folder,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join((str(ROOT), str(CHORES))),
                    "DASK_DISTRIBUTED__WORKER__MEMORY__REBALANCE__MEASURE": "optimistic",
                },
                stdout=file,
                stderr=file,
            )
        self._processes.append(process)
        return process

    def have_workers(self, n: int) -> None:
        """Start workers until there are so many; each does one thing at a time, with a second thread idle."""
        alive = [worker for worker in self._workers if worker.poll() is None]
        while len(alive) < n:
            name = f"worker-{len(self._processes)}"
            options = ("--nthreads", "2", "--no-nanny", "--name", name, "--host", "127.0.0.1")
            alive.append(self._run("worker", *options, "--scheduler-file", str(self._file)))
        self._workers = alive
        wait_until(lambda: self._n_registered() == n)

    def _n_registered(self) -> int:
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return len(client.scheduler_info()["workers"])

    def kill_worker(self) -> None:
        worker = self._workers.pop()
        worker.kill()
        worker.wait()

    def close(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.close()


@pytest.fixture
def two(running: Cluster) -> Cluster:
    """The cluster, with two workers."""
    running.have_workers(2)
    return running


@pytest.fixture
def chores(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(CHORES))
    import chores

    module: ModuleType = chores
    return module


@pytest.fixture
def items(chores: ModuleType, tmp_path: Path) -> list[object]:
    large = chores.Large(np.full(1_000_000, 0.5))
    return [chores.Chore(large, number, tmp_path) for number in range(12)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, make_voice: MakeVoice) -> list[Clip]:
    folder = tmp_path_factory.mktemp("clips")
    clips = []
    for number in range(48):
        path = folder / f"{number}.flac"
        soundfile.write(path, make_voice(2.5, number), RATE)
        clips.append(Clip(path, "happy", f"someone-{number % 4}", "made-up"))
    return clips


def extract(clips: list[Clip], cache: Path, workers: Workers, advance: Callable[[int], None]) -> Windows:
    digests = [measure(clip.path).file_sha256 for clip in clips]
    return dataset.extract(
        find_recipe("ann-392"),
        clips,
        digests,
        variation=AsItIs(),
        cache=cache,
        workers=workers,
        advance=advance,
    )


def test_features_are_those_of_this_machine_whoever_is_killed(
    two: Cluster, clips: list[Clip], tmp_path: Path
) -> None:
    n_advanced = 0

    def kill(n_done: int) -> None:
        nonlocal n_advanced
        if n_done and not n_advanced:
            two.kill_worker()
        n_advanced += n_done

    theirs = extract(clips, tmp_path / "theirs", Workers(cluster=two.address), kill)
    ours = extract(clips, tmp_path / "ours", Workers(), lambda _n: None)
    assert n_advanced == len(clips)
    for name in ("clip", "copy", "features", "voiced"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
    # The files that they left are whole.
    kept = sorted((tmp_path / "theirs").rglob("*.npy"))
    assert len(kept) == len(clips)
    for path in kept:
        assert path.read_bytes() == (tmp_path / "ours" / path.relative_to(tmp_path / "theirs")).read_bytes()


def test_a_worker_that_dies_at_its_work_costs_nothing(
    two: Cluster, chores: ModuleType, items: list[object]
) -> None:
    done = sorted(Workers(cluster=two.address).map(chores.die_once, items))
    assert done == list(range(len(items)))


def test_what_items_share_is_moved_once(two: Cluster, chores: ModuleType, items: list[object]) -> None:
    workers = Workers(cluster=two.address)
    told = list(workers.map(chores.tell_how_it_came, items))
    assert os.getpid() not in {pid for pid, *_ in told}
    assert {n_different for *_, n_different in told} == {1}
    assert sorted(workers.stream(chores.add, iter(items))) == [0.5 + n for n in range(len(items))]
    assert set(workers.map(chores.count_cores, items)) == {1}


def test_a_process_does_one_thing_at_a_time(two: Cluster, chores: ModuleType, items: list[object]) -> None:
    assert not any(Workers(cluster=two.address).map(chores.meet_another, items))


def test_errors_come_as_themselves(two: Cluster, chores: ModuleType, items: list[object]) -> None:
    workers = Workers(cluster=two.address)
    with pytest.raises(CorpusError, match=r"^three is not wanted$"):
        list(workers.map(chores.refuse_three, items))
    with pytest.raises(ZeroDivisionError) as caught:
        list(workers.map(chores.divide_by_zero, items))
    assert "in divide_by_zero" in "".join(caught.value.__notes__)


def test_a_worker_with_other_code_is_refused(
    two: Cluster, chores: ModuleType, items: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What this machine has, and the workers do not tell of.
    monkeypatch.setattr(cluster, "_PACKAGES", ("pytest",))
    cluster.describe_machine.cache_clear()
    with pytest.raises(SettingsError, match=rf"{two.address}.*its worker .* has \S+ \S+, this machine"):
        list(Workers(cluster=two.address).map(chores.add, items))
    cluster.describe_machine.cache_clear()


def test_an_interrupt_leaves_nothing_to_do(two: Cluster, tmp_path: Path) -> None:
    code = f"""
import signal
import sys
from pathlib import Path

# A shell has what it runs in the background ignore them.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = [{str(CHORES)!r}, {str(ROOT)!r}]
import numpy as np

import chores
from training.workers import Workers

items = [chores.Chore(chores.Large(np.zeros(9)), number, Path({str(tmp_path)!r})) for number in range(20)]
try:
    for number in Workers(cluster={two.address!r}).map(chores.take_long, items):
        print(number, flush=True)
except KeyboardInterrupt:
    sys.exit(130)
"""
    with started(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (130, "", "")
    # Those begun cannot be broken off; no other follows.
    for _ in range(2):
        two.kill_worker()
    assert len(list(tmp_path.glob("begun-*"))) <= 1 + 2 * 2


def test_no_scheduler_is_told_in_time(
    chores: ModuleType, items: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 1.0)
    for address in ("tcp://127.0.0.1:9", "nonsense://here"):
        with pytest.raises(SettingsError, match=f"{address}, where no Dask scheduler answers"):
            list(Workers(cluster=address).map(chores.add, items))


def test_a_cluster_that_loses_all_workers_is_told(
    tmp_path: Path, chores: ModuleType, items: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "WORKERS_S", 1.0)
    monkeypatch.setattr(cluster, "_CHECK_EVERY_S", 0.5)
    lonely = Cluster(tmp_path)
    workers = Workers(cluster=lonely.address)
    try:
        with pytest.raises(SettingsError, match=rf"{lonely.address}: no worker within 1 s"):
            list(workers.map(chores.add, items))
        lonely.have_workers(1)
        with pytest.raises(SettingsError, match=rf"{lonely.address}: its last worker was lost"):
            list(workers.map(chores.die, items))
        monkeypatch.setattr(cluster, "WORKERS_S", 60.0)
        monkeypatch.setattr(cluster, "_N_ATTEMPTS", 1)
        lonely.have_workers(4)
        with pytest.raises(TrainingError, match="every worker that began one of the tasks was lost"):
            list(workers.map(chores.die, items[:1]))
    finally:
        lonely.close()


def test_what_was_on_a_lost_worker_alone_is_moved_again(
    tmp_path: Path, chores: ModuleType, items: list[object]
) -> None:
    lonely = Cluster(tmp_path)
    try:
        lonely.have_workers(1)
        done: list[float] = []
        for result in Workers(cluster=lonely.address).map(chores.add, items):
            if not done:
                lonely.kill_worker()
                lonely.have_workers(1)
            done.append(result)
        assert sorted(done) == [0.5 + number for number in range(len(items))]
    finally:
        lonely.close()


def test_a_scheduler_that_ends_is_told(
    tmp_path: Path, chores: ModuleType, items: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 1.0)
    lonely = Cluster(tmp_path)
    try:
        lonely.have_workers(1)
        results = Workers(cluster=lonely.address).map(chores.take_long, items)
        assert next(results) == 0
        lonely.close()
        with pytest.raises(SettingsError, match=rf"{lonely.address}.*goes on from there"):
            next(results)
    finally:
        lonely.close()
