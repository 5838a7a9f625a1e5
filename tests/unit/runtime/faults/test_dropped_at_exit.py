"""Programs that hold their futures, and not the pool: what becomes of the work."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.unit.runtime.faults.process_jobs import until
from tests.unit.runtime.faults.process_programs import Program

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_a_job_of_a_pool_that_nobody_holds_is_given_its_time(tmp_path: Path, backend: str) -> None:
    """It was accepted: it ends, as it would if the pool were held."""
    program = Program(
        tmp_path,
        f"""
        def slow():
            Path("begun").touch()
            time.sleep(0.2)
            Path("ended").touch()
        def begin():
            return WorkerPool(1, backend="{backend}", exit_timeout=10).spawn(slow)
        job = begin()
        wait_for("begun")
        """,
    )

    assert program.end() == 0
    assert (tmp_path / "ended").exists()
    assert program.err == ""


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_what_is_left_of_a_pool_that_nobody_holds_is_named(tmp_path: Path, backend: str) -> None:
    """With the budget of that pool."""
    program = Program(
        tmp_path,
        f"""
        def begin():
            pool = WorkerPool(1, backend="{backend}", exit_timeout=0.1)
            return pool.spawn(hang, name="stuck", args=("hangs",)), pool.spawn(print)
        jobs = begin()
        wait_for("hangs")
        """,
    )

    assert program.end() == 0
    assert "worker 1 'stuck' (spawned at " in program.err
    assert "never ran: 1 queued job(s)" in program.err


def test_a_forked_copy_does_not_keep_children_of_a_dropped_pool_alive(tmp_path: Path) -> None:
    """They live as long as the program, whoever has copies of its descriptors."""
    program = Program(
        tmp_path,
        """
        def begin():
            return WorkerPool(1, backend="process").spawn(spin, args=("spins",))
        job = begin()
        wait_for("spins")
        if not os.fork():
            Path("pid").write_text(str(os.getpid()))
            Path("forked").touch()
        signal.pause()
        """,
    )
    program.wait_for("forked")
    copy = int((tmp_path / "pid").read_text())
    try:
        os.kill(program.process.pid, signal.SIGKILL)
        program.process.wait(10)

        until(lambda: program.left() == [copy], "a child has outlived the program")
    finally:
        os.kill(copy, signal.SIGKILL)
        program.end()
