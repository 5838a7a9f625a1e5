"""Packing: what travels and how, and that nothing is pickled twice without need."""

from __future__ import annotations

import functools
import gc
import os
import subprocess
import sys
import threading
import weakref
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends.process import packing, pickling, sealed_files
from runtime.backends.process.packing import THRESHOLD, Packer
from runtime.backends.process.sealed_files import AttachmentRefusedError, is_supported
from runtime.backends.process.unpacking import FRESH, KEPT, KnownFunctions
from runtime.errors import UnpicklableError
from tests.unit.runtime.backends.process.packing_here import (
    Counted,
    Job,
    Raises,
    There,
    add,
    same,
    there,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE = THRESHOLD


def one() -> Callable[[], int]:
    """Return a new function that cannot be imported."""
    return lambda: 1


@pytest.fixture
def packer() -> Packer:
    return Packer()


@pytest.fixture
def dumps(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What has been pickled by `dump`, in order."""
    seen: list[object] = []
    real = pickling.dump

    def dump(value: object, *args: Any, **options: Any) -> bytes:  # noqa: ANN401 - passed on
        seen.append(value)
        return real(value, *args, **options)

    monkeypatch.setattr(packing, "dump", dump)
    return seen


CALLS: list[tuple[Callable[..., Any], object]] = [
    (functools.partial(add, 1), 2),
    (functools.partial(add, 1, right=5), 6),
    (functools.partial(add, right=5, left=1), 6),
    (functools.partial(lambda x: x * 2, 4), 8),
    (functools.partial(same, None, True, 1.5, "t", b"b", 1j), (None, True, 1.5, "t", b"b", 1j)),
    (functools.partial(same, [1], {"a": (2,)}), ([1], {"a": (2,)})),
    (functools.partial(same, lambda: 1), None),
    ("text".upper, "TEXT"),
    (dict, {}),
    (lambda: add(2, 3), 5),
    (functools.partial(functools.partial(add, 1), 2), 3),
    (functools.partial(attrgetter("real"), 5), 5),
]


@pytest.mark.parametrize(("func", "result"), CALLS)
def test_functions_and_arguments_arrive(func: Callable[..., Any], result: object) -> None:
    """Of every kind."""
    value = there(func)

    assert value == result or result is None


def test_a_partial_of_the_user_keeps_its_attributes(packer: Packer) -> None:
    """It is more than a function and arguments: it travels whole."""
    func = functools.partial(add, 1)
    func.note = "mine"  # type: ignore[attr-defined] # partial objects take any

    assert packer.pack(func, Job()).call == b""
    assert there(func) == 2


def test_an_importable_function_is_pickled_once(packer: Packer, dumps: list[object]) -> None:
    """And needs no cloudpickle."""
    first = packer.pack(add, Job())

    assert packer.pack(add, Job()) is first
    assert packer.pack(functools.partial(add, 1), Job()).key == first.key
    assert dumps == [add]
    assert first.function[:1] == KEPT


@pytest.mark.parametrize("size", [10, THRESHOLD])
def test_a_lambda_is_pickled_once(packer: Packer, dumps: list[object], size: int) -> None:
    """Also one with a megabyte in its closure, a thousand times: a child gets it once."""
    data = b"x" * size
    func = lambda: len(data)  # noqa: E731 - it is about lambdas
    known = KnownFunctions()

    packed = [packer.pack(func, Job()) for _ in range(1000)]

    assert dumps == [func]
    assert sum(known.must_send(each.key, each.function) for each in packed) == 1
    assert There().bind(packed[-1])() == size


def test_a_rebound_cell_is_pickled_again(packer: Packer, dumps: list[object]) -> None:
    """The function of now travels, not the one of then."""
    limit = 1

    def get() -> int:
        return limit

    first = packer.pack(get, Job())
    limit = 2
    second = packer.pack(get, Job())

    assert first.key != second.key
    assert (There().bind(first)(), There().bind(second)()) == (1, 2)
    assert len(dumps) == 2


def test_a_mutable_closure_is_pickled_each_time(packer: Packer) -> None:
    """Nobody tells when it changes; where it has not, the bytes are the same and so is the key."""
    seen: list[int] = []

    def count() -> int:
        seen.append(1)
        return len(seen)

    keys = [packer.pack(count, Job()).key for _ in range(3)]
    seen.append(1)
    changed = packer.pack(count, Job())

    assert keys[1] == keys[2] != 0
    assert changed.key not in keys[1:]
    assert changed.function[:1] == FRESH
    assert There().bind(changed)() == 2


def test_jobs_do_not_see_each_others_changes(packer: Packer) -> None:
    """Each gets the function as it was sent, whatever the one before did to it."""
    child, total = There(), 0

    def add_one() -> int:
        nonlocal total
        total += 1
        return total

    first = packer.pack(add_one, Job())

    assert child.bind(first)() == 1
    assert child.bind(packer.pack(add_one, Job()), send_body=False)() == 1
    assert child.bodies == 1


def test_equal_lambdas_get_one_key_when_they_come_again(packer: Packer) -> None:
    """A lambda in a loop is a new one in each round."""
    keys = [packer.pack(functools.partial(lambda x: x, number), Job()).key for number in range(5)]

    assert len(set(keys)) == 1


def test_objects_that_change_fill_no_table(packer: Packer) -> None:
    """What is never the same again is not worth a place in the child."""
    assert {packer.pack(Counted(number).__reduce__, Job()).key for number in range(5)} == {0}
    assert packer.pack(Counted(0).__reduce__, Job()).key != 0


def test_bodies_are_forgotten_in_time(packer: Packer) -> None:
    """A program that runs for years makes many functions."""
    for number in range(2 * packing._BODIES):
        packer.pack(Counted(number).__reduce__, Job())

    assert len(packer._bodies) == packing._BODIES


def test_functions_are_not_kept(packer: Packer) -> None:
    """Neither is what they hold."""
    value = Counted()
    gone = weakref.ref(value)

    def get(held: Counted = value) -> Counted:
        return held

    simple = one()
    packer.pack(get, Job())
    packer.pack(simple, Job())
    assert len(packer._known) == 1
    del get, value, simple
    gc.collect()

    assert gone() is None
    assert not packer._known


def test_a_packer_is_not_kept_by_functions() -> None:
    """A pool goes, the functions of modules stay."""
    packer = Packer()
    packer.pack(add, Job())
    forget = weakref.ref(packer._forget)
    del packer
    gc.collect()

    assert forget() is None


@pytest.mark.skipif(not is_supported(), reason="needs files in memory")
@pytest.mark.parametrize("is_argument", [True, False])
def test_large_buffers_go_beside(packer: Packer, *, is_argument: bool) -> None:
    """Of arguments, and of what a function holds."""
    view = memoryview(bytearray(b"v" * LARGE))
    data = b"x" * LARGE
    func = functools.partial(same, view, data) if is_argument else lambda: (view, 1)
    packed = packer.pack(func, Job())

    assert packed.attachment is not None
    assert len(packed.function) + len(packed.call) < 2000
    assert There().bind(packed)() == ((view, data) if is_argument else (view, 1))


@pytest.mark.skipif(not is_supported(), reason="needs files in memory")
def test_an_attachment_that_nobody_wants_is_closed(packer: Packer) -> None:
    """The leak check of every test sees what is not."""
    packed = packer.pack(functools.partial(same, b"x" * LARGE), Job())

    packed.close()
    packed.close()
    packer.pack(add, Job()).close()


def test_in_band_needs_no_descriptor(packer: Packer) -> None:
    """For a child that cannot take any more."""
    packed = packer.pack(functools.partial(same, b"x" * LARGE), Job(), in_band=True)

    assert packed.attachment is None
    assert There().bind(packed)() == (b"x" * LARGE,)


def test_refused_memory_is_no_failure(packer: Packer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job goes over the socket; and as before when the limit is lifted."""

    def refuse() -> int:
        raise OSError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(sealed_files, "_said", [True])
        patch.setattr("runtime.backends.process.buffers.new_file", refuse)
        packed = packer.pack(functools.partial(same, b"x" * LARGE), Job())
        assert packed.attachment is None
        assert There().bind(packed)() == (b"x" * LARGE,)

    packed = packer.pack(functools.partial(same, b"x" * LARGE), Job())
    assert (packed.attachment is not None) == is_supported()
    packed.close()


def test_a_failure_after_the_file_was_made_leaves_none(packer: Packer) -> None:
    """The leak check sees the descriptor."""
    with pytest.raises(UnpicklableError):
        packer.pack(functools.partial(same, b"x" * LARGE, threading.Lock()), Job())
    with pytest.raises(KeyboardInterrupt):
        packer.pack(functools.partial(same, b"x" * LARGE, Raises(KeyboardInterrupt())), Job())


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), MemoryError()], ids=repr)
def test_what_an_object_raises_is_the_cause(packer: Packer, error: BaseException) -> None:
    """It is the object's fault, and the job's; the program does not end because of it."""
    with pytest.raises(UnpicklableError, match="worker 7 'resize'") as caught:
        packer.pack(functools.partial(same, Raises(error)), Job())

    assert caught.value.__cause__ is error
    assert type(error).__name__ in caught.value.reason


