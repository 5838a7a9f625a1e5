"""What hangs together with an error: causes, contexts, groups, and their tracebacks."""

# Errors raised while others are handled are the case:
# ruff: noqa: PT012, TRY301

from __future__ import annotations

import gc
import traceback
import weakref

import pytest

from runtime.backends.process.failures import pack_error, unpack_error
from runtime.errors import RemoteError, RemoteTraceback
from tests.unit.runtime.backends.process.errors_here import (
    GroupWithCode,
    HoldsLockError,
    OwnInitError,
    TwiceError,
    raised,
    sent,
)


def behind(error: BaseException | None) -> BaseException | None:
    """Return the cause of *error*, past the traceback of it."""
    assert error is not None
    trace = error.__cause__
    return trace.__cause__ if isinstance(trace, RemoteTraceback) else trace


def test_a_chain_of_causes_arrives_with_the_traceback_of_each() -> None:
    """The first cause is mostly the one that tells what is wrong."""
    first = raised(KeyError("first"))
    second = raised(OwnInitError(2, detail="second"), first)
    third = sent(raised(ValueError("third"), second))

    arrived_second = behind(third)
    arrived_first = behind(arrived_second)

    assert isinstance(arrived_second, OwnInitError)
    assert isinstance(arrived_first, KeyError)
    assert behind(arrived_first) is None
    for error, text in ((third, "third"), (arrived_second, "second"), (arrived_first, "first")):
        assert isinstance(error, BaseException)
        assert isinstance(error.__cause__, RemoteTraceback)
        assert "in raised" in error.__cause__.text
        assert text in error.__cause__.text


def test_nothing_is_printed_twice() -> None:
    """Each traceback has the frames of its own error only."""
    copy = sent(raised(ValueError("second"), raised(KeyError("first"))))

    text = "".join(traceback.format_exception(copy))

    assert text.count("Traceback (most recent call last)") == 2
    assert text.index("KeyError: 'first'") < text.index("ValueError: second")


def test_a_context_arrives_and_is_shown() -> None:
    """It is what was being handled when the error came."""
    with pytest.raises(ValueError, match="second") as caught:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904 - that is the case
    copy = sent(caught.value)

    assert isinstance(copy.__context__, KeyError)
    trace = copy.__cause__
    assert isinstance(trace, RemoteTraceback)
    assert trace.__context__ is copy.__context__
    assert trace.__cause__ is None
    assert "During handling of the above" in "".join(traceback.format_exception(copy))


def test_a_context_that_is_hidden_stays_hidden() -> None:
    """Whoever wrote ``from None`` meant it."""
    with pytest.raises(ValueError, match="second") as caught:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second") from None
    copy = sent(caught.value)

    assert isinstance(copy.__context__, KeyError)
    assert "first" not in "".join(traceback.format_exception(copy))


def test_a_cause_that_was_never_raised_has_no_traceback() -> None:
    """There is nothing to show."""
    copy = sent(raised(ValueError("v"), KeyError("k")))

    cause = behind(copy)
    assert isinstance(cause, KeyError)
    assert cause.__cause__ is None


def test_one_error_that_is_cause_and_context_stays_one() -> None:
    """As it is after ``raise ... from`` where the error was caught."""
    with pytest.raises(ValueError, match="v") as caught:
        try:
            raise KeyError("k")
        except KeyError as error:
            raise ValueError("v") from error
    copy = sent(caught.value)

    assert behind(copy) is copy.__context__


def test_a_cause_that_cannot_travel_has_a_stand_in() -> None:
    """And the error itself is what it is."""
    copy = sent(raised(ValueError("v"), raised(HoldsLockError())))

    assert type(copy) is ValueError
    cause = behind(copy)
    assert isinstance(cause, RemoteError)
    assert cause.is_a(HoldsLockError)


def test_a_group_arrives_with_its_members() -> None:
    """One that cannot travel, or cannot be loaded by a pickler, takes none of the others along."""
    own_error = OwnInitError(7, detail="x")
    raised(own_error)
    inner = ExceptionGroup("inner", [own_error])
    group = ExceptionGroup("outer", [ValueError("v"), inner, HoldsLockError()])
    group.add_note("note")

    copy = sent(raised(group))

    assert type(copy) is ExceptionGroup
    assert copy.message == "outer"
    assert copy.__notes__ == ["note"]
    value, arrived_inner, lock = copy.exceptions
    assert type(value) is ValueError
    assert isinstance(arrived_inner, ExceptionGroup)
    (own,) = arrived_inner.exceptions
    assert isinstance(own, OwnInitError)
    assert isinstance(own.__cause__, RemoteTraceback)
    assert isinstance(lock, RemoteError)
    assert copy.subgroup(OwnInitError) is not None


