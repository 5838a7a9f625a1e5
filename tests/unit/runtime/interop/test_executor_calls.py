"""What an executor is given, and what comes back: ``submit`` and ``map``, on both kinds."""

from __future__ import annotations

import concurrent.futures
import gc
import itertools
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime.running import FREE_THREADED
from runtime.interop.concurrent import PoolExecutor, ProcessExecutor, ThreadExecutor
from runtime.testing import race
from tests.unit.runtime.gates import GUARD
from tests.unit.runtime.interop.jobs_here import Thing, capture, give, make_thing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_it_is_an_executor_and_gives_futures_of_the_standard_library(
    executor: PoolExecutor,
) -> None:
    """Programs look at more than the methods."""
    future = executor.submit(pow, 2, 8)

    assert isinstance(executor, concurrent.futures.Executor)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(GUARD) == 256


def test_arguments_of_any_name_reach_the_function(executor: PoolExecutor) -> None:
    """Also those that our own parameters are called by."""
    names = {"self": 2, "fn": 3, "func": 4, "name": 5, "timeout": 6, "args": 7}

    assert executor.submit(capture, 1, **names).result(GUARD) == ((1,), names)
    with pytest.raises(TypeError):
        executor.submit(fn=capture)  # type: ignore[call-arg]  # what is tested


def test_what_is_no_function_fails_as_the_job_does(executor: PoolExecutor) -> None:
    """The standard executors look at it when they call it."""
    future: Any = executor.submit(None)  # type: ignore[arg-type]  # what is tested

    with pytest.raises(TypeError, match="not callable"):
        future.result(GUARD)


def test_map_gives_results_in_order(executor: PoolExecutor) -> None:
    """Whichever way the calls travel."""
    expected = list(map(pow, range(10), range(10)))

    assert list(executor.map(pow, range(10), range(10))) == expected
    assert list(executor.map(pow, range(10), range(10), chunksize=3)) == expected
    assert list(executor.map(pow, range(10), range(10), buffersize=2)) == expected
    assert list(executor.map(pow, range(10), range(10), chunksize=3, buffersize=1)) == expected
    assert list(executor.map(pow)) == []


def test_map_raises_where_the_call_did(executor: PoolExecutor) -> None:
    """What came before it is given out."""
    results = executor.map(divmod, [1, 1, 1, 1], [2, 3, 0, 5])

    assert [next(results), next(results)] == [(0, 1), (0, 1)]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_map_with_a_time_limit_gives_what_is_there_then_raises(
    single: PoolExecutor, gate: Any
) -> None:
    """And what still waits is cancelled."""
    assert single.submit(int).result(GUARD) == 0  # the worker is there
    results = single.map(_call, [int, gate, gate], timeout=0.3)

    assert next(results) == 0
    gate.wait_begun()
    with pytest.raises(TimeoutError):
        next(results)
    gate.open()
    assert single.submit(int).result(GUARD) == 0
    assert single.pool.wait_idle(GUARD)
    assert single.pool.statistics().cancelled == 1


def _call(func: Callable[[], object]) -> object:
    return func()


def test_dropping_the_iterator_cancels_what_waits(single: PoolExecutor, gate: Any) -> None:
    """Nobody will take those results."""
    results = single.map(_call, [int, gate, int, int])
    assert next(results) == 0
    gate.wait_begun()

    results.close()  # type: ignore[attr-defined]  # a generator, as the standard one is
    gate.open()

    assert single.pool.wait_idle(GUARD)
    assert single.pool.statistics().cancelled == 2


def test_a_buffer_lets_an_endless_iterable_be_mapped(executor: PoolExecutor) -> None:
    """Only so many calls are made ahead."""
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            yield number

    results = executor.map(give, numbers(), buffersize=3)

    assert taken == [0, 1, 2]
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert taken == list(range(8))


def test_a_buffered_map_does_not_keep_its_executor(
    new_executor: Callable[..., PoolExecutor], kind: str
) -> None:
    """One that nobody holds takes no more calls; those that it has taken end."""
    made = {"threads": ThreadExecutor, "processes": ProcessExecutor}[kind](1)
    results = made.map(give, itertools.count(), buffersize=2)
    watched, pool = weakref.ref(made), made.pool
    assert pool.wait_idle(GUARD)

    del made

    assert watched() is None
    assert list(results) == [0, 1]
    assert pool.shutdown(timeout=GUARD)


