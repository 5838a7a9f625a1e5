"""Interrupts that hit the loop itself, and not a task: nothing is swallowed, nothing is lost."""

# Fakes take anything:
# ruff: noqa: ANN401

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, sleep, yield_now
from runtime.async_runtime.loop import ReadyLoop
from runtime.testing import CountingWaker
from tests.unit.runtime.interrupts import AtBytecode, interrupted

if TYPE_CHECKING:
    from types import FrameType

    from runtime.async_runtime.future import FutureLike


async def turns(count: int) -> str:
    """Give way *count* times."""
    for _ in range(count):
        await yield_now()
    return "done"


class BadClock:
    """Raises when it is asked for the *nth* time."""

    def __init__(self, nth: int, error: BaseException) -> None:
        self.left = nth
        self.error = error

    def now(self) -> float:
        """Return a time that stands still."""
        self.left -= 1
        if self.left == 0:
            raise self.error
        return 0.0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), LookupError("no time")])
@pytest.mark.parametrize("nth", range(2, 8))
def test_what_is_raised_while_timers_are_looked_at_leaves_the_run(
    error: BaseException, nth: int
) -> None:
    """Between two tasks nobody but the caller can be told; the tasks go on afterwards."""
    executor = Executor(clock=BadClock(nth, error))
    sleeper = executor.spawn(sleep(1))
    main = executor.spawn(turns(10))

    with pytest.raises(type(error)):
        executor.run_until_complete(main)

    assert executor.run_until_complete(main) == "done"
    assert sleeper.is_pending()
    sleeper.cancel()
    executor.close()


class InterruptingDict(dict[Any, None]):
    """Raises where a signal would be seen: when a call that the loop made has done its work."""

    armed = True

    def pop(self, *args: Any) -> None:
        """Do it, and raise the first time."""
        super().pop(*args)
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt


@pytest.mark.parametrize("future", [turns, lambda _: Future.ready("done")])
def test_an_interrupt_as_a_task_ends_keeps_its_value(future: Any) -> None:
    """The task has ended: what it returned stands, and who waits for it is woken."""
    executor = Executor()
    executor._active = InterruptingDict()
    handle = executor.spawn(future(1))
    waker = CountingWaker()
    handle.poll(waker)

    with pytest.raises(KeyboardInterrupt):
        executor.run()
    executor.run()

    if future is turns:
        assert handle.result() == "done"
    assert handle.done()
    assert waker.count == 1
    assert executor.active_tasks() == 0
    executor.close()


def is_loop(frame: FrameType) -> bool:
    """Tell whether the loop itself runs in *frame*, and nothing that it calls."""
    return frame.f_code is ReadyLoop._drain.__code__


async def ready() -> str:
    """End at once."""
    return "done"


@pytest.mark.parametrize("make", [ready, lambda: turns(1), lambda: Future.ready("done")])
def test_an_interrupt_at_any_step_of_the_loop_leaves_no_task_behind(make: Any) -> None:
    """It ends with its value or with the interrupt, and whoever waits for it is told."""
    step = 1
    while True:
        executor = Executor()
        future: FutureLike[str] = make()
        handle = executor.spawn(future)
        waker = CountingWaker()
        handle.poll(waker)

        is_interrupted = interrupted(executor.run, AtBytecode(step, is_loop))
        executor.run()

        assert handle.done(), step
        assert handle.is_completed() or isinstance(handle.error(), KeyboardInterrupt), step
        assert waker.count == 1, step
        assert executor.active_tasks() == 0, step
        executor.close()
        if not is_interrupted:
            break
        step += 1
    assert step > 20  # it has been somewhere
