"""What an executor does for each task: context, order, fairness, awaits that never end."""

# Fakes take anything; parts of a signature or a fixture that acts by being there; futures as users
# write them; any error is the case:
# ruff: noqa: ANN401, ARG001, B008, BLE001

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import contextvars
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import (
    Executor,
    Future,
    Poll,
    Promise,
    TaskState,
    Waker,
    current_executor,
    current_task,
    sleep,
    yield_now,
)
from runtime.errors import (
    AwaitCycleError,
    InvalidPollError,
    InvalidStateError,
    TaskCancelledError,
    WouldBlockError,
)
from runtime.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Generator


async def answer(value: int = 42) -> int:
    """Return *value* after one turn."""
    await yield_now()
    return value


def test_each_task_has_a_context_of_its_own(executor: Executor) -> None:
    """A copy of the spawner's; what it sets stays in it, across its awaits."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def child(name: str) -> tuple[str, str]:
        before = variable.get()
        variable.set(name)
        await yield_now()
        return before, variable.get()

    async def main() -> list[tuple[str, str]]:
        variable.set("main")
        handles = [executor.spawn(child(name)) for name in "ab"]
        result = [await handle for handle in handles]
        assert variable.get() == "main"
        return result

    assert executor.run_until_complete(main()) == [("main", "a"), ("main", "b")]
    assert variable.get() == "none"


def test_current_task_and_executor(executor: Executor) -> None:
    """Known inside, unknown outside."""

    async def main() -> None:
        assert current_executor() is executor
        assert current_task() is handle is executor.current_task()
        assert handle.state is TaskState.RUNNING

    handle = executor.spawn(main())
    executor.run_until_complete(handle)

    assert current_executor() is None
    assert executor.current_task() is None
    with pytest.raises(InvalidStateError, match="no runtime executor"):
        current_task()


def test_a_task_that_nobody_references_runs_on(executor: Executor) -> None:
    """The executor keeps its tasks; afterwards nobody does."""
    done: list[int] = []

    async def main() -> None:
        await yield_now()
        gc.collect()
        done.append(1)

    reference = weakref.ref(executor.spawn(main()))
    executor.run()

    assert done == [1]
    assert reference() is None


def test_a_seed_gives_an_order_that_can_be_repeated() -> None:
    """Another than fifo, so that tests find hidden assumptions."""

    def run(order: Any) -> list[int]:
        seen: list[int] = []

        async def note(number: int) -> None:
            await yield_now()
            await sleep(1)
            seen.append(number)

        with Executor(order=order, clock=ManualClock(auto_advance=True)) as executor:
            for number in range(20):
                executor.spawn(note(number))
            executor.run()
        return seen

    assert run("fifo") == list(range(20))
    assert run(3) == run(3) != run("fifo")
    assert sorted(run(4)) == list(range(20))
    assert run(3) != run(4)


@pytest.mark.parametrize("order", ["lifo", True, 1.5, None])
def test_other_orders_are_refused(order: Any) -> None:
    """And the half-made executor makes no noise when it is dropped."""
    with pytest.raises(ValueError, match="order must be"):
        Executor(order=order)


def test_a_foreign_awaitable_fails_at_its_await(executor: Executor) -> None:
    """The coroutine may catch it and go on."""

    class Foreign:
        def __await__(self) -> Generator[Any, Any, None]:
            yield "asyncio would know"

    async def main() -> str:
        try:
            await Foreign()
        except InvalidPollError as error:
            return str(error)
        return "nothing"

    assert "belongs to another loop" in executor.run_until_complete(main())


def test_a_task_that_wakes_itself_for_ever_starves_nobody(executor: Executor) -> None:
    """Others have their turn, and timers fire."""
    clock = ManualClock()
    done: list[str] = []

    class Forever(Future[None]):
        def poll(self, waker: Waker = Waker.noop()) -> Poll[None]:
            clock.advance(0.1)
            waker.wake()
            return Poll.pending()

    async def sleeper() -> None:
        await sleep(1)
        done.append("timer")

    with Executor(clock=clock) as busy:
        forever = busy.spawn(Forever())
        handle = busy.spawn(sleeper())
        busy.run_until_complete(handle)
        forever.cancel()

    assert done == ["timer"]
    assert clock.now() < 2


def test_a_task_woken_by_another_thread_in_the_moment_timers_are_looked_at_does_not_starve_them(
    clock: ManualClock,
) -> None:
    """The timers' turn must come round even when the queue was empty at their last one."""
    with Executor(clock=clock) as executor:
        expired: list[float] = []

        async def busy() -> None:
            while not expired:
                clock.advance(1)
                await yield_now()

        async def sleeper() -> None:
            await sleep(50)
            expired.append(clock.now())

        executor.spawn(sleeper())
        executor.run_until_stalled()
        tick = executor._tick

        def tick_then_spawn() -> None:
            tick()
            if executor._tick == tick_then_spawn:
                del executor._tick
                executor.spawn(busy())

        executor._tick = tick_then_spawn  # type: ignore[method-assign]
        executor.run()

    assert expired
    assert expired[0] <= 53


def test_a_task_that_awaits_itself_is_an_error(executor: Executor) -> None:
    """Directly, or through others: it could never go on."""
    handles: list[Any] = []

    async def wait_for(index: int) -> None:
        await handles[index]

    handles.append(executor.spawn(wait_for(0)))
    executor.run()
    with pytest.raises(AwaitCycleError, match="never end"):
        handles[0].result()

    handles.clear()
    handles += [executor.spawn(wait_for((index + 1) % 3)) for index in range(3)]
    executor.run()
    assert all(isinstance(handle.error(), AwaitCycleError) for handle in handles)


def test_ten_thousand_tasks_that_await_each_other_in_a_row(executor: Executor) -> None:
    """No recursion, whichever end is first."""

    async def link(before: Any) -> int:
        return 1 if before is None else 1 + await before

    handle = None
    for _ in range(10_000):
        handle = executor.spawn(link(handle))

    assert executor.run_until_complete(handle) == 10_000  # type: ignore[arg-type]  # not None


def test_ten_thousand_nested_awaits_succeed_or_fail_clearly(executor: Executor) -> None:
    """Python's own limit is an error of that task, not the end of the loop."""

    async def nested(depth: int) -> int:
        return 0 if not depth else 1 + await nested(depth - 1)

    handle = executor.spawn(nested(10_000))
    executor.run()

    assert handle.is_completed() or isinstance(handle.error(), RecursionError)


def test_no_way_to_block_means_an_error_that_says_what_to_do() -> None:
    """For a GUI or another host's loop; what is ready still runs."""
    with Executor(block=False) as executor:
        assert executor.run_until_complete(answer()) == 42
        handle = executor.spawn(Promise[int]().future().map(str))
        executor.run()
        assert handle.is_failed()
        promise: Promise[int] = Promise()
        executor.spawn(promise.future())
        with pytest.raises(WouldBlockError, match="run_until_stalled"):
            executor.run()
        with pytest.raises(WouldBlockError):
            executor.run_until_complete(sleep(10))
        promise.resolve(1)
        executor.run()


def test_awaiting_a_cancelled_task_is_an_ordinary_error(executor: Executor) -> None:
    """It is a RuntimeError and a CancellationError, and passes ``except Exception``."""

    async def main() -> str:
        handle = executor.spawn(sleep(10))
        handle.cancel()
        try:
            await handle
        except Exception as error:
            return type(error).__name__
        return "nothing"

    assert executor.run_until_complete(main()) == TaskCancelledError.__name__
