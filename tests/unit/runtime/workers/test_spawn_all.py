"""`Worker.spawn_all`: jobs that stand or fall together, at every moment a member can fail."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from runtime.errors import CancellationError, PoolShutdownError, WorkerRuntimeError
from runtime.testing import CountingWaker, race
from runtime.workers import HandleState, Outcome, Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, Gate, nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.async_runtime import Executor, UnhandledError
    from runtime.testing import ManualClock, ScriptedBackend


def fail() -> NoReturn:
    raise ValueError("the member failed")


def test_results_come_in_order_whichever_ends_first(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The position in the list says which function it was."""
    group = Worker.spawn_all([lambda: "a", lambda: "b", lambda: "c"], pool=scripted)

    for job in reversed(group.futures):
        assert not group.done()
        backend.run(job)

    assert group.result() == ["a", "b", "c"]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_first_failure_surfaces_at_once_whichever_position_it_has(
    scripted: WorkerPool, backend: ScriptedBackend, position: int
) -> None:
    """The reference noticed it only when all earlier futures were done."""
    funcs: list[Any] = [nothing, nothing, nothing]
    funcs[position] = fail
    group = Worker.spawn_all(funcs, pool=scripted)
    waker = CountingWaker()
    group.poll(waker)

    backend.run(group.futures[position])

    assert waker.count == 1
    with pytest.raises(ValueError, match="the member failed"):
        group.result()


