"""Break pools of processes at random, and see that every job has exactly one outcome.

    make chaos                                  two minutes
    make chaos ARGS='--seconds 30 --seed 7'

In rounds: a pool with options that chance gives, jobs without end, some of which end their
process or hang; beside them somebody who kills and stops processes, takes memory and
descriptors from them and from this process, and kills the one that starts the others. At the end
of a round the pool must shut down in time, and leave nothing. What chance decides comes from the
seed; when things happen does not, so that a run is repeated in kind, not to the letter.
Linux only. The exit status is 0 where everything held.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import logging
import os
import random
import resource
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from runtime.errors import (
    CancellationError,
    PoolShutdownError,
    ProtocolError,
    QuarantinedJobError,
    RemoteError,
    ResultRefusedError,
    UnpicklableError,
    WorkerCrashedError,
    WorkerRuntimeError,
    WorkerStartError,
    WorkerTimeoutError,
)
from runtime.testing.leaks import LeakCheck, LeakError
from runtime.workers import WorkerPool
from scripts import chaos_jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runtime.workers.job import WorkerFuture

__all__ = ("main",)

ROUND: Final = 4.0  # seconds, about
WINDOW: Final = 60  # jobs on their way
TIMEOUT: Final = 3.0  # seconds of each job: what is stopped or hangs is answered by then
_STREAMS: Final = (1, 2)
GUARD: Final = 30.0  # seconds that only a hang takes
GROWTH: Final = 64 << 20  # bytes that this process may have gained in the end
# What may become of any job while all this goes on:
FATES: Final = (
    CancellationError, PoolShutdownError, ProtocolError, QuarantinedJobError, UnpicklableError,
    RemoteError, WorkerCrashedError, WorkerStartError, WorkerTimeoutError, MemoryError, OSError,
    ImportError,
)  # fmt: skip
OWN: Final = (
    chaos_jobs.MadeToFailError, RemoteError, ResultRefusedError, UnpicklableError, SystemExit,
)  # fmt: skip


class _Complaints(logging.Handler):
    """Notes what the package logs that it must never have to."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "goes on after an error" in text or "a callback of" in text:
            self.found.append(logging.Formatter().format(record))


