"""Measure the figures that the records in ``docs/architecture`` quote, and print them.

    PYTHONPATH=src python3 scripts/record_figures.py

They say which order of magnitude a decision was about, on one machine; they are no comparison
of this package with others: that is ``python -m benchmarks``. Each figure is the median of seven
rounds after a warm-up. "pinned" means on one CPU.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import platform
import queue
import selectors
import socket
import statistics
import sys
import threading
import time
import timeit
import tracemalloc
from types import coroutine
from typing import TYPE_CHECKING, Any, Final

from runtime.async_runtime import Executor, Future, Poll, Promise, Waker, yield_now
from runtime.async_runtime.failure import Failure
from runtime.async_runtime.task_state import TRANSITIONS, TaskEvent, TaskState
from runtime.async_runtime.timers import DeadlineQueue
from runtime.workers import CancellationError, WorkerPool
from runtime.workers import handle_state as jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ("main",)

ROUNDS: Final = 7
FAR: Final = 3600.0


def each(count: int, work: Callable[[int], object]) -> float:
    """Return the seconds that one of *count* takes."""

    def once() -> float:
        begin = time.perf_counter()
        work(count)
        return (time.perf_counter() - begin) / count

    once()
    return statistics.median(once() for _ in range(ROUNDS))


def statement(code: str, setup: str = "pass", count: int = 100_000) -> float:
    """Return the seconds that *code* takes once."""
    times = timeit.repeat(code, setup, number=count, repeat=ROUNDS, globals=globals())
    return statistics.median(times) / count


def pinned(count: int, work: Callable[[int], object]) -> float:
    """Do `each` on one CPU, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        return each(count, work)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        return each(count, work)
    finally:
        os.sched_setaffinity(0, before)


def bytes_each(make: Callable[[], object], count: int = 20_000) -> float:
    """Return the memory that one of *count* objects takes while all are kept."""
    tracemalloc.start()
    kept = [make() for _ in range(count)]
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size / len(kept)


def show(what: str, value: float, unit: str = "ns") -> None:
    """Print one figure."""
    factor = {"ns": 1e9, "us": 1e6, "ms": 1e3}.get(unit, 1.0)
    print(f"  {what:<64} {value * factor:10,.1f} {unit}", flush=True)


@coroutine
def bare_yield() -> Generator[None]:
    """Suspend once, with nothing around it."""
    yield


async def endless() -> None:
    """Suspend for ever, one step at a time."""
    while True:
        await bare_yield()


class Steps(Future[None]):
    """Pending so many times: a future with nothing but poll."""

    def __init__(self, count: int) -> None:
        self.left = count

    def poll(self, waker: Waker = Waker.noop()) -> Poll[None]:  # noqa: B008 - always the same
        """Ask for one more poll, until the end."""
        if not self.left:
            return Poll.ready(None)
        self.left -= 1
        waker.wake()
        return Poll.pending()


def drive(work: Any) -> None:  # noqa: ANN401 - a future or a coroutine
    """Run it on an executor of its own."""
    with Executor() as executor:
        executor.run_until_complete(work)


async def our_yields(count: int) -> None:
    """Switch to oneself."""
    for _ in range(count):
        await yield_now()


async def their_yields(count: int) -> None:
    """Do the same on asyncio."""
    for _ in range(count):
        await asyncio.sleep(0)


async def nothing() -> None:
    """End at once."""


def spawn_tasks(count: int) -> None:
    """Spawn, run and await so many trivial coroutines."""

    async def everything() -> None:
        for handle in [executor.spawn(nothing()) for _ in range(count)]:
            await handle

    with Executor() as executor:
        executor.run_until_complete(everything())


def lock_ping_pong(count: int) -> None:
    """Hand the turn to another thread and back, over two locks."""
    there, back = threading.Lock(), threading.Lock()
    there.acquire()
    back.acquire()

    def answer() -> None:
        for _ in range(count):
            there.acquire()
            back.release()

    other = threading.Thread(target=answer)
    other.start()
    for _ in range(count):
        there.release()
        back.acquire()
    other.join()


def socket_ping_pong(count: int) -> None:
    """Do the same over two socket pairs, each behind a selector."""
    mine, theirs = socket.socketpair(), socket.socketpair()

    def listen(pair: tuple[socket.socket, socket.socket]) -> selectors.DefaultSelector:
        selector = selectors.DefaultSelector()
        selector.register(pair[0], selectors.EVENT_READ)
        return selector

    def answer() -> None:
        for _ in range(count):
            their_selector.select()
            theirs[0].recv(1)
            mine[1].send(b"\0")

    with listen(mine) as my_selector, listen(theirs) as their_selector:
        other = threading.Thread(target=answer)
        other.start()
        for _ in range(count):
            theirs[1].send(b"\0")
            my_selector.select()
            mine[0].recv(1)
        other.join()
    for end in (*mine, *theirs):
        end.close()


