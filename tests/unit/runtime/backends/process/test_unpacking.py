"""What a child makes of a job, and that both sides agree on which functions it has."""

from __future__ import annotations

import functools
import random

import pytest

from runtime.backends.process.packing import Packer
from runtime.backends.process.unpacking import FRESH, KEPT, KnownFunctions, Unpacker
from runtime.errors import ProtocolError, UnpicklableError
from tests.unit.runtime.backends.process.packing_here import Job, RaisesThere, There, add, same


def test_both_sides_agree_whatever_is_sent() -> None:
    """The child never lacks a function that the parent thinks it has."""
    chance = random.Random(11)
    known, unpacker = KnownFunctions(), Unpacker()

    for _ in range(20_000):
        key = chance.randrange(0, 600)
        body = KEPT + bytes(key % 50) * chance.choice([1, 1, 1, 40_000])
        sent = body if known.must_send(key, body) else b""
        unpacker.accept(key, sent)

    assert len(known) <= 256
    assert len(unpacker._functions) == len(known)


def test_the_one_used_longest_ago_is_forgotten() -> None:
    """Not the one that came first."""
    known = KnownFunctions(limit=2)
    known.must_send(1, b"")
    known.must_send(2, b"")
    known.must_send(1, b"")

    assert known.must_send(3, b"")
    assert not known.must_send(1, b"")
    assert known.must_send(2, b"")


def test_large_functions_are_forgotten_sooner() -> None:
    """But the last one stays, however large it is."""
    known = KnownFunctions(max_bytes=100)
    known.add(1, 60)

    assert known.add(2, 60) == [1]
    assert known.add(3, 1000) == [2]
    assert known.touch(3)


def test_a_function_without_a_key_is_sent_each_time() -> None:
    """And never kept."""
    known, unpacker = KnownFunctions(), Unpacker()

    assert known.must_send(0, b"x")
    assert known.must_send(0, b"x")
    unpacker.accept(0, FRESH)
    assert len(known) == len(unpacker._functions) == 0


def test_a_function_that_never_came_is_an_error() -> None:
    """One side has a bug."""
    with pytest.raises(ProtocolError, match="function 5"):
        Unpacker().accept(5, b"")


def test_what_is_kept_is_loaded_once() -> None:
    """The same object serves all jobs."""
    child, packed = There(), Packer().pack(eval("lambda: 1"), Job())

    assert child.bind(packed) is child.bind(packed, send_body=False)


def test_a_forgotten_function_still_serves_the_job_that_has_it() -> None:
    """The job was read before the one that pushed it out."""
    unpacker, packed = Unpacker(), Packer().pack(add, Job())
    received = unpacker.accept(packed.key, packed.function)
    for key in range(1000, 1300):
        unpacker.accept(key, KEPT)

    bound: object = received.bind()
    assert bound is add


@pytest.mark.parametrize("kind", [ValueError, SystemExit, ModuleNotFoundError, AttributeError])
@pytest.mark.parametrize("where", ["function", "arguments"])
def test_what_cannot_be_rebuilt_is_an_error(kind: type[BaseException], where: str) -> None:
    """The child lives on, and the cause is there."""
    bad = RaisesThere(kind)
    packed = Packer().pack(
        functools.partial(same, bad) if where == "arguments" else bad.__reduce__, Job()
    )

    with pytest.raises(UnpicklableError, match=f"its {where} cannot be rebuilt") as caught:
        There().bind(packed)

    assert type(caught.value.__cause__) is kind
    assert caught.value.advice


def test_frames_of_any_kind_of_bytes_are_read() -> None:
    """They come as slices of a buffer that is used again."""
    packed = Packer().pack(functools.partial(add, 1, 2), Job())
    buffer = bytearray(packed.function + packed.call)
    split = len(packed.function)
    with memoryview(buffer) as view:
        received = Unpacker().accept(packed.key, view[:split])
        call = received.bind(view[split:])
    buffer[:] = bytes(len(buffer))

    assert call() == 3
    assert received.bind(packed.call)() == 3
