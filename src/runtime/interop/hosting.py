"""A loop of asyncio in our executor: one thread serves both.

A task of ours gives asyncio a turn whenever it has something to do: ``run_forever`` with a selector
that stops the loop where it would sleep. Between turns our loop sleeps for both: on the
selector's descriptor, and until asyncio's next timer. All of it is public in asyncio: the selector
is an argument of `asyncio.SelectorEventLoop`, and the loop's own `call_soon` and `call_at` tell
of calls that come between turns.
Threads: the executor's. `HostedLoop.run` may be called from any.
Source: interop-spec.md, section 4; ADR-012.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, final

from runtime.async_runtime import Future, Poll, Waker, sleep, wait_readable
from runtime.async_runtime.running import running
from runtime.errors import InvalidStateError
from runtime.interop.foreign import from_asyncio
from runtime.interop.turn_selector import TurnSelector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextvars import Context
    from types import TracebackType

    from runtime.async_runtime import Executor, TaskHandle
    from runtime.async_runtime.descriptors import DescriptorFuture
    from runtime.async_runtime.sleeping import SleepFuture
    from runtime.interop.foreign_future import ForeignFuture

__all__ = ("HostedLoop",)

T = TypeVar("T")

_ROUNDS: Final = 20  # rounds of asyncio's in one turn, before our other tasks have theirs
_NOOP: Final = Waker.noop()


@final
class HostedLoop:
    """A loop of asyncio that *executor* drives. A context manager, plain or async.

    Args:
        executor: Whose task it becomes; it is made and closed in that executor's thread.

    Attributes:
        loop: The loop. It is running, as asyncio sees it, during its turns.

    Raises:
        RuntimeError: a loop of asyncio runs in this thread already: use that one.
        NotImplementedError: the system has no selector that can itself be waited for (Windows).
    """

    def __init__(self, executor: Executor) -> None:
        _check_alone()
        self._selector = TurnSelector()
        self._executor = executor
        self.loop = _Loop(self._selector)
        self._driver = _Driver(self.loop, self._selector, self._start)
        self._task: TaskHandle[None]  # that drives it
        self._start()

    def _start(self) -> None:
        self._task = self._executor.spawn(self._driver)

    def run(self, work: Awaitable[T], *, cancel_on_abandon: bool = True) -> ForeignFuture[T]:
        """Run *work* as a task of asyncio's; see `from_asyncio`. Thread-safe."""
        ours = from_asyncio(work, loop=self.loop, cancel_on_abandon=cancel_on_abandon)
        frame = sys._getframe(1)
        ours._place = (frame.f_code, frame.f_lasti)
        return ours

    async def aclose(self) -> None:
        """Cancel what is left in the loop, let it clean up, and close it. In a task of ours.

        Other tasks have their turns meanwhile. Where the executor is closed it does as `close`.
        """
        if self._executor._closed:  # nobody would drive what is awaited here
            self.close()
        elif not self.loop.is_closed():
            await self.run(_wind_up())
            self._end()

    def close(self) -> None:
        """Do the same, and return when it is done.

        Outside of tasks it drives the executor until then. In a task of it, and where the
        executor is closed, the loop runs by itself: the thread's other tasks lie still, so
        cleaning up that waits for one of them waits for ever; there, await `aclose`.

        Raises:
            InvalidStateError: a loop of asyncio, this one or another, runs in this thread.
        """
        if self.loop.is_closed():
            return
        if _runs_here():
            raise InvalidStateError(
                f"cannot close {self!r} while a loop of asyncio runs in this thread: call close() "
                "when that has returned, or await aclose() in a task of the executor"
            )
        if self._executor._closed or self._executor._is_below():
            self._driver.run_alone(_wind_up())
            self._end()
        else:
            self._executor.run_until_complete(self.aclose())

    def _end(self) -> None:
        self._driver.end()
        self._task.cancel()
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "closed" if self.loop.is_closed() else "open"
        return f"<HostedLoop {state} in {self._executor!r}>"


class _Loop(asyncio.SelectorEventLoop):
    """Tells of calls that are asked for between turns."""

    def __init__(self, selector: TurnSelector) -> None:
        self.ring: Callable[[], object] = int
        selector.stop = self.stop
        super().__init__(selector)

    def call_soon(  # type: ignore[override]  # the stub's type variables cannot be passed on
        self,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - as in asyncio
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = super().call_soon(callback, *args, context=context)
        self.ring()
        return handle

    def call_at(  # type: ignore[override]  # as above
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - as in asyncio
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = super().call_at(when, callback, *args, context=context)
        self.ring()
        return handle


class _Driver(Future[None]):
    """What our executor polls: one turn of the loop for each poll, pending until the end."""

    def __init__(self, loop: _Loop, selector: TurnSelector, start: Callable[[], object]) -> None:
        self._start = start
        self._loop = loop
        self._selector = selector
        self._waker = _NOOP
        self._readable: DescriptorFuture | None = None
        self._timer: SleepFuture | None = None
        self._turning = False
        loop.ring = self._ring

    def poll(self, waker: Waker = _NOOP) -> Poll[None]:
        """Give the loop a turn, and see that *waker* is woken for the next one."""
        if self._loop.is_closed():
            return Poll.ready(None)
        self._waker = waker
        selector = self._selector
        before, running.executor = running.executor, None  # an ``await`` in there is asyncio's
        self._turning, selector.rounds = True, _ROUNDS
        try:
            self._loop.run_forever()
        except BaseException:
            self._start()  # an interrupt ends this task: the loop goes on in another one
            raise
        finally:
            running.executor = before
            self._turning = False
        if selector.rung or selector.timeout == 0:
            waker.wake()
        else:
            self._wait(selector.timeout)
        return Poll.pending()

    def run_alone(self, last: Coroutine[Any, Any, object]) -> None:
        """Run the loop until *last* is over, asleep where it would sleep, and without a poll."""
        before, running.executor = running.executor, None  # as in poll
        self._turning = self._selector.sleeps = True
        task = self._loop.create_task(last)
        try:
            self._loop.run_until_complete(task)
        except BaseException:
            task.cancel()  # an interrupt: the next one must not find it at work
            raise
        finally:
            running.executor = before
            self._turning = self._selector.sleeps = False
            self._ring()  # after an interrupt it goes on in turns

    def _wait(self, seconds: float | None) -> None:
        if self._readable is None or self._readable.done():
            self._readable = wait_readable(self._selector.descriptor)
        self._readable.poll(self._waker)
        self._drop_timer()
        if seconds is not None:
            self._timer = sleep(seconds)
            self._timer.poll(self._waker)

    def _drop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _ring(self) -> None:
        self._selector.rung = True
        if not self._turning:
            self._waker.wake()

    def end(self) -> None:
        """Wait for nothing any more."""
        self._loop.ring = int
        self._drop_timer()
        if self._readable is not None:
            self._readable.cancel()


def _check_alone() -> None:
    if _runs_here():
        raise RuntimeError(
            "a loop of asyncio runs in this thread already: attach() our executor to that one"
        )


def _runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _wind_up() -> None:
    """Do in the loop what ``asyncio.run`` does at its end."""
    loop = asyncio.get_running_loop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    for result in await asyncio.gather(*others, return_exceptions=True):
        if isinstance(result, Exception):
            loop.call_exception_handler(
                {"message": "unhandled exception at the end of the loop", "exception": result}
            )
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
