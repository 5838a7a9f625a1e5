"""What holds of children, whichever way they were started."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest

from runtime.backends.process.spawn_source import SpawnSource
from runtime.backends.process.template_source import TemplateSource
from runtime.errors import WorkerStartError
from tests.unit.runtime.backends.process.starting_tools import (
    ANSWER,
    PROGRAMS,
    Starter,
    wait_readable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runtime.backends.process.starting import ChildSource

    Make = Callable[..., ChildSource]

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="pidfds")]

_MEBIBYTE: Final = 1 << 20


@pytest.fixture(params=[TemplateSource, SpawnSource], ids=["template", "spawn"])
def make(request: pytest.FixtureRequest) -> Make:
    found: Make = request.param
    return found


@pytest.fixture
def starter(make: Make) -> Iterator[Starter]:
    with Starter(make(program=ANSWER)) as found:
        yield found


def test_a_child_runs_the_program_and_ends_with_what_it_returns(starter: Starter) -> None:
    """The whole life of a child, as a pool sees it."""
    child = starter.start()

    started = starter.started(child)
    pid = child.ask("os.getpid()")
    child.sock.close()
    ended = starter.ended(child)

    assert started.pid == pid
    assert (ended.number, ended.status) == (child.number, 1)
    assert starter.source.reap(child.number) is not None  # nothing is left to be known


def test_the_end_by_a_signal_is_told_as_a_negative_status(starter: Starter) -> None:
    """A crash report names the signal."""
    child = starter.start()
    started = starter.started(child)
    child.ask("1")

    signal.pidfd_send_signal(started.pidfd, signal.SIGKILL)

    assert starter.ended(child).status == -signal.SIGKILL


def test_the_collector_works_in_a_child_and_does_not_look_at_what_was_loaded(
    starter: Starter,
) -> None:
    """It waits while a child starts, which then would copy each page that it looks at."""
    child = starter.start()

    assert child.ask("__import__('gc').isenabled()")
    assert child.ask("__import__('gc').get_freeze_count()") > 1000


def test_a_child_has_its_own_descriptors_only(starter: Starter) -> None:
    """Else a sibling keeps a dead child's socket open, and programs of jobs get our channels."""
    first, second = starter.start(), starter.start()
    first.ask("1")

    listed = second.ask("sorted(map(int, os.listdir('/proc/self/fd')))")
    fds = second.ask("fds")
    passed_on = second.ask("[os.get_inheritable(one) for one in fds if one >= 0]")

    opened_by_listing = 1
    assert len(listed) == 3 + 3 + opened_by_listing
    assert {0, 1, 2, *fds[:3]} <= set(listed)
    assert fds[3:] == (-1, -1)
    assert passed_on == [False, False, False]


def test_signals_are_those_of_a_child_whatever_the_starting_thread_blocks(
    starter: Starter,
) -> None:
    """A blocked SIGTERM would make a child that only SIGKILL can end."""
    children = []

    def start() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1})
        children.append(starter.start())

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    asked = "[int(signal.getsignal(one)) for one in (signal.SIGTERM, signal.SIGCHLD)]"

    assert children[0].ask(asked) == [signal.SIG_DFL, signal.SIG_DFL]
    assert children[0].ask("signal.getsignal(2).__name__") == "do_nothing"
    assert children[0].ask("len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))") == 0


def test_a_child_is_like_its_parent(starter: Starter) -> None:
    """Group, folder, path and arguments: what a job may look at."""
    child = starter.start()

    assert child.ask("os.getpgid(0)") == os.getpgid(0)
    assert child.ask("os.getcwd()") == os.getcwd()
    assert child.ask("sys.path") == sys.path
    assert child.ask("sys.argv") == sys.argv
    assert child.ask("threading.active_count()") == 1
    assert child.ask("sys.modules['__main__'].__dict__.get('__file__')") is None
    assert child.ask("os.readlink('/proc/self/fd/0')") == os.devnull


