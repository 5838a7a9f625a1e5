"""map, flat_map, then, catch, timeout: futures over one future."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, Promise, sleep
from runtime.async_runtime.future import (
    AllFuture,
    AndFuture,
    CatchFuture,
    FlatMapFuture,
    MapFuture,
    OrFuture,
    RaceFuture,
    TimeoutFuture,
)
from runtime.errors import CancellationError, FutureTimeoutError
from runtime.testing import CountingWaker, ManualClock, race

if TYPE_CHECKING:
    from collections.abc import Callable


def failing(error: BaseException) -> Future[Any]:
    """Return a failed future."""
    return Future.from_result(error)


def test_the_classes_have_their_names() -> None:
    """Programs import them, and may make them directly."""
    future = Future.ready(1)

    assert isinstance(future.map(str), MapFuture)
    assert isinstance(future.flat_map(Future.ready), FlatMapFuture)
    assert isinstance(future.then(str), FlatMapFuture)
    assert isinstance(future.catch(str), CatchFuture)
    assert isinstance(future.and_then(future), AndFuture)
    assert isinstance(future.or_else(future), OrFuture)
    assert isinstance(Future.all([future]), AllFuture)
    assert isinstance(Future.race([future]), RaceFuture)
    assert isinstance(Future.timeout(future, 1), TimeoutFuture)


def test_map_applies_the_function_once(waker: CountingWaker) -> None:
    """However often the result is polled."""
    calls: list[int] = []

    def increment(value: int) -> int:
        calls.append(value)
        return value + 1

    mapped = Future.ready(20).map(increment)

    assert [mapped.poll(waker).unwrap() for _ in range(3)] == [21, 21, 21]
    assert calls == [20]


def test_map_waits_for_the_source(waker: CountingWaker) -> None:
    """And whoever polled it is woken."""
    promise: Promise[int] = Promise()
    mapped = promise.future().map(str)
    assert mapped.poll(waker).is_pending()

    promise.resolve(3)

    assert waker.count == 1
    assert mapped.poll(waker).unwrap() == "3"


def test_map_passes_an_error_and_does_not_call() -> None:
    """There is no value to call it with."""
    mapped = failing(KeyError("k")).map(lambda _: pytest.fail("called"))

    for _ in range(2):
        with pytest.raises(KeyError):
            mapped.poll()


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(2), KeyboardInterrupt()])
def test_what_the_function_raises_is_the_outcome(error: BaseException) -> None:
    """Also a BaseException: the function is gone, so a later poll could not call it again."""

    def func(_value: int) -> int:
        raise error

    mapped = Future.ready(1).map(func)

    for _ in range(2):
        with pytest.raises(type(error)):
            mapped.poll()


def test_flat_map_follows_the_future(waker: CountingWaker) -> None:
    """Pending until the second one is there."""
    second: Promise[str] = Promise()
    flat = Future.ready(1).flat_map(lambda _: second.future())
    assert flat.poll(waker).is_pending()

    second.resolve("b")

    assert waker.count == 1
    assert flat.poll(waker).unwrap() == "b"


def test_flat_map_wants_a_future() -> None:
    """`then` takes both; this one says so."""
    flat: Future[int] = Future.ready(1).flat_map(lambda value: value)  # type: ignore[arg-type, return-value]

    with pytest.raises(TypeError, match="expected a future"):
        flat.poll()


def test_flat_map_passes_the_error_of_either(waker: CountingWaker) -> None:
    """First or second."""
    for future in (
        failing(KeyError()).flat_map(Future.ready),
        Future.ready(1).flat_map(lambda _: failing(KeyError())),
    ):
        with pytest.raises(KeyError):
            future.poll(waker)


def test_then_takes_a_value_or_a_future(executor: Executor) -> None:
    """A coroutine counts as a future too."""

    async def double(value: int) -> int:
        return value * 2

    assert Future.ready(1).then(lambda value: value + 1).poll().unwrap() == 2
    assert Future.ready(1).then(lambda _: Future.ready(5)).poll().unwrap() == 5
    assert executor.run_until_complete(Future.ready(4).then(double)) == 8


def test_catch_turns_an_error_into_a_value_or_a_future() -> None:
    """It gets a copy of the error; a value passes."""
    error = ValueError("x")

    assert failing(error).catch(str).poll().unwrap() == "x"
    assert failing(error).catch(lambda _: Future.ready(5)).poll().unwrap() == 5
    assert Future.ready(1).catch(lambda _: pytest.fail("called")).poll().unwrap() == 1


def test_catch_leaves_an_interrupt_alone() -> None:
    """``except Exception`` would too."""
    caught = failing(KeyboardInterrupt()).catch(lambda _: pytest.fail("called"))

    with pytest.raises(KeyboardInterrupt):
        caught.poll()


def test_the_error_of_the_second_future_is_not_caught_again() -> None:
    """The function is called once."""
    calls: list[Exception] = []

    def again(error: Exception) -> Future[int]:
        calls.append(error)
        return failing(KeyError("second"))

    with pytest.raises(KeyError, match="second"):
        failing(ValueError("first")).catch(again).poll()
    assert len(calls) == 1


def test_a_hundred_thousand_maps_do_not_overflow_the_stack(waker: CountingWaker) -> None:
    """Polled in a loop, freed without recursion."""
    promise: Promise[int] = Promise()
    future: Future[int] = promise.future()
    for _ in range(100_000):
        future = future.map(_increment)
    assert future.poll(waker).is_pending()

    promise.resolve(0)

    assert future.poll(waker).unwrap() == 100_000


def _increment(value: int) -> int:
    return value + 1


def test_flat_map_of_itself_ten_thousand_deep_does_not_recurse() -> None:
    """A loop written as futures."""

    def count(left: int) -> Future[int]:
        return Future.ready(left).flat_map(lambda n: count(n - 1) if n else Future.ready(0))

    assert count(10_000).poll().unwrap() == 0


def test_two_threads_poll_one_chain_and_the_function_is_called_once() -> None:
    """The loser waits for what the winner's call gives, in a second future too."""
    inside, leave = threading.Event(), threading.Event()
    second: Promise[int] = Promise()
    calls: list[int] = []

    def func(value: int) -> Future[int]:
        calls.append(value)
        inside.set()
        assert leave.wait(10)
        return second.future()

    flat = Future.ready(1).flat_map(func)
    loser = CountingWaker()

    def lose() -> None:
        assert inside.wait(10)
        assert flat.poll(loser).is_pending()
        leave.set()

    race(lambda: flat.poll(CountingWaker()), lose)
    assert loser.count == 1  # what to wait for has changed: look again
    assert flat.poll(loser).is_pending()
    second.resolve(3)

    assert loser.wait(2)
    assert flat.poll(loser).unwrap() == 3
    assert calls == [1]


