"""What `spawn` takes besides the function, and what it refuses."""

from __future__ import annotations

import contextvars
import ctypes  # noqa: F401 - interrupts load it; its library must be open before leaks are counted
import functools
import gc
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends import InlineBackend
from runtime.errors import CancelRequestedError, WorkerRuntimeError
from runtime.workers import Outcome, WorkerPool
from runtime.workers.options import _unless
from tests.unit.runtime.gates import GUARD, nothing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from runtime.async_runtime import UnhandledError
    from runtime.testing import ManualClock, ScriptedBackend

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("COLOUR", default="none")


async def coroutine_function() -> int:
    return 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class AsyncCallable:
    """Its call gives a coroutine, though it is no coroutine function itself."""

    async def __call__(self) -> int:
        return 1

    async def method(self) -> int:
        return 1


class Counter:
    """A callable object."""

    def __call__(self) -> str:
        return "called"

    def method(self) -> str:
        return "method"


@pytest.mark.parametrize(
    "func",
    [
        coroutine_function,
        async_generator,
        AsyncCallable(),
        AsyncCallable().method,
        functools.partial(coroutine_function),
        functools.partial(functools.partial(AsyncCallable().method)),
    ],
)
def test_a_coroutine_function_is_refused(scripted: WorkerPool, func: Callable[[], Any]) -> None:
    """A worker would only make a coroutine object, which nobody ever runs."""
    with pytest.raises(TypeError, match="coroutine function"):
        _ = scripted.spawn(func)


@pytest.mark.parametrize("func", [None, 42, "text"])
def test_what_cannot_be_called_is_refused_at_the_spawn(scripted: WorkerPool, func: Any) -> None:
    """Not in the worker, where nobody sees which call it was."""
    with pytest.raises(TypeError, match="spawn needs a function"):
        _ = scripted.spawn(func)


@pytest.mark.parametrize(
    ("func", "result"),
    [
        (Counter(), "called"),
        (Counter().method, "method"),
        (dict, {}),
        (functools.partial(int, "7"), 7),
        ("text".upper, "TEXT"),
    ],
)
def test_whatever_can_be_called_runs(
    scripted: WorkerPool, backend: ScriptedBackend, func: Callable[[], Any], result: object
) -> None:
    """Objects, methods, classes, partials and builtins are functions too."""
    future = scripted.spawn(func)
    backend.run(future)

    assert future.result() == result


