"""`Worker.map`: one function over many items, a bounded number of jobs at a time.

Backpressure: at most *window* jobs exist; items are read when a job may be made for
them. A finished chunk counts until its results have been taken.
Threads: one consumer; the workers' threads touch nothing but `_Arrivals`.
Invariant: a job on its way does not keep the iterator alive: dropping that cancels it.
Source: worker-api-spec.md, section 2.3.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, TypeVar

from runtime.async_runtime.future import Future
from runtime.async_runtime.outcome import ERROR
from runtime.async_runtime.promise import Promise
from runtime.clock import check_timeout
from runtime.workers.cancelling import cancel_each
from runtime.workers.checks import check_at_least, check_callable, check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import CodeType, TracebackType
    from typing import Self

    from runtime.async_runtime.promise import PromiseFuture
    from runtime.workers.job import WorkerFuture
    from runtime.workers.worker_pool import WorkerPool

__all__ = ("MapOptions", "MapResults")

T = TypeVar("T")
U = TypeVar("U")

_PER_WORKER = 4  # the default window: enough to keep a worker busy while results are taken


class MapOptions(NamedTuple):
    """The options of `Worker.map`; see there."""

    timeout: float | None
    chunksize: int
    window: int | None
    name: str | None
    ordered: bool


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


class _Arrivals(Generic[U]):
    """Jobs that have ended, in that order; for the unordered form."""

    __slots__ = ("_ended", "_signal")

    def __init__(self) -> None:
        self._ended: deque[WorkerFuture[list[U]]] = deque()  # filled by the workers' threads
        self._signal: Promise[None] = Promise()  # settled once _ended has got one more

    def add(self, job: Any) -> None:  # noqa: ANN401 - Any: a callback's own type is wider
        """Keep *job*, which has ended; on any thread."""
        self._ended.append(job)
        self._signal.try_resolve(None)

    def pop(self) -> WorkerFuture[list[U]] | None:
        """Return the next one, or None: then `signal` is settled when there is one."""
        if self._signal.is_completed():
            self._signal = Promise()  # before _ended is looked at: no signal is lost
        return self._ended.popleft() if self._ended else None

    @property
    def signal(self) -> PromiseFuture[None]:
        """What to wait for when there is none."""
        return self._signal.future()


class MapResults(Generic[U]):
    """The results of `Worker.map`: an iterator, for one consumer; see there.

    Also a context manager, for who leaves the loop early: it is closed at the end of the block.
    """

    def __init__(
        self,
        pool: WorkerPool,
        func: Callable[[Any], U],
        items: Iterable[Any],
        place: tuple[CodeType, int],
        options: MapOptions,
    ) -> None:
        self._jobs: deque[WorkerFuture[list[U]]] = deque()  # on their way, oldest first
        self._ready: deque[U] = deque()  # results of the chunk that is being handed out
        self._items: Iterator[Any] | None = None  # None: all are read
        self._closed = False
        check_callable(func)
        check_timeout("timeout", options.timeout)
        check_name(options.name)
        self._chunksize = check_at_least(1, "chunksize", options.chunksize)
        wanted = pool.max_workers * _PER_WORKER if options.window is None else options.window
        self._window = check_at_least(1, "window", wanted)
        self._pool = pool
        self._func = func
        self._place = place
        self._timeout = options.timeout
        self._name = options.name
        self._arrivals: _Arrivals[U] | None = None if options.ordered else _Arrivals()
        self._source_error: BaseException | None = None  # what reading on would raise again
        self._items = iter(items)
        self._fill()
        if not self._jobs and self._source_error is not None:
            self._fail(self._source_error)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> U:
        """Return the next result, waiting for it.

        Raises:
            StopIteration: there are no more.
            BaseException: what the function or the items raised; the iterator has ended then.
        """
        while not self._ready:
            if not self._jobs:
                self._check_end()
                raise StopIteration
            if self._arrivals is None:
                self._take(self._jobs[0])
                continue
            job = self._arrivals.pop()
            if job is not None:
                self._take(job)
            else:
                self._wait(self._arrivals.signal)
        return self._ready.popleft()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> U:
        """Return the next result, awaiting it on an executor; otherwise as `__next__`."""
        while not self._ready:
            if not self._jobs:
                self._check_end()
                raise StopAsyncIteration
            arrivals = self._arrivals
            job = self._jobs[0] if arrivals is None else arrivals.pop()
            if job is not None and job.done():
                self._take(job)
            else:
                waited: list[Future[Any]] = [self._jobs[0] if arrivals is None else arrivals.signal]
                await Future.all_settled(waited)  # neither raises nor cancels what it waits for
        return self._ready.popleft()

    def close(self) -> None:
        """Cancel what is on its way, and end. May be called twice."""
        self._closed = True
        self._items = None
        self._source_error = None
        self._ready.clear()
        jobs, self._jobs = self._jobs, deque()
        cancel_each(jobs)

    def _wait(self, signal: PromiseFuture[None]) -> None:
        try:
            signal.result()
        except BaseException:  # Ctrl-C
            self.close()
            raise

    def _take(self, job: WorkerFuture[list[U]]) -> None:
        """Take the results of *job*, waiting for them, and put new jobs in its place."""
        try:
            results = job.result()
        except BaseException as error:  # noqa: BLE001 - raised again there
            self._fail(error)
        self._jobs.remove(job)
        self._ready.extend(results)
        self._fill()

    def _check_end(self) -> None:
        """Nothing is on its way: raise what the items have raised in the end."""
        if self._source_error is not None:
            self._fail(self._source_error)

    def _fail(self, error: BaseException) -> NoReturn:
        """Close, and raise *error*: the one error speaks for all."""
        self._close_unread()
        try:
            if isinstance(error, (StopIteration, StopAsyncIteration)):  # not to look like the end
                raise RuntimeError(  # noqa: TRY004 - as Python does it for a generator
                    f"the mapped function raised {error!r}"
                ) from error
            raise error
        finally:
            del error  # its traceback keeps this frame

    def _close_unread(self) -> None:
        """Close; of what has failed by then, nobody need be told."""
        jobs = tuple(self._jobs)
        try:
            self.close()
        finally:
            for job in jobs:  # now they are all over: none fails after this look
                if job._outcome == ERROR:
                    job._failure().mark_observed()

    def _fill(self) -> None:
        """Make jobs until the window is full or the items are all read."""
        while self._items is not None and len(self._jobs) < self._window:
            chunk = self._read_chunk(self._items)
            if not chunk:
                return
            try:
                job = self._pool._spawn(
                    *self._place, _Chunk(self._func, chunk), self._timeout, self._name
                )
            except BaseException as error:  # noqa: BLE001 - raised at its place
                self._items, self._source_error = None, error
                return
            self._jobs.append(job)
            if self._arrivals is not None:
                job.add_done_callback(self._arrivals.add)

    def _read_chunk(self, items: Iterator[Any]) -> list[Any]:
        """Return the next few items; none is lost where reading on raises."""
        chunk: list[Any] = []
        try:
            for item in islice(items, self._chunksize):
                chunk.append(item)  # noqa: PERF402 - what is there when it raises counts
        except BaseException as error:  # noqa: BLE001 - raised at its place
            self._source_error = error
        if len(chunk) < self._chunksize:
            self._items = None
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._jobs)} job(s) on their way"
        return f"<MapResults {state}>"