def test_an_iterable_that_raises_ends_the_call(single: PoolExecutor, gate: Any) -> None:
    """What was submitted by then is cancelled where it waits."""

    def calls() -> Iterator[Any]:
        yield gate
        gate.wait_begun()
        yield int
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        single.map(_call, calls())
    gate.open()

    assert single.pool.wait_idle(GUARD)
    assert single.pool.statistics().cancelled == 1


def test_stop_iteration_from_a_job_ends_nothing_silently(executor: PoolExecutor) -> None:
    """An iterator that just ended would hide it."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(executor.map(next, [iter(())]))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"chunksize": 0}, ValueError, "chunksize must be >= 1"),
        ({"chunksize": -1}, ValueError, "chunksize must be >= 1"),
        ({"chunksize": "one"}, TypeError, "chunksize must be an integer"),
        ({"buffersize": 0}, ValueError, "buffersize must be None or > 0"),
        ({"buffersize": -1}, ValueError, "buffersize must be None or > 0"),
        ({"buffersize": 1.5}, TypeError, "buffersize must be an integer or None"),
    ],
)
def test_sizes_of_map_that_make_no_sense_are_refused(
    executor: PoolExecutor, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    """At the call, on both kinds alike, with the standard library's words."""
    with pytest.raises(error, match=words):
        executor.map(give, [1], **options)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_workers": 0}, ValueError),
        ({"max_workers": -1}, ValueError),
        ({"max_workers": "two"}, TypeError),
        ({"initializer": "no function"}, TypeError),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    new_executor: Callable[..., PoolExecutor], arguments: dict[str, Any], error: type[Exception]
) -> None:
    """With the standard library's words, which its tests look for."""
    with pytest.raises(error, match=r"must be (greater than 0|a )"):
        new_executor(**arguments)


@pytest.mark.parametrize("chunksize", [1, 2])
@pytest.mark.parametrize("buffersize", [None, 2])
@pytest.mark.parametrize("where", ["class", "instance"])
def test_map_submits_through_a_submit_that_was_replaced(
    kind: str, where: str, buffersize: int | None, chunksize: int
) -> None:
    """Subclasses count, name or limit calls there."""
    seen: list[object] = []

    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        seen.append(fn)
        return PoolExecutor.submit(self, fn, *args, **kwargs)

    base: type[PoolExecutor] = {"threads": ThreadExecutor, "processes": ProcessExecutor}[kind]
    counting = type("Counting", (base,), {"submit": submit} if where == "class" else {})
    with counting(1) as executor:
        if where == "instance":
            executor.submit = submit.__get__(executor)
        results = executor.map(abs, range(-4, 0), chunksize=chunksize, buffersize=buffersize)

        assert list(results) == [4, 3, 2, 1]

    assert len(seen) == (2 if kind == "processes" and chunksize == 2 else 4)


def test_results_are_freed_once_they_are_taken(executor: PoolExecutor) -> None:
    """Neither the iterator nor the future behind it keeps them."""
    for thing in executor.map(make_thing, range(5)):
        gone = _told_when_gone(thing)
        del thing
        assert _happens(gone)


def test_arguments_are_freed_though_nobody_holds_the_future(executor: PoolExecutor) -> None:
    """They go when the call has ended."""
    thing = Thing()
    gone = _told_when_gone(thing)

    executor.submit(thing.method)
    del thing

    assert _happens(gone)


def test_futures_can_be_watched_and_go(executor: PoolExecutor) -> None:
    """While the work runs too: it settles a future that somebody may have a callback on."""
    future = executor.submit(give, 1)
    gone = _told_when_gone(future)
    assert future.result(GUARD) == 1

    del future

    assert _happens(gone)


def _told_when_gone(thing: object) -> threading.Event:
    """Return what is set when *thing* is freed: its worker may be in its last steps with it."""
    gone = threading.Event()
    weakref.finalize(thing, gone.set).atexit = False
    return gone


def _happens(gone: threading.Event) -> bool:
    """Wait for *gone*. Without the GIL what another thread made is freed when that looks at it."""
    if not FREE_THREADED:
        return gone.wait(GUARD)
    for _ in range(100):
        gc.collect()
        if gone.wait(GUARD / 100):
            return True
    return False


def test_submits_from_many_threads_each_get_their_own_result(executor: PoolExecutor) -> None:
    """The executor has no lock of its own that could mix them."""
    calls = [lambda n=n: [executor.submit(give, (n, k)) for k in range(20)] for n in range(4)]

    for number, futures in enumerate(race(*calls)):
        assert [f.result(GUARD) for f in futures] == [(number, k) for k in range(20)]
