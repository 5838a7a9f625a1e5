"""Programs with pools of processes, run from outside, and a look at what they leave behind.

What they print goes to files: a process that is left holds a pipe open, and whoever reads it hangs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import runtime
from tests.unit.runtime.faults.process_jobs import is_alive, until

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("PRELUDE", "Program")

GUARD: Final = 20.0  # seconds; only a hang takes so long
ROOTS: Final = (str(Path(runtime.__file__).parents[1]), str(Path(__file__).parents[4]))
PRELUDE: Final = """
import os, signal, sys, threading, time
from pathlib import Path
from runtime.workers import Worker, WorkerPool
def hang(name):
    Path(name).write_text("x")
    while True: time.sleep(60)
def spin(name):
    Path(name).write_text("x")
    pow(3, 10**9)
def wait_for(*names):
    while not all(Path(name).exists() for name in names): time.sleep(0.002)
"""


class Program:
    """One program in a folder of its own, which starts at once.

    Args:
        folder: Where it runs.
        text: What it does, after `PRELUDE`.
        how: ``file``, ``stdin`` or ``-c``.
        options: For the interpreter.
    """

    def __init__(
        self, folder: Path, text: str, how: str = "file", options: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self._token = uuid.uuid4().hex
        source = PRELUDE + textwrap.dedent(text)
        script = folder / "program.py"
        script.write_text(source)
        command = [sys.executable, *options]
        command += {"file": [str(script)], "stdin": ["-"], "-c": ["-c", source]}[how]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS), "FAULTS_TOKEN": self._token}
        with (
            (folder / "out").open("w") as out,
            (folder / "err").open("w") as err,
            script.open() as stdin,
        ):
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdin=stdin if how == "stdin" else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        """What it has printed."""
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        """What it has complained of."""
        return (self.folder / "err").read_text()

    def wait_for(self, *names: str) -> None:
        """Wait until its jobs have made these files."""
        paths = [self.folder / name for name in names]
        until(lambda: all(path.exists() for path in paths), self.err)

    def end(self) -> int:
        """Wait for its end, and see that no process of it is left; return the status."""
        try:
            status = self.process.wait(GUARD)
            until(lambda: not self.left(), f"it left processes behind: {self.left()}\n{self.err}")
        finally:
            for pid in self.left():
                os.kill(pid, 9)
            self.process.kill()
            self.process.wait()
        return status

    def left(self) -> list[int]:
        """Return the processes of this program that run, itself included."""
        token = f"FAULTS_TOKEN={self._token}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if token in (folder / "environ").read_bytes() and is_alive(int(folder.name)):
                    found.append(int(folder.name))
            except (OSError, ValueError):
                continue
        return found
