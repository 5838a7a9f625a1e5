"""Defects that worker runtimes have had: each of them once, so that none comes back."""

from __future__ import annotations

import contextvars
import gc
import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from runtime.async_runtime import Executor, Future
from runtime.errors import CancellationError
from runtime.testing import CountingWaker
from runtime.workers import Outcome, Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, Gate, nothing

if TYPE_CHECKING:
    from runtime.async_runtime import UnhandledError
    from runtime.testing import ManualClock, ScriptedBackend

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("COLOUR", default="none")


def fail(error: BaseException) -> NoReturn:
    raise error


@pytest.mark.slow
def test_a_worker_longer_than_a_second_does_not_look_stuck(executor: Executor) -> None:
    """The loop just waits: a long job is no reason to complain."""
    assert executor.run_until_complete(Worker.spawn(time.sleep, args=(1.2,))) is None


def test_spawn_all_notices_a_failure_while_earlier_jobs_still_run(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """And its siblings do not run on."""
    group = Worker.spawn_all([nothing, nothing, lambda: fail(ValueError("last"))], pool=scripted)
    backend.start(group.futures[0])

    backend.run(group.futures[2])

    assert isinstance(group.exception(), ValueError)
    assert group.futures[0].handle.outcome is Outcome.ABANDONED
    assert group.futures[1].handle.outcome is Outcome.NEVER_RAN


def test_cancelling_twice_does_not_raise(scripted: WorkerPool) -> None:
    """The second one is late, that is all."""
    future = scripted.spawn(nothing)
    future.cancel()

    assert future.cancel() is False


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_system_exit_in_a_worker_settles_its_future(pool: WorkerPool, error: BaseException) -> None:
    """It must not vanish with a thread."""
    future = pool.spawn(fail, args=(error,))

    assert type(future.exception(GUARD)) is type(error)


def test_a_timeout_is_noticed_before_the_work_ends(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock
) -> None:
    """At the deadline, while the function is still running."""
    seen: list[bool] = []

    def work() -> None:
        clock.advance(1.0)
        seen.append(future.done())

    future = scripted.spawn(work, timeout=1.0)
    backend.run(future)

    assert seen == [True]
    assert isinstance(future.exception(), TimeoutError)


def test_future_timeout_fires_though_nothing_else_happens(executor: Executor) -> None:
    """No poll comes by chance: the loop has to wake for it."""
    gate: Gate[str] = Gate()
    future = Worker.spawn(gate)

    with pytest.raises(TimeoutError):
        executor.run_until_complete(Future.timeout(future, 0.01))

    gate.open()


def test_two_tasks_that_await_one_worker_are_both_woken(
    executor: Executor, scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Every waker is kept, not the last one."""
    future = scripted.spawn(lambda: 5)

    async def wait() -> int:
        return await future

    tasks = [executor.spawn(wait()) for _ in range(50)]
    executor.run_until_stalled()
    backend.run(future)
    executor.run_until_stalled()

    assert [task.result() for task in tasks] == [5] * 50


def test_a_worker_that_spawns_and_waits_does_not_deadlock_a_full_pool() -> None:
    """One worker, and a job in a job in a job."""
    with WorkerPool(1) as pool:

        def nested(depth: int) -> int:
            return 0 if depth == 0 else 1 + pool.spawn(nested, args=(depth - 1,)).result()

        assert pool.spawn(nested, args=(20,)).result(GUARD) == 20


def test_a_worker_future_can_be_awaited_in_a_coroutine(executor: Executor) -> None:
    """It is a future like any other."""

    async def main() -> int:
        return await Worker.spawn(lambda: 5) + await Worker.spawn(lambda: 6)

    assert executor.run_until_complete(main()) == 11


def test_a_falsy_exception_is_an_error_not_none(pool: WorkerPool) -> None:
    """Nobody asks an exception whether it is true."""

    class FalsyError(Exception):
        def __bool__(self) -> bool:
            return False

    with pytest.raises(FalsyError):
        pool.spawn(fail, args=(FalsyError(),)).result(GUARD)


def test_reading_a_failed_worker_again_does_not_grow_its_traceback(pool: WorkerPool) -> None:
    """A future that is polled for weeks must not grow."""
    future = pool.spawn(fail, args=(ValueError("again"),))

    def depth() -> int:
        error = future.exception(GUARD)
        trace, count = None if error is None else error.__traceback__, 0
        while trace is not None:
            trace, count = trace.tb_next, count + 1
        return count

    assert [depth() for _ in range(10)] == [1] * 10


def test_context_variables_reach_the_worker(pool: WorkerPool) -> None:
    """Request ids and the like are there."""
    token = COLOUR.set("red")

    assert pool.spawn(COLOUR.get).result(GUARD) == "red"

    COLOUR.reset(token)


def test_times_do_not_follow_the_wall_clock(
    monkeypatch: pytest.MonkeyPatch, pool: WorkerPool
) -> None:
    """Somebody sets the machine's clock back: no deadline moves."""
    monkeypatch.setattr(time, "time", lambda: fail(AssertionError("the wall clock was read")))

    future = pool.spawn(lambda: 1, timeout=60.0)

    assert future.result(GUARD) == 1
    assert 0.0 <= future.handle.elapsed() < 60.0


def test_a_wake_between_pending_and_parked_is_not_lost(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The job ends after the poll said pending: the waker that was given is woken."""
    future = scripted.spawn(nothing)
    waker = CountingWaker()
    assert future.poll(waker).is_pending()

    backend.run(future)

    assert waker.wait(1)


# ---- of our own first version -------------------------------------------------------------


def test_a_callback_that_raises_system_exit_does_not_end_the_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor does it keep the timer of the job: everything after it is done all the same."""
    with WorkerPool(1) as pool:
        gate: Gate[str] = Gate()
        future = pool.spawn(gate, timeout=1000.0)
        future.add_done_callback(lambda _: fail(SystemExit(3)))
        plain_gate: Gate[str] = Gate()
        plain = pool.spawn(plain_gate)
        plain.add_done_callback(lambda _: fail(SystemExit(4)))
        gate.open()
        plain_gate.open()

        assert pool.spawn(lambda: "alive").result(GUARD) == "alive"
        assert pool.statistics().workers == 1

    assert caplog.text.count("the worker goes on") == 2
    assert future._options is not None
    assert future._options.timer is not None
    assert future._options.timer[2] is None


def test_a_callback_that_raises_reaches_who_cancels_but_everything_is_done(
    scripted: WorkerPool,
) -> None:
    """`KeyboardInterrupt` is not swallowed; and the backend has been told."""
    future = scripted.spawn(nothing, timeout=5.0)
    future.add_done_callback(lambda _: fail(KeyboardInterrupt()))

    with pytest.raises(KeyboardInterrupt):
        future.cancel()

    assert future.cancelled()
    assert scripted.statistics().queued == 0


def test_a_callback_of_a_failed_job_that_raises_stops_nobody(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    """The same on the way of errors."""
    gate: Gate[None] = Gate(ValueError("of the job"))
    future = pool.spawn(gate)
    future.add_done_callback(lambda _: fail(SystemExit(5)))
    gate.open()

    assert isinstance(future.exception(GUARD), ValueError)
    pool.shutdown()
    assert "the worker goes on" in caplog.text


def test_in_the_caller_a_callback_may_raise_to_the_caller(pool: WorkerPool) -> None:
    """There the thread is the caller's own: a Ctrl-C in it is the caller's as well."""
    inline = WorkerPool(1, backend="inline")

    def work() -> None:
        handle = inline.get_active_handles()[0]
        handle._job.add_done_callback(lambda _: fail(KeyboardInterrupt()))

    with pytest.raises(KeyboardInterrupt):
        _ = inline.spawn(work)

    assert inline.statistics().succeeded == 1


def test_a_refused_spawn_that_raced_with_a_shutdown_is_told_once(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """By the exception: the failed future is held by nobody, and is no news."""
    scripted.shutdown(wait=False)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="takes no more jobs"):
            _ = scripted.spawn(nothing)
    gc.collect()

    assert reports == []
    assert backend.queued == []


def test_the_error_of_a_cancelled_reader_is_its_own(scripted: WorkerPool) -> None:
    """Two readers of a cancellation do not share one exception either."""
    future = scripted.spawn(nothing)
    future.cancel()
    first, second = future.exception(), future.exception()

    assert isinstance(first, CancellationError)
    assert first is not second
