"""`Worker.spawn`, `Worker.spawn_all` and the default pool: the cases that programs rely on."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import Future
from runtime.workers import Worker, WorkerPool
from tests.unit.runtime.gates import GUARD, Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime import Executor
    from runtime.workers import SpawnAll


def test_simple_worker(executor: Executor) -> None:
    """The shortest program: spawn, and run until the result is there."""
    future = Worker.spawn(lambda: 42)

    assert executor.run_until_complete(future) == 42


def test_worker_with_computation(executor: Executor) -> None:
    """Work that takes the interpreter's time gives its result like any other."""
    future = Worker.spawn(lambda: sum(number * number for number in range(1000)))

    assert executor.run_until_complete(future) == 332_833_500


def test_worker_with_sleep(executor: Executor) -> None:
    """A worker that blocks does not block the loop: it goes on while that sleeps."""
    gate: Gate[str] = Gate("rested")

    async def main() -> str:
        future = Worker.spawn(gate)
        gate.wait_begun()
        gate.open()  # the loop runs while the worker is asleep, or this would never come
        return await future

    assert executor.run_until_complete(main()) == "rested"


def test_worker_closure_capture(executor: Executor) -> None:
    """A closure sees the variables of the function that made it."""
    x, y = 10, 20

    assert executor.run_until_complete(Worker.spawn(lambda: x + y)) == 30


def test_worker_complex_closure(executor: Executor) -> None:
    """Nested functions, mutable variables and defaults arrive as they are."""
    seen: list[int] = []
    factors = {"twice": 2}

    def make(offset: int) -> Callable[[], int]:
        def work(base: int = 5) -> int:
            seen.append(base)
            return base * factors["twice"] + offset

        return work

    assert executor.run_until_complete(Worker.spawn(make(3))) == 13
    assert seen == [5]


def test_worker_returns_none(executor: Executor) -> None:
    """None is a result, not the lack of one."""
    future = Worker.spawn(lambda: None)

    assert executor.run_until_complete(future) is None
    assert future.poll().is_ready()


def test_worker_returns_tuple(executor: Executor) -> None:
    """A tuple is one value: nothing unpacks it on the way."""
    assert executor.run_until_complete(Worker.spawn(lambda: (1, "two"))) == (1, "two")


def test_worker_returns_dict(executor: Executor) -> None:
    """The very object that the function returned arrives, not a copy."""
    made = {"key": [1, 2]}

    assert executor.run_until_complete(Worker.spawn(lambda: made)) is made


def test_spawn_all_empty(executor: Executor) -> None:
    """Nothing to do is done at once."""
    group: SpawnAll[None] = Worker.spawn_all([])

    assert group.done()
    assert executor.run_until_complete(group) == []


def test_spawn_all_single(executor: Executor) -> None:
    """One function gives a list of one."""
    assert executor.run_until_complete(Worker.spawn_all([lambda: "only"])) == ["only"]


def test_spawn_all_multiple(executor: Executor) -> None:
    """Results come in the order of the functions, whichever ends first."""
    last = Gate(0)

    def opener() -> int:
        last.open()
        return 1

    funcs: list[Callable[[], int]] = [last, opener, lambda: 2]

    group = Worker.spawn_all(funcs)

    assert executor.run_until_complete(group) == [0, 1, 2]


def test_spawn_all_parallel_execution(executor: Executor) -> None:
    """Four jobs on four workers run at the same time: each waits for the other three."""
    Worker.configure_pool(4)
    meeting = threading.Barrier(4)

    group = Worker.spawn_all([lambda: meeting.wait(GUARD)] * 4)

    assert sorted(executor.run_until_complete(group)) == [0, 1, 2, 3]


def test_pool_singleton() -> None:
    """All who ask for the default pool share one."""
    assert Worker.get_pool() is Worker.get_pool()
    assert Worker.get_pool() is WorkerPool.get_global()


def test_configure_pool_max_workers() -> None:
    """The program decides the size before the first use."""
    Worker.configure_pool(max_workers=3)

    assert Worker.get_pool().max_workers == 3


def test_configure_pool_after_use_fails(executor: Executor) -> None:
    """Jobs may run on it already: it cannot be another one any more."""
    executor.run_until_complete(Worker.spawn(lambda: 1))

    with pytest.raises(RuntimeError, match="already initialized"):
        Worker.configure_pool(max_workers=2)


def test_default_max_workers() -> None:
    """One worker for each CPU, so that an unconfigured program uses its machine."""
    assert Worker.get_pool().max_workers == (os.cpu_count() or 4)


