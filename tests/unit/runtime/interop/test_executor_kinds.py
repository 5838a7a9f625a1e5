"""What only one kind of executor has, and what programs look at."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import runtime
from runtime.async_runtime import Executor
from runtime.errors import BrokenPoolError
from runtime.interop import concurrent as ours
from runtime.interop.concurrent import PoolExecutor, ProcessExecutor, ThreadExecutor
from runtime.workers import Worker, WorkerPool
from tests.unit.runtime.far_gates import FarGate
from tests.unit.runtime.gates import GUARD, Gate
from tests.unit.runtime.interop.jobs_here import give, name_of_thread

if TYPE_CHECKING:
    from collections.abc import Callable


def test_programs_that_look_see_the_standard_classes() -> None:
    """``isinstance``, and the number that dask and others read."""
    with ThreadExecutor(3) as threads:
        assert isinstance(threads, concurrent.futures.ThreadPoolExecutor)
        assert isinstance(threads, PoolExecutor)
        assert threads._max_workers == 3
    with ProcessExecutor(3) as processes:
        assert isinstance(processes, concurrent.futures.ProcessPoolExecutor)
        assert processes._max_workers == 3
        assert isinstance(processes._mp_context, multiprocessing.context.SpawnContext)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ThreadExecutor, concurrent.futures.ThreadPoolExecutor),
        (ProcessExecutor, concurrent.futures.ProcessPoolExecutor),
    ],
)
def test_signatures_are_the_standard_librarys(ours: type, theirs: type) -> None:
    """Names, kinds, order and defaults; ours may have parameters of later versions."""
    for name in ("__init__", "submit", "map", "shutdown"):
        own, standard = (_parameters(getattr(kind, name)) for kind in (ours, theirs))
        # 3.14 has `ctxkwargs` for its interpreters: threads refuse all of them.
        expected = [parameter for parameter in standard if parameter[0] != "ctxkwargs"]
        later = [parameter for parameter in own if parameter not in expected]
        assert [parameter for parameter in own if parameter not in later] == expected
        assert later in ([], [("buffersize", inspect.Parameter.KEYWORD_ONLY, None)])


def _parameters(function: Callable[..., object]) -> list[tuple[str, object, object]]:
    found = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in found]


def test_the_default_numbers_of_workers_are_the_standard_librarys() -> None:
    """Threads for jobs that wait, processes for jobs that compute."""
    with ThreadExecutor() as threads, ProcessExecutor() as processes:
        theirs = concurrent.futures.ThreadPoolExecutor()
        assert threads._max_workers == theirs._max_workers
        theirs.shutdown()
        assert processes._max_workers >= 1


@pytest.mark.parametrize("send", [copy.copy, copy.deepcopy, pickle.dumps])
def test_neither_executors_nor_their_futures_travel(
    executor: PoolExecutor, send: Callable[[object], object]
) -> None:
    """A copy would be half of one: its futures would be nobody's."""
    for kept in (executor, executor.submit(give, 1)):
        with pytest.raises(TypeError, match="stays in the process that made it"):
            send(kept)


def test_threads_are_named_as_asked() -> None:
    """The name is the thread's for as long as it works here."""
    with ThreadExecutor(1, "mine") as executor:
        assert executor.submit(name_of_thread).result(GUARD) == "mine_0"
    with ThreadExecutor(1) as executor:
        assert executor.submit(name_of_thread).result(GUARD).startswith("vela-worker-")


def test_a_job_that_waits_for_one_behind_it_runs_it_in_place() -> None:
    """Where the standard library's pool hangs for ever."""
    with ThreadExecutor(1) as executor:

        def outer() -> int:
            inner = executor.submit(give, 20)
            assert executor.submit(give, 1).exception(GUARD) is None
            total: int = sum(executor.map(give, [1, 2]))
            return inner.result(GUARD) + total

        assert executor.submit(outer).result(GUARD) == 23


def test_a_job_of_ours_sees_a_deadline_through_an_executor() -> None:
    """What is left of the limit of the job that submits counts there too."""
    with WorkerPool(2) as pool:
        executor = PoolExecutor(pool)
        gate: Gate[str] = Gate()

        def outer() -> float:
            return executor.submit(lambda: Worker.current().remaining()).result(GUARD)

        assert pool.spawn(outer, 60.0).result(GUARD) <= 60.0
        gate.open()


def test_an_inline_pool_serves_an_executor_too() -> None:
    """Any pool can be lent; jobs have run when ``submit`` returns."""
    with WorkerPool(1, backend="inline") as pool, PoolExecutor(pool) as executor:
        future = executor.submit(give, 1)
        assert future.done()
        assert list(executor.map(give, [1, 2])) == [1, 2]


