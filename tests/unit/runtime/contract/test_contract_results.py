"""For every backend: values, errors, arguments, contexts, and what a job sees of itself."""

from __future__ import annotations

import contextvars
import math
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Future
from runtime.errors import CancelRequestedError, PoolDeadlockError
from runtime.workers import HandleState, Outcome, Worker, WorkerPool
from tests.unit.runtime.contract.colours import COLOUR, paint
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from runtime.async_runtime import Executor
    from runtime.backends import Capabilities
    from runtime.workers.pool_backends import BackendChoice


class FalsyError(Exception):
    """Without a length: an error that is false."""

    def __len__(self) -> int:
        return 0


class HostileError(Exception):
    """Nobody may compare it."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    __hash__ = None  # type: ignore[assignment]  # as Python does it for such a class


@pytest.mark.parametrize("value", [None, 0, "", [], (1, 2), {"a": [1]}, b"bytes", math.inf])
def test_a_value_arrives(pool: WorkerPool, executor: Executor, value: object) -> None:
    """Whatever it is, and however it is read; falsy ones are values too."""
    future = pool.spawn(lambda: value)

    assert executor.run_until_complete(future) == value
    assert future.result() == value
    assert future.poll().unwrap() == value
    assert future.exception() is None
    assert future.handle.state is HandleState.SUCCEEDED
    assert future.handle.outcome is Outcome.FINISHED


@pytest.mark.parametrize(
    "error",
    [
        ValueError("text", 1),
        OSError(2, "no such file", "name"),
        KeyError(("a", 1)),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "reason"),
        SystemExit(3),
        # KeyboardInterrupt: `runs_in_caller` decides; see test_outcomes.py and test_inline.py.
        GeneratorExit("gone"),
        StopIteration("value"),
        CancelRequestedError("of its own accord"),
        FalsyError("falsy"),
        HostileError("hostile"),
        BaseExceptionGroup("group", [SystemExit(1), ValueError("in it")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_error_arrives_as_itself(pool: WorkerPool, error: BaseException) -> None:
    """Of any kind: the future fails with it, and the worker lives on."""

    def fail() -> None:
        raise error

    future = pool.spawn(fail)
    found = future.exception(GUARD)

    assert type(found) is type(error)
    assert found is not None
    assert repr(found.args) == repr(error.args)
    assert str(found) == str(error)
    assert future.handle.state is HandleState.FAILED
    assert future.handle.outcome is Outcome.FINISHED
    assert pool.spawn(lambda: "alive").result(GUARD) == "alive"


def test_an_awaited_error_is_raised_in_the_task(pool: WorkerPool, executor: Executor) -> None:
    """Where it can be caught like any other."""

    async def main() -> str:
        try:
            await pool.spawn(lambda: 1 // 0)
        except ZeroDivisionError as error:
            return str(error)
        return "no error"

    assert "division" in executor.run_until_complete(main())


def test_an_error_read_many_times_does_not_grow(pool: WorkerPool) -> None:
    """Each reader gets a fresh view: the traceback is as long as the first time."""
    future = pool.spawn(lambda: 1 // 0)

    def depth() -> int:
        count, trace = 0, None
        try:
            future.result(GUARD)
        except ZeroDivisionError as error:
            trace = error.__traceback__
        while trace is not None:
            count, trace = count + 1, trace.tb_next
        return count

    first = depth()

    assert [depth() for _ in range(50)] == [first] * 50


def test_arguments_and_closures_arrive(pool: WorkerPool) -> None:
    """By position, by name, and by what the function closes over."""
    base = 100
    future = pool.spawn(lambda a, *, self: base + a + self, args=(1,), kwargs={"self": 10})

    assert future.result(GUARD) == 111


def test_what_all_promise_together_can_be_read_together(
    pool: WorkerPool, executor: Executor
) -> None:
    """Worker futures are futures: every combinator takes them."""
    futures = [pool.spawn(lambda i=i: i) for i in range(5)]

    assert executor.run_until_complete(Future.all(futures)) == [0, 1, 2, 3, 4]
    assert executor.run_until_complete(futures[2].map(str)) == "2"


# ---- contexts -----------------------------------------------------------------------------


def test_context_variables_are_copied_in(pool: WorkerPool) -> None:
    """The job sees what its spawner saw."""
    token = COLOUR.set("red")
    future = pool.spawn(COLOUR.get)
    COLOUR.reset(token)

    assert future.result(GUARD) == "red"


def test_context_variables_do_not_leak_to_the_next_job(pool: WorkerPool) -> None:
    """Nor to the spawner: each job changes its own copy."""
    futures = [pool.spawn(paint, args=("green",)) for _ in range(4)]
    for future in futures:
        future.result(GUARD)

    assert [pool.spawn(COLOUR.get).result(GUARD) for _ in range(4)] == ["none"] * 4
    assert COLOUR.get() == "none"


def test_a_context_that_is_given_is_what_the_job_runs_in(
    pool: WorkerPool, capabilities: Capabilities
) -> None:
    """And what it changes there stays there, where it is the same memory."""
    context = contextvars.Context()
    context.run(COLOUR.set, "red")
    seen = pool.spawn(COLOUR.get, context=context).result(GUARD)

    pool.spawn(paint, args=("blue",), context=context).result(GUARD)

    after = pool.spawn(COLOUR.get, context=context).result(GUARD)
    assert (seen, after) == ("red", "red" if capabilities.needs_pickle else "blue")


# ---- the job itself -----------------------------------------------------------------------


def test_a_job_knows_itself(pool: WorkerPool) -> None:
    """Number, name, limits, and that nobody has cancelled it."""

    def look() -> tuple[Any, ...]:
        current = Worker.current()
        current.check()
        current.sleep(0.0)
        current.report("half")
        return current.id, current.name, current.cancelled, current.remaining()

    future = pool.spawn(look, name="looker")

    assert future.result(GUARD) == (future.worker_id, "looker", False, math.inf)
    assert future.handle.progress == "half"


def test_a_job_knows_what_is_left_of_its_limit(pool: WorkerPool) -> None:
    """It can never be more than was given."""
    left = pool.spawn(lambda: Worker.current().remaining(), timeout=60.0).result(GUARD)

    assert 0.0 < left <= 60.0


def test_a_job_may_spawn_and_wait(pool: WorkerPool, capabilities: Capabilities) -> None:
    """Deeper than there are workers: no pool starves itself, or it says that it would."""

    def nested(depth: int) -> int:
        if depth == 0:
            return 0
        return 1 + pool.spawn(nested, args=(depth - 1,)).result(GUARD)

    future = pool.spawn(nested, args=(10,))

    if capabilities.needs_pickle:
        assert isinstance(future.exception(GUARD), PoolDeadlockError)
    else:
        assert future.result(GUARD) == 10


def test_a_job_may_have_a_pool_of_its_own(pool: WorkerPool, choice: BackendChoice) -> None:
    """Of the same kind as the one that it runs on."""

    def outer() -> int:
        with WorkerPool(1, backend=choice) as inner:
            return inner.spawn(lambda: 1).result(GUARD) + 1

    assert pool.spawn(outer).result(GUARD) == 2


def test_a_job_spawned_from_a_job_inherits_its_deadline(
    pool: WorkerPool, choice: BackendChoice
) -> None:
    """What is left of it, at most."""

    def outer() -> float:
        with WorkerPool(1, backend=choice) as inner:
            return inner.spawn(lambda: Worker.current().remaining()).result()

    assert pool.spawn(outer, timeout=30.0).result(GUARD) <= 30.0


def test_a_coroutine_function_is_refused(pool: WorkerPool) -> None:
    """By all of them, at the spawn."""

    async def coroutine() -> None: ...

    with pytest.raises(TypeError, match="coroutine function"):
        _ = pool.spawn(coroutine)


def test_errors_of_ours_survive_pickling(pool: WorkerPool) -> None:
    """They may cross processes."""
    error = pool.spawn(lambda: 1, timeout=0.0).exception(GUARD)

    assert str(pickle.loads(pickle.dumps(error))) == str(error)
