"""A Lua task as a future: ``poll`` resumes its coroutine until that has to wait.

Threads: the executor's. Wakers may be called from anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from examples.lua.errors import LuaFailure
from examples.lua.values import LuaValue
from runtime.async_runtime import Future, Poll, TaskHandle, Waker

if TYPE_CHECKING:
    from examples.lua.state import LuaState

__all__ = ("Awaitable", "Fiber")

_NOBODY: Final = Waker.noop()


class Awaitable(Protocol):
    """What a task may wait for."""

    def poll(self, waker: Waker, /) -> Poll[Any]:
        """See `Future.poll`."""
        ...

    def cancel(self) -> object:
        """Give up."""
        ...


class Fiber(Future[LuaValue]):
    """One Lua task; its value is the first result of its function."""

    def __init__(self, state: LuaState, task: LuaValue) -> None:
        self._state = state
        self._task = task  # None: it has ended
        self._awaited: Awaitable | None = None
        self._answer: tuple[object, ...] = ()  # for the coroutine, when it goes on
        self._cause: Exception | None = None  # what the last await raised into Lua
        self._result: Poll[LuaValue] = Poll.pending()

    def poll(self, waker: Waker = _NOBODY) -> Poll[LuaValue]:
        """Run Lua until the end, until something is pending, or until it gives way."""
        while self._task is not None:
            if self._awaited is not None and not self._look(self._awaited, waker):
                return Poll.pending()
            word, value = self._step()
            if word == b"wait":
                self._awaited = value
            elif word == b"done":
                self._task = None
                self._result = Poll.ready(value)
            else:  # a plain yield: others first
                waker.wake()
                return Poll.pending()
        return self._result

    def cancel(self) -> bool:
        """Never run again; called by the executor when the task was cancelled."""
        if self._task is None:
            return False
        awaited, self._awaited = self._awaited, None
        self._task = None
        self._answer = ()
        if awaited is not None and not isinstance(awaited, TaskHandle):
            awaited.cancel()  # a job, a timer; a task may have others who wait for it
        return True

    def _look(self, awaited: Awaitable, waker: Waker) -> bool:
        """Poll what the task waits for; False while it is pending."""
        self._cause = None
        try:
            polled = awaited.poll(waker)
        except Exception as error:  # noqa: BLE001 - Lua gets it, and may catch it
            self._cause = error
            self._answer = (False, str(error) or type(error).__name__)
        else:
            if polled.is_pending():
                return False
            self._answer = (True, polled.value)
        self._awaited = None
        return True

    def _step(self) -> tuple[bytes, Any]:
        answer, self._answer = self._answer, ()
        try:
            return self._state.step(self._task, *answer)
        except LuaFailure as error:
            self._task = None
            if self._cause is not None and str(self._cause) in error.message:
                raise error from self._cause  # Lua did not catch it
            raise
        except BaseException:
            self._task = None
            raise