class _Run:
    """What is counted over all rounds."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.deeds: Counter[str] = Counter()
        self.faults: list[str] = []
        self.jobs = 0


class _Job:
    """One job, and how often it was told to have ended."""

    def __init__(self, function: Callable[..., object], number: int, size: int) -> None:
        self.function, self.number, self.size = function, number, size
        self.ends = 0
        self.told = threading.Event()
        self.future: WorkerFuture[object] | None = None

    def note_end(self, _: object) -> None:
        """Called when the future is settled."""
        self.ends += 1
        self.told.set()

    def fault(self) -> str | None:
        """Return what is wrong with the outcome."""
        future, what = self.future, f"{self.function.__name__}({self.number})"
        assert future is not None
        if not future.done():
            return f"{what} has no outcome: {future.handle}"
        self.told.wait(GUARD)
        if self.ends != 1:
            return f"{what} ended {self.ends} times"
        if future.cancelled():
            return None
        error = future.exception()
        expected = chaos_jobs.answer_of(self.function, self.number, self.size)
        if error is None:
            if expected is None or future.result() != expected:
                return f"{what} gave {str(future.result())[:80]!r}"
        elif not isinstance(error, FATES) and not (expected is None and isinstance(error, OWN)):
            return f"{what} failed with {error!r}"
        return None

    def outcome(self) -> str:
        """Return the outcome in a word."""
        future = self.future
        assert future is not None
        if future.cancelled():
            return "cancelled"
        error = future.exception() if future.done() else None
        return "value" if error is None else type(error).__name__


class _Monkey(threading.Thread):
    """Does harm to a pool until told to stop; then repairs what it can."""

    def __init__(self, run: _Run, pool: WorkerPool) -> None:
        super().__init__(name="monkey", daemon=True)
        self._run_of, self._pool = run, pool
        self._chance = random.Random(run.chance.random())
        self._stopping = threading.Event()
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def run(self) -> None:
        deeds: Sequence[tuple[Callable[[], object], int]] = (
            (self.kill, 8),
            (self.stop, 3),
            (self.terminate, 3),
            (self.take_memory, 2),
            (self.take_descriptors, 2),
            (self.take_own_descriptors, 2),
            (self.kill_template, 1),
            (self.ask, 2),
        )
        choices, weights = zip(*deeds, strict=True)
        while not self._stopping.wait(self._chance.expovariate(25)):
            (deed,) = self._chance.choices(choices, weights)
            self._run_of.deeds[deed.__name__] += 1
            with contextlib.suppress(OSError, ValueError, WorkerRuntimeError):
                deed()

    def end(self) -> None:
        """Do no more harm."""
        self._stopping.set()
        self.join(GUARD)

    def _victim(self) -> int:
        backend: Any = self._pool._backend
        with backend.lock:
            pids = [child.pid for child in backend._fleet.children.values() if child.pid]
        if not pids:
            raise ProcessLookupError
        return int(self._chance.choice(pids))

    def kill(self) -> None:
        os.kill(self._victim(), signal.SIGKILL)

    def terminate(self) -> None:
        os.kill(self._victim(), self._chance.choice((signal.SIGTERM, signal.SIGINT)))

    def stop(self) -> None:
        pid = self._victim()
        os.kill(pid, signal.SIGSTOP)
        if self._chance.random() < 0.7:
            self._stopping.wait(0.05)
            os.kill(pid, signal.SIGCONT)

    def take_memory(self) -> None:
        pid = self._victim()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        bytes_now = pages * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (bytes_now + (1 << 20), resource.RLIM_INFINITY))

    def take_descriptors(self) -> None:
        resource.prlimit(self._victim(), resource.RLIMIT_NOFILE, (4, self._limits[1]))

    def take_own_descriptors(self) -> None:
        used = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, self._limits[1]))
        try:
            self._stopping.wait(0.05)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)

    def kill_template(self) -> None:
        backend: Any = self._pool._backend
        pid = backend._nursery._source.template_pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def ask(self) -> None:
        repr(self._pool.statistics())


def _options(chance: random.Random) -> dict[str, Any]:
    """Return the options of one pool."""
    return {
        "max_workers": chance.randint(1, 4),
        "grace": chance.choice((0, 0.01, 0.2)),
        "capture_output": chance.random() < 0.5,
        "retry_on_crash": chance.choice((0, 0, 1)),
        "max_jobs_per_worker": chance.choice((None, None, 1, 20)),
        "max_rss_bytes": chance.choice((None, 1 << 24)),
        "results": chance.choice(("any", "any", "data")),
        "idle_timeout": chance.choice((None, 0.05, 60.0)),
    }


def _spawn(run: _Run, pool: WorkerPool) -> _Job | None:
    chance = run.chance
    deadly = chance.random() < 0.04
    function = chance.choice(chaos_jobs.DEADLY if deadly else chaos_jobs.HARMLESS)
    run.jobs += 1
    size = chance.choice((0, 8 << 10, 1 << 20)) if function is chaos_jobs.large else 0
    job = _Job(cast("Callable[..., object]", function), run.jobs, size)
    args: tuple[object, ...] = (job.number, b"x" * size) if size else (job.number,)
    timeout = chance.choice((TIMEOUT, TIMEOUT, 0.02, 0.2))
    try:
        job.future = pool.spawn(function, timeout=timeout, args=args)
    except (WorkerRuntimeError, OSError, ImportError) as error:
        run.outcomes[f"refused: {type(error).__name__}"] += 1
        return None
    job.future.add_done_callback(job.note_end)
    if chance.random() < 0.05:
        job.future.cancel()
    return job


def _round(run: _Run, seconds: float) -> None:
    """Use and break one pool."""
    options = _options(run.chance)
    if options["results"] == "data":
        options["max_message_bytes"] = 64 << 20
    pool = WorkerPool(
        backend="process",
        name="chaos",
        max_restarts=1 << 30,
        max_crashes=1 << 30,
        on_unhandled=lambda _: None,
        **options,
    )
    monkey = _Monkey(run, pool)
    monkey.start()
    jobs: list[_Job] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job = _spawn(run, pool)
        if job is None:
            time.sleep(0.01)
            continue
        jobs.append(job)
        if len(jobs) >= WINDOW:
            _see(run, jobs[: WINDOW // 2])
            del jobs[: WINDOW // 2]
    with_harm = run.chance.random() < 0.5
    if not with_harm:
        monkey.end()
    if not pool.shutdown(timeout=GUARD, cancel_pending=run.chance.random() < 0.5):
        run.faults.append(f"the pool did not shut down: {pool.statistics()}")
    monkey.end()
    _see(run, jobs)


def _see(run: _Run, jobs: list[_Job]) -> None:
    """Wait for *jobs*, and look at what became of them."""
    end = time.monotonic() + TIMEOUT + GUARD
    for job in jobs:
        assert job.future is not None
        with contextlib.suppress(BaseException):
            job.future.result(max(end - time.monotonic(), 0.01))
        fault = job.fault()
        if fault is not None:
            run.faults.append(fault)
        run.outcomes[job.outcome()] += 1


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run for a while, tell what happened, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long, about")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = parser.parse_args(arguments)
    print(f"chaos: seed {given.seed}, {given.seconds:g} s", flush=True)
    with _silent_jobs() as errors:
        run, rounds, seconds = _run_rounds(given.seed, given.seconds, errors)
    _report(run, rounds, seconds)
    return 1 if run.faults else 0


@contextlib.contextmanager
def _silent_jobs() -> Iterator[int]:
    """Lead what jobs print, and what they die with, to where nothing is kept."""
    kept = [os.dup(fd) for fd in _STREAMS]
    with Path(os.devnull).open("wb") as nothing:
        for fd in _STREAMS:
            os.dup2(nothing.fileno(), fd)
    try:
        yield kept[1]
    finally:
        for fd, copy in zip(_STREAMS, kept, strict=True):
            os.dup2(copy, fd)
            os.close(copy)


def _run_rounds(seed: int, seconds: float, errors: int) -> tuple[_Run, int, float]:
    """Return the run, how many rounds it had, and how long it took."""
    run, complaints = _Run(seed), _Complaints()
    logger = logging.getLogger("runtime")
    logger.addHandler(complaints)
    logger.propagate = False
    begin = time.monotonic()
    rounds, resident = 0, 0
    while (left := begin + seconds - time.monotonic()) > 0 and not run.faults:
        faulthandler.dump_traceback_later(ROUND + 4 * GUARD, exit=True, file=errors)
        try:
            with LeakCheck(grace=10.0):
                _round(run, min(ROUND, left))
        except LeakError as error:
            run.faults.append(str(error))
        faulthandler.cancel_dump_traceback_later()
        rounds += 1
        gc.collect()
        if rounds == 2:
            resident = _resident()
        run.faults += complaints.found
    if rounds > 2 and _resident() > resident + GROWTH:
        run.faults.append(f"resident memory grew from {resident} to {_resident()} bytes")
    return run, rounds, time.monotonic() - begin


def _report(run: _Run, rounds: int, seconds: float) -> None:
    print(f"{run.jobs} jobs in {rounds} round(s), {seconds:.1f} s")
    for title, counter in (("outcomes", run.outcomes), ("harm done", run.deeds)):
        print(f"{title}: " + ", ".join(f"{what} {n}" for what, n in counter.most_common()))
    for fault in run.faults[:20]:
        print("FAULT:", fault)
    print("held" if not run.faults else f"{len(run.faults)} fault(s)")


if __name__ == "__main__":
    sys.exit(main())
