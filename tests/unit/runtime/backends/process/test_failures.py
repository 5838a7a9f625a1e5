"""Errors that arrive as what they are: type, arguments, attributes, notes, traceback."""

from __future__ import annotations

import builtins
import collections
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from runtime import errors
from runtime.async_runtime.failure import Failure
from runtime.backends.process.failures import pack_error, runs_code, unpack_error
from runtime.errors import (
    CancelRequestedError,
    FutureTimeoutError,
    RemoteError,
    RemoteTraceback,
    WorkerCrashedError,
    WorkerTimeoutError,
)
from tests.unit.runtime.backends.process.errors_here import (
    ONLY,
    CountedError,
    FalsyError,
    GroupWithCode,
    OwnInitError,
    OwnOSError,
    OwnReduceError,
    SlottedError,
    StateError,
    TwiceError,
    raised,
    sent,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def facts(error: BaseException) -> tuple[Any, ...]:
    """Return what must be the same on both sides, the links apart."""
    fields = vars(BaseException)
    state = fields["__dict__"].__get__(error)
    return type(error), fields["args"].__get__(error), state


def unicode_error() -> BaseException:
    try:
        b"\xff".decode()
    except UnicodeDecodeError as error:
        return error
    raise AssertionError


def syntax_error() -> BaseException:
    try:
        compile("a b", "file.py", "exec")
    except SyntaxError as error:
        return error
    raise AssertionError


def no_file() -> BaseException:
    try:
        open("/nowhere/at/all")  # noqa: SIM115 - for its error
    except OSError as error:
        return error
    raise AssertionError


def with_notes() -> BaseException:
    error = ValueError("noted")
    error.add_note("first")
    error.add_note("second")
    return error


def with_attributes() -> BaseException:
    error = ValueError("more")
    error.code = 7  # type: ignore[attr-defined]  # that is the case
    error.where = {"line": [1, 2]}  # type: ignore[attr-defined]  # that is the case
    return error


PLAIN: list[Callable[[], BaseException]] = [
    lambda: ValueError("text"),
    ValueError,
    lambda: KeyError(("a", 1)),
    lambda: Exception("a", 2, None, b"b", 1.5, [True]),
    lambda: SystemExit(3),
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    lambda: BaseException("base"),
    MemoryError,
    lambda: RecursionError("deep"),
    lambda: StopIteration(7),
    lambda: StopAsyncIteration(7),
    lambda: OSError("one argument"),
    lambda: OSError(2, "text"),
    lambda: OSError(2, "text", "file", None, "file2"),
    lambda: BlockingIOError(11, "text", 5),
    lambda: ImportError("text", name="module", path="/path"),
    lambda: NameError("text", name="x"),
    lambda: UnicodeEncodeError("utf-8", "\udc80", 0, 1, "surrogates not allowed"),
    lambda: ValueError("\udc80 surrogate"),
    lambda: UserWarning("a warning"),
    lambda: CancelRequestedError("stop"),
    lambda: FutureTimeoutError("waiting", 2.5),
    lambda: WorkerTimeoutError("worker 7", 1.0, 1.25),
    lambda: WorkerCrashedError("worker 7", pid=5, exit_code=-9, log_lines=["a"]),
    lambda: RemoteError("worker 7", ["lib.Own"], "text"),
    unicode_error,
    syntax_error,
    no_file,
    with_notes,
    with_attributes,
]


@pytest.mark.parametrize("make", PLAIN)
@pytest.mark.parametrize("data_only", [False, True])
def test_known_errors_arrive_and_run_no_code(
    make: Callable[[], BaseException], *, data_only: bool
) -> None:
    """Nearly all errors are these, and the parent need not be careful with them."""
    error = raised(make())

    data = pack_error(error)
    copy = unpack_error(data, data_only=data_only)

    assert facts(copy) == facts(error)
    assert str(copy) == str(error)
    assert copy is not error
    assert not runs_code(data)
    assert isinstance(copy.__cause__, RemoteTraceback)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    ],
)
def test_every_error_of_python_arrives(name: str) -> None:
    """None of them has a constructor or a field that is in the way."""
    kind = vars(builtins)[name]
    if issubclass(kind, BaseExceptionGroup):
        error: BaseException = kind("text", [ValueError(1)])
    elif issubclass(kind, UnicodeError) and kind is not UnicodeError:
        text = b"x" if kind is UnicodeDecodeError else "x"
        given: tuple[Any, ...] = (text, 0, 1, "reason")
        error = kind(*(given if kind is UnicodeTranslateError else ("utf-8", *given)))
    else:
        error = kind("text")

    copy = sent(error)

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    if not issubclass(kind, BaseExceptionGroup):
        assert facts(copy) == facts(error)


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n != "CancelRequestedError"])
def test_every_error_of_this_package_is_known(name: str) -> None:
    """They come without the import of anything, also where only data is accepted."""
    kind = getattr(errors, name)
    error = kind.__new__(kind)
    error.args = ("text", 5)
    error.text, error.pid = "text", 5

    assert facts(sent(error, data_only=True)) == facts(error)


