"""Cancelling workers: the cases that programs rely on, and every moment it can come at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import runtime.workers.worker_handle
from runtime.async_runtime import Executor, Future
from runtime.testing import CountingWaker, race
from runtime.workers import CancellationError, HandleState, Outcome, Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, Gate, nothing

if TYPE_CHECKING:
    from runtime.testing import ScriptedBackend
    from runtime.workers import WorkerFuture


def test_cancel_before_completion(executor: Executor) -> None:
    """The reader is told at once; the function runs on."""
    gate: Gate[str] = Gate()
    future = Worker.spawn(gate)
    gate.wait_begun()

    assert future.cancel() is True

    with pytest.raises(CancellationError):
        executor.run_until_complete(future)
    assert future.handle.outcome is Outcome.ABANDONED
    gate.open()


def test_cancel_already_completed(executor: Executor) -> None:
    """What is done cannot be undone, and the result stays."""
    future = Worker.spawn(lambda: 42)
    executor.run_until_complete(future)

    assert future.cancel() is False
    assert future.result() == 42


def test_cancel_several(executor: Executor) -> None:
    """Each is cancelled for itself."""
    gates = [Gate("x") for _ in range(3)]
    futures = [Worker.spawn(gate) for gate in gates]

    assert [future.cancel() for future in futures] == [True] * 3

    settled = executor.run_until_complete(Future.all_settled(futures))
    assert all(isinstance(one.error, CancellationError) for one in settled)
    for gate in gates:
        gate.open()


def test_cancel_some_not_others(executor: Executor) -> None:
    """The others give their results as if nothing had happened."""
    gates = [Gate(number) for number in range(4)]
    futures = [Worker.spawn(gate) for gate in gates]

    for future in futures[::2]:
        future.cancel()
    for gate in gates:
        gate.open()

    assert executor.run_until_complete(Future.all(futures[1::2])) == [1, 3]
    assert [future.cancelled() for future in futures] == [True, False, True, False]


def test_cancellation_error_message(scripted: WorkerPool) -> None:
    """It says who was cancelled."""
    future = scripted.spawn(nothing, name="resize")
    future.cancel()

    with pytest.raises(CancellationError, match=r"^worker 1 'resize' was cancelled$"):
        future.result()


def test_pool_cancel_all(pool: WorkerPool) -> None:
    """Everything that has no outcome is cancelled, and counted; nothing that waited runs."""
    running = [Gate("r"), Gate("r")]
    waiting: list[Gate[str]] = [Gate("w") for _ in range(3)]
    futures = [pool.spawn(gate) for gate in [*running, *waiting]]
    for gate in running:
        gate.wait_begun()

    assert pool.cancel_all() == 5
    assert pool.cancel_all() == 0

    assert all(future.cancelled() for future in futures)
    for gate in running:
        gate.open()
    assert pool.shutdown() is True
    assert [gate.calls for gate in waiting] == [0, 0, 0]


# ---- each moment --------------------------------------------------------------------------


def test_the_error_is_found_where_programs_import_it_from() -> None:
    """Three names, one class, and it is no `BaseException` of its own kind."""
    assert runtime.workers.worker_handle.CancellationError is CancellationError
    assert issubclass(CancellationError, Exception)


def test_a_second_cancel_answers_false_and_does_not_raise(scripted: WorkerPool) -> None:
    """Two who give up on the same job need not know of each other."""
    future = scripted.spawn(nothing)

    assert (future.cancel(), future.cancel()) == (True, False)


def test_cancel_then_start_does_not_run_the_job(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """A queued job never runs once it is cancelled."""
    gate: Gate[str] = Gate()
    future = scripted.spawn(gate)
    future.cancel()

    assert backend.queued == []
    assert backend.run_all() == 0
    assert gate.calls == 0
    assert future.handle.outcome is Outcome.NEVER_RAN


def test_cancel_while_running_drops_the_late_result(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The first outcome stands: the function runs on and changes nothing."""
    future = scripted.spawn(lambda: "late")
    waker = CountingWaker()
    future.poll(waker)
    backend.start(future)

    assert future.cancel() is True
    before = future.handle.outcome
    backend.run(future)

    assert before is Outcome.ABANDONED
    assert future.handle.outcome is Outcome.FINISHED
    assert future.handle.state is HandleState.CANCELLED
    assert waker.count == 1


