"""Basilisp's futures on pools of ours: a program of the language, unchanged."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

import pytest

# Not imported here: it is a compiler with import hooks, which should not stay in this process.
pytestmark = [
    pytest.mark.skipif(
        not list(importlib.metadata.distributions(name="basilisp")),
        reason="basilisp is not installed",
    ),
    pytest.mark.slow,
    pytest.mark.timeout(85),  # the first run ever compiles the language: half a minute
]

ROOT: Final = Path(__file__).resolve().parents[3]
TOUR: Final = Path("examples", "clojure", "programs", "tour.lpy")

EXPECTED: Final = """\
answer 42 true true
on a worker of ours true
in 5 ms :not-yet false
later :opened
squares 328350
pairs [[:a 1] [:b 2] [:c 3]]
endless [1 2 3 4 5]
nested 3
bound 7
error Fraction(1, 0)
cancelled true true
the others :all 20
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the example in an interpreter of its own, which may keep what it has compiled."""
    wanted = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    wanted.pop("PYTHONDONTWRITEBYTECODE", None)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        wanted["PYTHON_GIL"] = "1"  # the language's native maps ask for it, with a warning
    return subprocess.run(
        [sys.executable, "-m", "examples.clojure", *arguments],
        cwd=ROOT,
        env=wanted,
        capture_output=True,
        text=True,
        check=False,
        timeout=80,
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_future_deref_and_pmap_run_on_our_pool(workers: str) -> None:
    """Also on one worker, where futures wait for futures, and standard executors stand still."""
    ended = run("--workers", workers, "--summary", str(TOUR))

    said, _, summary = ended.stdout.partition(str(TOUR))
    assert (said, ended.stderr, ended.returncode) == (EXPECTED, "", 0)
    assert summary == ": 138 future(s) ran, 1 failed\n"


def test_a_program_that_is_not_there() -> None:
    """The path is wrong, not the program."""
    ended = run("nowhere.lpy")

    assert (ended.returncode, ended.stderr) == (2, "cannot read nowhere.lpy: no such file\n")
