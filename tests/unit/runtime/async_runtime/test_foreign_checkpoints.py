"""In trio every ``await`` is a checkpoint, also of a future that is finished."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, Poll, Promise, Waker
from runtime.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

with contextlib.suppress(ImportError):  # here, so that no test is charged with what it loads
    importlib.import_module("trio")

NOOP = Waker.noop()


def a_finished_task() -> Future[Any]:
    with Executor() as executor:
        handle = executor.spawn(Future.ready(1))
        executor.run()
    return handle


def a_finished_job() -> Future[Any]:
    job = Worker.spawn(int, timeout=5.0)
    job.result(5.0)
    return job


def a_failure() -> Future[Any]:
    promise: Promise[Any] = Promise()
    promise.reject(KeyError("k"))
    return promise.future()


FINISHED: dict[str, Callable[[], Future[Any]]] = {
    "promise": lambda: Promise.resolved(1).future(),
    "failure": a_failure,
    "job": a_finished_job,
    "task": a_finished_task,
    "join": lambda: Future.all([Promise.resolved(1).future()]),
    "ready": lambda: Future.ready(1),
    "error": lambda: Future.from_result(KeyError("k")),
}
ALL_FINISHED = pytest.mark.parametrize("make", FINISHED.values(), ids=FINISHED)


@ALL_FINISHED
def test_a_cancelled_scope_is_seen(make: Callable[[], Future[Any]]) -> None:
    """A loop over futures that are ready could not be stopped otherwise."""
    trio = pytest.importorskip("trio")
    went_on: list[str] = []

    async def main() -> bool:
        future = make()
        with trio.CancelScope() as scope, contextlib.suppress(KeyError):
            scope.cancel()
            await future
            went_on.append("no checkpoint")
        with contextlib.suppress(KeyError):
            await future
        return bool(scope.cancelled_caught)

    assert trio.run(main)
    assert went_on == []


@ALL_FINISHED
def test_other_tasks_have_their_turn(make: Callable[[], Future[Any]]) -> None:
    """Nobody keeps the loop for itself by awaiting what is there."""
    trio = pytest.importorskip("trio")
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    async def main() -> None:
        future = make()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            for _ in range(2):  # the first time both are ready, in whichever order
                with contextlib.suppress(KeyError):
                    await future
            turns.append("main")

    trio.run(main)

    assert turns == ["other", "main"]


def test_a_value_that_was_taken_is_not_lost_in_a_cancelled_scope() -> None:
    """A poll may take it out of a queue: cancelling comes before that, or not at all."""
    trio = pytest.importorskip("trio")
    queue = [1, 2]

    class Take(Future[int]):
        def poll(self, waker: Waker = NOOP) -> Poll[int]:  # noqa: ARG002 - it never waits
            scopes[-1].cancel()
            return Poll.ready(queue.pop())

    scopes: list[Any] = []

    async def main() -> int:
        value = 0
        with trio.CancelScope() as scope:
            scopes.append(scope)
            value = await Take()
        with trio.CancelScope() as scope:
            scope.cancel()
            await Take()
        return value

    assert trio.run(main) == 2
    assert queue == [1]


def test_a_job_awaited_in_a_scope_that_is_cancelled_already_is_abandoned() -> None:
    """As where the scope is cancelled a moment later."""
    trio = pytest.importorskip("trio")
    promise: Promise[int] = Promise()
    abandoned: list[str] = []

    class Noted(Future[int]):
        def poll(self, waker: Waker = NOOP) -> Poll[int]:
            return promise.future().poll(waker)

        def _abandoned(self) -> None:
            abandoned.append("told")

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await Noted()

    trio.run(main)

    assert abandoned == ["told"]
    assert promise.future()._waiting() == []


def test_loops_inside_of_a_task_of_trio_need_no_checkpoint() -> None:
    """The innermost loop would not know what trio's tasks yield."""
    trio = pytest.importorskip("trio")

    async def inner() -> int:
        return await Promise.resolved(1).future() + await Future.ready(2)

    async def main() -> tuple[int, int]:
        with Executor() as executor:
            return asyncio.run(inner()), executor.run_until_complete(inner())

    assert trio.run(main) == (3, 3)


def test_by_hand_a_finished_future_needs_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """With trio loaded or not, or blocked, or half loaded."""
    future = Promise.resolved(7).future()
    for trio in (sys, None):  # sys: a module without the parts of trio
        monkeypatch.setitem(sys.modules, "trio", trio)  # None blocks it

        with pytest.raises(StopIteration) as caught:
            next(future.__await__())

        assert caught.value.value == 7