def test_our_own_loop_awaits_work_of_an_executor_through_its_pool() -> None:
    """The pool behind it is there for those who want its futures."""
    with ThreadExecutor(1) as executor, Executor() as loop:
        assert loop.run_until_complete(executor.pool.spawn(lambda: 3)) == 3


def test_asyncio_takes_it_as_its_default_executor() -> None:
    """It insists on an instance of the standard class."""

    async def main() -> tuple[str, int]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadExecutor(2, "default"))
        name = await loop.run_in_executor(None, name_of_thread)
        return name, await asyncio.to_thread(give, 3)

    assert asyncio.run(main()) == ("default_0", 3)


def test_context_variables_are_those_of_the_submitter() -> None:
    """And none is left for the next job."""
    import contextvars  # noqa: PLC0415 - for this alone

    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    with ThreadExecutor(1) as executor:
        token = variable.set(5)
        assert executor.submit(lambda: (variable.get(), variable.set(9))[0]).result(GUARD) == 5
        variable.reset(token)
        assert executor.submit(variable.get).result(GUARD) == 0


@pytest.mark.process
def test_children_are_replaced_after_so_many_tasks() -> None:
    """With a backlog, and nothing is lost."""
    with ProcessExecutor(1, max_tasks_per_child=2) as executor:
        pids = [executor.submit(os.getpid) for _ in range(6)]
        assert len({future.result(GUARD) for future in pids}) == 3


@pytest.mark.process
def test_a_context_of_multiprocessing_tells_how_children_start() -> None:
    """Its "spawn" is ours; the others have no say here."""
    context = multiprocessing.get_context("spawn")
    with ProcessExecutor(1, context) as executor:
        assert executor.submit(pow, 2, 3).result(GUARD) == 8
    with ProcessExecutor(1, multiprocessing.get_context("fork")) as executor:
        assert executor.submit(pow, 2, 3).result(GUARD) == 8


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_tasks_per_child": 0}, ValueError),
        ({"max_tasks_per_child": "one"}, TypeError),
        ({"mp_context": "spawn"}, TypeError),
    ],
)
def test_options_of_processes_that_make_no_sense_are_refused(
    options: dict[str, Any], error: type[Exception]
) -> None:
    """Where they are given."""
    with pytest.raises(error, match="must be"):
        ProcessExecutor(1, **options)


@pytest.mark.process
def test_proxies_of_a_manager_work_in_children() -> None:
    """They are how programs share queues with a pool."""
    with multiprocessing.get_context("spawn").Manager() as manager, ProcessExecutor(1) as executor:
        queue = manager.Queue()
        executor.submit(queue.put, 3).result(GUARD)
        assert queue.get(timeout=GUARD) == 3
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]  # or it would stay


@pytest.mark.process
@pytest.mark.parametrize("name", ["terminate_workers", "kill_workers"])
def test_workers_can_be_ended_by_force(name: str) -> None:
    """On every version, as 3.14 has it: what runs fails, what waits is cancelled, both at once."""
    executor = ProcessExecutor(1)
    gate: FarGate[str] = FarGate()
    running, waiting = executor.submit(gate), executor.submit(give, 1)
    gate.wait_begun()

    end: Callable[[], None] = getattr(executor, name)
    end()

    error = running.exception(GUARD)
    gate.close()
    assert isinstance(error, BrokenProcessPool)
    assert isinstance(error, BrokenPoolError)
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(give, 1)
    assert executor.pool.shutdown(timeout=GUARD)
    assert executor.pool.statistics().children == ()


@pytest.mark.process
@pytest.mark.parametrize("name", ["terminate_workers", "kill_workers"])
def test_workers_that_never_began_can_be_ended_by_force(name: str) -> None:
    """There is nothing to end; nothing more is taken."""
    with ProcessExecutor(1) as executor:
        end: Callable[[], None] = getattr(executor, name)
        end()
        end()
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            executor.submit(give, 1)


@pytest.mark.process
def test_threads_load_nothing_of_processes() -> None:
    """Multiprocessing comes with the executor that needs it."""
    program = (
        "import sys; from runtime.interop.concurrent import ThreadExecutor\n"
        "ThreadExecutor(1).submit(int).result()\n"
        "assert 'concurrent.futures.process' not in sys.modules\n"
        "import runtime.interop.concurrent as c; c.ProcessExecutor\n"
        "assert 'concurrent.futures.process' in sys.modules"
    )
    source = str(Path(runtime.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_module_has_what_it_names() -> None:
    """And says so of what it has not."""
    assert all(hasattr(ours, name) for name in ours.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        ours.Nothing  # noqa: B018 - what is tested
