"""P9 to P12, F11 to F15: programs with pools of processes, and every way in which they end."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.runtime.faults.process_programs import Program

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.slow]

BUSY = """
pool = WorkerPool(2, backend="process", exit_timeout=0.2, grace=0.05)
jobs = [pool.spawn(hang, args=("hangs",)), pool.spawn(spin, args=("spins",))]
wait_for("hangs", "spins")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_process_outlives_a_program_that_is_killed(tmp_path: Path, number: int) -> None:
    """Whatever they do: one hangs, one is in a loop of C code."""
    program = Program(tmp_path, BUSY + "signal.pause()")
    program.wait_for("hangs", "spins")

    os.kill(program.process.pid, number)

    assert program.process.wait(10) == -number
    begin = time.monotonic()
    assert program.end() == -number
    assert time.monotonic() - begin < 1.0


def test_ctrl_c_twice_leaves_no_process_and_no_tracebacks_of_workers(tmp_path: Path) -> None:
    """The terminal sends it to all of them; only the program answers."""
    program = Program(tmp_path, BUSY + "time.sleep(60)")
    program.wait_for("hangs", "spins")

    os.killpg(program.process.pid, signal.SIGINT)
    time.sleep(0.1)
    if program.process.poll() is None:
        os.killpg(program.process.pid, signal.SIGINT)

    assert program.end() in {-signal.SIGINT, 130, 1}
    assert program.err.count("KeyboardInterrupt") <= 2
    assert "child_process" not in program.err


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("os._exit(5)", 5),
        ("raise LookupError('uncaught')", 1),
        ("sys.exit(6)", 6),
        ("threading.Thread(target=sys.exit, args=(7,)).start()", 0),
        ("pool.shutdown(wait=False)", 0),
        ("del pool", 0),
        ("os.abort()", -6),
    ],
)
def test_no_process_outlives_a_program_that_ends(tmp_path: Path, end: str, status: int) -> None:
    """With jobs that never do; the status is the program's own."""
    program = Program(tmp_path, BUSY + end)

    assert program.end() == status


def test_a_program_that_just_ends_loses_nothing_and_says_nothing(tmp_path: Path) -> None:
    """What it has spawned still runs, also behind a shutdown that does not wait."""
    program = Program(
        tmp_path,
        """
        pool = WorkerPool(2, backend="process")
        other = WorkerPool(1, backend="process")
        for number in range(20):
            pool.spawn(Path(f"made-{number}").touch)
            other.spawn(Path(f"other-{number}").touch)
        while not Path("made-19").exists() or not Path("other-19").exists(): time.sleep(0.002)
        other.shutdown(wait=False)
        """,
    )

    assert program.end() == 0
    assert program.err == ""


def test_an_accepted_job_runs_although_the_program_ends_at_once(tmp_path: Path) -> None:
    """One that runs as the exit comes is given its time."""
    program = Program(
        tmp_path,
        """
        def slow():
            Path("begun").touch()
            time.sleep(0.2)
            Path("ended").touch()
        pool = WorkerPool(1, backend="process", exit_timeout=10)
        job = pool.spawn(slow)
        wait_for("begun")
        """,
    )

    assert program.end() == 0
    assert (tmp_path / "ended").exists()
    assert program.err == ""


@pytest.mark.parametrize("how", ["file", "stdin", "-c"])
def test_a_program_without_a_guard_runs_once(tmp_path: Path, how: str) -> None:
    """Children never run ``__main__``: no bomb of forks, whichever way it came."""
    program = Program(
        tmp_path,
        """
        print("top", flush=True)
        def square(number): return number * number
        class Point:
            def __init__(self, x): self.x = x
        pool = WorkerPool(2, backend="process")
        print([pool.spawn(square, args=(n,)).result(10) for n in range(4)])
        print(pool.spawn(Point, args=(3,)).result(10).x, pool.spawn(lambda: 5).result(10))
        """,
        how,
    )

    assert program.end() == 0, program.err
    assert program.out == "top\n[0, 1, 4, 9]\n3 5\n"