def test_notes_on_the_error_tell_what_became_of_each(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """One look at the error, and one knows which work is done, and what still runs."""
    group = Worker.spawn_all([nothing, nothing, fail, nothing, fail], name="part", pool=scripted)
    done, running, failing, queued, doomed = group.futures
    backend.run(done)
    backend.start(running)
    doomed.handle.fail(LookupError("by hand"))
    assert group.exception() is not None
    error = group.exception()
    assert error is not None

    assert error.__notes__[0].startswith("worker 5 'part-4' of spawn_all failed (spawned at ")
    assert error.__notes__[1:] == [
        "had succeeded: worker 1 'part-0'",
        "asked to stop, and still running: worker 2 'part-1'",
        "cancelled before they ran: worker 3 'part-2', worker 4 'part-3'",
    ]
    assert [job.cancelled() for job in (running, failing, queued)] == [True] * 3
    backend.run(running)
    assert running.handle.outcome is Outcome.FINISHED


def test_a_member_that_had_been_stopped_or_killed_is_told_so(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The three ends of a cancelled job are told apart."""
    group = Worker.spawn_all(
        [lambda: Worker.current().check(), nothing, nothing, fail], pool=scripted
    )
    stopped, killed, finished, failing = group.futures
    for job in (stopped, killed, finished):
        backend.start(job)
    group._decision.clear()  # keep the group out of it until all have ended
    for job in (stopped, killed, finished):
        job.cancel()
    backend.run(stopped)
    backend.crash(killed)
    backend.run(finished)
    group._decision.append(None)

    backend.run(failing)

    error = group.exception()
    assert error is not None
    assert error.__notes__[1:] == [
        "stopped: worker 1",
        "killed: worker 2",
        "ended, and their results were dropped: worker 3",
    ]


def test_what_was_not_spawned_yet_never_is() -> None:
    """In the caller each job ends at its spawn: after the failure there is no other."""
    pool = WorkerPool(1, backend="inline")
    calls: list[int] = []

    group = Worker.spawn_all([nothing, fail, lambda: calls.append(1)], pool=pool)

    error = group.exception()
    assert error is not None
    assert error.__notes__[-1] == "never spawned: 1 more"
    assert (len(group.futures), calls) == (2, [])


def test_a_member_spawned_while_another_fails_is_cancelled_as_well(
    scripted: WorkerPool, backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is seen between a job's spawn and its place in the list: nothing slips through."""
    submit = scripted._submit

    def submit_and_fail_the_first(job: Any) -> None:  # Any: a JobSink
        submit(job)
        if len(backend.queued) == 3:
            race(lambda: backend.run(backend.queued[0]))

    monkeypatch.setattr(scripted, "_submit", submit_and_fail_the_first)

    group = Worker.spawn_all([fail, nothing, nothing, nothing, nothing], pool=scripted)

    error = group.exception()
    assert error is not None
    assert len(group.futures) == 3
    assert [job.state for job in group.futures[1:]] == [HandleState.CANCELLED] * 2
    assert error.__notes__[1:] == [
        "cancelled before they ran: worker 2, worker 3",
        "never spawned: 2 more",
    ]


def test_later_failures_are_not_reported_beside_the_first(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """The first one speaks for all; and once it was read, there is nothing to report."""
    group = Worker.spawn_all([fail, fail], pool=scripted)
    first, second = group.futures
    backend.start(second)
    backend.run(first)
    backend.run(second)
    assert isinstance(group.exception(), ValueError)

    del group, first, second
    gc.collect()

    assert reports == []


def test_a_group_whose_failure_nobody_reads_is_reported_once(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """With the place where the group was spawned."""
    group = Worker.spawn_all([fail, nothing], pool=scripted)
    backend.run_all()
    del group
    gc.collect()

    assert [(report.who, str(report.error)) for report in reports] == [
        ("spawn_all", "the member failed")
    ]
    assert "test_spawn_all.py" in reports[0].place


def test_cancel_cancels_every_member_and_is_not_reported(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """The group is one thing: nothing of it is left to run."""
    group = Worker.spawn_all([nothing] * 3, pool=scripted)
    backend.start()

    assert (group.cancel(), group.cancel()) == (True, False)

    assert all(job.cancelled() for job in group.futures)
    with pytest.raises(CancellationError, match="spawn_all were cancelled"):
        group.result()
    assert group.cancelled()
    del group
    gc.collect()
    assert reports == []


def test_a_member_that_is_cancelled_cancels_the_group(
    scripted: WorkerPool, reports: list[UnhandledError]
) -> None:
    """For example by ``pool.cancel_all()``: no result can come, and nothing has failed."""
    group = Worker.spawn_all([nothing] * 3, pool=scripted)

    scripted.cancel_all()

    assert group.cancelled()
    with pytest.raises(CancellationError, match="worker 1 was cancelled"):
        group.result()
    del group
    gc.collect()
    assert reports == []


def test_cancelling_the_awaiting_task_cancels_the_group(
    executor: Executor, scripted: WorkerPool
) -> None:
    """Nobody waits for its jobs any more."""
    group = Worker.spawn_all([nothing] * 2, pool=scripted)

    async def wait() -> None:
        await group

    task = executor.spawn(wait())
    executor.run_until_stalled()

    task.cancel()
    executor.run_until_stalled()

    assert group.cancelled()
    assert scripted.get_active_count() == 0


def test_a_limit_counts_for_each_member(scripted: WorkerPool, clock: ManualClock) -> None:
    """A member that expires fails the group like any other failure."""
    group = Worker.spawn_all([nothing] * 2, timeout=1.0, pool=scripted)

    clock.advance(1.0)

    with pytest.raises(TimeoutError, match=r"exceeded 1\.0s"):
        group.result()


def test_functions_may_come_from_a_generator(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """It is read once, before anything is spawned."""

    def functions() -> Iterator[Any]:
        for number in range(3):
            assert backend.queued == []
            yield lambda number=number: number

    group = Worker.spawn_all(functions(), pool=scripted)
    backend.run_all()

    assert group.result() == [0, 1, 2]


def test_a_generator_that_raises_spawns_nothing(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """All or none."""

    def functions() -> Iterator[Any]:
        yield nothing
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        _ = Worker.spawn_all(functions(), pool=scripted)

    assert backend.queued == []


@pytest.mark.parametrize(
    "options",
    [
        {"funcs": [nothing, 5]},
        {"funcs": [], "timeout": "1"},
        {"funcs": [], "run_timeout": "1"},
        {"funcs": [nothing], "name": 5},
        {"funcs": 5},
    ],
)
def test_bad_arguments_spawn_nothing(
    scripted: WorkerPool, backend: ScriptedBackend, options: dict[str, Any]
) -> None:
    """A mistake in the last one must not leave the first ones running."""
    with pytest.raises(TypeError):
        _ = Worker.spawn_all(pool=scripted, **options)

    assert backend.queued == []


def test_members_spawned_before_the_pool_refused_are_cancelled(
    scripted: WorkerPool, backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets no group, so nobody could ever look after them."""
    submit = scripted._submit

    def refuse_the_third(job: Any) -> None:  # Any: a JobSink
        if len(backend.queued) == 2:
            backend.refuse_next(WorkerRuntimeError("full"))
        submit(job)

    monkeypatch.setattr(scripted, "_submit", refuse_the_third)

    with pytest.raises(WorkerRuntimeError, match="full"):
        _ = Worker.spawn_all([nothing] * 4, pool=scripted)

    assert backend.queued == []
    assert scripted.statistics().cancelled == 2


def test_a_pool_that_is_shut_down_takes_no_group(scripted: WorkerPool) -> None:
    """As for a single spawn."""
    scripted.shutdown()

    with pytest.raises(PoolShutdownError):
        _ = Worker.spawn_all([nothing], pool=scripted)


def test_waiting_for_a_group_inside_of_a_job_of_a_full_pool() -> None:
    """The waiting job makes way: one worker is enough."""
    with WorkerPool(1) as pool:
        future = pool.spawn(lambda: Worker.spawn_all([lambda: 1, lambda: 2], pool=pool).result())

        assert future.result(GUARD) == [1, 2]


def test_repr_shows_size_and_state(scripted: WorkerPool, backend: ScriptedBackend) -> None:
    """For messages and debuggers."""
    group = Worker.spawn_all([nothing] * 2, pool=scripted)
    before = repr(group)
    backend.run_all()

    assert (before, repr(group)) == ("<SpawnAll of 2 pending>", "<SpawnAll of 2 ready>")


def test_fail_fast_does_not_wait_for_a_running_sibling(pool: WorkerPool) -> None:
    """On real threads: the error is there while the first one is still held."""
    held: Gate[str] = Gate()

    def fail_meanwhile() -> NoReturn:
        held.wait_begun()
        fail()

    funcs: list[Callable[[], str]] = [held, fail_meanwhile]
    group = Worker.spawn_all(funcs, pool=pool)

    with pytest.raises(ValueError, match="the member failed"):
        group.result(GUARD)

    assert group.futures[0].handle.outcome is Outcome.ABANDONED
    held.open()
