"""T10, T11, T14: what jobs leave behind in their thread, and what the pool keeps of them."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import contextvars
import gc
import sys
import threading
import tracemalloc
import weakref
from typing import Any

import pytest

from runtime.workers import WorkerPool
from tests.unit.runtime.backends.inside import crew_of, wait_until, wait_until_back
from tests.unit.runtime.gates import GUARD, Gate, nothing

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")


class _Object:
    """Something whose end can be seen."""


def test_what_a_job_sets_in_its_context_is_not_there_for_the_next_one() -> None:
    """Each job has a context of its own."""
    with WorkerPool(1) as pool:
        pool.spawn(VARIABLE.set, args=("by a job",)).result(GUARD)

        assert pool.spawn(VARIABLE.get).result(GUARD) == "default"


def test_a_thread_has_its_name_back_for_the_next_job() -> None:
    """Logs and debuggers name threads."""

    def rename() -> str:
        name = threading.current_thread().name
        threading.current_thread().name = "mine"
        return name

    with WorkerPool(1) as pool:
        first = pool.spawn(rename)
        second = pool.spawn(lambda: threading.current_thread().name)

        assert first.result(GUARD).startswith("vela-worker-")
        assert second.result(GUARD) == first.result(GUARD)


def test_a_thread_local_stays_with_the_thread() -> None:
    """As with every pool of threads: jobs share their threads. Use a context variable."""
    local = threading.local()

    def leave() -> None:
        local.word = "left"

    with WorkerPool(1) as pool:
        pool.spawn(leave).result(GUARD)

        assert pool.spawn(lambda: local.word).result(GUARD) == "left"


def test_a_trace_function_stays_with_the_thread_and_does_no_harm() -> None:
    """It is the thread's; the pool neither removes it nor stumbles over it."""
    with WorkerPool(1) as pool:
        before = pool.spawn(sys.gettrace).result(GUARD)
        pool.spawn(sys.settrace, args=(lambda *_: None,)).result(GUARD)

        assert pool.spawn(lambda: "next").result(GUARD) == "next"
        pool.spawn(sys.settrace, args=(before,)).result(GUARD)


def test_a_switch_interval_stays_for_the_process() -> None:
    """It belongs to the interpreter; nobody but the user puts it back."""
    before = sys.getswitchinterval()
    try:
        with WorkerPool(2) as pool:
            pool.spawn(sys.setswitchinterval, args=(1e-6,)).result(GUARD)

            assert [pool.spawn(lambda: 1).result(GUARD) for _ in range(100)] == [1] * 100
    finally:
        sys.setswitchinterval(before)


class TestNothingIsKept:
    """T14: the last reader of a future is the last one who holds anything of its job."""

    def test_a_result_goes_with_its_future(self) -> None:
        """The worker that made it sleeps, and keeps nothing."""
        with WorkerPool(1) as pool:
            job: Any = pool.spawn(_Object)  # Any: it is dropped below
            result = weakref.ref(job.result(GUARD))
            assert result() is not None
            wait_until_back(pool)

            del job

            gc.collect()
            assert result() is None

    def test_arguments_and_function_go_with_the_end_of_the_run(self) -> None:
        """Although the future lives."""
        with WorkerPool(1) as pool:
            argument = _Object()
            gone = weakref.ref(argument)
            job = pool.spawn(lambda one: one is not None, args=(argument,))
            del argument

            assert job.result(GUARD)
            wait_until_back(pool)
            gc.collect()
            assert gone() is None

    def test_a_cancelled_job_keeps_nothing_while_it_is_passed_over(self) -> None:
        """Its place in the queue is an empty shell."""
        with WorkerPool(1) as pool:
            gate: Gate[str] = Gate()
            pool.spawn(gate)
            gate.wait_begun()
            argument = _Object()
            gone = weakref.ref(argument)
            job = pool.spawn(id, args=(argument,))
            del argument

            job.cancel()

            gc.collect()
            assert gone() is None
            gate.open()

    def test_an_error_and_its_frames_go_with_the_future(self) -> None:
        """No cycle is left that only the collector could break."""
        with WorkerPool(1) as pool:

            def fail(one: _Object) -> None:
                raise ValueError(one)

            argument = _Object()
            gone = weakref.ref(argument)
            job: Any = pool.spawn(fail, args=(argument,))  # Any: it is dropped below
            del argument
            with pytest.raises(ValueError, match="_Object"):
                job.result(GUARD)
            wait_until_back(pool)

            del job

            gc.collect()
            assert gone() is None

    def test_a_loop_of_jobs_keeps_memory_flat(self) -> None:
        """Ten thousand jobs later the pool is as large as before."""
        with WorkerPool(1) as pool:
            for _ in range(200):
                pool.spawn(nothing).result(GUARD)
            wait_until_back(pool)
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(2000):
                pool.spawn(nothing).result(GUARD)
            wait_until_back(pool)
            gc.collect()
            after = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()

            assert after - before < 20_000


@pytest.mark.slow
def test_many_queued_jobs_take_little_each_and_are_cancelled_quickly() -> None:
    """T10 with a tenth of a million; the bytes are those that the documents state."""
    count = 100_000
    with WorkerPool(1) as pool:
        gate: Gate[str] = Gate()
        pool.spawn(gate)
        gate.wait_begun()
        gc.collect()
        gc.disable()
        tracemalloc.start()
        jobs = [pool.spawn(nothing) for _ in range(count)]
        each = tracemalloc.get_traced_memory()[0] / count
        tracemalloc.stop()
        gc.enable()

        assert each < 700
        assert pool.statistics().queued == count
        assert pool.cancel_all() == count + 1
        assert pool.statistics().queued == 0
        gate.open()
        wait_until(pool, lambda: crew_of(pool).abandoned == 0)
        assert all(job.cancelled() for job in jobs)
        assert pool.spawn(lambda: "next").result(GUARD) == "next"