def test_children_see_the_path_and_the_folder_that_the_program_has_set(tmp_path: Path) -> None:
    """Also those that are set when some have been started."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helper_here.py").write_text("def double(n): return 2 * n\n")
    program = Program(
        tmp_path,
        """
        pool = WorkerPool(1, backend="process", max_jobs_per_worker=1)
        pool.spawn(os.getpid).result(10)
        sys.path.insert(0, os.path.abspath("lib"))
        os.chdir("lib")
        import helper_here
        pool = WorkerPool(1, backend="process")
        print(pool.spawn(helper_here.double, args=(4,)).result(10))
        print(pool.spawn(os.getcwd).result(10) == os.getcwd())
        """,
    )

    assert program.end() == 0, program.err
    assert program.out == "8\nTrue\n"


def test_a_module_that_children_cannot_import_is_the_jobs_error(tmp_path: Path) -> None:
    """It says which one; the pool goes on."""
    program = Program(
        tmp_path,
        """
        import types
        ghost = types.ModuleType("ghost_module")
        exec("def work(): return 1", ghost.__dict__)
        sys.modules["ghost_module"] = ghost
        pool = WorkerPool(1, backend="process")
        error = pool.spawn(ghost.work).exception(10)
        print("ghost_module" in str(error) or error is None)
        print(pool.spawn(len, args=("abc",)).result(10))
        """,
    )

    assert program.end() == 0, program.err
    assert program.out == "True\n3\n"


def test_a_module_of_the_folder_does_not_take_the_place_of_the_libraries(tmp_path: Path) -> None:
    """With -P the program does not look there; neither do its children."""
    (tmp_path / "pickle.py").write_text("raise SystemExit('the wrong pickle')\n")
    (tmp_path / "socket.py").write_text("raise SystemExit('the wrong socket')\n")
    program = Program(
        tmp_path,
        """
        pool = WorkerPool(1, backend="process")
        print(pool.spawn(len, args=("abc",)).result(10))
        """,
        options=["-P"],
    )

    assert program.end() == 0, program.err
    assert program.out == "3\n"


def test_a_fork_of_a_program_with_running_jobs_leaves_both_sides_working(tmp_path: Path) -> None:
    """The copy touches none of the children; its own pool is new, as is the one it inherited."""
    program = Program(
        tmp_path,
        """
        import warnings
        warnings.simplefilter("ignore")
        from runtime.errors import ForkedError
        def slow():
            Path("begun").touch()
            wait_for("go on")
            return os.getpid()
        pool = WorkerPool(1, backend="process")
        job = pool.spawn(slow)
        wait_for("begun")
        pid = os.fork()
        if not pid:
            assert isinstance(job.exception(0), ForkedError)
            assert pool.spawn(len, args=("abc",)).result(10) == 3
            with WorkerPool(1, backend="process") as other:
                assert other.spawn(len, args=("ab",)).result(10) == 2
            sys.exit(9)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        Path("go on").touch()
        print(job.result(10) == pool.spawn(os.getpid).result(10))
        """,
    )

    assert program.end() == 0, program.err
    assert program.out == "9\nTrue\n"


@pytest.mark.parametrize("first", ["WorkerPool(1)", "WorkerPool(1, backend='process')"])
@pytest.mark.parametrize("method", ["template", "spawn"])
def test_an_inherited_pool_works_whichever_pool_was_the_first(
    tmp_path: Path, first: str, method: str
) -> None:
    """Hooks run in the order of their registration, which the first pool of each kind decides."""
    program = Program(
        tmp_path,
        f"""
        import warnings
        warnings.simplefilter("ignore")
        first = {first}
        first.spawn(int).result(10)
        pool = WorkerPool(1, backend="process", start_method="{method}")
        print(pool.spawn(pow, args=(2, 3)).result(10), flush=True)
        def fork(depth):
            pid = os.fork()
            if not pid:
                print(pool.spawn(pow, args=(2, 3)).result(10), flush=True)
                os._exit(9 if depth == 0 else fork(depth - 1))
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(fork(1), pool.spawn(pow, args=(2, 4)).result(10))
        """,
    )

    assert program.end() == 0, program.err
    assert program.out == "8\n8\n8\n9 16\n"


def test_children_die_with_the_program_and_not_with_the_thread_that_had_them_started(
    tmp_path: Path,
) -> None:
    """The parent-death signal of the system follows the thread."""
    program = Program(
        tmp_path,
        """
        pool = WorkerPool(1, backend="process")
        pids = []
        thread = threading.Thread(target=lambda: pids.append(pool.spawn(os.getpid).result(10)))
        thread.start()
        thread.join()
        print(pool.spawn(os.getpid).result(10) == pids[0])
        """,
    )

    assert program.end() == 0, program.err
    assert program.out == "True\n"


def test_ctrl_c_while_waiting_is_raised_at_once_and_the_pool_goes_on(tmp_path: Path) -> None:
    """The job is none of the terminal's business."""
    program = Program(
        tmp_path,
        """
        def slow():
            Path("begun").touch()
            wait_for("go on")
            return 3
        pool = WorkerPool(1, backend="process")
        job = pool.spawn(slow)
        wait_for("begun")
        threading.Timer(0.1, os.killpg, (0, signal.SIGINT)).start()
        try: job.result(10)
        except KeyboardInterrupt: print("interrupted")
        Path("go on").touch()
        print(job.result(10), pool.spawn(len, args=("ab",)).result(10))
        """,
    )

    assert program.end() == 0, program.err
    assert program.out == "interrupted\n3 2\n"


def test_sigchld_ignored_by_the_program_changes_nothing(tmp_path: Path) -> None:
    """Then the system forgets how children ended that are the program's own."""
    program = Program(
        tmp_path,
        """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        pool = WorkerPool(1, backend="process")
        print(type(pool.spawn(os.abort).exception(10)).__name__)
        print(pool.spawn(len, args=("ab",)).result(10))
        """,
    )

    assert program.end() == 0
    assert program.out == "WorkerCrashedError\n2\n"
