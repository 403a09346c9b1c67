"""Where work is done that can be shared out: the cores of this machine, or a Dask cluster."""

from __future__ import annotations

import os
import signal
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from realtime.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Workers:
    """Processes that work at the same time.

    Parameters
    ----------
    n_jobs
        How many, on this machine; 1 works in this process.
    cluster
        Address of a Dask scheduler whose workers do it instead, such as ``tcp://scheduler:8786``.

    Notes
    -----
    What many items share is moved once, not once for each: here, joblib writes arrays of a megabyte and more
    to a file that all processes map into their memory; on a cluster, see `training.cluster`.
    """

    n_jobs: int = 1
    cluster: str | None = None

    def map(self, function: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
        """Yield what the function makes of each item, as each is done, in any order.

        Parameters
        ----------
        function
            Importable by its name, as what other processes do has to be. Doing an item twice must be the same
            as doing it once: where a worker is lost, another begins again.
        items
            What it is given.

        Raises
        ------
        SettingsError
            Where the cluster cannot be used.
        TrainingError
            Where a process ends before its work.
        """
        if self.cluster is None and len(items) <= 1:
            yield from (function(item) for item in items)
            return
        yield from self._share(function, items, n_ahead=2)

    def stream(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """Do the same with items that are made while others are worked on, of which there may be many.

        Parameters
        ----------
        function
            As `map` takes it.
        items
            Taken as workers become free: at most as many as there are workers wait to be begun. They may be
            taken in another thread.
        """
        yield from self._share(function, items, n_ahead=1)

    def _share(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item], n_ahead: int
    ) -> Iterator[_Result]:
        """Yield results; `n_ahead` items are taken for each worker."""
        if self.cluster is not None:
            from training.cluster import share  # noqa: PLC0415 - few have a cluster

            yield from share(self.cluster, function, items, n_ahead)
        elif self.n_jobs == 1:
            yield from (function(item) for item in items)
        else:
            yield from self._share_here(function, items, n_ahead)

    def _share_here(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item], n_ahead: int
    ) -> Iterator[_Result]:
        from joblib import Parallel, delayed  # noqa: PLC0415 - only where there is something to share out
        from joblib.externals.loky.process_executor import TerminatedWorkerError  # noqa: PLC0415

        # One that has come to hold much memory is replaced by another, which harms nobody.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)

        # One item at a time: each is a second's work or more, and the last ones should not wait in a batch.
        parallel = Parallel(
            n_jobs=self.n_jobs,
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch=n_ahead * self.n_jobs,
        )
        call = delayed(partial(_call, function, max(1, (os.cpu_count() or 1) // self.n_jobs)))
        with _deaf_to_interrupts():
            results = parallel(call(item) for item in items)
        try:
            for result in results:  # noqa: UP028 - `yield from` would close it before it can be hushed
                yield result
        except TerminatedWorkerError:
            raise TrainingError(
                f"one of {self.n_jobs} processes was killed, most likely since memory ran out; wanted all to "
                "end by themselves: give fewer with --jobs; the same command goes on from there"
            ) from None
        finally:
            with warnings.catch_warnings():
                # Of what was begun in vain, where nobody wants more.
                warnings.simplefilter("ignore")
                results.close()


def _call(function: Callable[[_Item], _Result], n_threads: int, item: _Item) -> _Result:
    """Do an item within a process that has so many cores to itself."""
    # What scikit-learn takes for the number of cores, where it is to use all. (joblib sees to BLAS.)
    os.environ["LOKY_MAX_CPU_COUNT"] = str(n_threads)
    return function(item)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: terminals send it to all, and each prints a traceback.

    This process hears it as soon as they have begun, and ends them.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker  # noqa: PLC0415 - for those who share work out

    from joblib.externals.loky.backend import resource_tracker as of_loky  # noqa: PLC0415

    # These start with the first process, and unblock what they find blocked; so they are started before.
    resource_tracker.ensure_running()
    of_loky.ensure_running()
    # A mask is handed on to processes, as no handler is; and what is held back by it meanwhile is not lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
