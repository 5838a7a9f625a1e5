"""Programs in a process of their own: what exit, signals and forks do can be seen only there."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final, NamedTuple

import runtime

__all__ = ("Ended", "run_program")

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


def run_program(text: str, *, before: str = "") -> Ended:
    """Run *text*, indented as the caller likes it, after the usual imports and *before*."""
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + before + textwrap.dedent(text)],
        env=_WITH_US,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