def test_an_interrupt_stays_one(packer: Packer) -> None:
    """A Ctrl-C while something large is pickled cannot be told from one that an object raises."""
    with pytest.raises(KeyboardInterrupt):
        packer.pack(functools.partial(same, Raises(KeyboardInterrupt())), Job())


def test_the_error_names_the_way(packer: Packer) -> None:
    """Whoever reads it knows what to change."""
    lock, cfg = threading.Lock(), {"a": 1}

    with pytest.raises(UnpicklableError) as caught:
        packer.pack(lambda: (cfg, lock), Job())

    assert caught.value.path == "func.__closure__[1] 'lock': _thread.lock"
    assert str(caught.value) == (
        "worker 7 'resize': cannot travel to another process "
        "(func.__closure__[1] 'lock': _thread.lock): TypeError: cannot pickle '_thread.lock' "
        "object; make the lock inside of the function: processes cannot share it"
    )


def test_something_nested_too_deeply_is_named(packer: Packer) -> None:
    """Ten thousand levels: an error, whatever the recursion limit is."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(UnpicklableError, match="nested too deeply") as caught:
        packer.pack(functools.partial(same, 1, deep), Job())

    assert caught.value.path == "args[1]: list"
    while deep:  # from the outside: not even its end should recurse
        deep = deep.pop()


def test_check_raises_what_pack_would(packer: Packer) -> None:
    """And leaves nothing behind where it does not."""
    packer.check(functools.partial(same, b"x" * LARGE), Job())
    with pytest.raises(UnpicklableError, match=r"args\[0\]: _thread.lock"):
        packer.check(functools.partial(same, threading.Lock()), Job())


def test_many_threads_pack_the_same_function(packer: Packer) -> None:
    """Each gets something that works."""
    func = one()
    barrier, seen = threading.Barrier(4), []

    def work() -> None:
        barrier.wait(10)
        seen.extend([packer.pack(func, Job()) for _ in range(200)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(seen) == 800
    assert {There().bind(packed)() for packed in {id(each): each for each in seen}.values()} == {1}


def test_a_change_while_it_is_pickled_is_not_lost(
    packer: Packer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes may be half of the one and half of the other: they are not used again."""
    func = eval("lambda: limit", namespace := {"limit": 1})
    real = pickling.dump

    def dump(*args: Any, **options: Any) -> bytes:  # noqa: ANN401 - passed on
        data = real(*args, **options)
        namespace["limit"] += 1
        return data

    with monkeypatch.context() as patch:
        patch.setattr(packing, "dump", dump)
        packer.pack(func, Job())

    assert There().bind(packer.pack(func, Job()))() == 2


@pytest.mark.process
def test_importable_functions_load_no_cloudpickle() -> None:
    """It is only imported where it is needed."""
    code = (
        "import sys, os.path, runtime\n"
        "from functools import partial\n"
        "from runtime.backends.process.packing import Packer\n"
        "Packer().pack(partial(os.path.join, 'a', b'b', [1]), None)\n"
        "sys.exit('cloudpickle' in sys.modules)"
    )

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]

    assert subprocess.run(command, env=environment, check=False, timeout=30).returncode == 0


def test_a_refusal_in_the_middle_is_tried_again(
    packer: Packer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever step it was."""

    def refuse(_: object) -> None:
        raise AttachmentRefusedError("sealing")

    monkeypatch.setattr("runtime.backends.process.buffers.AttachmentWriter.finish", refuse)

    assert There().bind(packer.pack(functools.partial(same, "x" * LARGE), Job()))() == (
        "x" * LARGE,
    )
