"""Two child processes, as each of the peers keeps them, behind one small interface.

Each has the settings that it comes with, its start method included, unless a benchmark says so.
Nothing is imported before a pool is opened: a process can compare one of them alone.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.model import OURS, Side
from benchmarks.process_jobs import meet, nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from contextlib import AbstractContextManager

__all__ = ("KINDS", "WORKERS", "Children", "Kind", "all_children", "kind_of", "sides_of", "why_not")

WORKERS = 2
A_WHILE = 10.0  # seconds: only a job that is lost takes longer


class Children(Protocol):
    """What a pool of processes is asked for."""

    def trip(self, func: Callable[[], Any]) -> object:
        """Run *func* once and wait for its result."""

    def call(self, func: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - the result
        """Run ``func(*args)`` once; return what it returned."""

    def burst(self, func: Callable[[], Any], count: int) -> None:
        """Submit *func* so many times, one by one; then wait for all."""

    def each(self, func: Callable[..., Any], items: Iterable[object]) -> list[Any]:
        """Submit ``func(item)`` for each, one by one; then return all results."""


class Submitted:
    """Children behind a function that submits one call and gives a ticket for its result."""

    def __init__(
        self,
        bare: Callable[[Callable[..., Any]], Any],
        submit: Callable[[Callable[..., Any], tuple[object, ...]], Any],
        wait: str = "result",
    ) -> None:
        self.bare = bare
        self.submit = submit
        self.wait = methodcaller(wait)
        self.wait_a_while = methodcaller(wait, timeout=A_WHILE)

    def trip(self, func: Callable[[], Any]) -> object:
        """See `Children`."""
        return self.wait(self.bare(func))

    def call(self, func: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - the result
        """See `Children`."""
        return self.wait(self.submit(func, args))

    def burst(self, func: Callable[[], Any], count: int) -> None:
        """See `Children`."""
        bare, wait = self.bare, self.wait
        for ticket in [bare(func) for _ in range(count)]:
            wait(ticket)

    def each(self, func: Callable[..., Any], items: Iterable[object]) -> list[Any]:
        """See `Children`."""
        submit, wait = self.submit, self.wait
        return [wait(ticket) for ticket in [submit(func, (item,)) for item in items]]


class Parallel:
    """Children of joblib, which takes all calls at once and makes batches of them."""

    def __init__(self, run: Callable[[Iterable[Any]], list[Any]], delayed: Any) -> None:  # noqa: ANN401 - joblib has no types
        self.run = run
        self.delayed = delayed

    def trip(self, func: Callable[[], Any]) -> object:
        """See `Children`."""
        return self.run([self.delayed(func)()])

    def call(self, func: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - the result
        """See `Children`."""
        return self.run([self.delayed(func)(*args)])[0]

    def burst(self, func: Callable[[], Any], count: int) -> None:
        """See `Children`."""
        job = self.delayed(func)
        self.run(job() for _ in range(count))

    def each(self, func: Callable[..., Any], items: Iterable[object]) -> list[Any]:
        """See `Children`."""
        job = self.delayed(func)
        return self.run(job(item) for item in items)


@contextlib.contextmanager
def ours(**options: object) -> Generator[Submitted]:
    """`WorkerPool` on processes; *options* as it takes them."""
    make: Any = importlib.import_module("runtime.workers").WorkerPool
    with make(WORKERS, backend="process", **options) as pool:
        yield Submitted(pool.spawn, lambda func, args: pool.spawn(func, args=args))


@contextlib.contextmanager
def executor(*, method: str | None = None) -> Generator[Submitted]:
    """``concurrent.futures.ProcessPoolExecutor``."""
    make = importlib.import_module("concurrent.futures").ProcessPoolExecutor
    with make(WORKERS, mp_context=_context(method)) as pool:
        yield Submitted(pool.submit, lambda func, args: pool.submit(func, *args))


@contextlib.contextmanager
def multiprocessing_pool(*, method: str | None = None) -> Generator[Submitted]:
    """``multiprocessing.Pool``."""
    with _context(method).Pool(WORKERS) as pool:
        yield Submitted(pool.apply_async, pool.apply_async, "get")


def _context(method: str | None) -> Any:  # noqa: ANN401 - the types of contexts differ
    return importlib.import_module("multiprocessing").get_context(method)


@contextlib.contextmanager
def loky() -> Generator[Submitted]:
    """A loky executor of its own, not the one that it keeps for all."""
    pool = importlib.import_module("loky").ProcessPoolExecutor(WORKERS)
    try:
        yield Submitted(pool.submit, lambda func, args: pool.submit(func, *args))
    finally:
        pool.shutdown(wait=True)


@contextlib.contextmanager
def pebble() -> Generator[Submitted]:
    """``pebble.ProcessPool``."""
    pool = importlib.import_module("pebble").ProcessPool(WORKERS)
    try:
        yield Submitted(pool.schedule, lambda func, args: pool.schedule(func, args=args))
    finally:
        pool.stop()
        pool.join()


@contextlib.contextmanager
def mpire() -> Generator[Submitted]:
    """``mpire.WorkerPool``."""
    with importlib.import_module("mpire").WorkerPool(WORKERS) as pool:
        yield Submitted(pool.apply_async, pool.apply_async, "get")


@contextlib.contextmanager
def joblib() -> Generator[Parallel]:
    """``joblib.Parallel``, kept open; under it is a loky of its own."""
    module = importlib.import_module("joblib")
    try:
        with module.Parallel(WORKERS) as run:
            yield Parallel(run, module.delayed)
    finally:
        under = importlib.import_module("joblib.externals.loky")
        under.get_reusable_executor().shutdown(wait=True)


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to have child processes.

    Args:
        name: As in the tables.
        open: Makes the children, and ends them.
        module: What a program imports for it.
        is_slow: Whether it gets a fifth of the work, where work is counted in no-ops.
    """

    name: str
    open: Callable[..., AbstractContextManager[Children]]
    module: str
    is_slow: bool = False

    @property
    def needs(self) -> str | None:
        """What must be installed for it; None for the standard library and for this package."""
        top = self.module.partition(".")[0]
        return None if top in sys.stdlib_module_names or top == "runtime" else top


