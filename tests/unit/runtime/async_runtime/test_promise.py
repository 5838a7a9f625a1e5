"""The write side and the read side of one outcome."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import itertools
from functools import partial
from typing import TYPE_CHECKING

import pytest

from runtime.async_runtime import (
    Future,
    OutcomeFuture,
    Promise,
    PromiseFuture,
    promise_from_callback,
    promise_from_error_callback,
)
from runtime.errors import BrokenPromiseError, CancellationError, InvalidStateError
from runtime.testing import CountingWaker

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_future_is_the_same_object_each_time() -> None:
    """Whoever asks gets the one read side."""
    promise: Promise[int] = Promise()

    assert promise.future() is promise.future()
    assert isinstance(promise.future(), PromiseFuture)
    assert "pending" in repr(promise)


def test_resolve_makes_it_ready_and_wakes(waker: CountingWaker) -> None:
    """One poll, one wake, one value."""
    promise: Promise[int] = Promise()
    assert promise.future().poll(waker).is_pending()
    assert not promise.is_completed()

    promise.resolve(3)

    assert waker.count == 1
    assert promise.is_completed()
    assert promise.future().poll(waker).unwrap() == 3
    assert "ready" in repr(promise.future())


def test_reject_makes_poll_raise(waker: CountingWaker) -> None:
    """A rejected future fails whoever polls it."""
    promise: Promise[int] = Promise()
    assert promise.future().poll(waker).is_pending()

    promise.reject(KeyError("k"))

    assert waker.count == 1
    with pytest.raises(KeyError, match="k"):
        promise.future().poll(waker)
    assert "failed" in repr(promise.future())


def test_settling_twice_raises_and_the_first_outcome_stands() -> None:
    """A bug should show; the message says what to use where it is a race."""
    promise = Promise.resolved(1)

    with pytest.raises(InvalidStateError, match="try_resolve"):
        promise.resolve(2)
    with pytest.raises(RuntimeError, match="twice"):
        promise.reject(KeyError())

    assert promise.future().result() == 1


def test_the_try_forms_say_whether_they_came_first() -> None:
    """A late settler is normal in a race."""
    promise: Promise[int] = Promise()

    assert promise.try_reject(KeyError()) is True
    assert promise.try_resolve(2) is False
    assert promise.try_reject(ValueError()) is False
    assert promise.cancel() is False


def test_reject_needs_an_exception_object() -> None:
    """And leaves the promise open, so that the mistake can be mended."""
    promise: Promise[int] = Promise()

    with pytest.raises(TypeError, match="exception object"):
        promise.reject("text")  # type: ignore[arg-type]  # the case

    promise.resolve(1)
    assert promise.future().result() == 1


def test_cancel_twice_does_not_raise() -> None:
    """True, then False; readers get an ordinary error."""
    promise: Promise[int] = Promise()

    assert promise.future().cancel() is True
    assert promise.future().cancel() is False

    assert promise.is_completed()
    assert promise.future().cancelled()
    with pytest.raises(CancellationError, match="cancelled"):
        promise.future().poll()


def test_resolved_and_rejected_are_settled_from_the_start() -> None:
    """Shorthands."""
    assert Promise.resolved(2).future().result() == 2
    with pytest.raises(KeyError):
        Promise.rejected(KeyError()).future().result()


def test_a_dropped_promise_breaks_its_future(waker: CountingWaker) -> None:
    """Those who wait are told; they do not wait for ever."""
    promise: Promise[int] = Promise()
    future = promise.future()
    assert future.poll(waker).is_pending()

    del promise
    gc.collect()

    assert waker.count == 1
    with pytest.raises(BrokenPromiseError, match="dropped without being settled"):
        future.poll(waker)


def test_every_waker_is_kept_and_woken_in_order() -> None:
    """Not only the last one; hundreds too, and those that cannot be hashed."""
    order: list[int] = []

    class Noting(CountingWaker):  # type: ignore[misc]  # final, for users
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def wake(self) -> None:
            order.append(self.number)

    class Unhashable(Noting):  # type: ignore[misc]  # as above
        __hash__ = None  # type: ignore[assignment]  # the case

    promise: Promise[int] = Promise()
    wakers = [Noting(n) if n % 2 else Unhashable(n) for n in range(300)]
    for waker in wakers:
        for _ in range(2):
            assert promise.future().poll(waker).is_pending()
    for waker in wakers[100:]:
        promise.future()._unsubscribe(waker)
        promise.future()._unsubscribe(waker)
    promise.resolve(1)

    assert sorted(order) == list(range(100))
    assert order[:20] == list(range(20))


def test_a_waker_that_raises_is_reported_and_others_still_wake(
    waker: CountingWaker, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it is the only one or one of several; the settler is not disturbed."""

    class Raising(CountingWaker):  # type: ignore[misc]  # final, for users
        def wake(self) -> None:
            raise KeyError("in wake")

    alone: Promise[int] = Promise()
    alone.future().poll(Raising())
    several: Promise[int] = Promise()
    several.future().poll(Raising())
    several.future().poll(waker)

    alone.resolve(1)
    several.resolve(1)

    assert waker.count == 1
    assert caplog.text.count("others still wake") == 2


