"""Which part of an object cannot travel: the way is named, within limits."""

from __future__ import annotations

import functools
import sys
import threading
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends.process import pickling, traveling
from runtime.backends.process.checking import check_travels
from runtime.backends.process.traveling import find_culprit, why_not
from runtime.errors import UnpicklableError
from tests.unit.runtime.backends.process.packing_here import Raises, add, same

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK = threading.Lock()


class Config:
    """Has a lock that it does not talk about."""

    def __init__(self) -> None:
        self.lock = LOCK

    def method(self) -> None:
        """Do nothing."""


class Slotted:
    """Has no dictionary."""

    __slots__ = ("__private", "empty", "lock")

    def __init__(self) -> None:
        self.lock = LOCK

    def private(self) -> Slotted:
        """Move the lock."""
        self.__private = LOCK
        del self.lock
        return self


class Pool:
    """Says itself why it does not travel."""

    def __init__(self) -> None:
        self.inner = Config()

    def __reduce__(self) -> str:
        raise TypeError("a pool cannot travel; spawn in the process that has it")


def closure() -> Callable[[], object]:
    count, cfg = 1, Config()
    return lambda: (cfg, count)


def with_defaults() -> Callable[..., object]:
    def func(a: object = 1, b: object = LOCK, *, c: object = 2) -> object:
        return a, b, c

    return func


def with_keyword_default() -> Callable[..., object]:
    def func(*, c: object = LOCK) -> object:
        return c

    return func


def local_class() -> object:
    class Local:
        shared = LOCK

        @property
        def name(self) -> str:
            return "name"

        @staticmethod
        def help() -> None:
            pass

    return Local()


def global_of_main() -> object:
    names: dict[str, Any] = {"__name__": "__main__", "cfg": Config()}  # Any: a namespace
    exec("def func(): return [lambda: cfg]", names)
    return names["func"]


def attribute() -> object:
    func = eval("lambda: 1")
    func.cfg = Config()
    return func


CASES: list[tuple[object, str]] = [
    (LOCK, "func: _thread.lock"),
    (closure(), "func.__closure__[0] 'cfg' -> .lock: _thread.lock"),
    (with_defaults(), "func.__defaults__[1]: _thread.lock"),
    (with_keyword_default(), "func.__kwdefaults__['c']: _thread.lock"),
    (global_of_main(), "func.__globals__['cfg'] -> .lock: _thread.lock"),
    (attribute(), "func.cfg -> .lock: _thread.lock"),
    (local_class(), None),  # type: ignore[list-item] # below: it differs
    (Config().method, "func.__self__ -> .lock: _thread.lock"),
    (functools.partial(same, LOCK), "func.args -> [0]: _thread.lock"),
    (functools.partial(dict, right=LOCK), "func.keywords -> ['right']: _thread.lock"),
    ([1, {"key": (2, LOCK)}], "func[1] -> ['key'] -> [1]: _thread.lock"),
    ({LOCK: 1}, "func.keys() a _thread.lock: _thread.lock"),
    ({LOCK}, "func element a _thread.lock: _thread.lock"),
    (deque([LOCK]), "func[0]: _thread.lock"),
    ({"k" * 100: LOCK}, f"func['{'k' * 39}...]: _thread.lock"),
    (Slotted(), "func.lock: _thread.lock"),
    (Slotted().private(), "func._Slotted__private: _thread.lock"),
    (ValueError("text", LOCK), "func.args -> [1]: _thread.lock"),
    (SimpleNamespace(pool=Pool()), f"func.pool: {__name__}.Pool"),
    (SimpleNamespace(bad=Raises(SystemExit(1))), f"func.bad: {Raises.__module__}.Raises"),
    ((number for number in [1]), "func: generator"),
]


@pytest.mark.parametrize(("obj", "way"), [case for case in CASES if case[1]])
def test_the_way_is_named(obj: object, way: str) -> None:
    """From what the user has to what is to blame."""
    assert find_culprit(obj) == way


def test_a_class_by_value_is_looked_into() -> None:
    """Its attributes travel, too."""
    way = find_culprit(local_class())

    assert way is not None
    assert way.endswith("_thread.lock")