KINDS = (
    Kind(OURS, ours, "runtime.workers"),
    Kind("ProcessPoolExecutor", executor, "concurrent.futures.process"),
    Kind("multiprocessing.Pool", multiprocessing_pool, "multiprocessing.pool"),
    Kind("loky", loky, "loky", is_slow=True),
    Kind("pebble", pebble, "pebble", is_slow=True),
    Kind("mpire", mpire, "mpire", is_slow=True),
    Kind("joblib", joblib, "joblib", is_slow=True),
)


def kind_of(name: str) -> Kind:
    """Return the kind of this name."""
    return next(kind for kind in KINDS if kind.name == name)


def sides_of(
    measure: Callable[..., float], *, without: tuple[str, ...] = (), **options: object
) -> tuple[Side, ...]:
    """Return the sides of a benchmark that calls ``measure(size, kind=..., **options)``."""
    return tuple(
        Side(kind.name, partial(measure, kind=kind, **options), needs=kind.needs)
        for kind in KINDS
        if kind.name not in without
    )


def all_children(children: Children, job: Callable[[str], int] = meet) -> list[int]:
    """Return the ids of the children, once each has done the *job*, which is to meet."""
    with tempfile.TemporaryDirectory() as folder:
        pids = children.each(job, [folder] * WORKERS)
    if len(set(pids)) != WORKERS:
        raise RuntimeError("one process did what two should have done")
    return pids


@functools.cache
def why_not() -> str | None:
    """Tell why processes cannot be compared here; None where they can."""
    if sys.platform != "linux":
        return "measured on Linux"
    try:
        with ours() as children:
            children.trip(nothing)
    except Exception as error:  # noqa: BLE001 - whatever it is, there are none
        return f"no processes: {type(error).__name__}: {error}"
    return None