def test_arguments_of_any_name_reach_the_function(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Also those that are called like parameters of spawn itself."""
    names = {"self": 1, "func": 2, "fn": 3, "name": 4, "timeout": 5, "args": 6, "kwargs": 7}
    future = scripted.spawn(lambda *args, **kwargs: (args, kwargs), args=(0, 1), kwargs=names)

    backend.run(future)

    assert future.result() == ((0, 1), names)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"args": "text"}, "args must be a tuple"),
        ({"args": 5}, "args must be a tuple"),
        ({"kwargs": {5: 1}}, "mapping of names"),
        ({"kwargs": [1]}, "mapping of names"),
        ({"name": 5}, "name must be a str"),
        ({"context": {}}, "context must be"),
        ({"context": "text"}, "context must be"),
    ],
)
def test_options_of_a_wrong_type_are_refused(
    scripted: WorkerPool, options: dict[str, Any], match: str
) -> None:
    """With a text that says what was given and what to write instead."""
    with pytest.raises(TypeError, match=match):
        _ = scripted.spawn(nothing, **options)


# ---- contexts -----------------------------------------------------------------------------


def test_the_function_sees_the_context_of_its_spawn(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """As it was then, not as it is when the job gets its turn."""
    token = COLOUR.set("red")
    future = scripted.spawn(COLOUR.get)
    COLOUR.reset(token)

    backend.run(future)

    assert future.result() == "red"


def test_a_context_that_is_given_is_used_itself(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """What the function sets in it can be read there afterwards."""
    context = contextvars.copy_context()
    future = scripted.spawn(lambda: COLOUR.set("green"), context=context)

    backend.run(future)

    assert context[COLOUR] == "green"
    assert COLOUR.get() == "none"


def test_a_context_that_is_in_use_fails_the_job_not_the_worker(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Two cannot be in one context at the same time: Python's own error says so."""
    context = contextvars.copy_context()
    inner = scripted.spawn(nothing, context=context)
    outer = scripted.spawn(lambda: backend.run(inner), context=context)

    backend.run(outer)

    assert isinstance(inner.exception(), RuntimeError)
    assert outer.exception() is None


# ---- interrupt ----------------------------------------------------------------------------


def test_interrupt_ends_a_loop_that_never_looks() -> None:
    """The one way to stop code that was not written to be stopped."""
    begun = threading.Event()

    def loop() -> None:
        begun.set()
        while True:  # in code of its own: what `threading` is doing is never interrupted
            pass

    with WorkerPool(1, max_abandoned=0) as pool:
        future = pool.spawn(loop, interrupt=True)
        assert begun.wait(GUARD)

        future.cancel()
        pool.spawn(nothing).result(GUARD)  # on the same thread: the loop has ended

    assert future.handle.outcome is Outcome.STOPPED


def test_a_job_over_before_its_window_opened_is_stopped_not_run(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """Its interrupt was sent when nobody could take it: the window looks once more."""
    calls: list[int] = []
    future = scripted.spawn(lambda: calls.append(1), interrupt=True)
    backend.start(future)
    wrapped = _unless(future, lambda: calls.append(2))
    future.cancel()

    with pytest.raises(CancelRequestedError, match="was asked to stop"):
        _unless(future, lambda: calls.append(3))
    backend.run(future)

    assert wrapped is None
    assert calls == [2]


def test_interrupt_is_an_empty_wish_where_the_backend_cannot(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """The same program runs everywhere; capabilities say what to expect."""
    future = scripted.spawn(lambda: "ran", interrupt=True)

    backend.run(future)

    assert future.result() == "ran"
    assert future.wants_interrupt


# ---- refused spawns -----------------------------------------------------------------------


def test_a_spawn_that_the_backend_refuses_raises_and_leaves_nothing(
    scripted: WorkerPool, backend: ScriptedBackend, reports: list[UnhandledError]
) -> None:
    """The spawner is told by the exception; nobody else need be told again."""
    backend.refuse_next(WorkerRuntimeError("no worker to be had"))

    with pytest.raises(WorkerRuntimeError, match="no worker to be had"):
        _ = scripted.spawn(nothing, timeout=5.0)
    gc.collect()

    assert reports == []
    assert scripted.get_active_count() == 0
    assert len(scripted._core.deadlines) == 1  # its timer: dead, and purged with the others
    assert scripted._core.deadlines._heap.next_deadline() is None


def test_a_refused_job_and_its_error_do_not_hold_each_other(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """No cycle is left by a failure: the function is freed without the collector."""

    class Work:
        def __call__(self) -> None: ...

    work = Work()
    freed = weakref.ref(work)
    backend.refuse_next(WorkerRuntimeError("no"))
    gc.disable()
    try:
        with suppress(WorkerRuntimeError):
            _ = scripted.spawn(work)
        del work

        assert freed() is None
    finally:
        gc.enable()


def test_a_backend_can_be_any_maker(clock: ManualClock) -> None:
    """A class whose instances are made of a lock and a clock is one."""
    pool = WorkerPool(1, backend=InlineBackend, clock=clock)

    assert pool.spawn(lambda: 5).result() == 5
    assert pool.statistics().backend == "inline"


@pytest.mark.parametrize("choice", ["fibre", 5])
def test_an_unknown_backend_is_refused(choice: Any) -> None:
    """With the words that are known."""
    with pytest.raises(ValueError, match="'thread', 'process', 'inline'"):
        WorkerPool(backend=choice)


def test_an_initializer_goes_with_the_built_in_backends_only(backend: ScriptedBackend) -> None:
    """It must not be dropped quietly."""
    with pytest.raises(ValueError, match="initializer"):
        WorkerPool(backend=backend.attach, initializer=nothing)


@pytest.mark.parametrize(
    ("workers", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (10**6, ValueError),
        ("2", TypeError),
        (True, TypeError),
        (1.0, TypeError),
    ],
)
def test_a_number_of_workers_that_makes_no_sense_is_refused(
    workers: Any, error: type[Exception]
) -> None:
    """0 would never run anything, a million would never start."""
    with pytest.raises(error, match="max_workers"):
        WorkerPool(workers)
