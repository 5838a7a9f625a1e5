"""P7 and F17: initializers that fail in every way, and what children must not inherit."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from runtime.errors import BrokenPoolError, WorkerStartupError
from tests.unit.runtime.faults.process_jobs import double, until
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.workers import WorkerPool

pytestmark = [pytest.mark.process, pytest.mark.slow]


def _raise() -> NoReturn:
    raise LookupError("no such model")


def _leave() -> NoReturn:
    sys.exit(3)


def _exit() -> NoReturn:
    os._exit(3)


@pytest.mark.parametrize(
    ("initializer", "words"),
    [(_raise, "no such model"), (_leave, "SystemExit"), (_exit, "exit status 3")],
)
def test_an_initializer_that_fails_breaks_the_pool_with_its_reason(
    make_pool: Callable[..., WorkerPool], initializer: Callable[[], object], words: str
) -> None:
    """It would fail in every process: what waits is told at once, and so is who comes later."""
    pool = make_pool(2, initializer=initializer)
    jobs = [pool.spawn(double, args=(n,)) for n in range(3)]

    errors = [job.exception(GUARD) for job in jobs]

    assert all(isinstance(error, WorkerStartupError) for error in errors)
    assert len({id(error) for error in errors}) == 3
    assert words in str(errors[0])
    with pytest.raises(BrokenPoolError):
        pool.spawn(double, args=(1,)).result(GUARD)


def _hang() -> NoReturn:
    while True:
        time.sleep(60)


@pytest.mark.parametrize("start_method", ["template", "spawn"])
def test_an_initializer_that_hangs_is_told_within_its_limit(
    make_pool: Callable[..., WorkerPool], start_method: str
) -> None:
    """And the process does not stay."""
    pool = make_pool(1, initializer=_hang, startup_timeout=0.5, start_method=start_method)

    error = pool.spawn(double, args=(1,)).exception(GUARD)

    assert isinstance(error, WorkerStartupError)
    assert "startup_timeout=0.5" in str(error)


def test_a_shutdown_while_the_initializer_hangs_returns(
    make_pool: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process gets a moment to leave, then it is killed."""
    monkeypatch.setattr("runtime.backends.process.farewells._PATIENCE", 0.1)
    pool = make_pool(1, initializer=_hang, startup_timeout=None)
    job = pool.spawn(double, args=(1,))
    until(lambda: pool.statistics().children)
    job.cancel()

    assert pool.shutdown(timeout=GUARD)


def test_a_module_to_preload_that_hangs_does_not_hold_up_the_shutdown(
    make_pool: Callable[..., WorkerPool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no process yet that could be killed."""
    monkeypatch.setattr("runtime.backends.process.farewells._PATIENCE", 0.1)
    (tmp_path / "never_loaded.py").write_text("import time\nwhile True: time.sleep(60)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = make_pool(1, preload=["never_loaded"], startup_timeout=None)
    job = pool.spawn(double, args=(1,))
    until(lambda: pool.statistics().children)
    job.cancel()

    assert pool.shutdown(timeout=GUARD)


def test_a_module_to_preload_that_fails_is_named(
    make_pool: Callable[..., WorkerPool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the traceback of the import."""
    (tmp_path / "badly_loaded.py").write_text("raise LookupError('no such table')\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    error = make_pool(1, preload=["badly_loaded"]).spawn(double, args=(1,)).exception(GUARD)

    assert isinstance(error, WorkerStartupError)
    assert "no such table" in str(error)


_threads: list[threading.Thread] = []


def _start_threads_and_print() -> None:
    sys.stdout.write("here\n")
    for _ in range(3):
        thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)
        thread.start()
        _threads.append(thread)


def test_an_initializer_may_print_and_start_threads(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """Its threads do not keep the process from leaving."""
    pool = make_pool(1, initializer=_start_threads_and_print, capture_output=True)

    assert pool.spawn(threading.active_count).result(GUARD) == 4
    assert pool.shutdown(timeout=GUARD)


class _SlowError(Exception):
    """Takes for ever to be rebuilt in another process."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return _rebuild_slowly, (os.getpid(),)


_release = threading.Event()


def _rebuild_slowly(home: int) -> _SlowError:
    if os.getpid() != home:
        _release.wait(GUARD)
    return _SlowError()


def _raise_slow() -> NoReturn:
    raise _SlowError


def test_an_initializers_error_that_hangs_here_does_not_start_processes_for_ever(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """The pool is broken all the same when too many have failed."""
    _release.clear()
    pool = make_pool(1, initializer=_raise_slow, max_restarts=3)
    job = pool.spawn(double, args=(1,))
    try:
        until(job.done)
    finally:
        _release.set()
    assert isinstance(job.exception(GUARD), BrokenPoolError)


def _descriptors_of_a_program() -> list[str]:
    script = "import os; print(*os.listdir('/proc/self/fd'))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, close_fds=False
    )
    return done.stdout.split()


def test_programs_that_a_job_runs_inherit_none_of_our_descriptors(pool: WorkerPool) -> None:
    """Even where they are started without closing any."""
    assert len(pool.spawn(_descriptors_of_a_program).result(GUARD)) == 4  # one reads the folder
