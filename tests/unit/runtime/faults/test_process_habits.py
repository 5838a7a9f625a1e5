"""P8, F4, F5, F8, F15, F18: jobs with bad habits, and spawns from unusual places."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import PoolShutdownError, WorkerCrashedError
from tests.unit.runtime.faults.process_jobs import double, idle_pid, until
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.workers import WorkerPool

pytestmark = pytest.mark.process


def _fork_and(how: str) -> int:
    warnings.simplefilter("ignore")
    pid = os.fork()
    if not pid:
        if how == "exit":
            sys.exit(3)
        if how == "raise":
            raise LookupError("in the copy")
        return 0
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(("how", "status"), [("exit", 3), ("raise", 1), ("return", 0)])
def test_a_job_that_forks_does_not_become_two_workers(
    pool: WorkerPool, how: str, status: int
) -> None:
    """The copy ends where the function ends, and answers nothing."""
    assert pool.spawn(_fork_and, args=(how,)).result(GUARD) == status
    assert [pool.spawn(double, args=(n,)).result(GUARD) for n in range(5)] == [0, 2, 4, 6, 8]


def _start_thread() -> int:
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return threading.active_count()


def _chdir() -> str:
    os.chdir("/")
    return os.getcwd()


def _close_stdout() -> None:
    sys.stdout.close()


def _redirect() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)


def _set_handlers() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)


def _use_multiprocessing() -> list[int]:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    processes = [context.Process(target=queue.put, args=(n,)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return sorted(queue.get() for _ in processes)


def _flood() -> int:
    return os.write(2, b"") + sum(os.write(1, b"x" * 65536 + b"\n") for _ in range(20))


def _read_stdin() -> str:
    return sys.stdin.read()


def _run_a_program() -> str:
    return subprocess.run(["echo", "here"], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "habit",
    [
        _start_thread,
        _chdir,
        _close_stdout,
        _redirect,
        _set_handlers,
        _use_multiprocessing,
        _flood,
        _read_stdin,
        _run_a_program,
    ],
)
def test_a_bad_habit_harms_no_other_job(
    make_pool: Callable[..., WorkerPool], habit: Callable[[], object]
) -> None:
    """Each is done twice, with others behind it, where output is captured."""
    warnings.simplefilter("ignore")
    pool = make_pool(1, capture_output=True)
    for _ in range(2):
        first = pool.spawn(habit)
        behind = [pool.spawn(double, args=(n,)) for n in range(5)]
        assert first.exception(GUARD) is None
        assert [job.result(GUARD) for job in behind] == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("habit", [_close_stdout, _redirect])
def test_a_process_whose_streams_were_led_away_is_replaced(
    pool: WorkerPool, habit: Callable[[], object]
) -> None:
    """What later jobs print would go astray."""
    pid = pool.spawn(os.getpid).result(GUARD)

    pool.spawn(habit).result(GUARD)

    assert pool.spawn(os.getpid).result(GUARD) != pid


def _close_everything() -> None:
    os.closerange(0, 1024)


def test_a_job_that_closes_all_descriptors_fails_alone(pool: WorkerPool) -> None:
    """Its answer cannot come any more: the process is ended."""
    job = pool.spawn(_close_everything)
    behind = [pool.spawn(double, args=(n,)) for n in range(5)]

    assert isinstance(job.exception(GUARD), WorkerCrashedError)
    assert [one.result(GUARD) for one in behind] == [0, 2, 4, 6, 8]


@pytest.fixture
def alarms() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Call something from a signal handler, very often, until the test ends."""

    def start(call: Callable[[], object]) -> None:
        signal.signal(signal.SIGALRM, lambda *_: call())
        signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)

    before = signal.getsignal(signal.SIGALRM)
    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
def test_spawns_from_a_signal_handler_in_the_middle_of_spawns(
    pool: WorkerPool, alarms: Callable[[Callable[[], object]], None]
) -> None:
    """Every lock on the way may be held by the very code that was interrupted."""
    inner: list[Any] = []
    pool.warm_up(GUARD)
    alarms(lambda: inner.append(pool.spawn(double, args=(1,))))
    jobs = []
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        jobs.append(pool.spawn(double, args=(2,)))
        if len(jobs) % 50 == 0:
            jobs[-1].result(GUARD)
    signal.setitimer(signal.ITIMER_REAL, 0)

    assert len(inner) > 20
    assert all(job.result(GUARD) == 4 for job in jobs)
    assert all(job.result(GUARD) == 2 for job in inner)