def test_active_count(executor: Executor) -> None:
    """It counts what has no outcome yet, and is 0 right after the last result was read."""
    gate: Gate[str] = Gate()
    future = Worker.spawn(gate)
    gate.wait_begun()

    during = Worker.get_pool().get_active_count()
    gate.open()
    executor.run_until_complete(future)

    assert (during, Worker.get_pool().get_active_count()) == (1, 0)


def test_named_worker(executor: Executor) -> None:
    """The name is found again on the handle and in what the job sees of itself."""
    future = Worker.spawn(lambda: Worker.current().name, name="resize")

    assert executor.run_until_complete(future) == "resize"
    assert future.handle.name == "resize"


def test_several_spawns(executor: Executor) -> None:
    """Each spawn is a job of its own, with its own result and number."""
    futures = [Worker.spawn(lambda i=i: i * i) for i in range(20)]

    assert executor.run_until_complete(Future.all(futures)) == [i * i for i in range(20)]
    assert len({future.worker_id for future in futures}) == 20


# ---- beyond the named cases ---------------------------------------------------------------


def test_timeout_and_name_are_taken_by_position(executor: Executor) -> None:
    """Programs pass them so."""
    future = Worker.spawn(lambda: 1, 5.0, "positional")

    assert executor.run_until_complete(future) == 1
    assert (future.handle.timeout, future.handle.name) == (5.0, "positional")


def test_further_options_are_keywords_only() -> None:
    """What comes third by position can then never change its meaning."""
    with pytest.raises(TypeError, match="positional"):
        _ = Worker.spawn(lambda: 1, None, None, 1.0)  # type: ignore[call-overload]  # refused, which is the point


def test_threads_are_named_after_us() -> None:
    """In a debugger or a stack dump one sees whose threads they are."""
    name = Worker.spawn(lambda: threading.current_thread().name).result()

    assert name.startswith("vela-worker-")
    assert name.removeprefix("vela-worker-").isdigit()


def test_the_default_pool_is_made_on_first_use_only() -> None:
    """Importing the package costs no pool."""
    assert WorkerPool._global_pool is None

    pool = Worker.get_pool()

    assert WorkerPool._global_pool is pool


def test_a_discarded_default_pool_still_ends_its_jobs() -> None:
    """Tests of users set the class attribute to None: nothing may hang or leak then."""
    gate: Gate[str] = Gate()
    future = Worker.spawn(gate)
    gate.wait_begun()
    old = Worker.get_pool()

    WorkerPool._global_pool = None
    fresh = Worker.get_pool()
    gate.open()

    assert fresh is not old
    assert future.result(GUARD) == "through"
    assert Worker.spawn(lambda: 2).result(GUARD) == 2


def test_a_pool_can_be_chosen_for_one_call(pool: WorkerPool) -> None:
    """Nothing global is needed: the default pool is not even made."""
    assert Worker.spawn(lambda: 1, pool=pool).result() == 1
    assert Worker.spawn_all([lambda: 2], pool=pool).result() == [2]
    assert list(Worker.map(str, [3], pool=pool)) == ["3"]
    assert WorkerPool._global_pool is None


def test_a_pool_and_another_backend_at_once_are_refused(pool: WorkerPool) -> None:
    """Whoever asks for a process must not get a thread."""
    refused = pytest.raises(ValueError, match="backend is 'process', but the test's pool has the")
    with refused:
        _ = Worker.spawn(lambda: 1, backend="process", pool=pool)
    with refused:
        _ = Worker.spawn_all([lambda: 2], backend="process", pool=pool)
    with refused:
        Worker.map(str, [3], backend="process", pool=pool)

    assert Worker.spawn(lambda: 1, backend="thread", pool=pool).result() == 1


@pytest.mark.parametrize("value", ["1", "true", "YES", " on "])
def test_the_environment_can_ask_for_jobs_in_the_caller(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A debugger or a platform without threads gets the same program, one job at a time."""
    monkeypatch.setenv("RUNTIME_WORKERS_INLINE", value)

    future = Worker.spawn(threading.get_ident)

    assert future.done()
    assert future.result() == threading.get_ident()
    assert Worker.get_pool().statistics().backend == "inline"


def test_the_environment_is_ignored_where_it_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """``0`` means no, as people expect."""
    monkeypatch.setenv("RUNTIME_WORKERS_INLINE", "0")

    assert Worker.get_pool().statistics().backend == "thread"
