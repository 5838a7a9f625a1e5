"""The host: it owns the outer loop, and drives the executor through its embedding contract.

A host has something of its own to do: a window to draw, sockets to serve, here only
a bell to sleep on. So it never lets the executor block (``block=False``): it asks for a turn
(`run_until_stalled`), asks how long it may sleep (`next_deadline`), and is told when
to come earlier (``on_wake``).
Threads: a host belongs to the thread that runs it. ``on_wake`` rings the bell from any thread.
"""

from __future__ import annotations

import gc
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from examples.embedding.compiler import compile_program
from examples.embedding.errors import GuestError, Place, Source
from examples.embedding.fiber import Cancellable, Fiber
from examples.embedding.natives import JOBS, standard_natives
from examples.embedding.values import Function, TaskValue, kind
from runtime.async_runtime import Executor
from runtime.clock import SYSTEM_CLOCK, Clock, SteppedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from examples.embedding.values import Value
    from runtime.async_runtime import UnhandledError
    from runtime.workers import WorkerPool

__all__ = ("Host", "Starter", "Summary", "run_program")

# Runs a function with arguments somewhere else; the first parameter names it.
Starter: TypeAlias = "Callable[[str, Callable[..., Value], tuple[Value, ...]], Cancellable]"

_TURN: Final = 0.01  # seconds until the outer loop gets its say, however busy the guests are
_NAMED: Final = 5  # how many tasks a message tells of, where there may be thousands


@dataclass(frozen=True, slots=True)
class Summary:
    """What one program did; *elapsed* is in seconds on the host's clock."""

    tasks: int
    jobs: int
    polls: int
    turns: int
    cancelled: int
    elapsed: float

    def __str__(self) -> str:
        return (
            f"{self.tasks} guest task(s), {self.jobs} worker job(s), {self.polls} poll(s) "
            f"in {self.turns} turn(s) of the host, {self.elapsed:.2f} s"
        )


