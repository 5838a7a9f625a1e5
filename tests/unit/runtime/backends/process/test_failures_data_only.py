"""Bytes from a process that is not trusted: no code runs, and nonsense is refused."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
from typing import Any

import pytest

from runtime.backends.process.error_bodies import Form
from runtime.backends.process.failures import pack_error, runs_code, unpack_error
from runtime.errors import ProtocolError, RemoteError, RemoteTraceback
from tests.unit.runtime.backends.process.errors_here import (
    CountedError,
    OwnInitError,
    OwnReduceError,
    raised,
)

HERE = "tests.unit.runtime.backends.process.errors_here"


class Trap:
    """Leaves a mark where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


def entry(**changes: object) -> tuple[object, ...]:
    """Return an entry of a `ValueError`, changed."""
    fields: dict[str, object] = {
        "form": int(Form.KNOWN),
        "names": ("builtins.ValueError", "builtins.Exception"),
        "message": "text",
        "args_text": "('text',)",
        "reason": "",
        "notes": (),
        "trace": "",
        "cause": -1,
        "context": -1,
        "is_context_hidden": False,
        "title": "",
        "members": (),
        "body": pickle.dumps((("text",), {}, {})),
    }
    return tuple({**fields, **changes}.values())


def data_of(*entries: object, flag: bytes = b"C", head: tuple[object, object] = ("x", 5)) -> bytes:
    """Return what a process with these entries would send."""
    return flag + pickle.dumps((*head, list(entries)))


