"""Work on other people's loops, as futures of ours."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import importlib
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, timeout
from runtime.errors import CancellationError, WorkerStartError
from runtime.interop.foreign import (
    from_asyncio,
    from_concurrent,
    from_trio,
    lent_asyncio,
    lent_trio,
)
from runtime.workers import WorkerPool
from tests.unit.runtime.async_runtime.test_forking import in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.interop.foreign_future import ForeignFuture
    from runtime.interop.lending import LentLoop

with suppress(ImportError):  # here, so that no test is charged with what it loads
    importlib.import_module("trio")

GUARD = 10.0  # seconds that only a deadlock reaches
COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("COLOUR", default="none")


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


class Library:
    """One of the other loops, as far as these tests tell them apart."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.module: Any = pytest.importorskip(name)
        self.lent: LentLoop = lent_asyncio() if name == "asyncio" else lent_trio()
        self.cancelled: Any = getattr(self.module, "CancelledError", None) or self.module.Cancelled

    def start(self, function: Callable[..., Any], *args: Any, **options: Any) -> ForeignFuture[Any]:
        if self.name == "asyncio":
            return from_asyncio(function(*args), **options)
        return from_trio(function, *args, **options)


@pytest.fixture(params=["asyncio", "trio"])
def library(request: pytest.FixtureRequest) -> Library:
    return Library(request.param)


def test_a_worker_and_foreign_work_are_awaited_side_by_side(
    executor: Executor, library: Library
) -> None:
    """In one coroutine of ours, joined like any two futures."""

    async def theirs(number: int) -> int:
        await library.module.sleep(0.001)
        return number + 1

    async def ours() -> list[int]:
        with WorkerPool(1) as pool:
            return await Future.all([library.start(theirs, 1), pool.spawn(lambda: 3)])

    assert executor.run_until_complete(ours(), GUARD) == [2, 3]
    assert not library.lent.is_running()


def test_it_runs_in_a_lent_thread_that_ends_with_the_last_work(library: Library) -> None:
    """One thread for all that run at a time; a block keeps it for those that follow."""

    async def where() -> tuple[str, int]:
        await library.module.sleep(0.001)
        return threading.current_thread().name, threading.get_ident()

    assert "no thread" in repr(library.lent)
    works = [library.start(where) for _ in range(5)]
    places = {work.result(GUARD) for work in works}
    with library.lent:
        kept = {library.start(where).result(GUARD) for _ in range(3)}
        assert library.lent.is_running()

    assert len(places) == len(kept) == 1
    assert places.pop()[0] == f"vela-{library.name}"
    assert not library.lent.is_running()


def test_errors_come_as_they_are(library: Library) -> None:
    """With the traceback of where they were raised; interrupts too, which end no loop."""

    async def fail(error: BaseException) -> None:
        await library.module.sleep(0)
        raise error

    with library.lent:
        other = library.start(library.module.sleep, 0.02)
        for error in (KeyError("missing"), KeyboardInterrupt("pressed"), SystemExit(3)):
            found = library.start(fail, error).exception(GUARD)
            assert type(found) is type(error)
            assert found is not None
            assert found.args == error.args
        assert other.result(GUARD) is None

    trace = library.start(fail, KeyError("missing")).exception(GUARD)
    assert trace is not None
    names = []
    frame = trace.__traceback__
    while frame is not None:
        names.append(frame.tb_frame.f_code.co_name)
        frame = frame.tb_next
    assert names[-1] == "fail"


