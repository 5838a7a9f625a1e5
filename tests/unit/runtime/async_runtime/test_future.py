"""A future is anything with ``poll``; makers and what users subclass."""

# Parts of a signature or a fixture that acts by being there; futures as users write them:
# ruff: noqa: ARG002, B008

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import Executor, Future, Poll, Waker
from runtime.async_runtime.future import ErrorFuture, PendingFuture, ReadyFuture
from runtime.errors import InvalidPollError, InvalidStateError

if TYPE_CHECKING:
    from runtime.testing import CountingWaker


class Countdown(Future[str]):
    """Pending *count* times; wakes itself. Nothing but poll, as users write it."""

    def __init__(self, count: int) -> None:
        self.count = count

    def poll(self, waker: Waker = Waker.noop()) -> Poll[str]:
        """See `Future.poll`."""
        self.count -= 1
        if self.count < 0:
            return Poll.ready("done")
        waker.wake()
        return Poll.pending()


class Bare:
    """Not even a subclass."""

    def poll(self, waker: Waker) -> Poll[int]:
        """See `Future.poll`."""
        assert isinstance(waker, Waker)
        return Poll.ready(5)


class Lying(Future[int]):
    """Its poll gives something else."""

    def poll(self, waker: Waker = Waker.noop()) -> Poll[int]:
        """See `Future.poll`."""
        return 3  # type: ignore[return-value]  # the case


def test_future_is_abstract() -> None:
    """Without poll there is nothing to ask."""
    with pytest.raises(TypeError, match="abstract"):
        Future()  # type: ignore[abstract]  # the case


def test_a_subclass_with_nothing_but_poll_runs(executor: Executor) -> None:
    """An interpreter needs no Python coroutine to take part."""
    assert executor.run_until_complete(Countdown(3)) == "done"


def test_a_subclass_with_nothing_but_poll_can_be_awaited(executor: Executor) -> None:
    """And mixes with coroutines."""

    async def main() -> str:
        return await Countdown(3)

    assert executor.run_until_complete(main()) == "done"


def test_an_object_with_poll_is_a_future_everywhere(executor: Executor) -> None:
    """No base class is needed."""
    assert executor.run_until_complete(Bare()) == 5
    assert executor.run_until_complete(Future.all([Bare(), Bare()])) == [5, 5]


def test_poll_that_gives_no_poll_fails_with_a_clear_error(executor: Executor) -> None:
    """Driven as a task, awaited, and inside a combinator."""

    async def main() -> int:
        return await Lying()

    for future in (Lying(), main(), Lying().map(str)):
        with pytest.raises(InvalidPollError, match=r"gave 3"):
            executor.run_until_complete(future)


def test_poll_that_raises_is_a_failure(executor: Executor) -> None:
    """Whatever it raises is the error of the task."""

    class Broken(Future[int]):
        def poll(self, waker: Waker = Waker.noop()) -> Poll[int]:
            raise LookupError("in poll")

    handle = executor.spawn(Broken())
    executor.run()

    assert handle.is_failed()
    with pytest.raises(LookupError, match="in poll"):
        handle.result()


def test_await_outside_of_an_executor_says_what_to_do() -> None:
    """The default text of Python would be about yielding."""
    for awaited in (Countdown(1), Future.pending()):
        with pytest.raises(InvalidStateError, match="no runtime executor drives"):
            awaited.__await__().send(None)


def test_makers(waker: CountingWaker) -> None:
    """Each is what its name says, at every poll."""
    assert isinstance(Future.ready(1), ReadyFuture)
    assert [Future.ready(None).poll(waker).unwrap() for _ in range(2)] == [None, None]
    assert isinstance(Future.pending(), PendingFuture)
    assert Future.pending().poll(waker).is_pending()
    assert waker.count == 0


def test_from_result_tells_errors_from_values() -> None:
    """An error gives a failed future, not one that never ends."""
    assert Future.from_result(3).poll().unwrap() == 3
    failed: Future[int] = Future.from_result(ValueError("x"))
    assert isinstance(failed, ErrorFuture)
    views = []
    for _ in range(2):
        with pytest.raises(ValueError, match="x") as caught:
            failed.poll()
        views.append(caught.value)
    assert views[0] is not views[1]


def test_error_future_needs_an_exception() -> None:
    """A class or a text is a mistake that should show early."""
    with pytest.raises(TypeError, match="exception object"):
        ErrorFuture("text")  # type: ignore[arg-type]  # the case


def test_a_value_is_no_future() -> None:
    """The message says how to make one."""
    with pytest.raises(TypeError, match=r"Future\.ready"):
        Future.all([3])  # type: ignore[arg-type]  # the case


def test_a_cancelled_await_is_forgotten_by_the_future(executor: Executor) -> None:
    """A future that lives long must not collect tasks that are gone."""
    forgotten: list[object] = []

    class Long(Future[int]):
        def poll(self, waker: Waker = Waker.noop()) -> Poll[int]:
            return Poll.pending()

        def _forget(self, waker: Waker) -> None:
            forgotten.append(waker)

    async def main() -> int:
        return await Long()

    handle = executor.spawn(main())
    executor.run_until_stalled()
    handle.cancel()
    executor.run()

    assert handle.is_cancelled()
    assert forgotten == [handle]
