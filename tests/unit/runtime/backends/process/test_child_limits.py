"""Limits of a child, and what it leaves when it dies."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process.child_limits import read_fault_report
from tests.unit.runtime.backends.process.in_a_child import run_in_a_child

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process
OFFSET = 4096
REPORTING = """
    import ctypes, os, signal, sys, threading, time
    from runtime.backends.process.child_limits import enable_fault_reports
    enable_fault_reports({page}, 4096)
    def job():
        {job}
    job()
"""


@pytest.fixture
def page() -> Iterator[int]:
    """Give a file like the one that parent and child share."""
    with tempfile.TemporaryFile() as file:
        file.truncate(OFFSET + 16 * 1024)
        yield file.fileno()


def report_of(page: int, job: str) -> tuple[int, str]:
    """Run *job* in a child with crash reports; return its status and its report."""
    ended = run_in_a_child(REPORTING.format(page=page, job=job), pass_fds=(page,))
    return ended.returncode, read_fault_report(page, OFFSET)


def test_memory_beyond_the_limit_is_refused() -> None:
    """The job gets an error that it can handle; the machine lives on."""
    ended = run_in_a_child("""
        import resource
        from runtime.backends.process.child_limits import _address_space, set_memory_limit
        limit = _address_space() + (2 << 30)
        set_memory_limit(limit)
        assert resource.getrlimit(resource.RLIMIT_AS) == (limit, limit)
        try:
            bytearray(3 << 30)
        except MemoryError:
            print("refused", len(bytearray(1 << 20)))
    """)

    assert ended.stdout == f"refused {1 << 20}\n", ended.stderr


def test_the_limit_that_holds_already_is_not_raised() -> None:
    """Only root could."""
    ended = run_in_a_child("""
        import resource
        from runtime.backends.process.child_limits import set_memory_limit
        resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))
        set_memory_limit(1 << 41)
        assert resource.getrlimit(resource.RLIMIT_AS) == (1 << 40, 1 << 40)
    """)

    assert ended.returncode == 0, ended.stderr


def test_a_limit_below_what_is_taken_is_an_error_and_not_set() -> None:
    """A child that cannot even raise an error would only be a riddle."""
    ended = run_in_a_child("""
        import resource
        from runtime.backends.process.child_limits import set_memory_limit
        try:
            set_memory_limit(1 << 20)
        except ValueError as error:
            print(error)
        assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    """)

    assert ended.stdout.startswith("a memory limit of 1048576 bytes is too low"), ended.stderr


def test_a_system_that_has_no_such_limit_says_so() -> None:
    """A limit that silently does not hold would be worse."""
    ended = run_in_a_child("""
        import builtins, resource, sys
        from runtime.backends.process import child_limits
        def refuse(which, limits):
            raise OSError("not here")
        resource.setrlimit = refuse
        builtins.open = refuse  # nor is there a /proc
        try:
            child_limits.set_memory_limit(1 << 30)
        except ValueError as error:
            print(error)
        sys.modules["resource"] = None
        try:
            child_limits.set_memory_limit(1 << 30)
        except NotImplementedError as error:
            print(error)
    """)

    assert ended.stdout.splitlines() == [
        "the system refuses a memory limit of 1073741824 bytes: not here",
        "this system has no limit of the address space",
    ], ended.stderr


def test_a_fatal_signal_leaves_the_stack(page: int) -> None:
    """It says where in the job the interpreter was."""
    status, report = report_of(page, "ctypes.string_at(0)")

    assert status == -signal.SIGSEGV
    assert report.startswith("Fatal Python error: Segmentation fault\n")
    assert "in job" in report
    assert "\0" not in report


def test_termination_leaves_the_stack_and_terminates(page: int) -> None:
    """That is how a job that does not stop is ended: the report says what it was doing."""
    status, report = report_of(page, "os.kill(os.getpid(), signal.SIGTERM)")

    assert status == -signal.SIGTERM
    assert "in job" in report


def test_a_job_that_handles_termination_itself_does_so(page: int) -> None:
    """Its handler replaces ours."""
    status, report = report_of(
        page, "signal.signal(signal.SIGTERM, print); os.kill(os.getpid(), signal.SIGTERM)"
    )

    assert (status, report) == (0, "")


def test_a_process_that_a_job_forks_does_not_write_the_report(page: int) -> None:
    """Its death is not the child's."""
    status, report = report_of(
        page, "pid = os.fork(); pid or ctypes.string_at(0); sys.exit(os.waitpid(pid, 0)[1])"
    )

    assert status == signal.SIGSEGV  # of the forked one
    assert report == ""


def test_a_forked_process_that_is_terminated_does_not_write_either(page: int) -> None:
    """That is the other way to a report."""
    status, report = report_of(
        page,
        "pid = os.fork(); pid or os.kill(os.getpid(), signal.SIGTERM); "
        "sys.exit(os.waitpid(pid, 0)[1])",
    )

    assert status == signal.SIGTERM
    assert report == ""


def test_a_forked_process_may_end_as_any_other(page: int) -> None:
    """What was switched off for it leaves nothing behind."""
    status, report = report_of(page, "pid = os.fork(); pid and sys.exit(os.waitpid(pid, 0)[1])")

    assert (status, report) == (0, "")


def test_no_crash_leaves_no_report(page: int) -> None:
    """The words before the report are not part of it either."""
    os.pwrite(page, b"x" * OFFSET, 0)

    assert report_of(page, "pass") == (0, "")


def test_a_report_is_bounded_and_harmless(page: int) -> None:
    """A child can write there what it likes, a terminal must not obey it."""
    os.pwrite(page, b"\na\x1b[2J\xff\tb\r\nc\x7f\0hidden", OFFSET)
    assert read_fault_report(page, OFFSET) == "a\\x1b[2J\\xff\tb\\x0d\nc\\x7f"

    os.pwrite(page, b"x" * 10**6, OFFSET)
    assert len(read_fault_report(page, OFFSET)) == 64 * 1024


def test_a_page_that_is_gone_has_no_report() -> None:
    """The report of a crash must not fail for want of a detail."""
    assert read_fault_report(-1, OFFSET) == ""


@pytest.mark.parametrize("before", ["", "os.close(0)", "os.close(0); sys.stdin = None"])
def test_a_job_that_reads_stdin_finds_its_end(before: str) -> None:
    """What is typed belongs to the program, and a job that waited for it would never end."""
    ended = run_in_a_child(
        f"""
        import os, sys
        from runtime.backends.process.child_limits import detach_stdin
        {before}
        detach_stdin()
        print(repr(sys.stdin.read()), os.read(0, 9), os.get_inheritable(0))
        try:
            input()
        except EOFError:
            print("end")
        """,
        stdin="for the program\n",
    )

    assert ended.stdout == "'' b'' True\nend\n", ended.stderr