@pytest.mark.parametrize("obj", [1, add, lambda: 1, [1, "a"], Config, memoryview(b"x")], ids=str)
def test_what_travels_has_no_culprit(obj: object) -> None:
    """None is the good news."""
    assert find_culprit(obj) is None


def test_what_is_made_on_the_way_is_still_named() -> None:
    """The way to it cannot be seen from outside."""

    class Makes:
        def __reduce__(self) -> tuple[object, ...]:
            return add, (threading.Lock(),)

    assert find_culprit([Makes()]) == "func -> ...: _thread.lock"


def test_the_search_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is."""
    monkeypatch.setattr(traveling, "_MOST", 100)

    assert find_culprit([list(range(1000, 2000)), [LOCK]]) == "func -> ...: _thread.lock"


def test_circles_end() -> None:
    """They travel, so they are no reason."""
    circle: list[object] = [1]
    circle.append(circle)

    assert find_culprit(circle) is None
    circle.append(LOCK)
    assert find_culprit(circle) == "func[2]: _thread.lock"


def test_strange_attributes_stop_nothing() -> None:
    """An object may raise whenever it is looked at."""

    class Strange:
        def __getattribute__(self, name: str) -> object:
            if name == "__dict__":
                raise RuntimeError("no")
            return object.__getattribute__(self, name)

        def __reduce__(self) -> tuple[object, ...]:
            return add, (LOCK,)

    assert find_culprit(Strange()) == "func -> ...: _thread.lock"


def test_an_interrupt_ends_the_search() -> None:
    """It is not the object's."""
    with pytest.raises(KeyboardInterrupt):
        find_culprit(Raises(KeyboardInterrupt()))


class UnspeakableError(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "reason", "advice"),
    [
        (RecursionError("deep"), "RecursionError: deep", "nested too deeply"),
        (MemoryError(), "MemoryError", "not enough memory"),
        (ValueError("x" * 1000), f"ValueError: {'x' * 300}...", "plain data"),
        (UnspeakableError(), "UnspeakableError: its message cannot be shown", "plain data"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reason_and_advice(error: Exception, reason: str, advice: str) -> None:
    """Where nothing is found any more, the error itself says enough."""
    found = why_not("worker 1", {"func": add}, error)

    assert isinstance(found, UnpicklableError)
    assert (found.label, found.path, found.reason) == ("worker 1", "", reason)
    assert advice in found.advice


@pytest.mark.parametrize(
    ("obj", "advice"),
    [
        (LOCK, "make the lock inside"),
        (threading.RLock(), "make the lock inside"),
        ((number for number in [1]), "pass a list"),
        (object.__new__(Pool), "plain data"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_advice_fits_the_type(obj: object, advice: str) -> None:
    """The common ones have an answer of their own."""
    assert advice in why_not("worker 1", {"func": obj}, TypeError("no")).advice


def test_files_are_to_be_opened_there() -> None:
    """The most common one."""
    with Path(__file__).open("rb") as file:
        assert "open the file" in why_not("worker 1", {"func": file}, TypeError("no")).advice


@pytest.fixture
def without_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the package was put by hand."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    monkeypatch.setattr(pickling, "cloud_pickler", pickling.cloud_pickler.__wrapped__)
    monkeypatch.setattr(traveling, "cloud_pickler", pickling.cloud_pickler)
    monkeypatch.setattr(traveling, "_tracker", traveling._tracker.__wrapped__)


@pytest.mark.usefixtures("without_cloudpickle")
def test_what_pickles_by_value_may_be_missing() -> None:
    """That is told as all that keeps a function from traveling, with what to do."""
    with pytest.raises(UnpicklableError, match="install cloudpickle, or pass only what") as caught:
        check_travels(lambda: 1)

    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.usefixtures("without_cloudpickle")
def test_the_way_is_not_looked_for_where_nothing_pickles_by_value() -> None:
    """The error of the pickling stays what is told."""
    error = why_not("job 3", {"func": LOCK}, ValueError("no"))

    assert (error.path, error.reason) == ("", "ValueError: no")