def test_a_later_child_sees_the_path_and_the_folder_of_now(
    starter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The template was started with others."""
    starter.start().ask("1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "more")])

    child = starter.start()

    assert child.ask("os.getcwd()") == str(tmp_path)
    assert child.ask("sys.path") == sys.path


def test_random_numbers_of_children_differ(starter: Starter) -> None:
    """Forks of one template would all draw the same."""
    children = [starter.start() for _ in range(3)]

    assert len({child.ask("random.random()") for child in children}) == len(children)


def test_the_peak_of_memory_is_told(starter: Starter) -> None:
    """A crash report says how much a child had."""
    child = starter.start()
    starter.started(child)
    own = child.ask("resource.getrusage(resource.RUSAGE_SELF).ru_maxrss") * 1024
    size = own + 64 * _MEBIBYTE
    child.ask(f"len(memory({size}))")
    child.sock.close()

    peak = starter.ended(child).peak_bytes

    assert peak is not None
    assert size <= peak < size + own + 64 * _MEBIBYTE


@pytest.mark.parametrize(
    ("program", "status"), [("raise_error", 1), ("raise_exit", 5), ("leave_noisily", 44)]
)
def test_however_the_program_ends_the_process_has_a_status(
    make: Make, program: str, status: int
) -> None:
    """An exception must not get back into the template's loop."""
    with Starter(make(program=f"{PROGRAMS}:{program}")) as starter:
        child = starter.start()
        starter.started(child)

        assert starter.ended(child).status == status


def test_what_a_program_leaves_is_written_and_its_exit_handlers_do_not_run(
    make: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    """As in children of multiprocessing; the pool has a finalizer for the rest."""
    with Starter(make(program=f"{PROGRAMS}:leave_noisily")) as starter:
        child = starter.start()
        starter.started(child)
        starter.ended(child)

    assert capfd.readouterr() == ("out ", "err ")


def test_an_uncaught_exception_is_printed_once(
    make: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    """A bug in the program must be found."""
    with Starter(make(program=f"{PROGRAMS}:raise_error")) as starter:
        child = starter.start()
        starter.started(child)
        starter.ended(child)

    out, err = capfd.readouterr()
    assert (out, err.count("LookupError: no luck with 5 descriptors")) == ("", 1)


def test_a_program_that_cannot_be_imported_fails_for_good(make: Make) -> None:
    """The pool is broken by it, and shows where the import went wrong."""
    with Starter(make(program="runtime.no_such_module:run")) as starter:
        failed = starter.failed(starter.start())

    assert failed.permanent
    assert "ModuleNotFoundError" in failed.error
    assert "runtime.no_such_module" in failed.error


def test_a_preloaded_module_is_there_and_one_that_fails_is_named(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`preload=` takes names of users' modules, with users' bugs."""
    (tmp_path / "preloaded_well.py").write_text("")
    (tmp_path / "preloaded_badly.py").write_text("raise KeyError('a bug of theirs')")
    monkeypatch.syspath_prepend(str(tmp_path))

    with Starter(make(["preloaded_well"], program=ANSWER)) as starter:
        assert starter.start().ask("'preloaded_well' in sys.modules") is True
    with Starter(make(["preloaded_well", "preloaded_badly"], program=ANSWER)) as starter:
        failures = [starter.failed(child) for child in (starter.start(), starter.start())]

    assert all(one.permanent and "KeyError: 'a bug of theirs'" in one.error for one in failures)
    assert all("preloaded_badly" in one.error for one in failures)


def test_a_process_that_is_no_interpreter_fails_and_is_no_reason_to_give_up(make: Make) -> None:
    """A wrong `sys.executable` starts anything."""
    with Starter(make(program=ANSWER, executable="/bin/true")) as starter:
        failed = starter.failed(starter.start())

    assert "exit code 0" in failed.error
    assert not failed.permanent


@pytest.mark.parametrize("wrong", ["", None, "/no/such/python"])
def test_without_an_interpreter_start_raises(
    make: Make, wrong: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that embed Python have no `sys.executable`."""
    monkeypatch.setattr(sys, "executable", wrong)

    with (
        Starter(make(program=ANSWER)) as starter,
        pytest.raises(WorkerStartError, match="cannot start a process"),
    ):
        starter.start()


def test_a_hanging_start_can_be_abandoned(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that hangs when it is imported must not hang the pool."""
    (tmp_path / "preloaded_slowly.py").write_text("import threading; threading.Event().wait()")
    monkeypatch.syspath_prepend(str(tmp_path))

    with Starter(make(["preloaded_slowly"], program=ANSWER)) as starter:
        child = starter.start()
        starter.source.abandon(child.number)
        failed = starter.failed(child)

    assert "SIGKILL" in failed.error
    assert not failed.permanent


def test_a_source_that_is_closed_starts_nothing_and_stays_closed(starter: Starter) -> None:
    """`shutdown` may be called twice, and a start may come late."""
    starter.start().ask("1")
    starter.source.close()
    starter.source.close()

    assert starter.source.fileno() is None
    assert starter.source.events() == []
    with pytest.raises(WorkerStartError, match="closed"):
        starter.start()


def test_more_starts_than_can_be_under_way_all_come_through(make: Make) -> None:
    """Requests wait for each other, children do not."""
    with Starter(make(program=ANSWER)) as starter:
        count = 40 if make is TemplateSource else 4
        children = [starter.start() for _ in range(count)]
        for child in children:
            starter.started(child)

        assert len({child.ask("os.getpid()") for child in children}) == count


def test_a_lifeline_ends_a_child_that_runs_in_c(make: Make) -> None:
    """Nothing of Python runs there any more that could look at anything."""
    with Starter(make(program=f"{PROGRAMS}:count_for_ever")) as starter:
        child = starter.start()
        starter.started(child)
        assert child.hear() == "counting\n"

        starter.children.clear()
        child.close()
        wait_readable(starter.pidfds[child.number])

        assert starter.ended(child).status == -signal.SIGKILL