def test_a_group_of_anything_arrives() -> None:
    """Also where it is no `Exception`."""
    copy = sent(raised(BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError()])))

    assert type(copy) is BaseExceptionGroup
    assert [type(each) for each in copy.exceptions] == [KeyboardInterrupt, ValueError]


def test_a_group_of_an_own_class_keeps_its_attributes() -> None:
    """Its `__new__` takes what only it knows."""
    copy = sent(raised(GroupWithCode([ValueError("v")], 7)))

    assert isinstance(copy, GroupWithCode)
    assert copy.code == 7
    assert copy.message == "grouped"
    assert str(copy) == "grouped (1 sub-exception)"


def test_a_member_raised_on_its_own_has_its_group_as_context() -> None:
    """Each of them leads to the other."""
    with pytest.raises(ValueError, match="v") as caught:
        try:
            raise ExceptionGroup("g", [ValueError("v")])
        except ExceptionGroup as group:
            raise group.exceptions[0]  # noqa: B904 - that is the case
    copy = sent(caught.value)

    assert isinstance(copy.__context__, ExceptionGroup)
    assert copy.__context__.exceptions == (copy,)


def test_a_circle_of_causes_is_opened() -> None:
    """Errors that lead to each other would never be freed by counting."""
    one, two, three = TwiceError("1"), KeyError("2"), TypeError("3")
    one.__cause__, two.__cause__, three.__cause__ = two, three, one
    one.__context__ = one

    copy = sent(one)

    last = behind(behind(copy))
    assert isinstance(last, TypeError)
    assert behind(last) is None
    gone = weakref.ref(copy)
    gc.disable()
    try:
        del copy
        assert gone() is None
    finally:
        gc.enable()


def test_a_link_back_that_closes_no_circle_is_kept() -> None:
    """Two errors may have the same cause, at different distances."""
    root = KeyError("root")
    middle, top = TypeError("middle"), ValueError("top")
    middle.__context__ = root
    top.__cause__, top.__context__ = root, middle

    copy = sent(top)

    assert copy.__context__ is not None
    assert copy.__context__.__context__ is behind(copy)


def test_a_very_long_chain_is_cut_and_says_so() -> None:
    """No limit of recursion is in its way, and what is sent stays small."""
    error: BaseException = KeyError("first")
    for number in range(20_000):
        link = ValueError(number)
        link.__cause__ = error
        error = link

    data = pack_error(raised(error))
    copy: BaseException | None = unpack_error(data)

    length = 0
    last = copy
    while copy is not None:
        length += 1
        copy, last = behind(copy), copy
    assert length == 200
    assert last is not None
    assert "left out" in last.__notes__[0]
    assert len(data) < 128 * 1024


def test_a_very_large_group_is_cut_and_says_so() -> None:
    """The first errors tell what is wrong."""
    group = ExceptionGroup("g", [ValueError(number) for number in range(1000)])

    copy = sent(raised(group))

    assert isinstance(copy, ExceptionGroup)
    assert len(copy.exceptions) == 199
    assert copy.__notes__ == ["(801 of its 1000 errors are left out)"]


def test_a_group_whose_members_find_no_place_is_told_in_words() -> None:
    """There is no group without members."""
    many = [ValueError(number) for number in range(300)]
    late = ExceptionGroup("late", [KeyError("k")])

    copy = sent(ExceptionGroup("g", [late, *many]))

    assert isinstance(copy, ExceptionGroup)
    first = copy.exceptions[0]
    assert isinstance(first, RemoteError)
    assert first.reason == "too many errors"


def test_groups_in_groups_need_no_recursion() -> None:
    """A hundred of them, one in the other."""
    error: Exception = ValueError("v")
    for _ in range(100):
        error = ExceptionGroup("g", [error])

    copy = sent(error)

    for _ in range(100):
        assert isinstance(copy, ExceptionGroup)
        (copy,) = copy.exceptions
    assert type(copy) is ValueError


def test_many_long_texts_are_cut() -> None:
    """However many errors have however many notes."""
    errors = [ValueError(number, "x" * 5000) for number in range(150)]
    for error in errors:
        for _ in range(60):
            error.add_note("y" * 20_000)
    group = ExceptionGroup("z" * 10**6, errors)

    data = pack_error(raised(group))
    copy = unpack_error(data)

    assert len(data) < 4 * 2**20
    assert isinstance(copy, ExceptionGroup)
    assert len(copy.message) < 20_000
    first, last = copy.exceptions[0], copy.exceptions[-1]
    assert len(first.__notes__) == 50
    assert "characters left out" in first.__notes__[0]
    assert last.args == errors[-1].args
    assert not hasattr(last, "__notes__")
