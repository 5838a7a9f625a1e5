"""`Worker.map`: one function over many items, a bounded number of jobs at a time.

Backpressure: at most *window* jobs exist; items are read when a job may be made for
them. A finished chunk counts until its results have been taken.
Source: worker-api-spec.md, section 2.3.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from runtime.async_runtime.future import Future
from runtime.async_runtime.promise import Promise
from runtime.clock import check_timeout
from runtime.workers.checks import check_callable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

    from runtime.workers.job import WorkerFuture
    from runtime.workers.worker_pool import WorkerPool

__all__ = ("MapResults",)

T = TypeVar("T")
U = TypeVar("U")

_PER_WORKER = 4  # the default window: enough to keep a worker busy while results are taken


class _Chunk(Generic[T, U]):
    """The function of one job: calls *func* for each of a few items."""

    __slots__ = ("_func", "_items")

    def __init__(self, func: Callable[[T], U], items: list[T]) -> None:
        self._func = func
        self._items = items

    def __call__(self) -> list[U]:
        """Return the results, in order."""
        func = self._func
        return [func(item) for item in self._items]


class MapResults(Generic[U]):
    """The results of `Worker.map`: an iterator, for one consumer; see there."""

    def __init__(  # noqa: PLR0913 - made by Worker.map only
        self,
        pool: WorkerPool,
        func: Callable[[Any], U],
        items: Iterable[Any],
        frame: FrameType,
        timeout: float | None,
        chunksize: int,
        window: int | None,
        name: str | None,
        *,
        ordered: bool,
    ) -> None:
        self._jobs: deque[WorkerFuture[list[U]]] = deque()  # on their way, oldest first
        check_callable(func)
        self._timeout = check_timeout("timeout", timeout)
        self._chunksize = _at_least_one("chunksize", chunksize)
        wanted = pool.max_workers * _PER_WORKER if window is None else window
        self._window = _at_least_one("window", wanted)
        self._pool = pool
        self._func = func
        self._items: Iterator[Any] | None = iter(items)  # None: all are read
        self._frame = frame
        self._name = name
        self._ordered = ordered
        self._ended: deque[WorkerFuture[list[U]]] = deque()  # filled by the workers' threads
        self._signal: Promise[None] = Promise()  # resolved when _ended gets one more
        self._ready: deque[U] = deque()  # results of the chunk that is being handed out
        self._closed = False
        self._fill()

    def __iter__(self) -> MapResults[U]:
        return self

    def __next__(self) -> U:
        """Return the next result, waiting for it.

        Raises:
            StopIteration: there are no more.
            BaseException: what the function raised; the iterator has ended then.
        """
        while not self._ready:
            job = self._next_job()
            if job is None:
                raise StopIteration
            if not job.done() and not self._ordered:
                self._signal.future().result()
                continue
            self._take(job)
        return self._ready.popleft()

    def __aiter__(self) -> MapResults[U]:
        return self

    async def __anext__(self) -> U:
        """Return the next result, awaiting it on an executor."""
        while not self._ready:
            job = self._next_job()
            if job is None:
                raise StopAsyncIteration
            if not job.done():
                await Future.all_settled([job if self._ordered else self._signal.future()])
                continue
            self._take(job)
        return self._ready.popleft()

    def close(self) -> None:
        """Cancel what is on its way, and end. May be called twice."""
        self._closed = True
        self._items = None
        jobs, self._jobs = self._jobs, deque()
        self._ended.clear()
        for job in jobs:
            job.cancel()

    def _next_job(self) -> WorkerFuture[list[U]] | None:
        """Return the job to take results from, which may not be done; None at the end."""
        if not self._jobs:
            self._fill()
        if not self._jobs:
            return None
        if self._ordered:
            return self._jobs[0]
        if self._signal.is_completed():
            self._signal = Promise()  # before _ended is looked at: no signal is lost
        return self._ended[0] if self._ended else self._jobs[0]

    def _take(self, job: WorkerFuture[list[U]]) -> None:
        """Take the results of *job*, waiting for them, and put new jobs in its place."""
        try:
            results = job.result()
        except StopIteration as error:  # must not look like the end
            self.close()
            raise RuntimeError("the mapped function raised StopIteration") from error
        except BaseException:
            self.close()
            raise
        self._jobs.remove(job)
        if not self._ordered:
            self._ended.remove(job)
        self._ready.extend(results)
        self._fill()

    def _fill(self) -> None:
        """Make jobs until the window is full or the items are all read."""
        while self._items is not None and len(self._jobs) < self._window:
            try:
                chunk = list(islice(self._items, self._chunksize))
            except BaseException:  # the user's iterable raised: what is on its way is not wanted
                self.close()
                raise
            if not chunk:
                self._items = None
                return
            job = self._pool._spawn(
                self._frame,
                _Chunk(self._func, chunk),
                self._timeout,
                self._name,
                None,
                (),
                None,
                None,
                False,
                True,
            )
            self._jobs.append(job)
            if not self._ordered:
                job.add_done_callback(self._job_ended)

    def _job_ended(self, job: Any) -> None:  # Any: the callback's own type is wider
        self._ended.append(job)
        self._signal.try_resolve(None)

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._jobs)} job(s) on their way"
        return f"<MapResults {state}>"


def _at_least_one(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r}: pass an int")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, got {value}")
    return value
