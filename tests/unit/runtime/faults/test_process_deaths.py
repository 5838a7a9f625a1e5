"""P1, F1 to F4: processes that die, at every moment."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends.process.channel import Channel
from runtime.backends.process.wire import frame
from runtime.errors import WorkerCrashedError
from tests.unit.runtime.faults.process_jobs import (
    DEATHS,
    die,
    double,
    hang,
    idle_pid,
    is_alive,
    kill_if_there,
    pid_in,
    until,
)
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.workers import WorkerPool

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.mark.parametrize("how", DEATHS)
def test_a_job_that_ends_its_process_fails_and_says_how(pool: WorkerPool, how: str) -> None:
    """The exit code or the signal is what tells a crash from another."""
    error = pool.spawn(die, args=(how,)).exception(GUARD)

    assert isinstance(error, WorkerCrashedError)
    assert error.exit_code == DEATHS[how]
    assert not error.finished
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4


def test_a_fault_in_c_is_told_with_the_python_lines_that_led_to_it(pool: WorkerPool) -> None:
    """Otherwise nobody finds the call that did it."""
    error = pool.spawn(die, args=("fault",)).exception(GUARD)

    assert isinstance(error, WorkerCrashedError)
    assert error.signal_name == "SIGSEGV"
    assert "in die" in error.stack


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
def test_an_idle_process_that_is_killed_costs_no_job(pool: WorkerPool, number: int) -> None:
    """Also the next job, which may be sent before the death is seen, runs."""
    pid = pool.spawn(os.getpid).result(GUARD)
    idle_pid(pool)

    os.kill(pid, number)

    assert pool.spawn(os.getpid).result(GUARD) != pid
    until(lambda: not is_alive(pid))


def test_a_kill_in_a_thousand_jobs_fails_the_one_that_ran(
    make_pool: Callable[..., WorkerPool], tmp_path: Path
) -> None:
    """Those that were sent ahead to the same process run elsewhere."""
    pool = make_pool(2)
    fatal = random.Random(5).randrange(100, 900)
    mark = tmp_path / "pid"

    jobs = [
        pool.spawn(hang, args=(mark,)) if number == fatal else pool.spawn(double, args=(number,))
        for number in range(1000)
    ]
    os.kill(pid_in(mark), signal.SIGKILL)

    errors = {number: job.exception(GUARD) for number, job in enumerate(jobs)}
    assert [number for number, error in errors.items() if error is not None] == [fatal]
    crash = errors[fatal]
    assert isinstance(crash, WorkerCrashedError)
    assert crash.signal_name == "SIGKILL"
    assert all(jobs[n].result() == 2 * n for n in range(1000) if n != fatal)


def test_random_kills_during_a_thousand_jobs_fail_one_job_each_at_most(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """Without knowing which one runs: as many crashes as kills, and all others have their value."""
    pool = make_pool(2)
    chance = random.Random(11)
    pool.warm_up(GUARD)
    jobs = [pool.spawn(double, args=(number,)) for number in range(1000)]
    kills = 0

    while not all(job.done() for job in jobs) and kills < 10:
        pids = [child.pid for child in pool.statistics().children if child.pid]
        if pids:
            kills += kill_if_there(chance.choice(pids))

    outcomes = [job.exception(GUARD) for job in jobs]
    crashes = [error for error in outcomes if error is not None]
    assert all(isinstance(error, WorkerCrashedError) for error in crashes)
    assert len(crashes) <= kills
    assert all(job.result() == 2 * n for n, job in enumerate(jobs) if outcomes[n] is None)


def _send_half(
    channel: Channel,
    type_of_frame: int,
    number: int = 0,
    payload: bytes | bytearray = b"",
    **_: object,
) -> None:
    """Send half of the answer, then die."""
    data = frame(type_of_frame, number, payload)
    channel._sock.sendall(data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def _die_while_answering(size: int) -> list[str]:
    setattr(Channel, "send", _send_half)  # noqa: B010 - in a process that is about to end
    return [str(number) for number in range(size)]


@pytest.mark.parametrize("size", [3, 300_000])
def test_a_process_that_dies_while_it_answers_fails_that_job_alone(
    pool: WorkerPool, size: int
) -> None:
    """Half an answer is none; the error says that the function had returned."""
    cut = pool.spawn(_die_while_answering, args=(size,))
    behind = [pool.spawn(double, args=(n,)) for n in range(20)]

    error = cut.exception(GUARD)
    assert isinstance(error, WorkerCrashedError)
    assert error.finished
    assert [job.result(GUARD) for job in behind] == [2 * n for n in range(20)]


def test_a_process_killed_while_it_receives_a_large_job_loses_nothing(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job had not begun: it runs in the next process."""
    monkeypatch.setattr("runtime.backends.process.packing.is_supported", lambda: False)
    pid = pool.spawn(os.getpid).result(GUARD)
    idle_pid(pool)
    os.kill(pid, signal.SIGSTOP)

    job = pool.spawn(len, args=([str(n) for n in range(1_000_000)],))
    assert not job.done()
    os.kill(pid, signal.SIGKILL)

    assert job.result(GUARD) == 1_000_000


