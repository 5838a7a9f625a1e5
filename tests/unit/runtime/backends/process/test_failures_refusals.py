"""Errors that cannot travel, or should not: a stand-in comes in their place, and nothing breaks."""

from __future__ import annotations

import gc
import threading
import traceback
import weakref
from typing import TYPE_CHECKING, NoReturn

import pytest

from runtime.async_runtime.failure import fresh_view
from runtime.backends.process import error_bodies, failures
from runtime.backends.process.failures import pack_error, runs_code, unpack_error
from runtime.errors import RemoteError, RemoteTraceback
from tests.unit.runtime.backends.process.errors_here import (
    ChangedMindError,
    ElsewhereError,
    HoldsLockError,
    LeavesError,
    MetaError,
    OddNotesError,
    OwnInitError,
    RaisesInReduceError,
    SpeechlessError,
    UnloadableError,
    raised,
    sent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = "tests.unit.runtime.backends.process.errors_here"


class HoldsInnerError(Exception):
    """Keeps another error."""

    def __init__(self, inner: object) -> None:
        super().__init__("outer")
        self.inner = inner


@pytest.fixture
def arrived() -> Iterator[None]:
    """From now on `ChangedMindError` loads no more."""
    yield
    ChangedMindError.arrived = False
    ChangedMindError.answer = None


def deep(depth: int) -> list[object]:
    """Return lists in lists."""
    inner: list[object] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (HoldsLockError, "HoldsLockError", "pickling its attribute 'lock' failed: TypeError"),
        (RaisesInReduceError, "RaisesInReduceError", "pickling it failed: RuntimeError: never"),
        (LeavesError, "LeavesError", "pickling it failed: SystemExit: 3"),
    ],
)
def test_a_stand_in_names_the_type_and_the_reason(
    make: Callable[[], BaseException], name: str, reason: str
) -> None:
    """Nobody should have to guess what was raised, or why it is not here."""
    error = make()
    error.add_note("note")

    copy = sent(raised(error, raised(KeyError("k"))))

    assert isinstance(copy, RemoteError)
    assert copy.type_name == f"{HERE}.{name}"
    assert copy.is_a(type(error))
    assert copy.is_a(Exception)
    assert copy.message == str(error)
    assert copy.args_text == repr(error.args)
    assert reason in copy.reason
    assert f"worker 7 'job' raised {HERE}.{name}" in str(copy)
    assert copy.__notes__ == ["note"]
    assert "in raised" in copy.remote_traceback
    assert isinstance(copy.__cause__, RemoteTraceback)
    assert isinstance(copy.__cause__.__cause__, KeyError)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("x", threading.Lock()), "pickling its argument 1 failed: TypeError"),
        (ValueError(deep(100_000)), "RecursionError"),
        (ValueError(b"x" * (failures.MAX_ERROR_BYTES + 1)), "more than 16777216 bytes"),
        (ValueError("x" * (failures.MAX_ERROR_BYTES + 1)), "more than 16777216 bytes"),
        (SystemExit(threading.Lock()), "pickling its argument 0 failed"),
    ],
    ids=["lock", "deep", "bytes", "text", "exit"],
)
def test_arguments_that_cannot_travel_leave_the_words(error: BaseException, reason: str) -> None:
    """The answer is small whatever the error holds."""
    data = pack_error(raised(error), "worker 7")
    copy = unpack_error(data)

    assert isinstance(copy, RemoteError)
    assert copy.is_a(type(error))
    assert reason in copy.reason
    assert len(data) < 64 * 1024
    assert len(str(copy)) < 16 * 1024
    assert not runs_code(data)


@pytest.mark.parametrize("kind", [UnloadableError, ElsewhereError])
def test_an_error_that_pickles_as_something_else_is_put_together(kind: type[Exception]) -> None:
    """Its parts are all there; only its own account of them is wrong."""
    copy = sent(raised(kind("x")))

    assert type(copy) is kind
    assert copy.args == ("x",)


def test_an_error_without_words_is_told_as_such() -> None:
    """What its `__str__` and its `__repr__` raise stays in the job's process."""
    error = SpeechlessError(threading.Lock())

    copy = sent(raised(error))

    assert isinstance(copy, RemoteError)
    assert copy.type_name == f"{HERE}.SpeechlessError"
    assert copy.message == "<no text: it raised GeneratorExit>"
    assert "in raised" in copy.remote_traceback


def test_notes_that_are_none_are_no_obstacle() -> None:
    """Anybody may assign anything to them."""
    error = ValueError("x")
    error.__notes__ = [SpeechlessError(), 7]  # type: ignore[list-item]  # that is the case

    assert sent(error).__notes__ == ["<no text: it raised GeneratorExit>", "7"]
    error.__notes__ = 7  # type: ignore[assignment]  # as above
    assert not hasattr(sent(error), "__notes__")
    assert type(sent(OddNotesError("x"))) is OddNotesError


def test_a_class_that_does_not_say_what_it_is_has_a_stand_in() -> None:
    """Its name cannot be had, so neither can it be found again."""
    copy = sent(raised(MetaError("text")))

    assert isinstance(copy, RemoteError)
    assert copy.message == "text"
    assert copy.is_a(Exception)