@pytest.fixture
def trap(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - a path
    """Give the place where a `Trap` leaves its mark."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sprung"


@pytest.mark.parametrize(
    "error",
    [
        OwnInitError(7, detail="x"),
        OwnReduceError(7),
        CountedError(),
        ValueError({1, 2}),
        ValueError(ValueError("inner")),
        ValueError(OwnInitError),
    ],
    ids=repr,
)
def test_what_is_no_plain_data_has_a_stand_in(error: BaseException) -> None:
    """It would need an import, or a call."""
    copy = unpack_error(pack_error(raised(error), "worker 7"), data_only=True)

    assert isinstance(copy, RemoteError)
    assert copy.is_a(type(error))
    assert copy.message == str(error)
    assert "known types" in copy.reason
    assert isinstance(copy.__cause__, RemoteTraceback)


def test_each_error_of_a_chain_is_judged_by_itself() -> None:
    """One that is known comes as what it is."""
    group = ExceptionGroup("g", [ValueError("v"), OwnReduceError(7)])
    copy = unpack_error(pack_error(raised(group, raised(KeyError("k")))), data_only=True)

    assert isinstance(copy, ExceptionGroup)
    value, own = copy.exceptions
    assert type(value) is ValueError
    assert isinstance(own, RemoteError)
    assert copy.__cause__ is not None
    assert isinstance(copy.__cause__.__cause__, KeyError)


@pytest.mark.parametrize("form", [Form.KNOWN, Form.PARTS, Form.ITSELF])
def test_a_trap_is_not_sprung_where_only_data_is_accepted(trap: Any, form: Form) -> None:  # noqa: ANN401 - a path
    """Whatever form it is said to have."""
    body = pickle.dumps(Trap())
    copy = unpack_error(data_of(entry(form=int(form), body=body)), data_only=True)

    assert isinstance(copy, RemoteError)
    assert not trap.exists()


def test_what_is_said_to_run_no_code_runs_none(trap: Any) -> None:  # noqa: ANN401 - a path
    """The parent takes less care with it, so the word is checked."""
    body = pickle.dumps(Trap())
    data = data_of(entry(form=int(Form.ITSELF), body=body), flag=b"P")

    assert not runs_code(data)
    assert isinstance(unpack_error(data), RemoteError)
    assert not trap.exists()


def test_a_trap_around_the_entries_is_refused(trap: Any) -> None:  # noqa: ANN401 - a path
    """The table itself is plain data in any case."""
    with pytest.raises(ProtocolError, match="makes no plain data"):
        unpack_error(b"C" + pickle.dumps(("x", 5, [Trap()])))
    assert not trap.exists()


@pytest.mark.parametrize(
    "name", ["builtins.int", "builtins.exit", "os.system", "builtins.Nothing", "", "ValueError"]
)
def test_only_errors_are_found_by_name(name: str) -> None:
    """Never anything else, whatever it is called."""
    copy = unpack_error(data_of(entry(names=(name,))))

    assert isinstance(copy, RemoteError)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        pickle.dumps(7),
        pickle.dumps(((), {})),
        pickle.dumps(([], {}, {})),
        pickle.dumps(((), {7: 7}, {})),
        pickle.dumps(((), {}, {7: 7})),
    ],
)
def test_a_body_that_is_none_has_a_stand_in(body: bytes) -> None:
    """What is known in words is still told."""
    for form in (Form.KNOWN, Form.PARTS, Form.ITSELF):
        copy = unpack_error(data_of(entry(form=int(form), body=body)))
        assert isinstance(copy, RemoteError)
        assert copy.message == "text"


def test_a_field_that_does_not_fit_is_left_out() -> None:
    """Python checks what its own errors keep."""
    body = pickle.dumps((("text",), {"start": "no number", "nothing": 1}, {}))
    copy = unpack_error(data_of(entry(names=("builtins.UnicodeDecodeError",), body=body)))

    assert isinstance(copy, UnicodeDecodeError)
    assert isinstance(str(copy), str)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"C",
        b"X" + data_of(entry())[1:],
        data_of(),
        data_of(7),
        data_of(entry()[:-1]),
        data_of(list(entry())),
        data_of(entry(), head=(7, 5)),
        data_of(entry(), head=("x", "5")),
        b"C" + pickle.dumps(7),
        b"C" + pickle.dumps(("x", 5, 7)),
        data_of(entry(form=True)),
        data_of(entry(form=4)),
        data_of(entry(form=-1)),
        data_of(entry(names=())),
        data_of(entry(names=(7,))),
        data_of(entry(notes=(7,))),
        data_of(entry(message=b"text")),
        data_of(entry(cause=1)),
        data_of(entry(cause=-2)),
        data_of(entry(context=10**30)),
        data_of(entry(members=("0",))),
        data_of(entry(members=(1,))),
        data_of(entry(members=(-1,))),
        data_of(entry(members=(0,))),
        data_of(entry(members=(1,)), entry(members=(0,))),
    ],
)
def test_nonsense_is_refused(data: bytes) -> None:
    """Its sender is no process of ours any more."""
    with pytest.raises(ProtocolError, match="in a form that is none"):
        unpack_error(data)


def test_more_entries_than_we_ever_send_are_refused() -> None:
    """Each would cost time, and they may all be the same few bytes."""
    with pytest.raises(ProtocolError, match="201 entries"):
        unpack_error(data_of(*[entry()] * 201))


def test_data_that_grows_when_it_is_shown_is_not_taken() -> None:
    """Thirty levels of pairs of the same pair are small, and have a billion leaves."""
    value: object = "x"
    for _ in range(30):
        value = (value, value)
    body = pickle.dumps(((value,), {}, {}))

    assert isinstance(unpack_error(data_of(entry(body=body))), RemoteError)


def test_a_circle_of_links_is_harmless() -> None:
    """No process of ours sends one."""
    copy = unpack_error(data_of(entry(cause=1), entry(cause=0, context=1)))

    assert copy.__cause__ is not None
    assert copy.__cause__.__cause__ is copy


def test_a_group_without_members_has_a_stand_in() -> None:
    """Python has no such group."""
    copy = unpack_error(data_of(entry(names=("builtins.ExceptionGroup",))))

    assert isinstance(copy, RemoteError)


def test_damaged_bytes_give_an_error_or_are_refused() -> None:
    """Nothing else, whichever bytes they are."""
    chance = random.Random(7)
    whole = pack_error(raised(ExceptionGroup("g", [ValueError("v")]), raised(KeyError("k"))))
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        del data[chance.randint(len(data) // 2, len(data) * 2) :]
        with contextlib.suppress(ProtocolError):
            assert isinstance(unpack_error(bytes(data), data_only=True), BaseException)


def test_a_view_of_the_bytes_does() -> None:
    """They come out of a buffer."""
    data = memoryview(b"before" + pack_error(raised(ValueError("v"))))[6:]

    assert not runs_code(data)
    assert type(unpack_error(data)) is ValueError


def test_the_parents_label_is_taken() -> None:
    """It knows better than the process what its jobs are called."""
    data = pack_error(raised(OwnReduceError(7)), "job 7")

    assert "job 7 raised" in str(unpack_error(data, data_only=True))
    assert "worker 9 raised" in str(unpack_error(data, data_only=True, label="worker 9"))
