"""What happens in a child before and after its program, without a child."""

from __future__ import annotations

import contextlib
import gc
import marshal
import os
import random
import signal
import socket
import sys
import types
from typing import TYPE_CHECKING, NoReturn

import pytest

from runtime.backends.process import bootstrap, lifeline, template
from runtime.backends.process.bootstrap import FAILED_STATUS, main, run_program
from runtime.backends.process.interpreter import plan_of
from runtime.backends.process.lifeline import LIFELINE_STATUS
from runtime.backends.process.template import Request, Template

if TYPE_CHECKING:
    from collections.abc import Iterator

FDS = [-1] * 5


class _EndError(BaseException):
    """In place of the end of this process."""


@pytest.fixture(autouse=True)
def no_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have ``os._exit`` raise, and leave this process as it is."""

    def end(status: int) -> NoReturn:
        raise _EndError(status)

    signals = {number: signal.getsignal(number) for number in (2, 15, signal.SIGCHLD)}
    for name in ("argv", "dont_write_bytecode", "pycache_prefix"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    yield
    for number, handler in signals.items():
        signal.signal(number, handler)


def status_of(error: BaseException) -> object:
    """Run a program that raises *error*; return the status of its process."""

    def program(*_: int) -> int:
        raise error

    with pytest.raises(_EndError) as caught:
        run_program(program, FDS)
    return caught.value.args[0]


@pytest.mark.parametrize(("code", "status"), [(None, 0), (3, 3), (257, 1), ("words", 1)])
def test_a_program_may_end_by_sys_exit(code: object, status: int) -> None:
    """With what a program of its own would end with."""
    assert status_of(SystemExit(code)) == status


def test_an_error_of_the_program_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody else will tell."""
    assert status_of(KeyError("which")) == 1
    assert "KeyError: 'which'" in capsys.readouterr().err


def test_the_program_is_given_its_descriptors_after_it_has_said_so() -> None:
    """The pool counts it as started from there."""
    read, write = os.pipe()
    plan = plan_of("", write, program="os:path", preload=["os"], fds=FDS)
    plan["program"] = f"{__name__}:_count"

    with pytest.raises(_EndError, match="5"):
        main(plan)

    assert marshal.loads(os.read(read, 100)) == ("ready",)
    os.close(read)


def _count(*fds: int) -> int:
    return len(fds)


def test_a_program_that_is_not_there_is_reported() -> None:
    """With its traceback."""
    read, write = os.pipe()

    with pytest.raises(_EndError, match=str(FAILED_STATUS)):
        main(plan_of("", write, program="os:no_such_function", preload=[], fds=FDS))

    kind, number, text, permanent = marshal.loads(os.read(read, 1 << 16))
    assert (kind, number, permanent) == ("failed", -1, True)
    assert "no_such_function" in text
    os.close(read)
    os.close(write)


def test_a_broken_stream_does_not_keep_a_process_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Jobs replace streams by all kinds of things."""
    monkeypatch.setattr(sys, "stdout", None)

    with pytest.raises(_EndError, match="5"):
        run_program(_count, FDS)


def test_a_forked_child_has_random_numbers_and_descriptors_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`random` sees to itself; a preloaded array library does not."""
    seeded: list[bool] = []
    library = types.ModuleType("numpy.random")
    library.seed = lambda: seeded.append(True)  # type: ignore[attr-defined] # it has that
    monkeypatch.setitem(sys.modules, "numpy.random", library)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    read, write = os.pipe()
    found = Template(theirs, read)
    found.load(f"{__name__}:_count", ["random"])
    before = random.getstate()

    with pytest.raises(_EndError, match="5"):
        found.become(Request(1, os.getcwd(), list(sys.path), FDS))

    assert seeded == [True]
    assert random.getstate() == before
    assert ours.recv(1) == b""
    assert theirs.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read)
    ours.close()
    os.close(write)


@pytest.mark.parametrize("collects", [True, False])
@pytest.mark.parametrize("program", ["os:fspath", "os:no_such_function"])
def test_loading_a_program_leaves_the_collector_on_or_off_as_it_was(
    program: str, *, collects: bool
) -> None:
    """It waits meanwhile; whoever has switched it off for good keeps it off."""
    was_on = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        with contextlib.suppress(AttributeError):
            bootstrap.load_program(program)
        found = gc.isenabled()
    finally:
        (gc.enable if was_on else gc.disable)()

    assert found is collects


def test_a_lifeline_that_is_cut_ends_the_process() -> None:
    """Before it is armed, as well."""
    read, write = os.pipe()
    os.close(write)

    with pytest.raises(_EndError, match=str(LIFELINE_STATUS)):
        lifeline.arm_lifeline(read)

    os.close(read)


def test_the_names_that_both_ways_to_start_share_are_there() -> None:
    """Both are programs that another process calls by name."""
    assert callable(bootstrap.main)
    assert callable(template.main)