class _Spawner:
    def __init__(self, pool: WorkerPool, found: list[Any]) -> None:
        self.me = self
        self._pool, self._found = pool, found

    def __del__(self) -> None:
        self._found.append(self._pool.spawn(double, args=(1,)))


@pytest.mark.slow
def test_spawns_from_finalizers_in_the_middle_of_spawns(pool: WorkerPool) -> None:
    """The collector of garbage comes when it likes."""
    inner: list[Any] = []
    pool.warm_up(GUARD)
    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        jobs = []
        for _ in range(300):
            _Spawner(pool, inner)
            jobs.append(pool.spawn(double, args=(2,)))
    finally:
        gc.set_threshold(*before)
    gc.collect()

    assert len(inner) == 300
    assert all(job.result(GUARD) == 4 for job in jobs)
    assert all(job.result(GUARD) == 2 for job in inner)


@pytest.mark.slow
def test_ten_thousand_jobs_do_not_block_the_spawner(pool: WorkerPool) -> None:
    """Whatever the one process does meanwhile."""
    pid = idle_pid_of(pool)
    os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()

    jobs = [pool.spawn(len, args=("x" * 500,)) for _ in range(10_000)]

    assert time.monotonic() - begin < GUARD
    os.kill(pid, signal.SIGCONT)
    assert all(job.result(GUARD) == 500 for job in jobs)


def idle_pid_of(pool: WorkerPool) -> int:
    pool.warm_up(GUARD)
    return idle_pid(pool)


def _spawn_for_ever(pool: WorkerPool, accepted: list[Any], begun: threading.Event) -> None:
    try:
        while True:
            accepted.append(pool.spawn(double, args=(3,)))
            begun.set()
    except PoolShutdownError:
        return


def test_spawns_that_race_a_shutdown_run_or_are_refused(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """Each that was accepted ends."""
    for _ in range(5):
        pool = make_pool(2)
        accepted: list[Any] = []
        begun = threading.Event()

        threads = [
            threading.Thread(target=_spawn_for_ever, args=(pool, accepted, begun)) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        begun.wait(GUARD)
        assert pool.shutdown(timeout=GUARD)
        for thread in threads:
            thread.join(GUARD)
        assert all(
            job.exception(GUARD) is None or isinstance(job.exception(0), PoolShutdownError)
            for job in accepted
        )


def test_shutdowns_from_many_threads_at_once_all_return(pool: WorkerPool) -> None:
    """And each says that the workers have left."""
    pool.spawn(double, args=(1,)).result(GUARD)
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(pool.shutdown(timeout=GUARD)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)

    assert found == [True] * 8


def test_a_pool_that_is_dropped_ends_its_work_and_its_processes(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """Without shutdown, as many programs do."""
    from runtime.workers import WorkerPool as Pool  # noqa: PLC0415 - not the fixture's, which keeps it

    pool = Pool(1, backend="process")
    jobs = [pool.spawn(double, args=(n,)) for n in range(5)]
    backend = pool._backend

    del pool
    gc.collect()

    assert [job.result(GUARD) for job in jobs] == [0, 2, 4, 6, 8]
    assert backend.join(GUARD)


def test_a_shutdown_in_the_middle_of_the_start_loses_nothing(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """What was accepted runs, also where no process is there yet."""
    pool = make_pool(2)
    jobs = [pool.spawn(double, args=(n,)) for n in range(5)]

    assert pool.shutdown(timeout=GUARD)

    assert [job.result(0) for job in jobs] == [0, 2, 4, 6, 8]


def test_names_of_our_own_parameters_reach_the_job(pool: WorkerPool) -> None:
    """Whatever they are called."""
    names = {"self": 1, "fn": 2, "func": 3, "name": 4, "timeout": 5, "args": 6}

    assert pool.spawn(dict, kwargs=names).result(GUARD) == names


def test_an_idle_process_is_used_before_another_one_is_started(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """One job after the other needs one process."""
    pool = make_pool(4)

    pids = {pool.spawn(os.getpid).result(GUARD) for _ in range(10)}

    assert len(pids) == 1
    until(lambda: pool.statistics().workers == 1)
