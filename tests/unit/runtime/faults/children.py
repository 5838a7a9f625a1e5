"""Programs in a process of their own: what exit, signals and forks do can be seen only there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final, NamedTuple

import runtime

__all__ = ("Ended", "run_program", "start_program")

GUARD: Final = 30.0  # seconds; only a hang takes so long
_WITH_US: Final = {**os.environ, "PYTHONPATH": str(Path(runtime.__file__).parents[1])}
_PRELUDE: Final = """
import atexit, os, signal, sys, threading, time
from runtime.workers import Worker, WorkerPool
started = threading.Event()
def wait_for_ever():
    started.set()
    threading.Event().wait()
"""


class Ended(NamedTuple):
    """How a program has ended; the status is negative where a signal did it."""

    status: int
    out: str
    err: str


def start_program(text: str) -> subprocess.Popen[str]:
    """Start *text*, indented as the caller likes it, after the usual imports."""
    return subprocess.Popen(
        [sys.executable, "-c", _PRELUDE + textwrap.dedent(text)],
        env=_WITH_US,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_program(text: str, *, interrupt_after: str | None = None) -> Ended:
    """Run *text* to its end; send Ctrl-C when it has printed the line *interrupt_after*."""
    with start_program(text) as program:
        out = ""
        try:
            if interrupt_after is not None:
                assert program.stdout is not None
                while interrupt_after not in out:
                    line = program.stdout.readline()
                    assert line, (out, program.communicate(timeout=GUARD))
                    out += line
                program.send_signal(signal.SIGINT)
            more, err = program.communicate(timeout=GUARD)
        except BaseException:
            program.kill()
            raise
    return Ended(program.returncode, out + more, err)