def _fork_in_c(path: Path) -> None:
    """Leave a process behind that holds all our descriptors, and that Python knows nothing of."""
    library = ctypes.PyDLL(None)
    pid = library.fork()
    if not pid:
        while True:
            library.pause()
    path.write_text(str(pid))
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_crash_is_seen_although_another_process_holds_the_channel(
    pool: WorkerPool, tmp_path: Path
) -> None:
    """It is the process that is watched, not only its socket."""
    mark = tmp_path / "grandchild"

    error = pool.spawn(_fork_in_c, args=(mark,)).exception(GUARD)

    os.kill(int(mark.read_text()), signal.SIGKILL)
    assert isinstance(error, WorkerCrashedError)
    assert error.signal_name == "SIGKILL"


def test_a_process_killed_just_before_the_shutdown_does_not_hold_it_up(
    make_pool: Callable[..., WorkerPool], tmp_path: Path
) -> None:
    """Whether it was idle or had a job; both at once here."""
    pool = make_pool(2)
    mark = tmp_path / "pid"
    pool.warm_up(GUARD)
    job = pool.spawn(hang, args=(mark,))
    pid_in(mark)

    for child in pool.statistics().children:
        os.kill(child.pid, signal.SIGKILL)

    assert pool.shutdown(timeout=GUARD)
    assert isinstance(job.exception(0), WorkerCrashedError)


def test_each_of_many_crashes_has_an_error_of_its_own(make_pool: Callable[..., WorkerPool]) -> None:
    """A traceback that one reader adds to must not show up with the next."""
    pool = make_pool(2)

    errors = [pool.spawn(partial(die, how)) for how in ("exit", "kill", "exit")]

    found = [job.exception(GUARD) for job in errors]
    assert len({id(error) for error in found}) == 3
    assert all(isinstance(error, WorkerCrashedError) for error in found)


def _log_and_die() -> None:
    import logging  # noqa: PLC0415 - in the worker

    logging.getLogger("work").warning("the last word")
    os._exit(3)


def test_a_crash_is_told_with_the_last_lines_of_its_log(pool: WorkerPool) -> None:
    """They say more than the exit code."""
    error = pool.spawn(_log_and_die).exception(GUARD)

    assert isinstance(error, WorkerCrashedError)
    assert "the last word" in str(error)


def test_a_callback_that_raises_system_exit_does_not_stop_the_pool(pool: WorkerPool) -> None:
    """Nor one that spawns, cancels or shuts down."""
    raised: list[Any] = []

    def leave(job: Any) -> None:  # Any: the future
        raised.append(job)
        raise SystemExit(3)

    job = pool.spawn(double, args=(1,))
    job.add_done_callback(leave)
    inner: list[Any] = []
    second = pool.spawn(double, args=(2,))
    second.add_done_callback(lambda _: inner.append(pool.spawn(double, args=(3,))))
    second.add_done_callback(lambda _: pool.shutdown(wait=False))

    until(lambda: inner and raised)
    assert inner[0].result(GUARD) == 6


def test_every_process_killed_for_a_while_every_job_has_one_outcome(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """In a steady rhythm, as a machine without memory does it."""
    pool = make_pool(2, max_restarts=1000)
    ends: list[object] = []
    jobs = []
    stop = time.monotonic() + 1.0
    while time.monotonic() < stop:
        batch = [pool.spawn(double, args=(n,)) for n in range(50)]
        for job in batch:
            job.add_done_callback(ends.append)
        jobs += batch
        for child in pool.statistics().children:
            if child.pid and child.state in {"idle", "busy"}:
                kill_if_there(child.pid)
        until(batch[0].done)

    for job in jobs:
        assert isinstance(job.exception(GUARD), WorkerCrashedError | None)
    until(lambda: len(ends) == len(jobs))
    assert len({id(job) for job in ends}) == len(jobs)


def test_a_program_that_takes_sigpipe_by_default_outlives_its_workers() -> None:
    """Command-line programs do that; writing to a process that is gone must not end them."""
    program = (
        "import os, signal\n"
        "from runtime.workers import WorkerPool\n"
        "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
        "with WorkerPool(1, backend='process', max_crashes=100) as pool:\n"
        "    for _ in range(20):\n"
        "        dead = pool.spawn(os._exit, args=(3,))\n"
        "        after = [pool.spawn(os.getpid) for _ in range(20)]\n"
        "        dead.exception(30)\n"
        "        [one.exception(30) for one in after]\n"
        "print('alive')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ended.returncode, ended.stdout) == (0, "alive\n"), ended.stderr
