"""What a job in a process sees of itself, of its spawner's context, and of pools."""

from __future__ import annotations

import contextvars
import functools
import math
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import PoolDeadlockError, UnpicklableError
from runtime.workers import Outcome, Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, nothing
from tests.unit.runtime.workers.process_here import SHADE, SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.runtime.far_gates import FarGate

pytestmark = pytest.mark.process


# ---- the job itself -----------------------------------------------------------------------


def test_a_job_knows_who_it_is(processes: WorkerPool) -> None:
    """As on a thread."""

    def look() -> tuple[Any, ...]:
        current = Worker.current()
        current.check()
        return current.id, current.name, current.cancelled, current.remaining()

    unnamed, named = processes.spawn(look), processes.spawn(look, name="looker")

    assert unnamed.result(GUARD) == (1, "worker-1", False, math.inf)
    assert named.result(GUARD) == (2, "looker", False, math.inf)


@pytest.mark.parametrize("limit", ["timeout", "run_timeout"])
def test_a_job_knows_what_is_left_of_its_limit(processes: WorkerPool, limit: str) -> None:
    """Whichever limit is nearer."""
    limits: dict[str, Any] = {"timeout": 90.0, "run_timeout": 90.0} | {limit: 60.0}

    left = processes.spawn(lambda: Worker.current().remaining(), **limits).result(GUARD)

    assert 0.0 < left <= 60.0


def test_check_raises_once_the_job_is_cancelled(
    processes: WorkerPool, far_gate: Callable[..., FarGate[Any]]
) -> None:
    """The way out for long work in Python."""

    def work() -> None:
        gate.tell_begun()
        while True:
            Worker.current().check()

    gate = far_gate()
    future = processes.spawn(work)
    gate.wait_begun()

    future.cancel()
    processes.spawn(nothing).result(GUARD)

    assert future.handle.outcome is Outcome.STOPPED


def test_check_raises_when_the_time_is_up(processes: WorkerPool) -> None:
    """The child looks at the clock by itself, too."""

    def work() -> None:
        while True:
            Worker.current().check()

    processes.warm_up(GUARD)
    future = processes.spawn(work, timeout=0.05)

    assert isinstance(future.exception(GUARD), TimeoutError)
    processes.spawn(nothing).result(GUARD)
    assert future.handle.outcome is Outcome.STOPPED


def test_reports_arrive_while_the_job_runs(
    processes: WorkerPool, far_gate: Callable[..., FarGate[Any]]
) -> None:
    """The last one counts; it is on its way before anything that the job does later."""

    def work() -> None:
        for done in range(4):
            Worker.current().report({"done": done})
        gate()

    gate = far_gate()
    future = processes.spawn(work)
    before = future.handle.progress
    gate.wait_begun()
    gate.open()
    future.result(GUARD)

    assert (before, future.handle.progress) == (None, {"done": 3})


def test_a_report_that_cannot_travel_is_told_to_the_job(processes: WorkerPool) -> None:
    """It can do something about it."""

    def work() -> str:
        try:
            Worker.current().report(threading.Lock())
        except UnpicklableError as error:
            return str(error)
        return "no error"

    assert "_thread.lock" in processes.spawn(work, name="reporter").result(GUARD)


# ---- contexts -----------------------------------------------------------------------------


def test_variables_that_are_allowed_cross(new_processes: Callable[..., WorkerPool]) -> None:
    """By object, or by where they are; others do not."""
    pool = new_processes(context_vars=[SHADE, "tests.unit.runtime.workers.process_here:SIZE"])
    context = contextvars.copy_context()
    context.run(SHADE.set, "dark")
    context.run(SIZE.set, 5)

    def look() -> tuple[object, object]:
        return SHADE.get("unset"), SIZE.get()

    assert pool.spawn(look, context=context).result(GUARD) == ("dark", 5)
    assert pool.spawn(look).result(GUARD) == ("unset", 0)  # nothing is left over


def test_no_variable_crosses_unless_it_is_allowed(processes: WorkerPool) -> None:
    """A context may hold what no other process should see."""
    context = contextvars.copy_context()
    context.run(SIZE.set, 5)

    assert processes.spawn(SIZE.get, context=context).result(GUARD) == 0


def test_a_value_that_cannot_travel_is_refused_at_the_spawn(
    new_processes: Callable[..., WorkerPool],
) -> None:
    """As an argument would be, and by name."""
    pool = new_processes(context_vars=[SHADE])
    context = contextvars.Context()
    context.run(SHADE.set, threading.Lock())  # type: ignore[arg-type]  # that is the point

    with pytest.raises(UnpicklableError, match="SHADE"):
        _ = pool.spawn(nothing, context=context)
    assert pool.spawn(nothing).result(GUARD) is None


@pytest.mark.parametrize(
    ("variables", "error", "text"),
    [
        ("SIZE", TypeError, "must be a list"),
        ([5], TypeError, "must be ContextVars or 'module:name', got 5"),
        (["no_such_module:SIZE"], ValueError, "no 'no_such_module:SIZE'"),
        (["os:no_such_name"], ValueError, "no 'os:no_such_name'"),
        (["os:path"], TypeError, "got 'os:path'"),
    ],
)
def test_what_is_no_variable_is_refused_when_the_pool_is_made(
    variables: Any, error: type[Exception], text: str
) -> None:
    """Not in the middle of the night."""
    with pytest.raises(error, match=text):
        WorkerPool(1, backend="process", context_vars=variables)


