"""The host of a program: the functions of ours that Lua code calls, on whatever drives the loop.

Lua code of the program itself runs in one state, on the executor's thread, a task at a time; what
it gives to ``work`` runs in states of worker threads.
Threads: the executor's.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar

from lupa.lua54 import lua_type

from examples.lua.errors import LuaTurnLimitError
from examples.lua.fiber import Fiber
from examples.lua.jobs import LuaJobs
from examples.lua.state import PERIOD, LuaState
from examples.lua.values import LuaValue, freeze, text
from runtime import Worker, WorkerPool, sleep
from runtime.async_runtime import Future

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from runtime import Executor
    from runtime.async_runtime import TaskHandle

__all__ = ("LuaHost",)

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE: Final = 5.0  # seconds; only a function of Lua's library, written in C, takes so long
_MAX_TURN: Final = 100_000_000  # instructions; about a second


class LuaHost:
    """Runs Lua programs on *executor*. Not thread-safe; a context manager.

    Args:
        executor: What drives the tasks; whoever steps it, an endless loop or somebody's event
            loop, makes no difference here.
        write: Gets what programs print, from workers too; by default the standard output does.
        max_workers: How many threads ``work`` has; None for as many as the machine has cores.
        max_memory_bytes: For each Lua state, that of the program and those of the workers.
        max_turn: Instructions that a task may run on the loop without waiting.
        period: Instructions between two looks at what may stop Lua code.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        write: Callable[[str], object] | None = None,
        max_workers: int | None = None,
        max_memory_bytes: int | None = None,
        max_turn: int = _MAX_TURN,
        period: int = PERIOD,
    ) -> None:
        write = write or sys.stdout.write
        self._executor = executor
        self._max_turn = max_turn
        self._period = period
        self._tasks: dict[int, TaskHandle[LuaValue]] = {}  # that have not ended, by number
        self._task_count = 0
        self._pool = WorkerPool(max_workers, name="the Lua workers")
        self._jobs = LuaJobs(write, max_memory_bytes, period)
        functions: list[Callable[..., object]] = [
            self._all,
            self._awaitable,
            self._cancel,
            self._sleep,
            self._spawn,
            self._timeout,
            self._work,
        ]
        self._state = LuaState(
            self._look,
            write,
            {function.__name__.strip("_"): _answering(function) for function in functions},
            max_memory_bytes=max_memory_bytes,
            period=period,
        )

    async def run(self, source: str, name: str = "program.lua") -> LuaValue:
        """Run a program to the end of its main task; cancel what it has left running.

        Raises:
            LuaFailure: it is no Lua, or its main task failed.
        """
        task = self._state.compile(source, name)
        try:
            return await self._spawn(task)
        finally:
            for left in list(self._tasks.values()):
                left.cancel()

    def close(self, *, wait: bool = True) -> None:
        """Stop the workers, and *wait* for them. May be called twice."""
        self._pool.cancel_all()
        self._pool.shutdown(wait=wait)
        if wait:
            self._jobs.join(_PATIENCE)  # the pool does not wait for jobs that were told to stop

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(wait=error is None or isinstance(error, Exception))  # not after Ctrl-C

    def _look(self) -> None:
        if self._state.looks * self._period >= self._max_turn:
            raise LuaTurnLimitError(self._max_turn)

    # ---- what Lua calls -------------------------------------------------------------------

    def _spawn(self, task: LuaValue) -> TaskHandle[LuaValue]:
        self._task_count += 1
        number = self._task_count
        handle = self._executor.spawn(Fiber(self._state, task))
        self._tasks[number] = handle
        handle.add_done_callback(lambda _: self._tasks.pop(number))
        return handle

    def _work(self, code: bytes, name: bytes, arguments: LuaValue) -> Future[Any]:
        count = arguments[b"n"]
        frozen = [freeze(arguments[index]) for index in range(1, count + 1)]
        return Worker.spawn(
            self._jobs.run, name=text(name), args=(code, frozen, count), pool=self._pool
        )

    def _sleep(self, seconds: LuaValue) -> Future[None]:
        return sleep(_seconds("sleep", seconds))

    def _all(self, futures: LuaValue) -> Future[Any]:
        if lua_type(futures) != "table":
            raise TypeError(f"all needs a table of tasks, got a {_kind(futures)}")
        return Future.all([_future("all", one) for one in futures.values()])

    def _timeout(self, seconds: LuaValue, future: LuaValue) -> Future[Any]:
        return Future.timeout(_future("timeout", future), _seconds("timeout", seconds))

    def _cancel(self, future: LuaValue) -> bool:
        return bool(_future("cancel", future).cancel())

    def _awaitable(self, future: LuaValue) -> object:
        return _future("await", future)


def _answering(function: Callable[P, T]) -> Callable[P, tuple[bool, T | bytes]]:
    """Return what the prelude calls: it makes an error of Lua's of an error of Python's."""

    @functools.wraps(function)
    def answer(*args: P.args, **kwargs: P.kwargs) -> tuple[bool, T | bytes]:
        try:
            return True, function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the program gets it
            return False, str(error).encode()

    return answer


def _future(name: str, value: LuaValue) -> Any:  # noqa: ANN401 - some future that can be cancelled
    if isinstance(value, Future):
        return value
    raise TypeError(f"{name} needs what spawn, work, all or timeout gives, got a {_kind(value)}")


def _seconds(name: str, value: LuaValue) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return value
    raise TypeError(f"{name} needs a number of seconds, 0 or more, got {_shown(value)}")


def _shown(value: LuaValue) -> str:
    return str(value) if isinstance(value, (int, float)) else f"a {_kind(value)}"


def _kind(value: LuaValue) -> str:
    if value is None:
        return "nil"
    names = {bool: "boolean", int: "number", float: "number", bytes: "string"}
    return names.get(type(value)) or str(lua_type(value) or type(value).__name__)
