"""One job for each file, a bounded number on their way, and what became of each.

A few tasks ("lanes") share one list of names: each takes the next one, spawns its job and awaits
it. So there are never more jobs than lanes, a slow file holds up nobody else, and a job that
fails or times out is noted while the others go on. One whose process died may be run again.
Threads: the lanes run on the caller's thread, the jobs on the pool's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from runtime.async_runtime import Executor, Future, TaskGroup, sleep
from runtime.demo.digests import Failure
from runtime.demo.interrupts import Interrupts
from runtime.errors import CancellationError, WorkerCrashedError
from runtime.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.demo.progress import Progress
    from runtime.workers import WorkerPool

__all__ = ("Limits", "Swept", "Work", "sweep")

T = TypeVar("T")

_LANES_PER_WORKER: Final = 4  # enough that no worker waits for the next job
_TICK: Final = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, in seconds, one job may run; and running ones are given to end after Ctrl-C."""

    timeout: float
    patience: float


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """What to do with each file.

    Attributes:
        job: Called with a name, on a worker.
        size_of: How many bytes a result stands for.
        again: Called instead, once, for a name whose *job* took its process with it. It must be
            safe to do twice: how far the first one came is not known. None: that is a failure.
    """

    job: Callable[[str], T]
    size_of: Callable[[T], int]
    again: Callable[[str], T] | None = None


@dataclass(slots=True)
class Swept(Generic[T]):
    """What became of the files; *left* are those whose job still ran when it was given up.

    *crashes* are the processes that died under a job which was then run again.
    """

    results: dict[str, T] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    crashes: list[tuple[str, WorkerCrashedError]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    interrupted: bool = False


def sweep(
    pool: WorkerPool, work: Work[T], names: Sequence[str], limits: Limits, progress: Progress
) -> Swept[T]:
    """Do *work* on *pool* for each of *names*; wait for all.

    Args:
        pool: Where it is done.
        work: See there.
        names: Worked on in this order, as far as there are workers.
        limits: See there.
        progress: Told of each file, and often in between.

    Ctrl-C: jobs that wait never run; running ones have their time (after a second Ctrl-C: none) to
    end, then are asked to stop, and not waited for. The pool is shut down.
    """
    run = _Sweep(pool, work, names, limits, progress)
    with run.interrupts, Executor() as executor:
        executor.run_until_complete(run.run())
    return run.swept


class _Sweep(Generic[T]):
    """One sweep; belongs to the thread that drives it."""

    def __init__(
        self,
        pool: WorkerPool,
        work: Work[T],
        names: Sequence[str],
        limits: Limits,
        progress: Progress,
    ) -> None:
        self.swept: Swept[T] = Swept()
        self.interrupts = Interrupts()
        self._pool = pool
        self._work = work
        self._names = names
        self._next = iter(names)  # shared by the lanes
        self._limits = limits
        self._progress = progress
        self._stopping = self._gave_up = False

    async def run(self) -> None:
        async with TaskGroup() as helpers:
            helpers.spawn(self._tick())
            helpers.spawn(self._end_when_asked())
            async with TaskGroup() as lanes:
                for _ in range(self._pool.max_workers * _LANES_PER_WORKER):
                    lanes.spawn(self._lane())
            helpers.cancel()
        if self._gave_up:
            tried = {failure.name for failure in self.swept.failures} | set(self.swept.results)
            self.swept.failures += [
                Failure(name, "not tried: too many others hang")
                for name in self._names
                if name not in tried
            ]

    async def _lane(self) -> None:
        for name in self._next:
            if self._stopping:
                return
            await self._do(name, self._work.job, self._work.again)

    async def _do(
        self, name: str, job: Callable[[str], T], again: Callable[[str], T] | None
    ) -> None:
        """Have *job* done for *name*, and note what became of it."""
        swept = self.swept
        future = Worker.spawn(
            job, name=name, run_timeout=self._limits.timeout, args=(name,), pool=self._pool
        )
        try:
            result = await future
        except CancellationError:  # we were asked to stop: it never ran, or was given up
            if future.handle.started_at is not None:
                swept.left.append(name)
        except Exception as error:  # noqa: BLE001 - whatever a job raises belongs to its file
            if isinstance(error, WorkerCrashedError) and again and not self._stopping:
                swept.crashes.append((name, error))
                await self._do(name, again, None)
                return
            swept.failures.append(Failure.of(name, error))
            self._progress.advance(0)
        else:
            swept.results[name] = result
            self._progress.advance(self._work.size_of(result))

    async def _tick(self) -> None:
        """Keep the line alive while one file takes long; see that there are workers left."""
        while True:
            await sleep(_TICK)
            self._progress.tick()
            if not self._stopping and self._pool.statistics().at_abandoned_cap:
                self._gave_up = True  # so many files hang that their workers are not replaced
                self._stop()

    async def _end_when_asked(self) -> None:
        await self.interrupts.asked.future()
        self.swept.interrupted = True
        self._stop()
        await Future.race([sleep(self._limits.patience), self.interrupts.urged.future()])
        self._pool.cancel_all()  # their functions see it between two pieces of their file

    def _stop(self) -> None:
        self._stopping = True
        self._pool.shutdown(wait=False, cancel_pending=True)
