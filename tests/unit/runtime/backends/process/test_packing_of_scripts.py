"""Functions and classes of a script reach a process that has another `__main__`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

SCRIPT = """
import sys
from functools import partial
from runtime.backends.process.packing import Packer

class Point:
    def __init__(self, x): self.x = x
    def double(self): return Point(self.x * 2)

class Job: label = "worker 1"

LIMIT = 10
def inner(x): return x + LIMIT
def work(p): return inner(p.double().x)

packed = Packer().pack(partial(work, Point(5)), Job())
again = Packer().pack(partial(work, Point(5)), Job())
assert packed.function == again.function
print(packed.function.hex(), packed.call.hex())
"""
CHILD = """
import sys
from runtime.backends.process.unpacking import Unpacker
function, call = map(bytes.fromhex, sys.argv[1:])
print(Unpacker().accept(1, function).bind(call)())
heavy = {"asyncio", "multiprocessing", "concurrent.futures", "dataclasses"} & set(sys.modules)
"""


def run(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment, check=False, timeout=30, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("way", ["file", "-c"])
def test_a_script_needs_no_guard_and_no_name(way: str, tmp_path: Path) -> None:
    """Its code is never run a second time."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, encoding="utf-8")

    sent = run(str(path)) if way == "file" else run("-c", SCRIPT)

    assert run("-c", CHILD, *sent.split()) == "20\n"


def test_reading_jobs_loads_little() -> None:
    """Each child pays for what it imports."""
    code = (
        "import sys\n"
        "before = set(sys.modules)  # who measures coverage loads things, too\n"
        "import runtime.backends.process.unpacking, runtime.backends.process.results\n"
        "print({'asyncio', 'multiprocessing', 'concurrent.futures', 'dataclasses', 'cloudpickle'}"
        " & (set(sys.modules) - before))"
    )

    assert run("-c", code) == "set()\n"