@pytest.mark.usefixtures("arrived")
@pytest.mark.parametrize("answer", [None, OwnInitError, ValueError, str])
def test_an_error_that_loads_differently_over_here_has_a_stand_in(
    answer: type[Exception] | None,
) -> None:
    """It may leave, raise, or be another one; the trial on the other side did not show that."""
    data = pack_error(raised(ChangedMindError("x")), "worker 7")
    ChangedMindError.arrived, ChangedMindError.answer = True, answer

    copy = unpack_error(data)

    assert isinstance(copy, RemoteError)
    assert copy.type_name == f"{HERE}.ChangedMindError"
    assert copy.reason.startswith("loading it failed: ")


def test_a_class_that_is_gone_over_here_has_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job's process may have modules that its parent has not."""
    data = pack_error(raised(OwnInitError(7, detail="x")), "worker 7")
    monkeypatch.delattr(f"{HERE}.OwnInitError")

    copy = unpack_error(data)

    assert isinstance(copy, RemoteError)
    assert copy.message == "7: x"
    assert "AttributeError" in copy.reason


def test_a_name_that_became_something_else_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only classes of errors are made by name."""
    data = pack_error(raised(OwnInitError(7, detail="x")), "worker 7")
    monkeypatch.setattr(f"{HERE}.OwnInitError", dict)

    copy = unpack_error(data)

    assert isinstance(copy, RemoteError)
    assert "<class 'dict'> is no class of errors" in copy.reason


def test_errors_inside_an_error_arrive_as_well() -> None:
    """A bad constructor of one of them must not hold the other one down."""
    copy = sent(raised(HoldsInnerError([raised(OwnInitError(7, detail="x"))])))

    assert isinstance(copy, HoldsInnerError)
    assert isinstance(copy.inner, list)
    (inner,) = copy.inner
    assert isinstance(inner, OwnInitError)
    assert inner.code == 7
    assert isinstance(inner.__cause__, RemoteTraceback)


def test_an_inner_error_that_cannot_travel_has_a_stand_in_in_its_place() -> None:
    """The outer one is still what it is."""
    copy = sent(raised(HoldsInnerError(HoldsLockError())))

    assert isinstance(copy, HoldsInnerError)
    assert isinstance(copy.inner, RemoteError)
    assert copy.inner.is_a(HoldsLockError)


def test_an_error_that_holds_itself_ends_somewhere() -> None:
    """Directly, by another one, or by very many."""
    own = HoldsInnerError(None)
    own.inner = own
    one, two = HoldsInnerError(None), HoldsInnerError(None)
    one.inner, two.inner = two, one
    many = HoldsInnerError(None)
    for _ in range(50):
        many = HoldsInnerError(many)

    for error, depth in ((own, 1), (one, 2), (many, 9)):
        copy: object = sent(error)
        for _ in range(depth):
            assert isinstance(copy, HoldsInnerError)
            copy = copy.inner
        assert isinstance(copy, HoldsInnerError | RemoteError)


def test_without_memory_a_stand_in_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the description of an error needs some."""

    def no_memory(*_: object, **__: object) -> NoReturn:
        raise MemoryError

    error = raised(ValueError("x"))
    monkeypatch.setattr(failures, "tabulate", no_memory)
    described = unpack_error(pack_error(error, "worker 7"), label="worker 8")
    monkeypatch.setattr(failures, "describe", no_memory)
    last = unpack_error(pack_error(error, "worker 7"), label="worker 8")

    assert isinstance(described, RemoteError)
    assert described.type_name == "builtins.ValueError"
    assert described.reason == "packing it raised MemoryError"
    assert isinstance(last, RemoteError)
    assert "no memory" in last.reason
    assert last.label == "worker 8"


def test_an_interrupt_while_packing_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was meant for the job may come when the job is over."""

    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(error_bodies, "take_apart", interrupted)

    copy = sent(raised(ValueError("x")))

    assert isinstance(copy, RemoteError)
    assert copy.reason == "packing it raised KeyboardInterrupt"


@pytest.mark.parametrize("make", [HoldsLockError, RaisesInReduceError, MetaError])
def test_a_stand_in_is_copied_for_each_reader_and_printed(make: type[Exception]) -> None:
    """As every error that a future keeps."""
    arrived = sent(raised(make()))

    view = fresh_view(arrived, None)

    assert view is not arrived
    assert (str(view), vars(view)) == (str(arrived), vars(arrived))
    assert "in raised" in "".join(traceback.format_exception(view))


def test_nothing_is_left_of_an_error_that_was_packed() -> None:
    """A job's arguments are in its frames, and these are held by its error."""

    class Held:
        pass

    def job() -> NoReturn:
        local = Held()
        held.append(weakref.ref(local))
        raise HoldsLockError

    held: list[weakref.ref[Held]] = []
    gc.collect()
    gc.disable()
    try:
        try:
            job()
        except HoldsLockError as error:
            pack_error(error)
        assert held[0]() is None
    finally:
        gc.enable()
