"""Results of workers keep their types: `spawn`, `spawn_all`, `map`, handles, executors."""

# mypy: disable-error-code="unused-awaitable"
# A checker looks at these futures; nothing ever runs them.

from __future__ import annotations

import concurrent.futures
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, assert_type

from runtime import Worker, WorkerFuture, WorkerHandle, WorkerPool
from runtime.interop.concurrent import PoolExecutor, ThreadExecutor
from runtime.workers import MapResults, SpawnAll

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")


def answer() -> int:
    """Take nothing."""
    return 42


def repeat(text: str, times: int = 2) -> list[str]:
    """Take two things, one of which may be left out."""
    return [text] * times


def identity(value: T) -> T:
    """Be generic."""
    return value


def spawning(pool: WorkerPool) -> None:
    """A future is of what the function returns, however its arguments are given."""
    assert_type(Worker.spawn(answer), WorkerFuture[int])
    assert_type(Worker.spawn(answer, 5.0, "name", run_timeout=1.0), WorkerFuture[int])
    assert_type(Worker.spawn(answer, backend="process", pool=None), WorkerFuture[int])
    assert_type(Worker.spawn(lambda: repeat("a")), WorkerFuture[list[str]])
    assert_type(Worker.spawn(partial(repeat, times=3), args=("a",)), WorkerFuture[list[str]])
    assert_type(pool.spawn(answer), WorkerFuture[int])
    assert_type(pool.spawn(repeat, args=("a", 3)), WorkerFuture[list[str]])
    assert_type(pool.spawn(repeat, args=("a",)), WorkerFuture[list[str]])
    assert_type(pool.spawn(repeat, args=["a", 3]), WorkerFuture[list[str]])
    assert_type(pool.spawn(repeat, kwargs={"text": "a"}), WorkerFuture[list[str]])
    assert_type(pool.spawn(repeat, args=("a",), kwargs={"times": 1}), WorkerFuture[list[str]])
    assert_type(pool.spawn(identity, args=(1.5,)), WorkerFuture[float])
    assert_type(Worker.spawn(identity, args=(b"",), run_timeout=1.0), WorkerFuture[bytes])
    assert_type(Worker.spawn(sorted, args=([3, 1],)), WorkerFuture[list[int]])
    assert_type(pool.spawn(b"text".upper), WorkerFuture[bytes])
    assert_type(pool.spawn(bytearray), WorkerFuture[bytearray])


def reading(future: WorkerFuture[int]) -> None:
    """What a future is asked for has the type of its value."""
    assert_type(future.result(), int)
    assert_type(future.result(1.0), int)
    assert_type(future.exception(), BaseException | None)
    assert_type(future.handle, WorkerHandle[int])
    assert_type(future.to_concurrent(), concurrent.futures.Future[int])
    converted: asyncio.Future[int] = future.to_asyncio()
    assert_type(converted.result(), int)


async def many(numbers: list[int]) -> None:
    """Many results are of the type of one."""
    assert_type(Worker.spawn_all([answer, answer]), SpawnAll[int])
    assert_type(await Worker.spawn_all([answer, answer]), list[int])
    assert_type(Worker.spawn_all([answer]).futures, list[WorkerFuture[int]])
    assert_type(Worker.map(str, numbers), MapResults[str])
    assert_type(list(Worker.map(repeat, ["a", "b"])), list[list[str]])
    for text in Worker.map(str, numbers, ordered=False):
        assert_type(text, str)
    async for text in Worker.map(str, numbers):
        assert_type(text, str)
    with Worker.map(str, numbers, chunksize=2) as results:
        assert_type(next(results), str)


def executors(pool: WorkerPool) -> None:
    """As in the standard library: the arguments are checked, too."""
    with ThreadExecutor(2) as executor:
        assert_type(executor.submit(repeat, "a", times=3), concurrent.futures.Future[list[str]])
        assert_type(executor.submit(answer).result(), int)
        results: Iterator[str] = executor.map(str, [1, 2])
        assert_type(next(results), str)
        executor.submit(repeat, 5)  # type: ignore[arg-type]
    assert_type(PoolExecutor(pool).pool, WorkerPool)


# ---- decorators ---------------------------------------------------------------------------


def in_worker(func: Callable[P, T]) -> Callable[P, WorkerFuture[T]]:
    """Make a function that runs on a worker."""

    @wraps(func)
    def spawn(*args: P.args, **kwargs: P.kwargs) -> WorkerFuture[T]:
        return Worker.spawn(func, args=args, kwargs=kwargs)

    return spawn


def logged(func: Callable[P, T]) -> Callable[P, T]:
    """Make the same function."""
    return func


@in_worker
def resize(path: str, *, width: int) -> bytes:
    """Take what the decorated function takes."""
    return path.encode() * width


@logged
def measure(path: str) -> float:
    """Stay what it is."""
    return float(path)


async def decorated() -> None:
    """Parameters and results both survive."""
    assert_type(await resize("a", width=3), bytes)
    assert_type(Worker.spawn(measure, args=("1.5",)), WorkerFuture[float])
    assert_type(Worker.spawn(in_worker(measure), args=("1.5",)).result(), WorkerFuture[float])
    await resize("a")  # type: ignore[call-arg]


# ---- inside of a job, and whoever only passes things on ---------------------------------------


def passing_on(func: Callable[..., T], *args: Any) -> WorkerFuture[T]:  # noqa: ANN401 - any
    """Arguments of unknown types are possible."""
    return Worker.spawn(func, args=args)


def inside() -> None:
    """A job's own view."""
    job = Worker.current()
    assert_type(job.cancelled, bool)
    assert_type(job.remaining(), float)
