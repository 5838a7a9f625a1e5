"""The leak check finds what is left, waits for what is ending, and touches nothing."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.testing.leaks import LeakCheck, LeakError, Leaks

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_proc = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="reads /proc, which this system lacks"
)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Hold threads back until the test is over, then let them end."""
    before = threading.enumerate()
    gate = threading.Event()
    yield gate
    gate.set()
    for thread in threading.enumerate():
        if thread not in before:
            thread.join(10)


def wait_at(gate: threading.Event, name: str) -> threading.Thread:
    thread = threading.Thread(target=gate.wait, args=(10,), name=name, daemon=True)
    thread.start()
    return thread


def test_a_clean_block_passes() -> None:
    """What begins and ends within the block is the block's own business."""
    with LeakCheck(grace=0) as check:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

    assert check.leaks() == Leaks()


def test_a_thread_left_behind_is_named_with_its_stack(gate: threading.Event) -> None:
    """The message alone should tell who waits where."""
    with pytest.raises(LeakError, match=r"'straggler' \(daemon\)") as caught, LeakCheck(grace=0):
        wait_at(gate, "straggler")

    assert str(caught.value).startswith("1 left behind; ")
    assert "in wait" in str(caught.value)
    assert len(caught.value.leaks.threads) == 1


def test_a_thread_that_is_ending_is_waited_for(gate: threading.Event) -> None:
    """A pool that was told to shut down may need a moment."""
    timer = threading.Timer(0.05, gate.set)
    timer.start()

    with LeakCheck(grace=10):
        wait_at(gate, "late")


def test_a_thread_that_was_there_before_may_stay(gate: threading.Event) -> None:
    """The check is about the block, not about the process."""
    wait_at(gate, "older")

    with LeakCheck(grace=0):
        pass


def test_ignored_threads_may_stay(gate: threading.Event) -> None:
    """A host knows its own helpers best."""
    with LeakCheck(grace=0, ignore=lambda thread: thread.name.startswith("host-")):
        wait_at(gate, "host-1")


def test_one_deadline_watcher_may_stay_and_two_may_not(gate: threading.Event) -> None:
    """It is started once per process: a second one shows that somebody started it again."""
    if any(thread.name == "vela-deadlines" for thread in threading.enumerate()):
        pytest.skip("an earlier test has started the real one")

    with LeakCheck(grace=0) as check:
        wait_at(gate, "vela-deadlines")

    wait_at(gate, "vela-deadlines")
    assert len(check.leaks().threads) == 2


@needs_proc
def test_a_descriptor_left_open_is_reported() -> None:
    """Descriptors run out after hours of service, far from the line that leaks them."""
    read, write = os.pipe()
    os.close(read)

    with pytest.raises(LeakError, match=r"file descriptor \d+ -> pipe:"), LeakCheck(grace=0):
        copy = os.dup(write)

    os.close(copy)
    os.close(write)


@needs_proc
def test_a_descriptor_that_leads_elsewhere_is_reported() -> None:
    """The same number for another file is a new descriptor."""
    first, second = os.open(os.devnull, os.O_RDONLY), os.open("/", os.O_RDONLY)

    with pytest.raises(LeakError, match=rf"file descriptor {first} -> /$"), LeakCheck(grace=0):
        os.dup2(second, first)

    os.close(first)
    os.close(second)


@needs_proc
@pytest.mark.process
def test_a_child_left_running_is_reported() -> None:
    """The command line tells which one it is."""
    command = [sys.executable, "-c", "input(1)"]

    check = LeakCheck(grace=0)
    with check:
        pass
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.read(1) == b"1"  # for a moment a new process has no command line
        leaks = check.leaks()
        child.kill()

    assert [text.split()[0] for text in leaks.children] == [str(child.pid)]
    assert leaks.children[0].endswith("-c input(1)")
    assert not check.leaks()


def test_the_error_of_the_block_is_not_hidden(gate: threading.Event) -> None:
    """A test that fails half-way leaves things behind; the reason is the first error."""

    def block() -> None:
        with LeakCheck(grace=0):
            wait_at(gate, "cut-off")
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        block()


def test_the_error_survives_pickle() -> None:
    """Test runners send failures between processes."""
    error = LeakError(Leaks(threads=("'a' (daemon), now at:\n  here",), descriptors=("3 -> /",)))

    again = pickle.loads(pickle.dumps(error))

    assert str(again) == str(error)
    assert again.leaks == error.leaks


def test_a_negative_grace_is_refused() -> None:
    """A wrong span is told where it is given."""
    with pytest.raises(ValueError, match="grace must be 0 or more seconds"):
        LeakCheck(grace=-1)
