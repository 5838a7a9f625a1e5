"""A coroutine wherever a future is taken."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, UnhandledError, sleep, yield_now
from runtime.async_runtime.coroutines import CoroutineFuture, as_pollable, is_coroutine
from runtime.async_runtime.places import describe_place
from runtime.async_runtime.task import TaskLike
from runtime.errors import TaskCancelledError

if TYPE_CHECKING:
    from runtime.testing import CountingWaker


async def answer() -> int:
    """Return 42 after a turn."""
    await yield_now()
    return 42


class Compiled:
    """What a coroutine of compiled code looks like."""

    def __init__(self) -> None:
        self.sent: list[object] = []

    def send(self, value: object) -> object:
        """End at once."""
        self.sent.append(value)
        raise StopIteration(7)

    def throw(self, error: BaseException) -> object:
        """Pass it on."""
        raise error

    def close(self) -> None:
        """Nothing to close."""

    def __await__(self) -> Compiled:
        return self


def test_what_counts_as_a_coroutine() -> None:
    """Native ones, generator-based ones, and those of compiled code; no others."""
    native, old = answer(), yield_now()
    try:
        assert is_coroutine(native)
        assert is_coroutine(old)
    finally:
        native.close()
        old.close()
    assert is_coroutine(Compiled())
    assert not is_coroutine(iter(()))
    assert not is_coroutine(answer)
    assert not is_coroutine(3)


def test_a_coroutine_of_compiled_code_runs(executor: Executor) -> None:
    """Spawned, and cancelled before it ran: by its throw, for its state is unknown."""
    compiled: Any = Compiled()
    assert executor.run_until_complete(compiled) == 7
    assert compiled.sent == [None]

    other: Any = Compiled()
    handle = executor.spawn(other)
    handle.cancel()
    executor.run()
    assert handle.is_cancelled()
    assert other.sent == []


def test_a_coroutine_is_a_future_in_combinators(executor: Executor) -> None:
    """Each is spawned when it is first polled."""
    waiting: list[Any] = [answer(), Future.ready(1), answer()]
    assert executor.run_until_complete(Future.all(waiting)) == [42, 1, 42]
    assert executor.run_until_complete(Future.timeout(answer(), 5)) == 42


def test_cancel_before_it_started_closes_it(executor: Executor) -> None:
    """And whoever polls it later is told."""
    future = CoroutineFuture(answer())
    assert "answer" in repr(future)

    assert future.cancel() is True
    assert future.cancel() is True

    with pytest.raises(TaskCancelledError, match="before it started"):
        executor.run_until_complete(future)


def test_cancel_after_it_started_asks_its_task(executor: Executor) -> None:
    """It may clean up."""
    cleaned: list[float] = []

    async def work() -> None:
        try:
            await sleep(100)
        finally:
            cleaned.append(executor.clock.now())

    future = CoroutineFuture(work())
    handle = executor.spawn(future)
    executor.run_until_stalled()
    assert future.cancel() is True
    executor.run()

    assert cleaned == [0]
    assert isinstance(handle.error(), TaskCancelledError)
    assert future.cancel() is True


def test_a_second_poller_that_comes_while_it_is_spawned_looks_again(
    executor: Executor, waker: CountingWaker
) -> None:
    """The coroutine is out of its cell, and the task is not there yet."""
    future = CoroutineFuture(answer())

    async def main() -> int:
        coroutine = future._coroutine.pop()
        assert future.poll(waker).is_pending()
        assert waker.count == 1
        assert future.cancel() is False
        future._coroutine.append(coroutine)
        return await future

    assert executor.run_until_complete(main()) == 42


def test_interest_that_is_lost_is_lost_in_its_task(executor: Executor) -> None:
    """The task runs on; its error is told, for nobody is there to read it."""
    reports: list[UnhandledError] = []
    executor._on_unhandled = reports.append

    async def fail() -> None:
        await sleep(5)
        raise KeyError("k")

    async def main() -> None:
        await CoroutineFuture(fail())

    handle = executor.spawn(main())
    executor.run_until_stalled()
    handle.cancel()
    executor.run()

    assert handle.is_cancelled()
    assert [type(report.error) for report in reports] == [KeyError]


def test_as_pollable_leaves_futures_alone() -> None:
    """It wraps coroutines only."""
    future = Future.ready(1)

    assert as_pollable(future) is future
    with pytest.raises(TypeError, match="expected a future"):
        as_pollable("text")  # type: ignore[arg-type]  # the case


def test_places_are_lines_of_the_spawner(executor: Executor) -> None:
    """Even where nothing is known."""
    handle = executor.spawn(answer())
    line = test_places_are_lines_of_the_spawner.__code__.co_firstlineno + 2

    assert handle.place.endswith(f":{line} in test_places_are_lines_of_the_spawner")
    assert describe_place(None, 0) == "an unknown place"
    assert f":{line - 2} in" in describe_place(test_places_are_lines_of_the_spawner.__code__, 10**6)
    executor.run()


def test_a_handle_of_another_kind_says_what_it_lacks() -> None:
    """The interface has no behaviour of its own."""

    class Handle(TaskLike[int]):
        def poll(self, waker: object = None) -> Any:  # noqa: ANN401, ARG002 - not polled
            raise AssertionError

    handle = Handle()
    for ask in (handle.task_id, handle.result, handle.error, handle.cancel, handle.is_pending):
        with pytest.raises(NotImplementedError):
            ask()
