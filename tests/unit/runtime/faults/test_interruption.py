"""Signal handlers and finalizers that use a pool in the middle of using it; Ctrl-C anywhere."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import InvalidStateError
from runtime.workers import WorkerPool
from tests.unit.runtime.backends.inside import backend_of, crew_of
from tests.unit.runtime.gates import GUARD, nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.backends.base import JobSink

needs_timers = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs signals")
not_measured = pytest.mark.skipif(
    "COVERAGE_RUN" in os.environ,
    reason="the lock of the coverage tool is not re-entrant, and stays taken after an interrupt",
)


@contextlib.contextmanager
def _signals(handler: Callable[[], object], every: float) -> Iterator[None]:
    """Call *handler* in the main thread, again and again, wherever that is."""

    def handle(*_: object) -> None:
        try:
            handler()
        finally:  # again when it has ended: it does not interrupt itself
            signal.setitimer(signal.ITIMER_REAL, every)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, every)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@needs_timers
@not_measured
def test_a_signal_handler_may_spawn_and_cancel_in_the_middle_of_the_same() -> None:
    """The lock is re-entrant, and no step relies on being alone."""
    with WorkerPool(2) as pool:
        pool.spawn(nothing, timeout=100).result(GUARD)  # the watcher of deadlines runs now
        inside: list[Any] = []  # Any: futures

        def handler() -> None:
            if len(inside) < 300:
                inside.append(pool.spawn(nothing, timeout=100))
                pool.spawn(nothing).cancel()

        with _signals(handler, 0.0001):
            jobs = [pool.spawn(nothing, timeout=100) for _ in range(3000)]
            for job in jobs[::2]:
                job.cancel()
            while len(inside) < 20:
                pool.spawn(nothing).result(GUARD)

        assert pool.wait_idle(GUARD)
        assert all(job.done() for job in jobs + inside)


@needs_timers
@not_measured
def test_an_exception_of_a_handler_loses_no_worker_and_no_lock() -> None:
    """Ctrl-C in a loop that spawns, at hundreds of different moments: the pool works on."""

    class Interrupted(BaseException):
        pass

    def interrupt() -> None:
        if armed:
            armed.clear()
            raise Interrupted

    armed: list[int] = []
    with WorkerPool(1) as pool:
        with _signals(interrupt, 0.0003):
            hits = 0
            while hits < 200:
                try:
                    armed.append(1)
                    while True:
                        job = pool.spawn(nothing)
                        job.cancel()
                        pool.spawn(nothing).result(GUARD)
                except Interrupted:
                    hits += 1

        assert pool.spawn(lambda: "works").result(GUARD) == "works"
        assert pool.wait_idle(GUARD)
        assert len(crew_of(pool).idle) == pool.statistics().workers


class _Finalizer:
    """Spawns when it is freed; in a cycle, so that the collector frees it, at any moment."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.me = self

    def __del__(self) -> None:
        with contextlib.suppress(InvalidStateError):  # the pool may be shut down by then
            self.call()


@pytest.fixture
def constant_collection() -> Iterator[None]:
    """Run the garbage collector as often as it can be made to."""
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    yield
    gc.set_threshold(*before)
    gc.collect()


@not_measured
@pytest.mark.usefixtures("constant_collection")
def test_finalizers_may_spawn_and_cancel_wherever_they_run() -> None:
    """In the middle of a spawn, of a cancel, of the start of a thread, and between two jobs."""
    calls: list[int] = []
    for _ in range(10):
        with WorkerPool(2) as pool:

            def call(pool: WorkerPool = pool) -> None:
                calls.append(1)
                pool.spawn(nothing).cancel()
                pool.spawn(nothing)

            for _ in range(20):
                _Finalizer(call)
                job = pool.spawn(_Finalizer, args=(nothing,))
                job.cancel()
                pool.spawn(nothing)
            gc.collect()  # without the GIL it does not come by itself so often
            assert pool.wait_idle(GUARD)

    assert calls


def test_a_finalizer_in_the_middle_of_a_push_spawns() -> None:
    """Step by step: the outer spawn has not finished when the inner one runs."""
    with WorkerPool(1) as pool:
        backend = backend_of(pool)
        push = backend._push
        order: list[str] = []

        def push_twice(job: JobSink) -> None:
            backend._push = push
            pool.spawn(order.append, args=("inner",))
            push(job)

        backend._push = push_twice
        pool.spawn(order.append, args=("outer",)).result(GUARD)

        assert order == ["inner", "outer"]


def test_a_result_whose_end_uses_the_pool_is_freed_outside_of_the_lock() -> None:
    """Its finalizer may wait for another thread that wants that very lock."""
    with WorkerPool(1) as pool:
        seen: list[bool] = []
        done = threading.Event()

        class Result:
            def __del__(self) -> None:
                taken = threading.Thread(target=lambda: seen.append(_can_lock(pool)))
                taken.start()
                taken.join(GUARD)
                done.set()

        job: Any = pool.spawn(Result)  # Any: it is dropped below
        del job
        pool.spawn(nothing).result(GUARD)
        gc.collect()

        assert done.wait(GUARD)
        assert seen == [True]


def _can_lock(pool: WorkerPool) -> bool:
    lock = pool._core.lock
    taken = lock.acquire(timeout=GUARD / 2)
    if taken:
        lock.release()
    return taken


@not_measured
@pytest.mark.usefixtures("eager_thread_switches", "constant_collection")
def test_races_under_constant_collection_lose_nothing() -> None:
    """T13: the collector runs at almost every allocation, and threads change all the time."""
    with WorkerPool(3) as pool:
        results = []
        for number in range(200):
            job = pool.spawn(lambda number=number: [number])
            if number % 3 == 0:
                job.cancel()
            results.append(job)
        assert pool.wait_idle(GUARD * 3)

    kept = [job.result(0) for job in results if not job.cancelled()]
    assert len(kept) >= 133
    statistics = pool.statistics()
    assert statistics.done == 200
    assert sys.getswitchinterval() < 1e-4
