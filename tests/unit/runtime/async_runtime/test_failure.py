"""A kept error, and the fresh copy of it that every reader gets."""

# Fakes take anything; any error is the case; any; raised for its traceback:
# ruff: noqa: ANN401, BLE001, PT011, TRY301

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import traceback
import weakref
from typing import Any

import pytest

from runtime.async_runtime import Executor, Future, Promise
from runtime.async_runtime.failure import Failure, caught, fresh_view
from tests.unit.runtime.faults.children import run_program


class FalsyError(Exception):
    """Looks like nothing to ``if error``."""

    def __bool__(self) -> bool:
        return False


class HostileError(Exception):
    """Must never be compared."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    __hash__ = Exception.__hash__


class NeedsArgumentsError(Exception):
    """Its __init__ cannot be called with its args."""

    __slots__ = ("code",)

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class RefusingError(Exception):
    """Cannot be copied: its fields cannot be set from outside."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    @property
    def __dict__(self) -> Any:  # type: ignore[override]  # Any: a class that lies
        raise RuntimeError("refused")


def failed(error: BaseException) -> Future[Any]:
    """Return a future that failed with *error*, raised for real."""
    promise: Promise[Any] = Promise()
    try:
        raise error
    except BaseException as raised:
        promise.reject(raised)
    return promise.future()


def read(future: Future[Any]) -> BaseException:
    """Return what polling *future* raises."""
    with pytest.raises(BaseException) as caught_here:
        future.poll()
    return caught_here.value


ERRORS: list[BaseException] = [
    ValueError("plain", 1),
    KeyError("missing"),
    FalsyError("falsy"),
    NeedsArgumentsError(7, detail="why"),
    OSError(2, "No such file", "name.txt"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad byte"),
    SyntaxError("odd", ("file.py", 3, 1, "x ==")),
    ImportError("no module", name="m", path="p"),
    StopIteration(5),
    SystemExit(3),
    KeyboardInterrupt(),
    ExceptionGroup("several", [ValueError(1), KeyError(2)]),
    BaseExceptionGroup("base", [KeyboardInterrupt()]),
    AttributeError("a", name="n", obj=3),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_view_is_the_same_error_in_another_object(error: BaseException) -> None:
    """Type, text, args and attributes arrive, whatever its __init__ wants."""
    view = read(failed(error))

    assert view is not error
    assert type(view) is type(error)
    assert (str(view), view.args) == (str(error), error.args)
    for name in ("errno", "filename", "code", "detail", "start", "name", "value", "exceptions"):
        assert getattr(view, name, None) == getattr(error, name, None)


def test_reading_a_thousand_times_does_not_grow_the_traceback() -> None:
    """Each reader sees its own frames above the original ones."""
    future = failed(ValueError("x"))
    lengths = {len(traceback.extract_tb(read(future).__traceback__)) for _ in range(1000)}

    assert len(lengths) == 1


def test_the_original_frames_are_shown() -> None:
    """A traceback that does not say where it happened is none."""
    view = read(failed(ValueError("x")))

    assert "failed" in {frame.name for frame in traceback.extract_tb(view.__traceback__)}


@pytest.mark.process
def test_a_copy_is_made_without_assigning_its_class() -> None:
    """A build without the GIL stops all threads for that, and at exit some never go on."""
    ended = run_program("""
        from runtime.async_runtime.failure import fresh_view
        from runtime.errors import PoolShutdownError
        def audit(event, args):
            if event == "object.__setattr__" and args[1] == "__class__": print(args)
        sys.addaudithook(audit)
        view = fresh_view(PoolShutdownError("refused"), None)
        print(repr(view))
    """)

    assert ended == (0, "PoolShutdownError('refused')\n", "")


def test_two_readers_share_nothing_that_can_change() -> None:
    """A note that one adds must not show at the other."""
    error = ValueError("x")
    error.add_note("first")
    future = failed(error)

    one = read(future)
    one.add_note("mine")

    assert read(future).__notes__ == ["first"]


def test_cause_and_context_arrive() -> None:
    """`raise ... from` is part of the error."""
    cause = KeyError("why")
    error = ValueError("x")
    error.__cause__ = cause
    error.__suppress_context__ = True

    view = read(failed(error))

    assert view.__cause__ is cause
    assert view.__suppress_context__


def test_an_error_is_never_compared() -> None:
    """An ``==`` that raises is the user's right."""
    promise: Promise[int] = Promise()
    promise.reject(HostileError())

    assert type(read(promise.future())) is HostileError


def test_a_class_that_refuses_to_be_copied_is_raised_itself() -> None:
    """Better the same object than none; its traceback does not grow either."""
    error = RefusingError("x")

    view = fresh_view(error, None)

    assert view is error
    assert view.__traceback__ is None


def test_a_falsy_error_stays_an_error() -> None:
    """It must not turn into the value None."""
    promise: Promise[int] = Promise()
    promise.reject(FalsyError())

    assert type(promise.future().exception()) is FalsyError
    settled = Future.all_settled([promise.future()]).poll().unwrap()[0]
    assert not settled.is_ok()
    assert "FalsyError" in repr(settled)


def test_what_the_frames_hold_is_freed_with_the_future() -> None:
    """No cycle keeps a large local alive until the garbage collector comes."""

    class Large:
        pass

    async def fail() -> None:
        large = Large()
        kept.append(weakref.ref(large))
        await Future.ready(None)
        raise ValueError("x")

    async def fail_by_await() -> None:
        await promises[0].future()

    kept: list[weakref.ref[Any]] = []
    promises: list[Promise[None]] = [Promise()]
    gc.disable()
    try:
        with Executor() as executor:
            handles = [executor.spawn(fail()), executor.spawn(fail_by_await())]
            kept.append(weakref.ref(handles[1]))
            promises[0].reject(KeyError("x"))
            executor.run()
            for handle in handles:
                assert handle.error() is not None
            promises.clear()
            del handles, handle
            assert [reference() for reference in kept] == [None, None]
    finally:
        gc.enable()


def test_a_failure_that_nobody_read_is_reported_once_when_dropped() -> None:
    """Somebody who holds it may still read it, so not earlier."""
    reports: list[BaseException] = []
    failure = Failure(ValueError("x"), None, lambda one: reports.append(one.error))
    assert not reports

    del failure

    assert [str(error) for error in reports] == ["x"]


@pytest.mark.parametrize("look", [Failure.view, Failure.mark_observed])
def test_a_failure_that_was_seen_is_not_reported(look: Any) -> None:
    """Whoever saw it has it."""
    failure = Failure(ValueError("x"), None, lambda _: pytest.fail("reported"))

    look(failure)
    del failure


def test_caught_leaves_out_the_frame_that_caught() -> None:
    """That frame would keep the failure's owner alive."""

    def inner() -> None:
        raise ValueError("x")

    def catch() -> Failure | None:
        try:
            inner()
        except ValueError as error:
            return caught(error)
        return None

    failure = catch()
    assert failure is not None

    names = [frame.name for frame in traceback.extract_tb(failure.error.__traceback__)]
    assert names == ["inner"]


def test_a_failure_that_was_never_finished_is_dropped_in_silence() -> None:
    """An interrupt can end its construction; dropping it must not complain about that."""
    half_made = Failure.__new__(Failure)

    half_made.__del__()  # what dropping it does; raising here would be printed, not raised
