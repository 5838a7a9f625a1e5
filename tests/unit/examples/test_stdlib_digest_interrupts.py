"""The demonstration and Ctrl-C: it stops cleanly, says how far it was, and never hangs."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import runtime
from runtime.demo.digests import read_chunks
from runtime.demo.interrupts import Interrupts
from runtime.demo.program import Demo
from runtime.demo.session import INTERRUPTED, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.demo.digests import Reader

GUARD: Final = 10.0  # seconds; only a deadlock takes so long
WITH_US: Final = {**os.environ, "PYTHONPATH": str(Path(runtime.__file__).parents[1])}

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent there")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "lib"
    root.mkdir()
    for name in ("a.txt", "b.txt", "c.txt"):
        (root / name).write_bytes(b"content")
    return root


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let SIGINT be Ctrl-C, also where the tests run in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def demo(folder: Path, read: Reader, *, patience: float = GUARD) -> tuple[int, str, str]:
    """Run the first part on one worker; return the status, the report, and the complaints."""
    out, err = io.StringIO(), io.StringIO()
    settings = Settings(folder, workers=1, patience=patience, with_survey=False, with_guest=False)
    status = Demo(settings, out=out, err=err, read=read).run()
    return status, out.getvalue(), err.getvalue()


@needs_signals
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_is_a_request_twice_and_an_exception_the_third_time() -> None:
    """Whoever loses patience gets out; afterwards everything is as before."""
    with Interrupts() as interrupts:
        assert not interrupts.asked.is_completed()
        signal.raise_signal(signal.SIGINT)
        assert interrupts.asked.is_completed()
        assert not interrupts.urged.is_completed()
        signal.raise_signal(signal.SIGINT)
        assert interrupts.urged.is_completed()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@needs_signals
def test_somebody_elses_handler_is_left_alone(ctrl_c: None) -> None:  # noqa: ARG001 - restores
    """In a program that has its own idea of Ctrl-C we are a guest."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    with Interrupts():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@needs_signals
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_names_what_still_runs(folder: Path) -> None:
    """What waits never runs; what runs gets its time; what then still runs is not hidden."""
    release, calls = threading.Event(), []
    main_thread = threading.get_ident()

    def read(path: Path) -> Iterator[bytes]:
        calls.append(path.name)
        signal.pthread_kill(main_thread, signal.SIGINT)
        release.wait(GUARD)
        return read_chunks(path)

    try:
        status, report, complaints = demo(folder, read, patience=0.01)
    finally:
        release.set()

    assert status == INTERRUPTED
    assert calls == ["a.txt"]
    assert complaints.endswith("interrupted: 0 of 3 files were done, and these still ran: a.txt\n")
    assert "identical" not in report


@needs_signals
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_the_run_in_sequence_ends_it(folder: Path) -> None:
    """There it is the ordinary exception."""

    def read(path: Path) -> Iterator[bytes]:
        if threading.current_thread() is threading.main_thread():
            signal.raise_signal(signal.SIGINT)
        return read_chunks(path)

    status, _, complaints = demo(folder, read)

    assert status == INTERRUPTED
    assert complaints.endswith("\ninterrupted\n")


CHILD: Final = """
import os, pathlib, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
from runtime.demo.digests import read_chunks
from runtime.demo.program import Demo, Settings
folder, patience = pathlib.Path(sys.argv[1]), float(sys.argv[2])
def read(path):
    os.write(1, b"reading\\n")  # in one piece, whichever thread it is
    while not (folder.parent / "go").exists():
        time.sleep(0.01)
    return read_chunks(path)
settings = Settings(folder, workers=2, with_guest=False, patience=patience)
sys.exit(Demo(settings, read=read).run())
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start a Python of its own."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=pipe, stderr=pipe, text=True, env=WITH_US
    )


@needs_signals
@pytest.mark.slow
@pytest.mark.process
def test_a_program_that_is_interrupted_waits_for_what_runs(folder: Path) -> None:
    """The jobs under way come to their end, and no traceback frightens anybody."""
    for number in range(20):
        (folder / f"{number:02}").write_bytes(b"x")
    with start("-c", CHILD, str(folder), str(GUARD)) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("CPython ")
        assert child.stdout.readline() == "reading\n"
        child.send_signal(signal.SIGINT)
        (folder.parent / "go").touch()
        _, complaints = child.communicate(timeout=GUARD)

    assert child.returncode == INTERRUPTED
    assert "Traceback" not in complaints
    assert re.search(r"\ninterrupted: \d+ of 23 files were done\n$", complaints)


@needs_signals
@pytest.mark.slow
@pytest.mark.process
def test_a_program_that_is_interrupted_does_not_wait_for_ever(folder: Path) -> None:
    """Threads that never return do not keep the process."""
    with start("-c", CHILD, str(folder), "0.05") as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("CPython ")
        assert child.stdout.readline() == "reading\n"
        child.send_signal(signal.SIGINT)
        _, complaints = child.communicate(timeout=GUARD)

    assert child.returncode == INTERRUPTED
    assert "Traceback" not in complaints
    assert "interrupted: 0 of 3 files were done, and these still ran: " in complaints
