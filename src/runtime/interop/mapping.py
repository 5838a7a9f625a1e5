"""``map`` of an executor: many calls, their results in order.

As the standard library's newest, on every version: see `results_of` for what *buffersize* does.
Nothing here keeps a result that the caller has got.
Source: interop-spec.md, section 2.3; ADR-011.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Iterable, Iterator

__all__ = ("check_sizes", "in_chunks", "results_of", "run_chunk", "unchunked")

T = TypeVar("T")


def check_sizes(chunksize: object, buffersize: object) -> None:
    """Refuse sizes that make no sense, in the standard library's words.

    Raises:
        TypeError: one is no whole number.
        ValueError: one is below 1.
    """
    if not isinstance(chunksize, int):
        raise TypeError(f"chunksize must be an integer, got {chunksize!r}")
    if chunksize < 1:
        raise ValueError(f"chunksize must be >= 1, got {chunksize}")
    if buffersize is None:
        return
    if not isinstance(buffersize, int):
        raise TypeError(f"buffersize must be an integer or None, got {buffersize!r}")
    if buffersize < 1:
        raise ValueError(f"buffersize must be None or > 0, got {buffersize}")


def results_of(
    submit: Callable[[tuple[Any, ...]], concurrent.futures.Future[T] | None],
    calls: Iterator[tuple[Any, ...]],
    timeout: float | None,
    buffersize: int | None,
) -> Iterator[T]:
    """Submit *calls* now, or *buffersize* of them and one more for each result that is taken.

    Where it ends early (an error, a timeout, the iterator is dropped), what waits is cancelled.

    Args:
        submit: Takes the arguments of one call; None: nobody is there to take it.
        calls: The arguments of each.
        timeout: Seconds from now for all results.
        buffersize: How many results may wait to be taken; None: all.
    """
    end = None if timeout is None else time.monotonic() + timeout
    futures: deque[concurrent.futures.Future[T]] = deque()
    try:
        for call in itertools.islice(calls, buffersize):
            future = submit(call)
            if future is not None:
                futures.append(future)
    except BaseException:  # the iterable raises, or the executor does
        _cancel(futures)
        raise
    more = None if buffersize is None else functools.partial(_submit_next, submit, calls)
    return _take(futures, end, more)


def _submit_next(
    submit: Callable[[tuple[Any, ...]], concurrent.futures.Future[T] | None],
    calls: Iterator[tuple[Any, ...]],
) -> concurrent.futures.Future[T] | None:
    for call in calls:
        return submit(call)
    return None


def _take(
    futures: deque[concurrent.futures.Future[T]],
    end: float | None,
    more: Callable[[], concurrent.futures.Future[T] | None] | None,
) -> Iterator[T]:
    try:
        while futures:
            if more is not None:
                future = more()
                if future is not None:
                    futures.append(future)
                del future
            yield _result(futures, end)
    finally:
        _cancel(futures)


def _result(futures: deque[concurrent.futures.Future[T]], end: float | None) -> T:
    """Return the result of the first one, and keep neither."""
    future = futures.popleft()
    try:
        return future.result(None if end is None else end - time.monotonic())
    finally:
        future.cancel()  # it is late
        del future  # an error's traceback keeps this frame


def _cancel(futures: Iterable[concurrent.futures.Future[Any]]) -> None:  # Any: of whatever type
    for future in futures:
        future.cancel()


# ---- chunks, for pools of processes -------------------------------------------------------


def in_chunks(
    calls: Iterator[tuple[Any, ...]], size: int
) -> Iterator[tuple[tuple[tuple[Any, ...], ...]]]:
    """Give the arguments of calls of `run_chunk`, *size* calls in each."""
    while chunk := tuple(itertools.islice(calls, size)):
        yield (chunk,)


def run_chunk(func: Callable[..., T], calls: tuple[tuple[Any, ...], ...]) -> list[T]:
    """In a worker: make all these *calls*."""
    return [func(*call) for call in calls]


def unchunked(chunks: Iterator[list[T]]) -> Iterator[T]:
    """Give the results one by one."""
    for chunk in chunks:
        chunk.reverse()
        while chunk:
            yield chunk.pop()
