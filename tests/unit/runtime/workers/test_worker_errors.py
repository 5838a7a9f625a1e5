"""What a worker raises reaches whoever waits: the cases that programs rely on."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, NoReturn

import pytest

from runtime.async_runtime import Future
from runtime.workers import Worker
from tests.unit.runtime.gates import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.async_runtime import Executor


class ShopError(Exception):
    """An error of the program's own."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code)
        self.code = code


def fail(error: BaseException) -> NoReturn:
    raise error


def test_worker_generic_exception(executor: Executor) -> None:
    """The plainest error arrives with its text."""
    with pytest.raises(Exception, match="went wrong"):
        executor.run_until_complete(Worker.spawn(fail, args=(Exception("it went wrong"),)))


def test_worker_value_error(executor: Executor) -> None:
    """Raised by the function itself, caught as what it is."""
    with pytest.raises(ValueError, match="invalid literal"):
        executor.run_until_complete(Worker.spawn(lambda: int("x")))


def test_worker_zero_division_error(executor: Executor) -> None:
    """Raised by the interpreter, caught as what it is."""
    with pytest.raises(ZeroDivisionError, match="division"):
        executor.run_until_complete(Worker.spawn(lambda: 1 // 0))


def test_worker_key_error(executor: Executor) -> None:
    """A `KeyError` keeps its key, not the key's text."""
    shelf: dict[tuple[str, int], int] = {}

    with pytest.raises(KeyError) as caught:
        executor.run_until_complete(Worker.spawn(shelf.pop, args=(("a", 1),)))

    assert caught.value.args == (("a", 1),)


def test_worker_index_error(executor: Executor) -> None:
    """An `IndexError` keeps its text."""
    row: list[int] = []

    with pytest.raises(IndexError, match="out of range"):
        executor.run_until_complete(Worker.spawn(row.__getitem__, args=(5,)))


def test_worker_custom_exception(executor: Executor) -> None:
    """A class of the program's own arrives with its attributes."""
    with pytest.raises(ShopError) as caught:
        executor.run_until_complete(Worker.spawn(fail, args=(ShopError("sold out", 7),)))

    assert caught.value.code == 7
    assert caught.value.args == ("sold out", 7)


def test_several_workers_of_which_some_fail(executor: Executor) -> None:
    """One failure is its own affair: the others give their results."""
    futures = [Worker.spawn(lambda i=i: 6 // i) for i in (0, 1, 2, 0, 3)]

    settled = executor.run_until_complete(Future.all_settled(futures))

    assert [one.error is None for one in settled] == [False, True, True, False, True]
    assert [one.value for one in settled if one.error is None] == [6, 3, 2]


def test_worker_exception_in_closure(executor: Executor) -> None:
    """What a nested function raises comes out like what the job itself raises."""
    secret = "closure"

    def outer() -> None:
        def inner() -> None:
            raise LookupError(secret)

        inner()

    with pytest.raises(LookupError, match="closure"):
        executor.run_until_complete(Worker.spawn(outer))


def test_worker_exception_message_preserved(executor: Executor) -> None:
    """Type, args, message, notes and cause: nothing is lost or added."""
    error = ValueError("text: äöü \n second line", 42)
    error.add_note("a note")
    error.__cause__ = OSError("the cause")

    with pytest.raises(ValueError, match="second line") as caught:
        executor.run_until_complete(Worker.spawn(fail, args=(error,)))

    assert caught.value.args == error.args
    assert str(caught.value) == str(error)
    assert caught.value.__notes__ == ["a note"]
    assert isinstance(caught.value.__cause__, OSError)


def test_spawn_all_fails_fast(executor: Executor) -> None:
    """The error surfaces while the first job still runs: nobody waits for the others."""
    Worker.configure_pool(2)
    first: Gate[str] = Gate()

    funcs: list[Callable[[], str]] = [first, lambda: fail(ValueError("second"))]

    group = Worker.spawn_all(funcs)

    with pytest.raises(ValueError, match="second"):
        executor.run_until_complete(group)
    first.open()


# ---- beyond the named cases ---------------------------------------------------------------


def test_the_traceback_shows_the_workers_frames_and_none_of_ours() -> None:
    """The reader looks for the line that failed, not for how it was run."""

    def culprit() -> None:
        raise ValueError("here")

    error = Worker.spawn(culprit).exception()
    assert error is not None
    frames = traceback.extract_tb(error.__traceback__)

    assert [frame.name for frame in frames] == ["culprit"]


def test_two_readers_do_not_share_one_exception() -> None:
    """Each may add notes or raise it on: the other does not see that."""
    future = Worker.spawn(fail, args=(ValueError("once"),))

    first, second = future.exception(), future.exception()

    assert first is not second
    assert first is not None
    first.add_note("mine")
    assert not hasattr(second, "__notes__")


def test_the_worker_lives_on_after_an_error() -> None:
    """The next job runs on the same thread as if nothing had happened."""
    Worker.configure_pool(1)
    assert Worker.spawn(fail, args=(SystemExit(3),)).exception() is not None

    assert Worker.spawn(lambda: "alive").result() == "alive"
    assert Worker.get_pool().statistics().workers == 1