def queue_ping_pong(count: int) -> None:
    """Do the same over two `queue.SimpleQueue`s."""
    there: queue.SimpleQueue[int] = queue.SimpleQueue()
    back: queue.SimpleQueue[int] = queue.SimpleQueue()

    def answer() -> None:
        for _ in range(count):
            back.put(there.get())

    other = threading.Thread(target=answer)
    other.start()
    for _ in range(count):
        there.put(0)
        back.get()
    other.join()


def their_jobs(count: int) -> None:
    """Submit all, then read all."""
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        for future in [executor.submit(int) for _ in range(count)]:
            future.result()


def our_jobs(count: int) -> None:
    """Do the same on a pool of ours."""
    with WorkerPool(2) as pool:
        for future in [pool.spawn(int) for _ in range(count)]:
            future.result()


def their_round_trips(count: int) -> None:
    """Submit and read, one at a time."""
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        for _ in range(count):
            executor.submit(int).result()


def our_round_trips(count: int) -> None:
    """Do the same on a pool of ours."""
    with WorkerPool(2) as pool:
        for _ in range(count):
            pool.spawn(int).result()


def spawn_call(timeout: float | None, count: int = 10_000) -> float:
    """Return what the call of spawn takes while the workers are busy."""

    def once() -> float:
        go = threading.Event()
        with WorkerPool(2) as pool:
            kept = [pool.spawn(go.wait) for _ in range(2)]
            begin = time.perf_counter()
            for _ in range(count):
                _ = pool.spawn(int, timeout)
            spent = time.perf_counter() - begin
            go.set()
            kept[0].result()
        return spent / count

    once()
    return statistics.median(once() for _ in range(ROUNDS))


def queued_bytes(submit: Callable[[Callable[[], object]], object], count: int = 10_000) -> float:
    """Return the memory of one job that waits behind another."""
    go = threading.Event()
    submit(go.wait)
    try:
        return bytes_each(lambda: submit(int), count)
    finally:
        go.set()


def cancel_queued(count: int) -> float:
    """Return what one cancel of a queued job takes."""
    go = threading.Event()
    with WorkerPool(1) as pool:
        _ = pool.spawn(go.wait)
        futures = [pool.spawn(int) for _ in range(count)]
        begin = time.perf_counter()
        for future in futures:
            future.cancel()
        spent = time.perf_counter() - begin
        go.set()
    return spent / count


def stop_latencies(count: int, timeout: float | None) -> list[float]:
    """Return, sorted, how long after the cancel or the deadline a reader has its answer."""
    found: list[float] = []
    crowd = WorkerPool(1)  # its deadlines are pending all the while
    release = threading.Event()
    kept = [crowd.spawn(release.wait), *(crowd.spawn(int, FAR) for _ in range(10_000))]
    with WorkerPool(1, max_abandoned=2 * count) as pool:
        for _ in range(count):
            go, started = threading.Event(), threading.Event()
            future = pool.spawn(lambda s=started, g=go: (s.set(), g.wait()), timeout)
            started.wait()
            begin = time.monotonic()
            if timeout is None:
                future.cancel()
            else:
                begin = future.handle.start_time + timeout
            try:
                future.result()
            except (CancellationError, TimeoutError):
                found.append(time.monotonic() - begin)
            go.set()
    crowd.cancel_all()
    release.set()
    crowd.shutdown()
    kept.clear()
    return sorted(found)


def deadlines(count: int) -> None:
    """Add and cancel deadlines."""
    watched = DeadlineQueue()
    end = watched.clock.now() + FAR
    for timer in [watched.add(end + index, nothing) for index in range(count)]:
        timer.cancel()


def timer_threads(count: int) -> None:
    """Do the same with a thread for each."""
    timers = [threading.Timer(FAR, print) for _ in range(count)]
    for timer in timers:
        timer.start()
    for timer in timers:
        timer.cancel()
        timer.join()


def first_result() -> float:
    """Return what a pool takes from being made to its first result."""
    begin = time.perf_counter()
    with WorkerPool(2) as pool:
        pool.spawn(int).result()
        return time.perf_counter() - begin


def thread_life(count: int) -> None:
    """Start and join threads."""
    for _ in range(count):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()


def frames(error: BaseException) -> int:
    """Return how long a traceback is."""
    trace, found = error.__traceback__, 0
    while trace is not None:
        trace, found = trace.tb_next, found + 1
    return found


def raised_again(times: int) -> int:
    """Return the frames of one exception object that is raised so many times."""
    error = ValueError("one")
    for _ in range(times):
        try:
            raise error
        except ValueError:
            continue
    return frames(error)


def read_again(times: int) -> int:
    """Return the frames that the last of so many readers of one failed future sees."""
    future: Future[None] = Future.from_result(ValueError("one"))
    seen = 0
    for _ in range(times):
        try:
            future.poll()
        except ValueError as error:
            seen = frames(error)
    return seen


