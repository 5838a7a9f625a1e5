"""T7 and T6: the end of the interpreter, seen from outside."""

from __future__ import annotations

import time

import pytest

from tests.unit.runtime.faults.children import run_program

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_work_ends_and_nothing_is_said_where_nothing_was_lost() -> None:
    """No shutdown, no guard: a script that just ends."""
    ended = run_program("""
        job = Worker.spawn(lambda: (time.sleep(0.05), print("done", flush=True)))
        started.set()
        while job.handle.started_at is None: time.sleep(0.001)
    """)

    assert ended == (0, "done\n", "")


def test_a_stuck_job_is_named_and_the_exit_keeps_its_budget_and_its_status() -> None:
    """Whoever reads the log knows which function and where it was spawned."""
    begin = time.monotonic()
    ended = run_program("""
        pool = WorkerPool(1, exit_timeout=0.1)
        pool.spawn(wait_for_ever, name="stuck")
        started.wait()
        waiting = pool.spawn(print, args=("never",))
        waiting.add_done_callback(lambda job: print("cancelled", job.cancelled(), flush=True))
        sys.exit(7)
    """)

    assert time.monotonic() - begin < 10
    assert ended.status == 7
    assert ended.out == "cancelled True\n"
    assert "the interpreter exits and leaves work behind: still running" in ended.err
    assert "worker 1 'stuck' (spawned at <string>:" in ended.err
    assert "never ran: 1 queued job(s)" in ended.err


def test_an_abandoned_function_is_named_and_not_waited_for() -> None:
    """Nobody wants its result: the exit does not spend its budget on it."""
    begin = time.monotonic()
    ended = run_program("""
        pool = WorkerPool(1, exit_timeout=60)
        job = pool.spawn(wait_for_ever, name="stuck")
        started.wait()
        job.cancel()
    """)

    assert time.monotonic() - begin < 20
    assert ended.status == 0
    assert "worker 1 'stuck' (abandoned)" in ended.err


def test_a_spawn_during_the_exit_runs_or_is_refused_with_a_clear_error() -> None:
    """From a callback of the exit that comes before ours, after ours, and from a job."""
    ended = run_program("""
        def late(word):
            try: print(word, pool.spawn(lambda: "ran").result(), flush=True)
            except RuntimeError as error: print(word, "refused:", type(error).__name__, flush=True)
        atexit.register(late, "after")
        pool = WorkerPool(1)
        atexit.register(late, "before")
        pool.spawn(lambda: (started.set(), time.sleep(0.1), late("job"))).add_done_callback(len)
        started.wait()
    """)

    assert ended.status == 0
    lines = ended.out.splitlines()
    assert "before ran" in lines
    assert "job refused: PoolShutdownError" in lines or "job ran" in lines
    assert "after refused: PoolShutdownError" in lines


def test_a_pool_that_was_never_used_does_not_matter_at_exit() -> None:
    """Nor does one that ended before."""
    ended = run_program("""
        unused = WorkerPool(2)
        with WorkerPool(2) as pool: pool.spawn(len, args=("",)).result()
        Worker.spawn(len, args=("",)).result()
    """)

    assert ended == (0, "", "")


def test_workers_without_work_have_ended_when_the_interpreter_goes() -> None:
    """One that runs on then crashes a build without the GIL now and then."""
    ended = run_program("""
        from runtime.backends.thread_source import ThreadSource
        from runtime.workers import lifetime
        join, release, waited_for = threading.Thread.join, ThreadSource._release, threading.Event()
        def note_and_join(thread, timeout=None):
            if thread.name.startswith("vela-worker-"): waited_for.set()
            join(thread, timeout)
        def release_late(source, ticket):
            waited_for.wait(10)
            release(source, ticket)
        threading.Thread.join, ThreadSource._release = note_and_join, release_late
        lifetime._TO_LEAVE = 10.0
        names = lambda: [thread.name for thread in threading.enumerate() if "worker" in thread.name]
        atexit.register(lambda: print(names()))
        pool = WorkerPool(2)
        print(pool.spawn(names).result())
    """)

    assert ended == (0, "['vela-worker-1']\n[]\n", "")


