"""P4, P5, F6: what cannot travel, takes long to, or does harm when it arrives."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from runtime.backends.process import sealed_files
from runtime.errors import (
    RemoteError,
    ResultTooLargeError,
    UnpicklableError,
    WorkerCrashedError,
    WorkerTimeoutError,
)
from runtime.testing.leaks import LeakCheck
from tests.unit.runtime.faults.process_jobs import (
    DieHere,
    HangHere,
    RaiseHere,
    double,
    pid_in,
)
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.workers import WorkerPool

pytestmark = pytest.mark.process


@pytest.fixture
def pid(pool: WorkerPool) -> int:
    """The pool's one process, which must still be there after what the job does."""
    return pool.spawn(os.getpid).result(GUARD)


class _Odd:
    """Its pickling does what the test says."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call()


def _raise(error: BaseException) -> NoReturn:
    raise error


_TOO_DEEP = 1_000_000  # for every pickler: how deep it goes differs much by version


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _make(kind: str) -> object:
    """Return what cannot be a result."""
    if kind == "lock":
        return {"deep": [1, {"within": threading.Lock()}]}
    if kind == "exit":
        return _Odd(partial(_raise, SystemExit(3)))
    if kind == "error":
        return _Odd(partial(_raise, ValueError("no")))
    if kind == "nonsense":
        return _Odd(lambda: 5)
    return _nested(_TOO_DEEP)


@pytest.mark.parametrize("kind", ["lock", "exit", "error", "nonsense", "deep"])
def test_an_argument_that_cannot_be_pickled_fails_its_spawn(
    pool: WorkerPool, pid: int, kind: str
) -> None:
    """The spawner is told which object it is; nothing was sent."""
    with pytest.raises(UnpicklableError) as caught:
        pool.spawn(double, args=(_make(kind),), name="the culprit")

    assert "the culprit" in str(caught.value)
    assert kind != "lock" or "'within'" in str(caught.value)
    assert pool.spawn(os.getpid).result(GUARD) == pid


@pytest.mark.parametrize("kind", ["lock", "exit", "error", "nonsense", "deep"])
def test_a_result_that_cannot_be_pickled_fails_its_job(
    pool: WorkerPool, pid: int, kind: str
) -> None:
    """The process lives on."""
    error = pool.spawn(_make, args=(kind,), name="the culprit").exception(GUARD)

    assert isinstance(error, UnpicklableError)
    assert "the culprit" in str(error)
    assert kind != "lock" or "'within'" in str(error)
    assert pool.spawn(os.getpid).result(GUARD) == pid


@pytest.mark.parametrize("error", [ValueError("not here"), SystemExit(3), KeyboardInterrupt()])
def test_an_argument_whose_unpickling_raises_fails_its_job(
    pool: WorkerPool, pid: int, error: BaseException
) -> None:
    """Also with what is no ordinary error: the process lives on."""
    job = pool.spawn(double, args=(RaiseHere(error),), name="the culprit")

    assert job.exception(GUARD) is not None
    assert pool.spawn(os.getpid).result(GUARD) == pid


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_an_argument_whose_unpickling_ends_the_process_fails_its_job_alone(
    pool: WorkerPool, how: str
) -> None:
    """Those behind it run in the next process."""
    fatal = pool.spawn(double, args=(DieHere(how),))
    behind = [pool.spawn(double, args=(n,)) for n in range(10)]

    assert isinstance(fatal.exception(GUARD), WorkerCrashedError)
    assert [job.result(GUARD) for job in behind] == [2 * n for n in range(10)]


@pytest.mark.slow
def test_an_argument_whose_unpickling_hangs_is_answered_at_its_limit(
    pool: WorkerPool, tmp_path: Path
) -> None:
    """The process is killed, as for a function that hangs."""
    pool.warm_up(GUARD)
    job = pool.spawn(double, args=(HangHere(tmp_path / "pid"),), timeout=0.2)
    pid_in(tmp_path / "pid")

    assert isinstance(job.exception(GUARD), WorkerTimeoutError)
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4


@pytest.mark.parametrize("error", [ValueError("not here"), SystemExit(3)])
def test_a_result_whose_unpickling_raises_fails_its_job(
    pool: WorkerPool, pid: int, error: BaseException
) -> None:
    """Neither this process nor the other one ends."""
    found = pool.spawn(RaiseHere, args=(error,), name="the culprit").exception(GUARD)

    assert isinstance(found, UnpicklableError)
    assert "the culprit" in str(found)
    assert pool.spawn(os.getpid).result(GUARD) == pid


_release = threading.Event()


def _held_here(home: int) -> str:
    if os.getpid() != home:
        _release.wait(GUARD)
    return "loaded"


class _SlowToLoad:
    def __reduce__(self) -> Any:
        return _held_here, (os.getpid(),)


def test_a_result_whose_unpickling_hangs_holds_up_nobody_else(pool: WorkerPool) -> None:
    """Neither other results, nor a limit, nor the shutdown."""
    _release.clear()
    stuck = pool.spawn(_SlowToLoad, timeout=0.2)
    try:
        assert [pool.spawn(double, args=(n,)).result(GUARD) for n in range(20)] == [
            2 * n for n in range(20)
        ]
        assert isinstance(stuck.exception(GUARD), WorkerTimeoutError)
        assert pool.shutdown(timeout=GUARD)
    finally:
        _release.set()


class _LyingError(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, first: str, second: int) -> None:
        super().__init__("made of two")
        self.facts = first, second


class _DeadlyError(Exception):
    def __reduce__(self) -> Any:
        os._exit(5)


class _LeavingError(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit(4)


class _LockedError(Exception):
    def __init__(self) -> None:
        super().__init__("it holds a lock")
        self.lock = threading.Lock()


def _fail(kind: type[BaseException], *args: object) -> NoReturn:
    raise kind(*args)


def test_an_error_that_lies_about_its_arguments_arrives_as_itself(
    pool: WorkerPool, pid: int
) -> None:
    """Type, arguments and attributes are what handlers look at."""
    error = pool.spawn(_fail, args=(_LyingError, "one", 2)).exception(GUARD)

    assert isinstance(error, _LyingError)
    assert error.facts == ("one", 2)
    assert error.args == ("made of two",)
    assert pool.spawn(os.getpid).result(GUARD) == pid


@pytest.mark.parametrize("kind", [_LeavingError, _LockedError])
def test_an_error_that_cannot_travel_is_stood_for_by_one_that_names_it(
    pool: WorkerPool, pid: int, kind: type[BaseException]
) -> None:
    """With its traceback: nothing of what helps is lost."""
    error = pool.spawn(_fail, args=(kind,)).exception(GUARD)

    assert isinstance(error, RemoteError | kind)
    assert kind.__name__ in str(error) + type(error).__name__
    assert pool.spawn(os.getpid).result(GUARD) == pid


def test_an_error_whose_pickling_ends_the_process_is_a_crash(pool: WorkerPool) -> None:
    """There is nobody left to tell which error it was."""
    error = pool.spawn(_fail, args=(_DeadlyError,)).exception(GUARD)

    assert isinstance(error, WorkerCrashedError)
    assert error.exit_code == 5


def test_stop_iteration_from_a_job_is_its_error(pool: WorkerPool) -> None:
    """And ends no iterator silently."""
    assert isinstance(pool.spawn(_fail, args=(StopIteration, 3)).exception(GUARD), StopIteration)


@pytest.mark.slow
@pytest.mark.parametrize("in_band", [False, True])
def test_much_goes_in_while_much_comes_out(
    make_pool: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch, in_band: bool
) -> None:
    """Full buffers on both ways, and jobs sent ahead: nobody waits for the other."""
    if in_band:
        monkeypatch.setattr("runtime.backends.process.packing.is_supported", lambda: False)
    pool = make_pool(1)
    pool.spawn(_go_in_band, args=(in_band,)).result(GUARD)
    data = os.urandom(1 << 20) * (100 if not in_band else 30)

    jobs = [pool.spawn(bytes.swapcase, args=(data,)) for _ in range(3)]

    expected = data.swapcase()
    assert all(job.result(3 * GUARD) == expected for job in jobs)


def _go_in_band(in_band: bool) -> None:
    if in_band:
        from runtime.backends.process import results  # noqa: PLC0415 - in the worker

        results.is_supported = lambda: False  # type: ignore[attr-defined]  # it came from elsewhere


@pytest.mark.slow
def test_without_files_in_memory_large_data_goes_over_the_socket(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may refuse them; that is no reason to fail."""

    def refuse(*_: object) -> int:
        raise OSError(24, "no more files")

    data = os.urandom(5 << 20)
    pool.warm_up(GUARD)
    monkeypatch.setattr("runtime.backends.process.buffers.new_file", refuse)
    assert sealed_files.is_supported()

    with LeakCheck(ignore=lambda _: True):
        assert pool.spawn(len, args=(data,)).result(GUARD) == len(data)


def _block(size: int) -> bytes:
    return bytes(size)


def test_a_result_beyond_the_limit_is_refused_where_it_was_made(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """Neither process has to hold it twice; the next job runs in the same one."""
    pool = make_pool(1, max_message_bytes=1 << 20)
    pid = pool.spawn(os.getpid).result(GUARD)

    error = pool.spawn(_block, args=(2 << 20,)).exception(GUARD)

    assert isinstance(error, ResultTooLargeError)
    assert pool.spawn(os.getpid).result(GUARD) == pid