# ---- pools --------------------------------------------------------------------------------


def test_a_job_may_use_default_pools_and_pools_of_its_own(processes: WorkerPool) -> None:
    """They belong to its process; limits are handed down to their jobs."""

    def outer() -> tuple[bool, bool]:
        at_default = Worker.spawn(lambda: Worker.current().remaining()).result(GUARD)
        with WorkerPool(1) as threads:
            on_thread = threads.spawn(lambda: Worker.current().remaining()).result(GUARD)
        return at_default <= 60.0, on_thread <= 60.0

    assert processes.spawn(outer, timeout=60.0).result(GUARD) == (True, True)


def test_processes_nest_as_deep_as_is_allowed(new_processes: Callable[..., WorkerPool]) -> None:
    """And no deeper: a module that spawns when it is imported must not go on for ever."""

    def nested(depth: int) -> int:
        with WorkerPool(1, backend="process", max_depth=2) as inner:
            return inner.spawn(nested, args=(depth + 1,)).result(GUARD)

    pool = new_processes(max_depth=2)

    with pytest.raises(PoolDeadlockError, match="max_depth=2"):
        pool.spawn(nested, args=(1,)).result(GUARD)


def test_the_limit_of_the_outermost_pool_holds(new_processes: Callable[..., WorkerPool]) -> None:
    """An inner one cannot raise it."""

    def nested() -> None:
        WorkerPool(1, backend="process", max_depth=100).shutdown()

    with pytest.raises(PoolDeadlockError, match="max_depth=1"):
        new_processes(max_depth=1).spawn(nested).result(GUARD)


class Service:
    """Has a pool, and jobs that are its own methods, as programs do."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool

    def work(self) -> int:
        """A job that needs no pool."""
        return 5

    def work_with_pool(self, use: Callable[[WorkerPool], object]) -> object:
        """A job that does."""
        return use(self.pool)

    def itself(self) -> Service:
        """A job that brings the pool back."""
        return self


def test_a_pool_may_be_held_by_the_way(processes: WorkerPool) -> None:
    """The method does not need it, but the object has it; at home it is itself again."""
    service = Service(processes)

    assert processes.spawn(service.work).result(GUARD) == 5
    assert processes.spawn(service.itself).result(GUARD).pool is processes


@pytest.mark.parametrize(
    "use",
    [
        lambda pool: pool.spawn(nothing).result(),
        lambda pool: Worker.spawn(nothing, pool=pool),
        lambda pool: Worker.spawn_all([nothing], pool=pool).result(),
        lambda pool: list(Worker.map(abs, [1], pool=pool)),
        lambda pool: pool.shutdown(),
        lambda pool: pool.wait_idle(),
        lambda pool: pool.__enter__(),
    ],
)
def test_a_pool_cannot_be_used_by_its_jobs(
    processes: WorkerPool, use: Callable[[WorkerPool], object]
) -> None:
    """It would wait in one process for what runs in another one, perhaps for ever."""
    future = processes.spawn(Service(processes).work_with_pool, args=(use,))

    with pytest.raises(PoolDeadlockError, match="the test's processes stays in the process"):
        future.result(GUARD)


def test_a_job_can_tell_which_pool_it_holds(processes: WorkerPool) -> None:
    """Also one that travels on, into a process of a job's own pool."""

    def look() -> tuple[str, str]:
        with WorkerPool(1, backend="process") as inner:
            return repr(processes), inner.spawn(lambda: processes.name).result(GUARD)

    assert processes.spawn(look).result(GUARD) == (
        '<WorkerPool "the test\'s processes" in another process>',
        "the test's processes",
    )


@functools.cache
def _held() -> list[Any]:
    from runtime.async_runtime import Executor, Promise  # noqa: PLC0415 - made where it is used

    promise: Promise[int] = Promise()
    future = promise.future()
    return [promise, future, future.map(str), Executor()]


@pytest.mark.parametrize("index", range(4))
def test_what_somebody_waits_for_here_does_not_travel(processes: WorkerPool, index: int) -> None:
    """A copy would never be settled: refused, and said what it is."""
    one = _held()[index]

    with pytest.raises(UnpicklableError, match="stays in the process that made it"):
        _ = processes.spawn(lambda: one)


def test_futures_and_handles_of_jobs_do_not_travel(processes: WorkerPool) -> None:
    """Their values do."""
    future = processes.spawn(lambda: 5)

    for one in (future, future.handle, future.handle.promise):
        with pytest.raises(UnpicklableError, match="pass the value that it gives") as caught:
            _ = processes.spawn(abs, args=(one,))
        assert "args[0]" in str(caught.value)
    assert processes.spawn(abs, args=(-future.result(GUARD),)).result(GUARD) == 5


def test_what_waits_in_another_process_does_not_come_back(processes: WorkerPool) -> None:
    """A job that returns a future of its own has nothing to give."""

    def work() -> Any:
        return Worker.spawn(nothing)

    with pytest.raises(UnpicklableError, match="stays in the process that made it"):
        processes.spawn(work).result(GUARD)