class Host:
    """Runs guest programs, one after the other. Not thread-safe; a context manager.

    Args:
        write: Gets what guests print; by default the standard output does.
        complain: Gets the report of a task that failed and that nobody awaited; by default
            the standard error does.
        clock: What guests sleep on.
        order: The order of ready tasks: ``"fifo"``, or the seed of a random one.
        budget: Instructions that a task may run before the next one has its turn.
        jobs: The functions that ``work`` finds by name.
        starter: Runs them; by default on thread workers of this host's own.
        max_workers: How many of those; None for as many as the machine has cores.
    """

    def __init__(  # noqa: PLR0913 - options of a whole program, all with defaults
        self,
        *,
        write: Callable[[str], object] | None = None,
        complain: Callable[[str], object] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        order: Literal["fifo"] | int = "fifo",
        budget: int = 500,
        jobs: Mapping[str, Callable[..., Value]] = JOBS,
        starter: Starter | None = None,
        max_workers: int | None = None,
    ) -> None:
        if budget < 1:
            raise ValueError(f"budget must be 1 or more instructions, got {budget!r}")
        self.budget = budget
        self.polls = 0
        self.failures = 0
        self._write = write or sys.stdout.write
        self._complain = complain or sys.stderr.write
        self._clock = clock
        self._jobs = jobs
        self._starter = starter or self._on_worker
        self._max_workers = max_workers
        self._pool: WorkerPool | None = None
        self._natives = standard_natives(self)
        self._living: dict[int, tuple[Fiber, TaskValue]] = {}  # by number, in order of spawn
        self._task_count = self._job_count = self._turns = 0
        self._unread = 0  # failures that nobody awaited
        self._outside = 0  # jobs that guests wait for: whatever else is stuck, these will wake us
        self._bell = threading.Event()
        self._executor = Executor(
            clock=clock,
            order=order,
            block=False,
            on_wake=self._bell.set,
            on_unhandled=self._report_unhandled,
        )

    # ---- the outer loop -------------------------------------------------------------------

    def run(self, source: Source) -> Summary:
        """Run a program until its main task has ended; tasks that still run are cancelled.

        Raises:
            GuestSyntaxError: it cannot be compiled.
            GuestError: its main task failed, or can never go on.
        """
        main_function = Function(compile_program(source, self._natives), None)
        self._task_count = self._job_count = self._turns = self._unread = 0
        self.polls = self.failures = 0
        began = self._clock.now()
        main = self.spawn([main_function], Place(source, 0, 0))
        try:
            while main.handle.is_pending():
                self._take_turn(main)
            main.handle.result()
        finally:
            cancelled = self._cancel_all()
        elapsed = self._clock.now() - began
        return Summary(
            self._task_count, self._job_count, self.polls, self._turns, cancelled, elapsed
        )

    def _take_turn(self, main: TaskValue) -> None:
        """Let guests run; sleep where there is nothing to do for them."""
        self._turns += 1
        self._bell.clear()  # before the turn: what rings from now on is about work left over
        why = self._executor.run_until_stalled(max_time=_TURN)
        # A host with more to do would do it here, once a turn.
        if why == "stalled" and main.handle.is_pending():
            self._sleep()

    def _sleep(self) -> None:
        """Wait for the bell, at most until the next timer."""
        deadline = self._executor.next_deadline()
        if isinstance(self._clock, SteppedClock):  # a test's clock: it moves when all else waits
            if deadline is not None and not self._outside and self._clock.idle(deadline):
                return
            span = None
        else:
            span = None if deadline is None else max(deadline - self._clock.now(), 0.0)
        if deadline is None and not self._outside:
            raise self._stuck()
        self._bell.wait(None if span is None else min(span, threading.TIMEOUT_MAX))

    def _stuck(self) -> GuestError:
        """Return the error for tasks that only wait for each other, with each one's stack."""
        error = GuestError(f"deadlock: {len(self._living)} task(s) wait for each other for ever")
        for fiber, task in list(self._living.values())[:_NAMED]:
            error.trace += (f"{task!r} waits", *(f"  {line}" for line in fiber.trace()))
        return error

    def _cancel_all(self) -> int:
        cancelled = 0
        for _, task in list(self._living.values()):
            cancelled += task.cancel()
        self._living.clear()  # after a KeyboardInterrupt, one that was running is left
        self._outside = 0
        if self.failures:
            # A failure is reported when nobody can read it any more. Guest functions and
            # their variables refer to each other, so that moment would come at some time later.
            gc.collect()
        if self._unread > _NAMED:
            self._complain(f"and so did {self._unread - _NAMED} more\n")
        return cancelled

    def _report_unhandled(self, report: UnhandledError) -> None:
        self._unread += 1
        if self._unread > _NAMED:
            return
        error = report.error
        text = error.report() if isinstance(error, GuestError) else str(report)
        self._complain(f"a task failed and nobody awaited it: {text}\n")

    # ---- for fibers and natives -----------------------------------------------------------

    def spawn(self, callee_and_arguments: list[Value], place: Place) -> TaskValue:
        """Start a guest task: this is the whole bridge between the language and the runtime."""
        self._task_count += 1
        number = self._task_count
        fiber = Fiber(self, number, callee_and_arguments, place)
        name = _name_of(callee_and_arguments[0])
        task = TaskValue(self._executor.spawn(fiber), number, name)
        self._living[number] = (fiber, task)
        return task

    def ended(self, fiber: Fiber) -> None:
        """Forget *fiber*: it has come to its end."""
        self._living.pop(fiber.number, None)

    def write(self, text: str) -> None:
        """Print for a guest."""
        self._write(text)

    def now(self) -> float:
        """Return the time on the host's clock."""
        return self._clock.now()

    def start_job(
        self, name: str, arguments: tuple[Value, ...]
    ) -> tuple[Cancellable, Callable[[], None]]:
        """Start the function called *name* on a worker."""
        job = self._jobs.get(name)
        if job is None:
            raise GuestError(f"no such work: {name}; there is {', '.join(sorted(self._jobs))}")
        future = self._starter(name, job, arguments)
        self._job_count += 1
        self._outside += 1
        return future, self._job_ended

    def _job_ended(self) -> None:
        self._outside -= 1

    def _on_worker(
        self, name: str, job: Callable[..., Value], arguments: tuple[Value, ...]
    ) -> Cancellable:
        from runtime.workers import Worker, WorkerPool  # noqa: PLC0415 - only who needs workers

        if self._pool is None:
            self._pool = WorkerPool(self._max_workers)
        return Worker.spawn(job, name=name, args=arguments, pool=self._pool)

    # ---- the end --------------------------------------------------------------------------

    def close(self, *, wait: bool = True) -> None:
        """Give back threads and executor; *wait* for jobs that still run. May be called twice."""
        if self._pool is not None:
            self._pool.shutdown(wait=wait, cancel_pending=True)
        self._executor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(wait=error is None or isinstance(error, Exception))  # not after Ctrl-C


def _name_of(callee: Value) -> str:
    if isinstance(callee, Function):
        return callee.code.name
    return str(getattr(callee, "name", kind(callee)))


def run_program(path: str | Path, **options: Any) -> Summary:  # noqa: ANN401 - Any: those of `Host`
    """Run the program in the file *path* on a host of its own.

    Raises:
        OSError: the file cannot be read.
        GuestSyntaxError: it cannot be compiled.
        GuestError: its main task failed.
    """
    path = Path(path)
    source = Source(path.name, path.read_text(encoding="utf-8"))
    with Host(**options) as host:
        return host.run(source)