def loop_figures() -> None:
    """ADR-001, 002, 008."""
    print("loop")
    context, steps = contextvars.copy_context(), endless()
    globals().update(RUN=context.run, SEND=steps.send)
    show("resume a bare coroutine in a context", statement("RUN(SEND, None)"))
    steps.close()
    show("task switch, a coroutine", each(100_000, lambda n: drive(our_yields(n))))
    show("task switch, a future with nothing but poll", each(100_000, lambda n: drive(Steps(n))))
    show("task switch, asyncio", each(50_000, lambda n: asyncio.run(their_yields(n))))
    show("spawn, run and await a trivial coroutine", each(30_000, spawn_tasks), "us")
    for how, measure in (("free", each), ("pinned", pinned)):
        show(f"to another thread and back, two locks, {how}", measure(5000, lock_ping_pong), "us")
        show(f"the same, socket pairs and selectors, {how}", measure(5000, socket_ping_pong), "us")
    locked = "import threading; l = threading.Lock(); l.acquire()"
    show("release and take a lock, nobody sleeps", statement("l.release(); l.acquire()", locked))
    if hasattr(os, "eventfd"):
        made = "import os; e = os.eventfd(0)"
        show(
            "write and read an eventfd",
            statement("os.eventfd_write(e, 1); os.eventfd_read(e)", made),
        )
    pair = "import socket; a, b = socket.socketpair()"
    show("write and read a socket pair", statement("a.send(b'x'); b.recv(1)", pair))
    show("make and close an Executor", statement("Executor().close()", count=2000), "us")
    show("the same, asyncio", statement("asyncio.new_event_loop().close()", count=500), "us")


def promise_figures() -> None:
    """ADR-003."""
    print("promises")
    show("make and resolve a Promise", statement("Promise().resolve(1)"))
    globals().update(FAILURE=Failure(ValueError("one")))
    future = "concurrent.futures.Future().set_result(1)"
    show("make and settle a concurrent.futures.Future", statement(future, count=20_000))
    show("take a fresh view of an error", statement("FAILURE.view()", count=20_000))
    show("memory of a Promise", bytes_each(Promise), "bytes")
    show("memory of a concurrent.futures.Future", bytes_each(concurrent.futures.Future), "bytes")
    show("frames after raising one object 1000 times", raised_again(1000), "frames")
    show("frames that the 1000th reader of a future sees", read_again(1000), "frames")


def worker_figures() -> None:
    """ADR-004, 005, 006, 013."""
    print("workers")
    show("cancel a queued job", cancel_queued(10_000), "us")
    for how, timeout in (("cancel", None), ("deadline", 0.02)):
        late = stop_latencies(100, timeout)
        show(f"{how} of a running job to the reader's answer, median", late[50], "us")
        show(f"{how} of a running job to the reader's answer, p99", late[-2], "us")
    show("add and cancel a deadline", each(20_000, deadlines), "us")
    show("start and cancel a threading.Timer", each(200, timer_threads), "us")
    show("start and join a thread", each(200, thread_life), "us")
    show("job in a burst of 20 000, ThreadPoolExecutor", each(20_000, their_jobs), "us")
    show("job in a burst of 20 000, WorkerPool", each(20_000, our_jobs), "us")
    for how, measure in (("free", each), ("pinned", pinned)):
        show(f"round trip, SimpleQueue, {how}", measure(3000, queue_ping_pong), "us")
        show(f"round trip, ThreadPoolExecutor, {how}", measure(3000, their_round_trips), "us")
        show(f"round trip, WorkerPool, {how}", measure(3000, our_round_trips), "us")
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        show("memory of a queued job, ThreadPoolExecutor", queued_bytes(executor.submit), "bytes")
    with WorkerPool(1) as pool:
        show("memory of a queued job, WorkerPool", queued_bytes(pool.spawn), "bytes")
    show("pool made to first result", statistics.median(first_result() for _ in range(50)), "us")
    show("spawn, workers busy", spawn_call(None), "us")
    show("spawn with a timeout, workers busy", spawn_call(FAR), "us")
    show("time.monotonic()", statement("time.monotonic()"))
    show("contextvars.copy_context()", statement("contextvars.copy_context()"))
    globals().update(P=jobs.HandleState.PENDING, S=jobs.HandleEvent.START)
    show("look up a transition, ints in nested tuples", statement("jobs.NEXT[0][0]"))
    show("look up a transition, IntEnums in a mapping", statement("jobs.TRANSITIONS[P, S]"))
    globals().update(P=TaskState.PENDING, S=TaskEvent.POLL, TABLE=TRANSITIONS)
    show("look up a transition, Enums in a mapping", statement("TABLE[P, S]"))


def main() -> int:
    """Print all figures."""
    print(f"{platform.python_implementation()} {sys.version.split()[0]}, {os.cpu_count()} CPUs")
    loop_figures()
    promise_figures()
    worker_figures()
    return 0


if __name__ == "__main__":
    sys.exit(main())
