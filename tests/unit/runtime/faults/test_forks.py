"""T9: forks with jobs running and locks held; the child is fresh, the parent unharmed."""

from __future__ import annotations

import os

import pytest

from tests.unit.runtime.faults.children import Ended, run_program

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

FORK = """
import warnings
warnings.simplefilter("ignore")
from runtime.errors import ForkedError
def in_child(check):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        status = 1
        try: status = int(not check())
        finally: os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def _run(text: str) -> Ended:
    return run_program(text, before=FORK)


def test_the_child_has_a_fresh_pool_and_the_parents_jobs_are_lost_there() -> None:
    """Whatever the parent's threads were doing, and whichever locks they held."""
    assert _run("""
        pool, release = WorkerPool(2), threading.Event()
        running = pool.spawn(lambda: (started.set(), release.wait(10))[1])
        waiting = [pool.spawn(lambda: "ran") for _ in range(3)]
        started.wait()
        def check():
            assert isinstance(running.exception(0), ForkedError)
            assert pool.spawn(lambda: "child").result(10) == "child"
            assert pool.statistics().workers == 1
            return pool.shutdown(timeout=10)
        with pool._core.lock: print(in_child(check))
        release.set()
        print(running.result(10), [job.result(10) for job in waiting], pool.shutdown())
    """) == (0, "0\nTrue ['ran', 'ran', 'ran'] True\n", "")


def test_forks_while_threads_spawn_and_settle_find_no_lock_taken() -> None:
    """At whatever moment: many times, from a busy process."""
    assert _run("""
        pool, stop = WorkerPool(2), threading.Event()
        def busy():
            while not stop.is_set():
                for job in [pool.spawn(len, args=("",)) for _ in range(5)]: job.result()
        threads = [threading.Thread(target=busy) for _ in range(2)]
        for thread in threads: thread.start()
        def check(): return pool.spawn(lambda: True).result(10)
        print([in_child(check) for _ in range(20)] == [0] * 20)
        stop.set()
        for thread in threads: thread.join()
        print(pool.shutdown())
    """) == (0, "True\nTrue\n", "")


def test_a_job_that_forks_does_not_become_a_second_worker() -> None:
    """The child ends where its function ends: by value, by error, by `sys.exit`."""
    assert _run("""
        def fork_and(end):
            pid = os.fork()
            if not pid: return end()
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        def fail(): raise ValueError("in the child")
        sys.excepthook = lambda kind, error, trace: print(kind.__name__, flush=True)
        pool = WorkerPool(1)
        for end in (lambda: 1, fail, lambda: sys.exit(3), lambda: sys.exit("text"), sys.exit):
            print(pool.spawn(fork_and, args=(end,)).result(10), flush=True)
        print(pool.spawn(lambda: "next").result(10), pool.shutdown())
    """) == (0, "0\nValueError\n1\n3\n1\n0\nnext True\n", "")


def test_a_job_that_forks_on_top_of_another_one_ends_there_as_well() -> None:
    """Its copy must not go on with the job below, which belongs to the parent."""
    assert _run("""
        pool = WorkerPool(1)
        def inner():
            pid = os.fork()
            if not pid: return 0
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        def outer():
            status = pool.spawn(inner).result()
            print("outer goes on", flush=True)
            return status
        print(pool.spawn(outer).result(10), pool.shutdown())
    """) == (0, "outer goes on\n0 True\n", "")


def test_an_interruptible_job_that_forks_ends_in_the_child() -> None:
    """The lock of its window may have been held by a thread that is not there."""
    assert _run("""
        pool = WorkerPool(1)
        def fork():
            pid = os.fork()
            if not pid: return 0
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(pool.spawn(fork, interrupt=True).result(10), pool.shutdown())
    """) == (0, "0 True\n", "")


def test_a_pool_that_was_shut_down_stays_so_in_the_child() -> None:
    """A fork gives nothing back."""
    assert _run("""
        pool = WorkerPool(1, on_unhandled=len)
        pool.spawn(len, args=("",)).result()
        pool.shutdown()
        def check():
            try: pool.spawn(len, args=("",))
            except RuntimeError: return True
        print(in_child(check))
    """) == (0, "0\n", "")


def test_an_inline_pool_goes_on_in_both() -> None:
    """There the job that forks is a caller like any other."""
    assert _run("""
        pool = WorkerPool(backend="inline")
        print(in_child(lambda: pool.spawn(lambda: True).result(0)))
        print(pool.spawn(lambda: in_child(lambda: pool.spawn(lambda: True).result(0))).result(0))
    """) == (0, "0\n0\n", "")
