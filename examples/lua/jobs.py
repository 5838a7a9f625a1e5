"""Lua on worker threads: each thread has a state of its own, made for its first job.

What stops a job is the job's own token: the hook of the prelude calls `CurrentJob.check`, so a
timeout or a cancellation ends a loop that never looks at anything.
Threads: workers.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from examples.lua.errors import LuaFailure, LuaMemoryLimitError
from examples.lua.state import PERIOD, LuaState
from examples.lua.values import LuaValue, freeze
from runtime import CancelRequestedError, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("LuaJobs",)


class _OfThread(threading.local):
    state: LuaState | None = None


class LuaJobs:
    """Runs functions of Lua, in whichever worker thread it is called. Thread-safe.

    Args:
        write: Gets what they print; called from workers.
        max_memory_bytes: For each state.
        period: Instructions between two looks at the token.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        max_memory_bytes: int | None = None,
        period: int = PERIOD,
    ) -> None:
        self._write = write
        self._max_memory_bytes = max_memory_bytes
        self._period = period
        self._of_thread = _OfThread()
        self._ended = threading.Condition()
        self._running = 0  # protected by _ended

    def run(self, code: bytes, arguments: LuaValue, count: int) -> LuaValue:
        """Run *code* (bytecode) with *count* frozen *arguments*; return its result, frozen.

        Raises:
            LuaFailure: it failed.
            LuaMemoryLimitError: it needs too much memory.
            CancelRequestedError: nobody wants the result any more.
            TypeError: the result cannot travel.
        """
        with self._ended:
            self._running += 1
        try:
            return self._run(code, arguments, count)
        finally:
            with self._ended:
                self._running -= 1
                self._ended.notify_all()

    def join(self, timeout: float) -> bool:
        """Wait until nothing runs, abandoned jobs too; False after *timeout* seconds."""
        with self._ended:
            return self._ended.wait_for(lambda: not self._running, timeout)

    def _run(self, code: bytes, arguments: LuaValue, count: int) -> LuaValue:
        here = self._of_thread
        state = here.state
        if state is None:
            state = here.state = self._new_state()
        try:
            return freeze(state.run(code, arguments, count))
        except (LuaMemoryLimitError, CancelRequestedError):
            here.state = None  # full, or cut off in the middle: the next job gets a new one
            raise
        except LuaFailure:
            Worker.current().check()  # its sleep was cut short: then that is what counts
            raise

    def _new_state(self) -> LuaState:
        return LuaState(
            lambda: Worker.current().check(),
            self._write,
            {"sleep": _sleep},
            max_memory_bytes=self._max_memory_bytes,
            period=self._period,
        )


def _sleep(seconds: float) -> tuple[bool, bytes | None]:
    try:
        Worker.current().sleep(seconds)
    except (TypeError, ValueError, CancelRequestedError) as error:
        return False, str(error).encode()
    return True, None
