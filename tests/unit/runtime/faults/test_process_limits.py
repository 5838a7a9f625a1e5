"""P6, P15, F20: descriptors, memory, processes and threads that are not to be had."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import contextlib
import gc
import os
import resource
import threading
from typing import TYPE_CHECKING, NoReturn

import pytest

from runtime.backends.process.packing import THRESHOLD
from runtime.errors import ProtocolError, WorkerCrashedError, WorkerStartError
from tests.unit.runtime.faults.process_jobs import double, idle_pid, until
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.workers import WorkerPool

pytestmark = [pytest.mark.process, pytest.mark.slow]


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process have no more descriptors than it has."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    gc.collect()
    lowest = os.dup(0)
    os.close(lowest)
    # Low numbers stay taken, whatever is given back meanwhile; `poll` needs some of the limit.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(lowest, 10), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_without_descriptors_a_first_job_is_refused_and_a_later_one_runs(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """A clear error instead of a hang, and no memory of it when there are some again."""
    make_pool(1).spawn(double, args=(1,)).result(GUARD)  # what is imported late, is
    pool = make_pool(1)

    with no_descriptors():
        try:
            error = pool.spawn(double, args=(1,)).exception(GUARD)
        except WorkerStartError as raised:
            error = raised

    assert isinstance(error, WorkerStartError)
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4


def test_without_descriptors_a_pool_with_a_process_goes_on(pool: WorkerPool) -> None:
    """Small jobs need none."""
    idle_pid_of_warm(pool)

    with no_descriptors():
        results = [pool.spawn(double, args=(n,)).result(GUARD) for n in range(50)]

    assert results == [2 * n for n in range(50)]


def idle_pid_of_warm(pool: WorkerPool) -> int:
    pool.warm_up(GUARD)
    return idle_pid(pool)


def _blob(size: int) -> bytes:
    return bytes(size)


def test_without_descriptors_large_data_still_goes_in_and_fails_clearly_coming_out(
    pool: WorkerPool,
) -> None:
    """In: over the socket instead. Out: the process has sent a descriptor that cannot be taken."""
    idle_pid_of_warm(pool)
    with no_descriptors():
        assert pool.spawn(len, args=(bytes(THRESHOLD),)).result(GUARD) == THRESHOLD
        error = pool.spawn(_blob, args=(THRESHOLD,)).exception(GUARD)

    assert isinstance(error, ProtocolError)
    assert "descriptor" in str(error)
    assert pool.spawn(_blob, args=(THRESHOLD,)).result(GUARD) == bytes(THRESHOLD)


def _without_descriptors(size: int) -> bytes:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    return bytes(size)


def test_a_job_that_leaves_its_process_without_descriptors_still_answers(
    pool: WorkerPool,
) -> None:
    """A large result goes over the socket, a large argument for the next job as well."""
    assert pool.spawn(_without_descriptors, args=(THRESHOLD,)).result(GUARD) == bytes(THRESHOLD)
    assert pool.spawn(len, args=(bytes(THRESHOLD),)).result(GUARD) == THRESHOLD


def _eat(size: int) -> int:
    return len(bytearray(size))


def test_a_limit_of_memory_is_a_memory_error_in_the_job(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """The machine is not eaten, and the process goes on."""
    pool = make_pool(1, max_memory_bytes=4 << 30)
    pid = pool.spawn(os.getpid).result(GUARD)

    assert isinstance(pool.spawn(_eat, args=(8 << 30,)).exception(GUARD), MemoryError)
    assert pool.spawn(os.getpid).result(GUARD) == pid


_kept: list[bytes] = []


def _grow(size: int) -> int:
    _kept.append(b"\1" * size)
    return os.getpid()


def test_a_process_that_grows_is_replaced_between_jobs_and_that_is_counted(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """No job is lost by it."""
    pool = make_pool(1, max_rss_bytes=16 << 20)
    pids = [pool.spawn(_grow, args=(24 << 20,)).result(GUARD) for _ in range(3)]

    assert len(set(pids)) == 3
    until(lambda: pool.statistics().recycled == 3)
    assert pool.statistics().restarts == 0


@pytest.mark.parametrize("wait", [True, False])
def test_replacing_after_each_job_loses_none_of_a_backlog(
    make_pool: Callable[..., WorkerPool], *, wait: bool
) -> None:
    """Nor when the pool is shut down in the middle."""
    pool = make_pool(2, max_jobs_per_worker=1)
    jobs = [pool.spawn(os.getpid) for _ in range(12)]

    pool.shutdown(wait=wait)

    assert len({job.result(GUARD) for job in jobs}) == 12
    assert pool.shutdown(timeout=GUARD)


def _no_thread(_: threading.Thread) -> NoReturn:
    raise RuntimeError("can't start new thread")


def test_without_threads_a_spawn_is_refused_and_a_later_one_runs(
    make_pool: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool needs one to hear its processes."""
    pool = make_pool(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        try:
            error = pool.spawn(double, args=(1,)).exception(GUARD)
        except WorkerStartError as raised:
            error = raised

    assert isinstance(error, WorkerStartError)
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4


def test_without_further_threads_a_pool_with_processes_goes_on(
    make_pool: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that are loaded on threads of their own included, and crashes."""
    pool = make_pool(2)
    pool.warm_up(GUARD)
    monkeypatch.setattr(threading.Thread, "start", _no_thread)

    assert pool.spawn(double, args=(2,)).result(GUARD) == 4
    assert pool.spawn(os.stat, args=("/",)).result(GUARD) == os.stat("/")
    assert isinstance(pool.spawn(os.abort).exception(GUARD), WorkerCrashedError)
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4


def test_many_pools_jobs_and_crashes_leave_nothing(make_pool: Callable[..., WorkerPool]) -> None:
    """Descriptors, threads and children are as many as before."""
    make_pool(1).spawn(double, args=(1,)).result(GUARD)
    make_pool(1).shutdown()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        pool = make_pool(2)
        jobs = [pool.spawn(_blob, args=(THRESHOLD,)) for _ in range(4)]
        crash = pool.spawn(os.abort)
        assert isinstance(crash.exception(GUARD), WorkerCrashedError)
        assert all(job.result(GUARD) for job in jobs)
        assert pool.shutdown(timeout=GUARD)
    until(lambda: len(os.listdir("/proc/self/fd")) <= before)
