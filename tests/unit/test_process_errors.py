"""The errors of jobs in processes: what they say, and that all facts travel."""

from __future__ import annotations

import importlib
import pickle

import pytest

from runtime.errors import (
    BrokenPoolError,
    QuarantinedJobError,
    RemoteError,
    RemoteTraceback,
    RestartBudgetError,
    ResultTooLargeError,
    WorkerCrashedError,
    WorkerStartupError,
)
from tests.unit.runtime.faults.children import run_program


def crash(**facts: object) -> WorkerCrashedError:
    given = {"pid": 5, "exit_code": None, **facts}
    return WorkerCrashedError("worker 7", **given)  # type: ignore[arg-type]  # the tests say which


@pytest.mark.parametrize(
    ("exit_code", "name", "text"),
    [
        (-11, "SIGSEGV", "was killed by SIGSEGV): native code failed"),
        (-9, "SIGKILL", "was killed by SIGKILL): out of memory"),
        (-15, "SIGTERM", "was killed by SIGTERM)"),
        (-41, "signal 41", "was killed by signal 41)"),
        (3, None, "exited with code 3): something called os._exit"),
        (0, None, "exited with code 0): something called os._exit"),
        (None, None, "(process 5 ended)"),
    ],
)
def test_a_crash_says_how_the_process_ended(
    exit_code: int | None, name: str | None, text: str
) -> None:
    """A number alone tells most people nothing."""
    error = crash(exit_code=exit_code)

    assert error.signal_name == name
    assert text in str(error)
    assert "\n" not in str(error)


def test_a_crash_that_the_pool_brought_about_says_why() -> None:
    """And blames nothing else; also on the other side of a pickle."""
    error = crash(exit_code=-9, reason="it closed its channel")
    copy = pickle.loads(pickle.dumps(error))

    assert str(copy) == str(error)
    assert str(error).endswith("was killed by SIGKILL): its pool ended it: it closed its channel")
    assert copy.reason == error.reason == "it closed its channel"
    assert crash(exit_code=-9).reason == ""


def test_a_crash_says_what_is_known_beside() -> None:
    """Nobody can look at the process any more."""
    error = crash(
        log_lines=(f"line {number}" for number in range(12)),
        stack='File "job.py", line 3 in resize\n',
        peak_bytes=3 * 2**20,
        finished=True,
    )

    assert str(error) == (
        "worker 7 crashed (process 5 ended): the function had returned, and its outcome was lost; "
        "it held at most 3.0 MiB\nlast lines:\n  ... 2 more\n"
        + "".join(f"  line {number}\n" for number in range(2, 12))
        + '"""\nFile "job.py", line 3 in resize\n"""'
    )
    assert len(error.log_lines) == 12


def test_a_broken_pool_tells_why() -> None:
    """Both are what a caller who knows only `BrokenPoolError` handles."""
    startup = WorkerStartupError("pool 'p'", "its initializer raised ValueError: no", pid=5)
    budget = RestartBudgetError("pool 'p'", 3, 10.0, ["process 5 exited with code 1"])

    assert isinstance(startup, BrokenPoolError)
    assert isinstance(budget, BrokenPoolError)
    assert "pool 'p' is broken: its initializer raised ValueError: no (process 5)" in str(startup)
    assert "more than 3 of its processes died within 10.0s" in str(budget)
    assert str(budget).endswith("the ends:\n  process 5 exited with code 1")


def test_a_refused_job_tells_its_history() -> None:
    """The history is what a person looks for first."""
    error = QuarantinedJobError("worker 7", 2, ["first", "second"])

    assert str(error).startswith("worker 7 is not run again (it killed 2 processes)")
    assert str(error).endswith("the ends:\n  first\n  second")


def test_a_large_result_is_told_with_both_sizes() -> None:
    """What happened, what was given, what to do."""
    assert str(ResultTooLargeError("worker 7", 11, 10)).startswith(
        "worker 7 returned too much (11 bytes): at most 10 are allowed; return less"
    )


def test_a_stand_in_knows_what_it_stands_for() -> None:
    """There is no class to compare it with, so names do."""
    error = RemoteError("worker 7", ["lib.Own", "builtins.OSError", "builtins.Exception"], "text")

    assert error.type_name == "lib.Own"
    assert error.is_a("lib.Own")
    assert error.is_a(OSError)
    assert error.is_a("OSError")
    assert not error.is_a(ValueError)
    assert "worker 7 raised lib.Own: text; this stands for that error" in str(error)
    assert "worker 7 raised an unknown error; " in str(RemoteError("worker 7", [], ""))


def test_a_remote_traceback_shows_its_text_apart() -> None:
    """It is printed among tracebacks of this process."""
    assert str(RemoteTraceback("text\n", 5)) == 'in process 5\n"""\ntext\n"""'
    assert str(RemoteTraceback("text")) == '\n"""\ntext\n"""'


def test_notes_and_further_attributes_survive_pickle() -> None:
    """Whoever adds something means it."""
    error = crash(exit_code=-9)
    error.add_note("note")
    error.more = 1  # type: ignore[attr-defined]  # that is the case

    copy = pickle.loads(pickle.dumps(error))

    assert vars(copy) == vars(error)
    assert copy.__notes__ == ["note"]


@pytest.mark.parametrize("name", ["base_errors", "process_errors", "remote_errors"])
def test_users_see_one_module(name: str) -> None:
    """Where a traceback says an error is, there it can be imported from."""
    module = importlib.import_module(f"runtime.{name}")
    public = set(module.__all__) - {"FactsError"}

    assert {getattr(module, each).__module__ for each in public} == {"runtime.errors"}


@pytest.mark.process
@pytest.mark.parametrize("name", ["base_errors", "process_errors", "remote_errors"])
def test_any_of_the_modules_may_be_imported_first(name: str) -> None:
    """No circle of imports."""
    done = run_program(
        f"""
        for each in [each for each in sys.modules if each.partition(".")[0] == "runtime"]:
            del sys.modules[each]
        import runtime.{name}
        """
    )

    assert (done.status, done.err) == (0, "")
