"""The pipe that ends a process with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Final

import pytest

from runtime.backends.process.lifeline import LIFELINE_STATUS

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="F_SETSIG")]

GUARD: Final = 20.0  # seconds; only a hang takes so long
_PROGRAM: Final = """
import sys
sys.path[:] = {path!r}
import os
from runtime.backends.process.lifeline import arm_lifeline
arm_lifeline({read})
{then}
"""


def _armed(read: int, then: str) -> subprocess.Popen[str]:
    text = _PROGRAM.format(path=sys.path, read=read, then=then)
    return subprocess.Popen(
        [sys.executable, "-c", text], pass_fds=[read], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    "then",
    [
        "print(flush=True); sum(range(1 << 60))",
        "import signal as s; s.pthread_sigmask(2, s.valid_signals()); print(flush=True); s.pause()",
    ],
    ids=["in C", "all signals blocked"],
)
def test_closing_the_other_end_kills(then: str) -> None:
    """Nothing that the process does keeps it alive."""
    read, write = os.pipe()
    with _armed(read, then) as process:
        assert process.stdout is not None
        process.stdout.readline()

        os.close(write)

        assert process.wait(GUARD) == -signal.SIGKILL
    os.close(read)


def test_a_parent_that_is_gone_already_is_noticed() -> None:
    """It may die between the start of a child and here."""
    read, write = os.pipe()
    os.close(write)

    with _armed(read, "print('alive')") as process:
        out, _ = process.communicate(timeout=GUARD)

    assert (out, process.returncode) == ("", LIFELINE_STATUS)
    os.close(read)


def test_a_child_that_the_process_forks_is_not_ended_with_it() -> None:
    """What a job leaves behind on purpose is the job's."""
    read, write = os.pipe()
    then = """
if os.fork():
    print(flush=True)
    os.wait()
else:
    os.read(0, 1)
    print("alive", flush=True)
    os._exit(0)
"""
    theirs, ours = os.pipe()
    text = _PROGRAM.format(path=sys.path, read=read, then=then)
    with subprocess.Popen(
        [sys.executable, "-c", text],
        pass_fds=[read],
        stdin=theirs,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()

        os.close(write)
        status = process.wait(GUARD)
        os.write(ours, b"x")

        assert (status, process.stdout.readline()) == (-signal.SIGKILL, "alive\n")
    for descriptor in (read, ours, theirs):
        os.close(descriptor)
