"""A program that has child processes and nothing else: what is watched from outside.

It runs in a fresh interpreter without a main module, so that no peer's children import one. It
is told by lines what to do, and answers each with a line.
"""

from __future__ import annotations

import importlib
import json
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.process_jobs import filled, meet_with_numpy, touch
from benchmarks.process_pools import all_children, kind_of

if TYPE_CHECKING:
    from types import TracebackType
    from typing import IO, Self

    from benchmarks.process_pools import Children

__all__ = ("Subject", "call_fresh", "main")

PATIENCE = 30.0  # seconds: only a hang takes longer
MIB = 1 << 20
NUMBER = 8  # bytes


class Subject:
    """Such a program, seen by who started it; a context manager."""

    def __init__(self, kind: str) -> None:
        self._process = _start("benchmarks.process_subject", "main", kind)
        self.pid = self._process.pid
        self.children: list[int] = []

    def __enter__(self) -> Self:
        self.children = json.loads(self.answer())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tree = importlib.import_module("benchmarks.process_tree").Tree(self.pid)
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            tree.kill()
        _pipe(self._process.stdout).close()

    def say(self, line: str) -> None:
        """Tell it what to do."""
        pipe = _pipe(self._process.stdin)
        pipe.write(line + "\n")
        pipe.flush()

    def has_answered(self) -> bool:
        """Tell whether there is something to read."""
        return bool(select.select([_pipe(self._process.stdout)], [], [], 0)[0])

    def answer(self) -> str:
        """Return its next line."""
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"the program ended with {self._process.wait(PATIENCE)}")
        return line

    def ask(self, line: str) -> str:
        """Tell it what to do; return what it answers."""
        self.say(line)
        return self.answer()


def call_fresh(module: str, function: str, *arguments: str) -> float:
    """Return ``function(*arguments)``, called in such an interpreter."""
    process = _start(module, function, *arguments)
    text, _ = process.communicate(timeout=PATIENCE)
    if process.returncode:
        raise RuntimeError(f"the program ended with {process.returncode}")
    return float(text)


def _start(module: str, function: str, *arguments: str) -> subprocess.Popen[str]:
    from benchmarks.measure import (  # noqa: PLC0415 - the subject itself is to import little
        ROOT,
        child_environment,
    )

    code = f"import sys; from {module} import {function}; {function}(*sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=child_environment(),
        encoding="utf-8",
    )


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("all pipes were asked for")
    return pipe


# ---- inside of it -----------------------------------------------------------------------------


def main(name: str) -> None:
    """Open the children of a kind; then do what the lines say, until there are no more."""
    with kind_of(name).open() as children:
        print(json.dumps(all_children(children)), flush=True)
        prepared: Any = None
        for line in sys.stdin:
            word, *words = line.split()
            if word == "prepare":
                prepared = _prepare(children, *words)
            else:
                _carry(children, word, prepared, int(words[0]))
            print(word, flush=True)


def _prepare(children: Children, way: str, mib: str) -> Any:  # noqa: ANN401 - numpy may be missing
    """Import numpy on both sides; return the array to send, or the length of what is to come."""
    count = int(mib) * MIB // NUMBER
    all_children(children, meet_with_numpy)
    return filled(count) if way == "in" else count


def _carry(children: Children, way: str, prepared: Any, trips: int) -> None:  # noqa: ANN401 - as above
    for _ in range(trips):
        if way == "in":
            children.call(touch, prepared)
        else:
            touch(children.call(filled, prepared))
