"""Results: small values without pickle, plain data without code, the rest as it is."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process.results import Kind, may_run_code, pack_result, unpack_result
from runtime.backends.process.sealed_files import is_supported
from runtime.errors import ProtocolError, ResultRefusedError, UnpicklableError
from tests.unit.runtime.backends.process.packing_here import Counted, Raises, RaisesThere

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 1 << 16
SMALL = [
    (None, Kind.NONE),
    (True, Kind.TRUE),
    (False, Kind.FALSE),
    (0, Kind.INT),
    (-(1 << 63), Kind.INT),
    ((1 << 63) - 1, Kind.INT),
    (1.5, Kind.FLOAT),
    (float("inf"), Kind.FLOAT),
    ("", Kind.TEXT),
    ("text \u20ac \ud800", Kind.TEXT),
    (b"bytes", Kind.BYTES),
    (b"", Kind.BYTES),
    (1 << 63, Kind.PICKLE),
    ([1], Kind.PICKLE),
    (b"x" * LIMIT, Kind.PICKLE),
    ("x" * LIMIT, Kind.PICKLE),
    (bytearray(b"x"), Kind.PICKLE),
]


@pytest.mark.parametrize("frame", [bytes, bytearray, memoryview])
@pytest.mark.parametrize(("value", "kind"), SMALL, ids=lambda value: str(value)[:20])
def test_values_come_back(value: object, kind: int, frame: Callable[[bytes], bytes]) -> None:
    """Whatever the kind, and whatever the bytes come in."""
    found, data, attachment = pack_result(value, LIMIT)

    copy = unpack_result(found, frame(data), attachment)

    assert found == kind
    assert copy == value
    assert type(copy) is type(value)


@pytest.mark.parametrize(
    "value", [[1, 2], {"a": (1,)}, "x" * LIMIT, b"x" * LIMIT, 1 << 70], ids=str
)
def test_plain_data_needs_no_pickle(value: object) -> None:
    """Where the pool takes nothing else."""
    kind, data, attachment = pack_result(value, LIMIT, data_only=True)

    assert kind == Kind.PLAIN
    assert unpack_result(kind, data, attachment, data_only=True) == value


@pytest.mark.parametrize(("value", "kind"), SMALL[:12], ids=lambda value: str(value)[:20])
def test_small_values_are_plain_data(value: object, kind: int) -> None:
    """They are the same in both modes."""
    assert pack_result(value, LIMIT, data_only=True)[0] == kind
    assert unpack_result(*pack_result(value, LIMIT), data_only=True) == value


def test_what_is_no_plain_data_is_refused_where_it_is_made() -> None:
    """With the way to it."""
    with pytest.raises(ResultRefusedError, match=r"job 3 returned .*result\['a'\]\[1\]: .*Counted"):
        pack_result({"a": [1, Counted()]}, LIMIT, data_only=True, label="job 3")


def test_a_pickle_is_never_read_where_only_data_is_wanted() -> None:
    """Whatever the process sends: its code does not run here."""
    kind, data, attachment = pack_result([RaisesThere(SystemExit)], LIMIT)

    with pytest.raises(ResultRefusedError, match="a pickle"):
        unpack_result(kind, data, attachment, data_only=True)


@pytest.mark.skipif(not is_supported(), reason="needs files in memory")
def test_a_refused_result_gives_its_memory_back() -> None:
    """The leak check sees the descriptor."""
    kind, data, attachment = pack_result([b"x" * LIMIT], LIMIT)
    assert attachment is not None

    with pytest.raises(ResultRefusedError):
        unpack_result(kind, data, attachment, data_only=True)

    assert attachment.fileno() == -1


@pytest.mark.skipif(not is_supported(), reason="needs files in memory")
def test_large_buffers_of_results_go_beside() -> None:
    """As those of arguments do."""
    value = [b"x" * LIMIT, "y" * LIMIT, memoryview(bytes(LIMIT))]
    kind, data, attachment = pack_result(value, LIMIT)

    assert attachment is not None
    assert len(data) < 1000
    assert unpack_result(kind, data, attachment) == value


def test_results_in_band() -> None:
    """For a pool that could take no descriptor."""
    kind, data, attachment = pack_result([b"x" * LIMIT], LIMIT, in_band=True)

    assert attachment is None
    assert unpack_result(kind, data) == [b"x" * LIMIT]


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(1)], ids=repr)
def test_a_result_that_cannot_travel_names_the_way(error: BaseException) -> None:
    """The child lives on, whatever the object does."""
    with pytest.raises(UnpicklableError, match=r"result\[1\]: .*Raises") as caught:
        pack_result([1, Raises(error)], LIMIT)

    assert caught.value.__cause__ is error


def test_a_lock_is_no_result() -> None:
    """The usual reason. It was made inside of the function: that is no advice."""
    whole = r"job 3: its result cannot travel .*result\['lock'\]: _thread.lock.*; return plain data"
    with pytest.raises(UnpicklableError, match=whole):
        pack_result({"lock": threading.Lock()}, LIMIT, label="job 3")


def test_what_is_reported_is_not_said_to_be_returned() -> None:
    """Nobody would find it at the end of the function."""
    whole = r"job 3: what it reported cannot .*\(progress: _thread.lock\).*; report plain data"
    with pytest.raises(UnpicklableError, match=whole):
        pack_result(threading.Lock(), LIMIT, label="job 3", verb="report")
    refused = r"job 3 reported what is no plain data \(progress: .*Counted"
    with pytest.raises(ResultRefusedError, match=refused):
        pack_result(Counted(), LIMIT, data_only=True, label="job 3", verb="report")


@pytest.mark.parametrize("kind", [ValueError, SystemExit, RecursionError])
def test_a_result_that_cannot_be_rebuilt_is_an_error(kind: type[BaseException]) -> None:
    """It pickles, and lies."""
    with pytest.raises(UnpicklableError, match="cannot be rebuilt") as caught:
        unpack_result(*pack_result([RaisesThere(kind)], LIMIT))

    assert type(caught.value.__cause__) is kind


def test_an_interrupt_while_a_result_is_read_stays_one() -> None:
    """It is the user's Ctrl-C, or cannot be told from it."""
    with pytest.raises(KeyboardInterrupt):
        unpack_result(*pack_result([RaisesThere(KeyboardInterrupt)], LIMIT))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (99, b""),
        (-1, b""),
        (Kind.INT, b"1"),
        (Kind.FLOAT, b"123456789"),
        (Kind.TEXT, b"\xff"),
        (Kind.PLAIN, b""),
    ],
)
def test_a_result_that_makes_no_sense_is_a_lie(kind: int, data: bytes) -> None:
    """No honest process sends it."""
    with pytest.raises(ProtocolError):
        unpack_result(kind, data)


def test_random_bytes_never_do_more_than_fail() -> None:
    """Where only data is wanted, from any process."""
    chance = random.Random(5)
    for _ in range(3000):
        data = chance.randbytes(chance.randrange(30))
        kind = chance.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
        try:
            unpack_result(kind, data, data_only=True)
        except (ProtocolError, ResultRefusedError):
            continue


@pytest.mark.parametrize(
    ("value", "may"),
    [
        (None, False),
        ([1, "two", {"three": 3.0}], False),
        ({1, 2}, False),
        (Counted(), True),
        ([b"x" * LIMIT * 2], True),
        ("x" * LIMIT * 2, True),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_may_run_code_is_told_before_it_does(value: object, *, may: bool) -> None:
    """Harmless results are read at once, the others where they can do no harm."""
    kind, data, attachment = pack_result(value, LIMIT * 4)

    assert attachment is None
    assert may_run_code(kind, data) is may