def test_a_waker_that_interrupts_does_so_after_all_are_woken(waker: CountingWaker) -> None:
    """Ctrl-C is not swallowed, and nobody is forgotten for it."""

    class Interrupting(CountingWaker):  # type: ignore[misc]  # final, for users
        def wake(self) -> None:
            raise KeyboardInterrupt

    promise: Promise[int] = Promise()
    promise.future().poll(Interrupting())
    promise.future().poll(waker)

    with pytest.raises(KeyboardInterrupt):
        promise.resolve(1)

    assert waker.count == 1
    assert promise.is_completed()


def test_ten_thousand_promises_in_a_row_do_not_recurse() -> None:
    """Each one's callback settles the next."""

    def pass_on(following: Promise[int], future: OutcomeFuture[int]) -> None:
        following.resolve(future.result() + 1)

    made: list[Promise[int]] = [Promise() for _ in range(10_000)]
    for one, following in itertools.pairwise(made):
        one.future().add_done_callback(partial(pass_on, following))

    made[0].resolve(0)

    assert made[-1].future().result() == 9_999


def test_promise_from_callback() -> None:
    """The first call counts, late ones are dropped; what the function raises is the error."""
    kept: list[Callable[[int], object]] = []
    future = promise_from_callback(kept.append)
    kept[0](3)
    kept[0](4)
    assert future.result() == 3

    def broken(_done: Callable[[int], object]) -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        promise_from_callback(broken).result()


def test_promise_from_error_callback() -> None:
    """Whichever of the two is called first settles it."""
    done: Future[int] = promise_from_error_callback(lambda done, _failed: done(1))
    assert done.poll().unwrap() == 1
    failed: Future[int] = promise_from_error_callback(lambda _done, failed: failed(KeyError()))
    with pytest.raises(KeyError):
        failed.poll()


def test_a_callback_api_that_forgets_its_callbacks_breaks_the_future() -> None:
    """Nobody could settle it any more."""
    future: PromiseFuture[int] = promise_from_callback(lambda _done: None)
    gc.collect()

    with pytest.raises(BrokenPromiseError):
        future.result()


@pytest.mark.parametrize(("count", "gone"), [(32, 31), (33, 32), (100, 50), (100, 99)])
def test_those_who_came_late_are_woken_also_where_the_first_ones_have_gone(
    count: int, gone: int
) -> None:
    """They are kept apart: in a list while they are few, and hashed when they are many."""
    promise: Promise[int] = Promise()
    future = promise.future()
    wakers = [CountingWaker() for _ in range(count)]
    for waker in wakers:
        assert future.poll(waker).is_pending()
    for waker in wakers[:gone]:
        future._forget(waker)

    promise.resolve(3)

    assert [waker.count for waker in wakers] == [0] * gone + [1] * (count - gone)