def test_a_failure_that_nobody_reads_is_reported_once(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    """With the place where the work was started."""

    async def fail() -> None:
        raise KeyError("unread")

    others = set(threading.enumerate())
    with library.lent:
        library.start(fail)
    for thread in set(threading.enumerate()) - others:
        if thread.name.startswith("vela-"):
            thread.join(GUARD)
    gc.collect()

    assert caplog.text.count("failed and nobody looked: KeyError('unread')") == 1
    assert "in Library.start)" in caplog.text


def test_context_variables_go_there(library: Library) -> None:
    """What the caller saw; what is set over there stays there."""

    async def look() -> str:
        seen = COLOUR.get()
        COLOUR.set("changed")
        await library.module.sleep(0)
        return seen

    token = COLOUR.set("blue")
    work = library.start(look)
    COLOUR.reset(token)

    assert work.result(GUARD) == "blue"
    assert COLOUR.get() == "none"


def test_cancelling_ours_cancels_theirs(executor: Executor, library: Library) -> None:
    """By a limit of ours, or by hand; it may clean up over there."""
    seen: list[str] = []

    async def theirs(started: threading.Event) -> None:
        try:
            started.set()
            await library.module.sleep(3600)
        except library.cancelled:
            seen.append("cancelled")
            raise

    async def ours() -> None:
        started = threading.Event()
        work = library.start(theirs, started)
        started.wait(GUARD)
        async with timeout(0.001):
            await work

    with pytest.raises(TimeoutError):
        executor.run_until_complete(ours(), GUARD)
    started = threading.Event()
    work = library.start(theirs, started)
    started.wait(GUARD)
    assert work.cancel()
    assert not work.cancel()
    with pytest.raises(CancellationError):
        work.result(GUARD)
    end_of_threads()

    assert seen == ["cancelled"] * 2


def end_of_threads() -> None:
    """Wait until the lent threads have ended."""
    for thread in threading.enumerate():
        if thread.name in {"vela-asyncio", "vela-trio"}:
            thread.join(GUARD)


def test_cancelled_before_it_began_never_runs(library: Library) -> None:
    """And nobody is warned about a coroutine that was never awaited."""
    ran: list[int] = []

    async def theirs() -> None:
        ran.append(1)
        await library.module.sleep(3600)

    for _ in range(20):
        library.start(theirs).cancel()
    end_of_threads()
    gc.collect()

    assert not library.lent.is_running()


def test_work_that_is_cancelled_over_there_is_an_error_here(library: Library) -> None:
    """Their kind of cancellation stays in their loop."""

    async def theirs() -> None:
        if library.name == "asyncio":
            raise asyncio.CancelledError
        with library.module.CancelScope() as scope:
            scope.cancel()
            await library.module.sleep(0)
        raise CancellationError("as good")

    with pytest.raises(CancellationError):
        library.start(theirs).result(GUARD)


def test_one_of_two_who_wait_may_leave(executor: Executor, library: Library) -> None:
    """The work goes on for the other one; and for nobody where it is told to."""

    async def ours() -> str:
        work = library.start(slow)
        with suppress(TimeoutError):
            other = executor.spawn(wait(work))
            async with timeout(0.001):
                await work
        value: str = await other
        kept = library.start(slow, cancel_on_abandon=False)
        with suppress(TimeoutError):
            async with timeout(0.001):
                await kept
        rest: str = kept.result(GUARD)
        return value + rest

    async def wait(work: ForeignFuture[str]) -> str:
        return await work

    async def slow() -> str:
        await library.module.sleep(0.02)
        return "done"

    assert executor.run_until_complete(ours(), GUARD) == "donedone"


def test_no_thread_to_be_had_is_said_at_once(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next use tries again."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def theirs() -> str:
        return "there"

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(WorkerStartError, match="cannot start the thread 'vela-"):
            library.start(theirs)

    assert library.start(theirs).result(GUARD) == "there"


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_a_thread_of_its_own(library: Library) -> None:
    """The parent's did not come along."""

    async def theirs() -> int:
        return os.getpid()

    def child() -> None:
        assert not library.lent.is_running()
        assert library.start(theirs).result(GUARD) == os.getpid()

    with library.lent:
        assert library.start(theirs).result(GUARD) == os.getpid()
        in_child(child)
        assert library.start(theirs).result(GUARD) == os.getpid()


def test_a_task_of_asyncios_own_is_waited_for_where_it_lives() -> None:
    """In the loop that is given, too: one that somebody else runs."""

    async def double(number: int) -> int:
        await asyncio.sleep(0.001)
        return number * 2

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(double(4))
        return [await from_asyncio(task), await from_asyncio(double(5), loop=loop)]

    assert asyncio.run(main(), debug=True) == [8, 10]


def test_what_cannot_be_awaited_is_refused() -> None:
    """At the call, with what it was."""
    with pytest.raises(TypeError, match="needs a coroutine"):
        from_asyncio(5)  # type: ignore[arg-type]  # the case
    pytest.importorskip("trio")
    with pytest.raises(TypeError, match="needs an async function"):
        from_trio(5)  # type: ignore[arg-type]  # the case


def test_a_future_of_the_standard_library(executor: Executor) -> None:
    """Values, errors, and cancelling in both directions."""
    opened = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert executor.run_until_complete(from_concurrent(pool.submit(int, "7")), GUARD) == 7
        with pytest.raises(ValueError, match="invalid literal"):
            from_concurrent(pool.submit(int, "x")).result(GUARD)

        running = from_concurrent(pool.submit(opened.wait, GUARD))
        queued = pool.submit(int)
        assert from_concurrent(queued).cancel()
        assert queued.cancelled()
        other = pool.submit(int)
        ours = from_concurrent(other)
        other.cancel()
        with pytest.raises(CancellationError):
            ours.result(GUARD)
        assert running.cancel()  # it runs on; its outcome is dropped
        opened.set()
