"""Work shared out to a Dask cluster: what items have in common moves once, and lost workers cost time alone.

Processes work on one item at a time, however many threads their worker has: Keras, and the extractor of
features, keep state for a whole process. So ``dask worker --nthreads 1 --nworkers N`` serves best.

References
----------
https://distributed.dask.org/en/stable/resilience.html: what the scheduler does about lost workers.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import logging
import os
import platform
import queue
import threading
import time
import traceback
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import realtime
from realtime.errors import SettingsError, TonewatchError, TrainingError
from training import packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from distributed import Client, Future

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

CONNECT_S = 10.0
"""Time for the scheduler to answer."""
WORKERS_S = 30.0
"""Time for a worker to appear, at first and after the last one was lost: a nanny starts another."""
_N_ATTEMPTS = 3
"""Times that an item is given to the scheduler, which itself gives it to four workers before it gives up."""
_POLL_S = 1.0
_CHECK_EVERY_S = 5.0
_FETCH_S = 2.0
"""Time for a result to come, at first; twice as long each time that it does not."""
_PACKAGES = ("distributed", *packages.FEATURES, *packages.COPIES, *packages.MODELS)
"""What has to be the same on all workers, for results that do not depend on which of them worked."""
_CANCELLED = (concurrent.futures.CancelledError, asyncio.CancelledError)
"""What futures and calls end with as a connection or data are lost; the second is no `Exception`."""
_ONE_AT_A_TIME = threading.Lock()


def share(
    address: str, function: Callable[[_Item], _Result], items: Iterable[_Item], n_ahead: int
) -> Iterator[_Result]:
    """Yield what a cluster's workers make of each item, as each is done.

    Parameters
    ----------
    address
        The scheduler's.
    function
        Importable by its name, on the workers too.
    items
        What it is given. Fields of dataclasses that are dataclasses themselves are moved once to each
        worker, for all items that share them.
    n_ahead
        Items that are taken for each worker.

    Raises
    ------
    SettingsError
        Where the cluster cannot be reached, differs from this machine, or is lost.
    TrainingError
        Where an item ends every worker that begins it.
    """
    with _connect(address) as client:
        yield from _Sharing(client, address, function).results(items, n_ahead)


@contextmanager
def _connect(address: str) -> Iterator[Client]:
    from distributed import Client  # noqa: PLC0415 - it takes a second to load

    # What it logs of broken connections is told by the errors raised here.
    for name in (
        "distributed",
        "distributed.client",
        "distributed.core",
        "distributed.comm",
        "tornado.application",
    ):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            # Of versions: they are checked below.
            warnings.simplefilter("ignore")
            client = Client(address, timeout=CONNECT_S, set_as_default=False, name="tonewatch-train")
    except Exception as error:  # noqa: BLE001 - whatever answers there, it is no scheduler to work with
        raise SettingsError(
            f"--cluster is {address}, where no Dask scheduler answers: {_first_line(error)}; wanted the "
            "address that `dask scheduler` prints as it starts"
        ) from None
    try:
        _require_workers(client, address)
        _require_alike(client, address)
        yield client
    finally:
        # The scheduler forgets what nobody waits for any more.
        with suppress(Exception):
            client.close(timeout=CONNECT_S)


def _require_workers(client: Client, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
    except Exception as error:  # noqa: BLE001 - none came, or the scheduler went
        raise SettingsError(
            f"--cluster {address}: no worker within {WORKERS_S:.0f} s ({_first_line(error)}); wanted one or "
            f"more: start them with `dask worker {address} --nthreads 1`"
        ) from None


def _require_alike(client: Client, address: str) -> None:
    """Refuse workers that would compute something else."""
    ours = describe_machine()
    wanted = "wanted the same everywhere: install the same tonewatch[training] there"
    try:
        described = client.run(describe_machine, on_error="return")
    except Exception as error:  # noqa: BLE001 - a scheduler too old to understand, or gone
        raise SettingsError(f"--cluster {address}: {_first_line(error)}; {wanted}") from None
    for worker, theirs in described.items():
        if isinstance(theirs, BaseException):
            raise SettingsError(
                f"--cluster {address}: its worker {worker} does not run: {_first_line(theirs)}; {wanted}"
            )
        for name in sorted({*ours, *theirs}):
            if ours.get(name) != theirs.get(name):
                raise SettingsError(
                    f"--cluster {address}: its worker {worker} has {name} {theirs.get(name, '(none)')}, this "
                    f"machine {ours.get(name, '(none)')}; {wanted}"
                )


@cache
def describe_machine() -> dict[str, str]:
    """Return what decides about results here: versions, and a digest of Tonewatch's own code.

    Of the code as it was when this was first asked: a process does not load what changes later.
    """
    found = {"python": ".".join(platform.python_version_tuple()[:2]), **packages.versions_of(_PACKAGES)}
    digest = hashlib.sha256()
    for package in (Path(realtime.__file__).parent, Path(__file__).parent):
        for path in sorted(package.rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return {**found, "code": digest.hexdigest()[:12]}


@dataclass(frozen=True, slots=True)
class _Shared:
    """A part of items, on the workers."""

    part: object
    """Kept, so that no other gets its `id`."""
    future: Future[Any]


@dataclass(frozen=True, slots=True)
class _Given(Generic[_Item]):
    """An item that the scheduler has."""

    item: _Item
    n_attempts: int


@dataclass(frozen=True, slots=True)
class _Failed:
    """What a worker returns where the function raised."""

    error: Exception


class _Sharing(Generic[_Item, _Result]):
    """One function's items, on their way to the workers and back."""

    def __init__(self, client: Client, address: str, function: Callable[[_Item], _Result]) -> None:
        self._client = client
        self._address = address
        self._function = function
        self._shared: dict[int, _Shared] = {}
        self._given: dict[Future[Any], _Given[_Item]] = {}
        self._done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._n_workers = 1
        self._alive_at = self._checked_at = 0.0

    def results(self, items: Iterable[_Item], n_ahead: int) -> Iterator[_Result]:
        """Yield results as they come."""
        waiting = iter(items)
        while True:
            self._check()
            while len(self._given) < n_ahead * self._n_workers:
                try:
                    item = next(waiting)
                except StopIteration:
                    break
                self._give(_Given(item, 1))
            # Only now: what the item just done has in common with the next one stays where it is.
            self._release_parts()
            if not self._given:
                return
            future = self._wait()
            given = self._given.pop(future)
            try:
                outcome = self._fetch(future)
            except _LostError:
                self._give_again(given)
                continue
            if isinstance(outcome, _Failed):
                raise outcome.error
            yield outcome

    def _give(self, given: _Given[_Item]) -> None:
        """Give the scheduler an item, and what it has in common with others where no worker has it."""
        values = _values(given.item)
        for name, value in values.items():
            if not _is_part(value):
                continue
            shared = self._shared.get(id(value))
            # What was on a lost worker alone is lost with it.
            if shared is None or shared.future.status != "finished":
                shared = _Shared(value, self._scatter(value))
                self._shared[id(value)] = shared
            values[name] = shared.future
        try:
            future = self._client.submit(
                work, self._function, type(given.item), tuple(values), *values.values(), pure=False
            )
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - what goes wrong on the way to the scheduler
            raise self._lost(error) from None
        self._given[future] = given
        future.add_done_callback(self._done.put)

    def _scatter(self, part: object) -> Future[Any]:
        try:
            future: Future[Any] = self._client.scatter(part, hash=False, timeout=WORKERS_S)
        except TimeoutError:
            raise self._deserted() from None
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the scheduler is gone
            raise self._lost(error) from None
        return future

    def _give_again(self, given: _Given[_Item]) -> None:
        if given.n_attempts == _N_ATTEMPTS:
            raise TrainingError(
                f"--cluster {self._address}: every worker that began one of the tasks was lost; wanted "
                "workers with more memory, or fewer on a machine; the same command goes on from there"
            )
        self._give(_Given(given.item, given.n_attempts + 1))

    def _wait(self) -> Future[Any]:
        """Return the next future that is done, one way or another."""
        while True:
            try:
                return self._done.get(timeout=_POLL_S)
            except queue.Empty:
                self._check()

    def _fetch(self, future: Future[Any]) -> Any:  # noqa: ANN401 - a result, or a failure
        from distributed import KilledWorker  # noqa: PLC0415 - loaded by now

        timeout_s = _FETCH_S
        while True:
            try:
                return future.result(timeout=timeout_s)
            except TimeoutError:
                # It went with its worker just now, or it is large and the line slow.
                timeout_s *= 2
                self._check()
            except (*_CANCELLED, KilledWorker) as error:
                if self._client.status != "running":
                    raise self._lost(error) from None
                raise _LostError from None
            except Exception as error:  # noqa: BLE001 - what the function raises comes as a result
                raise self._lost(error) from None

    def _check(self) -> None:
        """See now and then how many workers there are, and give up where there has long been none."""
        if self._client.status != "running":
            # It would connect again by itself, but not to what this scheduler knew.
            raise self._lost(ConnectionError("the scheduler is gone"))
        now = time.monotonic()
        if now - self._checked_at < _CHECK_EVERY_S:
            return
        try:
            n_workers = len(self._client.scheduler_info()["workers"])
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the scheduler is gone
            raise self._lost(error) from None
        self._checked_at = time.monotonic()
        if n_workers or not self._alive_at:
            self._n_workers = max(1, n_workers)
            self._alive_at = now
        elif now - self._alive_at > WORKERS_S:
            raise self._deserted()

    def _release_parts(self) -> None:
        """Let go of what no item with the scheduler needs."""
        needed = {id(v) for given in self._given.values() for v in _values(given.item).values()}
        for key in self._shared.keys() - needed:
            del self._shared[key]

    def _deserted(self) -> SettingsError:
        return SettingsError(
            f"--cluster {self._address}: its last worker was lost, and no other came within {WORKERS_S:.0f} "
            "s; wanted one or more; the same command goes on from there"
        )

    def _lost(self, error: BaseException) -> SettingsError:
        return SettingsError(
            f"--cluster {self._address}: {_first_line(error)}; wanted a scheduler that stays, with the same "
            "tonewatch[training] installed as here; the same command goes on from there"
        )