@pytest.mark.parametrize(
    "make",
    [
        lambda: OwnInitError(7, detail="x"),
        lambda: TwiceError("x"),
        lambda: SlottedError(7),
        lambda: OwnOSError("path"),
        lambda: OwnReduceError(7),
        lambda: StateError("x"),
        lambda: FalsyError("x"),
        lambda: ValueError(1j, {1, 2}, ValueError),
        lambda: ValueError(collections.OrderedDict(a=1)),
    ],
)
def test_errors_of_libraries_arrive_as_they_are(make: Callable[[], BaseException]) -> None:
    """Whatever their constructors take and their arguments tell."""
    error = raised(make())

    data = pack_error(error)
    copy = unpack_error(data)

    before, after = facts(error), facts(copy)
    assert after[:2] == before[:2]
    assert set(before[2]) <= set(after[2])
    assert str(copy) == str(error)
    assert runs_code(data)
    assert not runs_code(data, data_only=True)


def test_fields_outside_the_dict_arrive() -> None:
    """Those of __slots__, and those of builtin classes."""
    slotted, own = sent(SlottedError(7)), sent(OwnOSError("path"))

    assert isinstance(slotted, SlottedError)
    assert slotted.code == 7
    assert not hasattr(slotted, "unset")
    assert isinstance(own, OwnOSError)
    assert (own.errno, own.filename, own.more) == (2, "path", "path")
    assert str(own) == "[Errno 2] not there: 'path'"


def test_an_init_is_not_called_again() -> None:
    """It may count, write, or take what is not there."""
    error = CountedError()
    before = CountedError.made

    assert isinstance(sent(error), CountedError)
    assert CountedError.made == before


def test_what_a_class_says_of_its_pickling_is_obeyed() -> None:
    """Its author knows it better."""
    own, state = sent(OwnReduceError(7)), sent(StateError("x"))

    assert isinstance(own, OwnReduceError)
    assert own.twice == 14
    assert isinstance(state, StateError)
    assert state.state == {"told": "by state", "set": True}


def test_notes_arrive_where_the_class_forgets_them() -> None:
    """Its `__reduce__` was written before there were notes."""
    error = OwnReduceError(7)
    error.add_note("note")

    assert sent(error).__notes__ == ["note"]


def test_an_error_of_which_there_is_one_is_not_changed() -> None:
    """Its traceback would show wherever else it is used."""
    copy = sent(raised(ONLY))

    assert type(copy) is type(ONLY)
    assert copy is not ONLY
    assert ONLY.__cause__ is None


def test_the_object_without_the_attribute_stays_behind() -> None:
    """It may hold the whole program, and pickle never took it along."""
    with pytest.raises(AttributeError) as caught:
        object().nothing  # type: ignore[attr-defined]  # noqa: B018 - that is the case

    copy = sent(caught.value, data_only=True)

    assert isinstance(copy, AttributeError)
    assert copy.name == "nothing"
    assert copy.obj is None


