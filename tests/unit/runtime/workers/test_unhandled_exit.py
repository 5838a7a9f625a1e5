"""Failures that are kept until the interpreter ends: nobody has looked, and it is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import runtime
from runtime.async_runtime.running import FREE_THREADED
from runtime.logs import logger

GUARD: Final = 30.0  # seconds; only a hang takes so long
WITH_US: Final = {**os.environ, "PYTHONPATH": str(Path(runtime.__file__).parents[1])}

_JOB: Final = """
from runtime import Worker
kept = Worker.spawn(lambda: 1 / 0, name="bad")
kept._wait(None)
"""
_TASK: Final = """
from runtime import Executor
async def bad():
    return 1 / 0
executor = Executor()
kept = executor.spawn(bad())
executor.run_until_stalled()
"""
_HOOK: Final = """
from runtime import WorkerPool
def hook(report):
    raise OSError("no licence")
pool = WorkerPool(1, on_unhandled=hook)
kept = pool.spawn(lambda: 1 / 0)
kept._wait(None)
"""


def _said_at_exit(script: str) -> list[str]:
    """Run *script*; return the lines that it wrote to stderr."""
    child = subprocess.run(
        [sys.executable, "-c", script],
        env=WITH_US,
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return child.stderr.splitlines()


@pytest.mark.skipif(
    FREE_THREADED, reason="takes our modules apart before the last objects: nothing can be said"
)
@pytest.mark.process
@pytest.mark.parametrize(("script", "line"), [(_JOB, 3), (_TASK, 6)], ids=["job", "task"])
def test_a_failure_that_lives_until_the_exit_is_told_in_one_line(script: str, line: int) -> None:
    """A script that forgets a future is just where an error would go unseen."""
    said = _said_at_exit(script)

    assert len(said) == 1, said
    assert "failed and nobody looked: ZeroDivisionError" in said[0]
    assert f"<string>:{line} in <module>" in said[0]


@pytest.mark.skipif(
    FREE_THREADED, reason="takes our modules apart before the last objects: nothing can be said"
)
@pytest.mark.process
def test_a_hook_that_raises_at_the_exit_is_told_in_one_line() -> None:
    """Nothing can be imported any more, so there is no traceback."""
    said = _said_at_exit(_HOOK)

    assert len(said) == 1, said
    assert "on_unhandled" in said[0]
    assert "no licence" in said[0]


def test_what_is_said_at_the_exit_is_one_plain_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever way it is said; where even stderr is gone, nobody is told."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "is_finalizing", lambda: True)
        log = logger(__name__)
    log.error("%s failed", "job", exc_info=ValueError("no line of its own"))
    log.warning("%d left", 3)
    try:
        raise OSError("no licence")  # noqa: TRY301 - it is what is logged
    except OSError:
        log.exception("the %s raised", "hook")

    written = capsys.readouterr().err
    monkeypatch.setattr(sys, "stderr", None)
    log.error("unheard")

    assert written == "job failed\n3 left\nthe hook raised: OSError('no licence')\n"
