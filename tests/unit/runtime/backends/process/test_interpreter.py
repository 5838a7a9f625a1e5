"""Pieces of starting an interpreter that need none."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process import interpreter
from runtime.backends.process.interpreter import (
    above_standard,
    end_process,
    interpreter_flags,
    open_interpreter,
    plan_of,
)
from runtime.errors import WorkerStartError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process


class _Text(str):
    """What marshal does not take."""

    __slots__ = ()


def test_a_plan_is_made_of_plain_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """People put all kinds of things into the path."""
    monkeypatch.setattr(sys, "path", [_Text("/one"), b"/two", None, "/three"])

    path = plan_of("some.module", 3)["path"]

    assert path == ["/one", "/three"]
    assert {type(entry) for entry in path} == {str}


def test_the_flags_leave_no_folder_in_front_of_the_path() -> None:
    """Whatever else this interpreter was given."""
    assert "-P" in interpreter_flags()


def test_an_option_of_the_interpreter_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its value, where it has one."""
    monkeypatch.setattr(sys, "_xoptions", {"dev": True, "pycache_prefix": "/some/where"})
    monkeypatch.setattr(sys, "warnoptions", ["error", "ignore:a b"])

    words = " ".join(interpreter_flags())

    assert "-W error -W ignore:a b -X dev -X pycache_prefix=/some/where" in words


def test_without_nameless_memory_a_temporary_file_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Some sandboxes refuse memfd_create; nothing stays in the folder."""
    monkeypatch.setattr(os, "memfd_create", _refuse(errno.EPERM), raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    read, write = os.pipe()
    process = open_interpreter(plan_of("no_such_module", write), (write,))
    os.close(write)
    with open(read, "rb") as report:
        told = report.read()

    assert end_process(process, 20.0) == 1
    assert b"no_such_module" in told
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_limit_is_told_and_not_gone_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary file would meet the same limit, with a worse message."""
    monkeypatch.setattr(os, "memfd_create", _refuse(errno.EMFILE), raising=False)

    with pytest.raises(WorkerStartError, match="Too many open files"):
        open_interpreter(plan_of("any", 2), ())


def _refuse(number: int) -> object:
    def memfd_create(name: str) -> int:
        raise OSError(number, os.strerror(number), name)

    return memfd_create


def test_another_version_of_python_says_so() -> None:
    """A wrong `sys.executable` may be a Python, of another version."""
    read, write = os.pipe()
    plan = plan_of("runtime.backends.process.bootstrap", write) | {"version": 0x02070000}
    process = open_interpreter(plan, (write,))
    os.close(write)
    with open(read, "rb") as report:
        told = report.read()

    assert end_process(process, 20.0) == 1
    assert b"ImportError" in told
    assert sys.version.split()[0].encode() in told


def test_without_pidfds_an_end_is_waited_for_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noticed a little later."""
    monkeypatch.setattr(os, "pidfd_open", _refuse(errno.ENOSYS), raising=False)
    read, write = os.pipe()
    process = open_interpreter(plan_of("no_such_module", write), (write,))
    os.close(write)
    os.close(read)

    assert end_process(process, 20.0) is not None


def test_a_process_that_does_not_end_is_killed() -> None:
    """Waiting has a limit."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"], stdin=subprocess.DEVNULL
    )

    assert end_process(process, 0.0) == -9


def test_a_descriptor_of_a_standard_stream_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is above them stays."""
    read, write = os.pipe()
    monkeypatch.setattr(interpreter, "_FIRST", write + 1)

    moved = above_standard(write)

    assert moved > write
    assert os.get_inheritable(moved) is False
    assert above_standard(moved) == moved
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(write)
    os.close(read)
    os.close(moved)