@pytest.mark.parametrize("spawns", [0, 100])
def test_a_shutdown_at_exit_and_in_the_middle_of_spawns_does_not_hang(spawns: int) -> None:
    """Threads of the user spawn without end as the interpreter goes down, and each one ends.

    That is waited for: a daemon thread that runs on can crash a 3.13 without the GIL, whatever
    it does.
    """
    ended = run_program(f"""
        pool = WorkerPool(2, on_unhandled=lambda report: None)
        def spawn_for_ever():
            try:
                for number in range(sys.maxsize):
                    if number == {spawns}: started.set()
                    pool.spawn(len, args=("",))
            except RuntimeError: pass
        threads = [threading.Thread(target=spawn_for_ever, daemon=True) for _ in range(3)]
        for thread in threads: thread.start()
        atexit.register(lambda: [thread.join() for thread in threads])
        atexit.register(pool.shutdown)
        started.wait()
    """)

    assert ended.status == 0, ended.err


# As somebody at a keyboard: once more where nothing happens. The interpreter may be between its
# last look for signals and its wait; then it sees the one with the next.
INTERRUPT = """
release, jobs, raised = threading.Event(), [], []
def raise_once(*_):
    if not raised:
        raised.append(True)
        raise KeyboardInterrupt
signal.signal(signal.SIGINT, raise_once)
def interrupt():
    while not raised:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
def interrupt_who_waits():
    while not (jobs and jobs[0]._waiters): time.sleep(0.001)
    interrupt()
    return release.wait(10)
"""


def test_ctrl_c_while_waiting_for_a_result_is_raised_at_once() -> None:
    """The work goes on; the pool is usable, and ends."""
    ended = run_program(
        """
        pool = WorkerPool(1)
        jobs.append(pool.spawn(interrupt_who_waits))
        try: jobs[0].result()
        except KeyboardInterrupt: print("interrupted", jobs[0].done())
        release.set()
        print(jobs[0].result(10), pool.spawn(lambda: "next").result(10), pool.shutdown())
        """,
        before=INTERRUPT,
    )

    assert ended == (0, "interrupted False\nTrue next True\n", "")


def test_ctrl_c_in_an_executor_that_waits_for_a_worker_is_raised_at_once() -> None:
    """The task stays where it is, and so does its job, until the executor is closed."""
    ended = run_program(
        """
        from runtime.async_runtime import Executor
        pool, executor = WorkerPool(1), Executor()
        jobs.append(pool.spawn(interrupt_who_waits))
        async def main(): return await jobs[0]
        try: executor.run_until_complete(main())
        except KeyboardInterrupt: print("interrupted", jobs[0].handle.state.label)
        executor.close()
        release.set()
        print(pool.shutdown())
        """,
        before=INTERRUPT,
    )

    assert ended.status == 0
    assert ended.out.splitlines()[0] in {"interrupted running", "interrupted cancelled"}
    assert ended.out.splitlines()[1] == "True"


def test_ctrl_c_during_the_exits_wait_ends_it_and_still_names_what_is_left() -> None:
    """Once is enough."""
    begin = time.monotonic()
    ended = run_program(
        """
        pool = WorkerPool(1, exit_timeout=60)
        def interrupt_the_exit():
            started.set()
            while not pool.is_shutdown(): time.sleep(0.01)
            interrupt()
            wait_for_ever()
        pool.spawn(interrupt_the_exit, name="stuck")
        started.wait()
        """,
        before=INTERRUPT,
    )

    assert time.monotonic() - begin < 20
    assert "worker 1 'stuck'" in ended.err
    assert "KeyboardInterrupt" not in ended.err
    assert "Traceback" not in ended.err


def test_system_exit_in_a_job_is_its_outcome_and_ends_nothing() -> None:
    """`sys.exit` in a job is a failure of the job."""
    ended = run_program("""
        pool = WorkerPool(1)
        print(repr(pool.spawn(sys.exit, args=(5,)).exception()))
        print(pool.spawn(lambda: "next").result())
    """)

    assert ended == (0, "SystemExit(5)\nnext\n", "")


def test_without_threads_to_be_had_a_spawn_says_so_and_recovers() -> None:
    """The real limit of the system, where it can be set; never a hang."""
    ended = run_program("""
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        def limit(number):
            resource.setrlimit(resource.RLIMIT_NPROC, (number, hard))
        limit(0 if soft < 0 or hard < 0 else 0)
        try: threading.Thread(target=len, args=("",)).start()
        except RuntimeError: refuses = True
        else: refuses = False  # root is above such limits
        pool = WorkerPool(2)
        if refuses:
            try: pool.spawn(len, args=("",))
            except RuntimeError as error: print(type(error).__name__)
            limit(soft)
        else: print("WorkerStartError")
        print(pool.spawn(lambda: "recovered").result(10))
    """)

    assert ended == (0, "WorkerStartError\nrecovered\n", "")
