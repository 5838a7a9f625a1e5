"""The loops that our futures are awaited in, each behind the same few words.

A test that is asserted for all of them is marked with `ALL_LOOPS` and takes ``loop``; a loop whose
package is not installed is skipped by name. Loops of asyncio's run in debug mode.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

from runtime import async_runtime as ours

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

__all__ = ("ALL_LOOPS", "Group", "Loop")

T = TypeVar("T")


class Group:
    """Tasks that end together: the block ends when they have, or fails with the first of them.

    Args:
        start: Begins a task: ``start(func, *args)``.
        cancel: Asks all tasks of the group to stop.
    """

    def __init__(self, start: Callable[..., object], cancel: Callable[[], object]) -> None:
        self.start = start
        self.cancel = cancel


class Loop:
    """One loop. The methods but `run` are called in its tasks."""

    name: str
    packages: tuple[str, ...] = ()  # that have to be there
    expired: type[BaseException] = TimeoutError  # what an expired limit raises

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run *main* to its end."""
        raise NotImplementedError

    def limit(self, seconds: float) -> contextlib.AbstractAsyncContextManager[Any]:
        """Limit a block."""
        raise NotImplementedError

    def group(self) -> contextlib.AbstractAsyncContextManager[Group]:
        """Open a group of tasks."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        """Let others run for *seconds*."""
        raise NotImplementedError

    async def turns(self) -> None:
        """Let the other tasks come to where they wait."""
        for _ in range(5):
            await self.sleep(0)

    def cancelled(self) -> type[BaseException]:
        """Return what a cancelled task of this loop sees."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.name


class _Ours(Loop):
    name = "executor"

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with ours.Executor() as executor:
            return executor.run_until_complete(main())

    def limit(self, seconds: float) -> contextlib.AbstractAsyncContextManager[Any]:
        return ours.timeout(seconds)

    @contextlib.asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        async with ours.TaskGroup() as group:
            yield Group(lambda func, *args: group.spawn(func(*args)), group.cancel)

    async def sleep(self, seconds: float) -> None:
        await ours.sleep(seconds)

    def cancelled(self) -> type[BaseException]:
        return importlib.import_module("runtime.errors").CancelRequestedError  # type: ignore[no-any-return]  # a module's attribute


class _Asyncio(Loop):
    name = "asyncio"

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run(main(), debug=True)

    def limit(self, seconds: float) -> contextlib.AbstractAsyncContextManager[Any]:
        return asyncio.timeout(seconds)

    @contextlib.asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        tasks: list[asyncio.Task[object]] = []
        async with asyncio.TaskGroup() as group:
            yield Group(
                lambda func, *args: tasks.append(group.create_task(func(*args))),
                lambda: [task.cancel() for task in tasks],
            )

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def cancelled(self) -> type[BaseException]:
        return asyncio.CancelledError


class _Uvloop(_Asyncio):
    name = "uvloop"
    packages: tuple[str, ...] = ("uvloop",)

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        factory = importlib.import_module("uvloop").new_event_loop
        with asyncio.Runner(debug=True, loop_factory=factory) as runner:
            return runner.run(main())


class _Trio(Loop):
    name = "trio"
    packages: tuple[str, ...] = ("trio",)

    def __init__(self) -> None:
        with contextlib.suppress(ImportError):
            self._trio = importlib.import_module("trio")
            self.expired = self._trio.TooSlowError

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        result: T = self._trio.run(main)
        return result

    @contextlib.asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        with self._trio.fail_after(seconds):
            yield

    @contextlib.asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        async with self._trio.open_nursery() as nursery:
            yield Group(nursery.start_soon, nursery.cancel_scope.cancel)

    async def sleep(self, seconds: float) -> None:
        await self._trio.sleep(seconds)

    def cancelled(self) -> type[BaseException]:
        return self._trio.Cancelled  # type: ignore[no-any-return]  # a module that may not be there


class _Anyio(Loop):
    def __init__(self, backend: str) -> None:
        self.name = f"anyio on {backend}"
        self.packages = ("anyio", backend)
        self._backend = backend
        with contextlib.suppress(ImportError):
            self._anyio = importlib.import_module("anyio")
            importlib.import_module(f"anyio._backends._{backend}")

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        options = {"debug": True} if self._backend == "asyncio" else {}
        result: T = self._anyio.run(main, backend=self._backend, backend_options=options)
        return result

    @contextlib.asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        with self._anyio.fail_after(seconds):
            yield

    @contextlib.asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        async with self._anyio.create_task_group() as group:
            yield Group(group.start_soon, group.cancel_scope.cancel)

    async def sleep(self, seconds: float) -> None:
        await self._anyio.sleep(seconds)

    def cancelled(self) -> type[BaseException]:
        return self._anyio.get_cancelled_exc_class()  # type: ignore[no-any-return]  # as trio's


def _is_there(loop: Loop) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in loop.packages)


def _parameter(loop: Loop) -> Any:  # noqa: ANN401 - what pytest makes of it
    missing = not _is_there(loop)
    reason = f"{loop.name} is not installed"
    return pytest.param(loop, id=loop.name, marks=pytest.mark.skipif(missing, reason=reason))


_LOOPS: Final = (_Ours(), _Asyncio(), _Uvloop(), _Trio(), _Anyio("asyncio"), _Anyio("trio"))

# Each has had one run, so that no test is charged with what a package keeps for the process.
for _loop in _LOOPS:
    if _is_there(_loop):
        _loop.run(functools.partial(_loop.sleep, 0))

ALL_LOOPS: Final = pytest.mark.parametrize("loop", [_parameter(loop) for loop in _LOOPS])