# ---- timeout ------------------------------------------------------------------------------


def test_timeout_gives_the_value_in_time(executor: Executor, clock: ManualClock) -> None:
    """And takes its timer back."""
    assert executor.run_until_complete(Future.timeout(sleep(1).map(lambda _: 5), 2)) == 5
    assert clock.now() == 1
    assert executor.next_deadline() is None


def test_timeout_fires_by_itself_and_cancels(executor: Executor, clock: ManualClock) -> None:
    """On the clock, not when the future happens to be polled again."""
    promise: Promise[int] = Promise()

    with pytest.raises(FutureTimeoutError, match=r"timed out \(exceeded 3s\).*timeout"):
        executor.run_until_complete(Future.timeout(promise.future(), 3))

    assert clock.now() == 3
    with pytest.raises(CancellationError):
        promise.future().poll()


def test_timeout_leaves_alone_what_cannot_be_cancelled(executor: Executor) -> None:
    """Anything with poll will do."""
    with pytest.raises(TimeoutError):
        executor.run_until_complete(Future.timeout(Future.pending(), 1))


def test_timeout_of_zero_still_takes_what_is_there(executor: Executor) -> None:
    """The future is looked at once before the clock counts."""
    assert executor.run_until_complete(Future.timeout(Future.ready(1), 0)) == 1
    with pytest.raises(TimeoutError):
        executor.run_until_complete(Future.timeout(Future.pending(), 0))


def test_timeout_without_limit_never_fires(executor: Executor) -> None:
    """Infinity starts no timer."""
    future = Future.timeout(Future.pending(), float("inf"))
    executor.spawn(future)
    executor.run_until_stalled()

    assert executor.next_deadline() is None


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_timeout_refuses_what_is_no_span(seconds: float) -> None:
    """When it is made, not later on the loop."""
    with pytest.raises(ValueError, match="seconds"):
        Future.timeout(Future.ready(1), seconds)


@pytest.mark.parametrize("error", [KeyError("k"), SystemExit(1)])
def test_timeout_passes_the_error(error: BaseException) -> None:
    """At once, and at each poll."""
    future = Future.timeout(failing(error), 5)

    for _ in range(2):
        with pytest.raises(type(error)):
            future.poll()


def test_timeout_cancel_cancels_what_it_waits_for(executor: Executor) -> None:
    """Once; and it is over itself."""
    promise: Promise[int] = Promise()
    future: Any = Future.timeout(promise.future(), 5)
    handle = executor.spawn(future)
    executor.run_until_stalled()

    assert future.cancel() is True
    assert future.cancel() is False

    executor.run()
    assert promise.is_completed()
    assert isinstance(handle.error(), CancellationError)
    assert executor.next_deadline() is None


def test_timeout_polled_outside_of_any_executor_fires() -> None:
    """The process's deadline queue stands in for the loop."""
    waker = CountingWaker()
    future: Future[Any] = Future.timeout(Future.pending(), 0.01)
    assert future.poll(waker).is_pending()

    assert waker.wait()
    with pytest.raises(TimeoutError):
        future.poll(waker)


FORGETTERS: list[Callable[[Future[int]], Future[Any]]] = [
    lambda future: future.map(str).then(str),
    lambda future: Future.timeout(future, 100),
    lambda future: Future.all([future]),
    lambda future: Future.race([future, Future.pending()]),
]


@pytest.mark.parametrize("wrap", FORGETTERS)
def test_cancelled_interest_reaches_the_source(
    executor: Executor, wrap: Callable[[Future[int]], Future[Any]]
) -> None:
    """A thousand short waits for one long-lived future must not pile up in it."""
    promise: Promise[int] = Promise()

    async def wait() -> None:
        await wrapped

    wrapped = wrap(promise.future())
    for _ in range(3):
        handle = executor.spawn(wait())
        executor.run_until_stalled()
        handle.cancel()
        executor.run_until_stalled()

    assert promise.future()._waiting() == []
    handle = executor.spawn(wait())
    executor.run_until_stalled()
    promise.resolve(1)
    executor.run_until_stalled()
    assert handle.is_completed() or handle.is_pending()