def test_the_scope_that_asked_stays_behind() -> None:
    """A request to stop must arrive as such."""
    copy = sent(CancelRequestedError("stop", object()))

    assert isinstance(copy, CancelRequestedError)
    assert copy.reason is None


def test_the_error_itself_is_not_changed() -> None:
    """The job's own code may hold it."""
    cause = raised(KeyError("k"))
    error = raised(ValueError("v"), cause)
    trace = error.__traceback__

    pack_error(error)

    assert (error.__cause__, error.__traceback__) == (cause, trace)
    assert vars(error) == {}


def test_each_unpacking_gives_a_new_error() -> None:
    """Nobody shares an exception object with anybody."""
    data = pack_error(raised(ExceptionGroup("g", [ValueError("v")])))
    one, two = unpack_error(data), unpack_error(data)

    assert isinstance(one, ExceptionGroup)
    assert isinstance(two, ExceptionGroup)
    assert one is not two
    assert one.exceptions[0] is not two.exceptions[0]


def test_a_classless_place_is_found_again() -> None:
    """A class that no import finds travels by value, and is the same where it came from."""

    class LocalError(Exception):
        def __init__(self, code: int) -> None:
            super().__init__(code, "text")

    copy = sent(raised(LocalError(7)))

    assert type(copy) is LocalError
    assert copy.args == (7, "text")


@pytest.mark.parametrize(
    "make",
    [
        with_notes,
        with_attributes,
        lambda: OwnInitError(7, detail="x"),
        lambda: SlottedError(7),
        lambda: OwnOSError("path"),
        lambda: GroupWithCode([ValueError("v")], 7),
        lambda: RemoteError("worker 7", ["lib.Own"], "text"),
        lambda: WorkerCrashedError("worker 7", pid=5, exit_code=-9),
    ],
)
def test_readers_get_copies_with_everything(make: Callable[[], BaseException]) -> None:
    """A future shows a copy of its error to each of its readers."""
    arrived = sent(raised(make(), raised(KeyError("k"))))
    failure = Failure(arrived)

    one, two = failure.view(), failure.view()

    for view in (one, two):
        assert view is not arrived
        assert facts(view) == facts(arrived)
        assert str(view) == str(arrived)
        assert view.__cause__ is arrived.__cause__
        assert isinstance(view.__cause__, RemoteTraceback)
        assert isinstance(view.__cause__.__cause__, KeyError)
    assert one is not two


def test_the_printed_traceback_has_the_frames_of_the_worker() -> None:
    """They are what one looks for when a job fails."""

    def deep_in_the_job() -> None:
        raise ValueError("v")

    with pytest.raises(ValueError, match="v") as caught:
        deep_in_the_job()
    copy = sent(caught.value)

    text = "".join(traceback.format_exception(copy))
    assert 'raise ValueError("v")' in text
    assert "in deep_in_the_job" in text
    assert "direct cause" in text
    assert text.endswith("ValueError: v\n")


def test_a_deep_recursion_is_told_shortly() -> None:
    """A traceback of a million lines helps nobody."""

    def down(depth: int) -> int:
        return up(depth) + 1

    def up(depth: int) -> int:
        return down(depth) + 1

    with pytest.raises(RecursionError) as caught:
        down(0)
    data = pack_error(caught.value)
    copy = unpack_error(data)

    assert isinstance(copy, RecursionError)
    assert "frames left out" in str(copy.__cause__)
    assert len(data) < 64 * 1024


def test_what_arrived_may_travel_on() -> None:
    """A job may have processes of its own, and its parent be a job."""
    once = sent(raised(OwnInitError(7, detail="x")))
    twice = sent(raised(once))

    assert facts(twice)[:2] == facts(once)[:2]
    chain = twice.__cause__
    assert isinstance(chain, RemoteTraceback)
    assert isinstance(chain.__cause__, RemoteTraceback)
    assert "raise error" in chain.__cause__.text
    assert isinstance(pickle.loads(pickle.dumps(chain)), RemoteTraceback)