class _LostError(Exception):
    """A result was lost with its workers."""


def work(
    function: Callable[[Any], Any],
    kind: type[Any],
    names: tuple[str, ...],
    *values: Any,  # noqa: ANN401 - of the item's fields
) -> Any:  # noqa: ANN401 - what the function returns, or a failure
    """Do an item on a worker.

    Parameters
    ----------
    function
        What is done.
    kind, names, values
        The item: its class and its fields; what is no dataclass comes as one value without a name.
    """
    from joblib import parallel_config  # noqa: PLC0415 - quick to load here, where all is loaded
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    # A worker is one core's: of scikit-learn, of joblib within it, and of BLAS.
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"
    with _ONE_AT_A_TIME, parallel_config(backend="threading"), threadpool_limits(1):
        item = values[0] if names == ("",) else kind(**dict(zip(names, values, strict=True)))
        try:
            return function(item)
        except TonewatchError as error:
            return _Failed(error)
        except Exception as error:  # noqa: BLE001 - a defect: it is raised where a person sees it
            # Tracebacks do not travel; their text does.
            error.add_note(f"on the worker:\n{traceback.format_exc()}")
            return _Failed(error)


def _values(item: object) -> dict[str, Any]:
    """Return a dataclass's fields by name; of anything else the thing itself, without a name."""
    if not _is_part(item):
        return {"": item}
    return {entry.name: getattr(item, entry.name) for entry in fields(item)}  # type: ignore[arg-type]


def _is_part(value: object) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