def test_cancel_while_running_drops_the_late_error(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Nor does an error come out of a job that nobody wants."""

    def fail() -> None:
        raise ValueError("late")

    future = scripted.spawn(fail)
    backend.start(future)
    future.cancel()

    backend.run(future)

    assert isinstance(future.exception(), CancellationError)
    assert future.handle.outcome is Outcome.FINISHED


def test_a_job_that_lets_the_request_pass_was_stopped(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The best end of a cancellation: the function has seen it and cleaned up."""
    future = scripted.spawn(lambda: Worker.current().check())
    backend.start(future)
    future.cancel()

    backend.run(future)

    assert future.handle.outcome is Outcome.STOPPED


def test_cancel_from_the_job_itself(scripted: WorkerPool, backend: ScriptedBackend) -> None:
    """It may give up its own future; it is abandoned until it returns."""
    seen: list[object] = []

    def suicide() -> str:
        seen.extend((future.cancel(), future.handle.outcome, future.cancel()))
        return "dropped"

    future = scripted.spawn(suicide)
    backend.run(future)

    assert seen == [True, Outcome.ABANDONED, False]
    assert future.cancelled()
    assert future.handle.outcome is Outcome.FINISHED


def test_cancel_from_a_done_callback_comes_too_late(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """When callbacks run there is an outcome."""
    answers: list[bool] = []
    future = scripted.spawn(lambda: 1)
    future.add_done_callback(lambda done: answers.append(done.cancel()))  # type: ignore[attr-defined]  # it is a WorkerFuture

    backend.run(future)

    assert answers == [False]
    assert future.result() == 1


def test_cancel_between_claim_and_call_with_options_skips_the_function(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """A slot had taken it already; a job with options looks once more before it begins."""
    gate: Gate[str] = Gate()
    future = scripted.spawn(gate, timeout=5.0)
    backend.start(future)
    future.cancel()

    backend.run(future)

    assert gate.calls == 0
    assert future.handle.outcome is Outcome.NEVER_RAN


def test_ten_threads_cancel_at_once_and_one_succeeds(pool: WorkerPool) -> None:
    """Exactly one is told that it was the one; nobody gets an exception."""
    gate: Gate[str] = Gate()
    future = pool.spawn(gate)
    gate.wait_begun()

    answers = race(*[future.cancel] * 10)

    assert sorted(answers) == [False] * 9 + [True]
    assert pool.statistics().cancelled == 1
    gate.open()


async def wait_for(future: WorkerFuture[str]) -> str:
    return await future


def test_cancelling_the_awaiting_task_cancels_the_job(
    executor: Executor, scripted: WorkerPool
) -> None:
    """Cancellation goes down: the one task that wanted the result is gone."""
    future = scripted.spawn(lambda: "unwanted")
    task = executor.spawn(wait_for(future))
    executor.run_until_stalled()

    task.cancel()
    executor.run_until_stalled()

    assert task.is_cancelled()
    assert future.cancelled()


def test_cancelling_one_of_two_awaiting_tasks_leaves_the_job(
    executor: Executor, scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The other one still wants it."""
    future = scripted.spawn(lambda: "wanted")
    first, second = (executor.spawn(wait_for(future)) for _ in range(2))
    executor.run_until_stalled()

    first.cancel()
    executor.run_until_stalled()
    backend.run(future)
    executor.run_until_stalled()

    assert second.result() == "wanted"


def test_a_job_can_be_kept_when_its_awaiting_task_is_cancelled(
    executor: Executor, scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Where that was asked for by name: its effect is wanted, not its result."""
    future = scripted.spawn(lambda: "kept", cancel_on_abandon=False)
    task = executor.spawn(wait_for(future))
    executor.run_until_stalled()

    task.cancel()
    executor.run_until_stalled()
    backend.run(future)

    assert future.result() == "kept"


def test_cancelling_many_queued_jobs_leaves_no_shells_behind() -> None:
    """The queue stays in proportion to what is alive, whatever is cancelled out of its middle."""
    pool = WorkerPool(1)
    gate: Gate[str] = Gate()
    first = pool.spawn(gate)
    gate.wait_begun()
    kept = [pool.spawn(nothing) for _ in range(10)]
    doomed = [pool.spawn(nothing) for _ in range(2000)]

    for future in doomed:
        future.cancel()

    assert pool.statistics().queued == 10
    assert len(pool._backend._queue._jobs) < 200  # type: ignore[attr-defined]  # the very thing to look at
    gate.open()
    assert first.result(GUARD) == "through"
    assert [future.result(GUARD) for future in kept] == [None] * 10
    pool.shutdown()
