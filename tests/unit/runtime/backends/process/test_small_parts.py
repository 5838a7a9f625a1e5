"""Budget, quarantine, nesting, plans, options, sources: small parts, each with its rule."""

from __future__ import annotations

import math
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.backends.process import nesting
from runtime.backends.process.backend import ProcessBackend
from runtime.backends.process.budget import Quarantine, RestartBudget
from runtime.backends.process.buffers import AttachmentWriter
from runtime.backends.process.checking import check_travels
from runtime.backends.process.packing import Packed
from runtime.backends.process.planning import Plans
from runtime.backends.process.sources import make_source
from runtime.backends.process.spawn_source import SpawnSource
from runtime.backends.process.template_source import TemplateSource
from runtime.backends.process_options import ProcessSettings, check_process_options
from runtime.clock import SYSTEM_CLOCK
from runtime.errors import PoolDeadlockError, UnpicklableError

if TYPE_CHECKING:
    from collections.abc import Iterator


# ---- budget and quarantine -------------------------------------------------------------------


def test_more_crashes_within_the_window_than_allowed_are_one_too_many() -> None:
    """Those before it do not count; the error has those that do."""
    budget = RestartBudget(ProcessSettings(max_restarts=2, restart_window=10.0, name="mine"))
    assert [budget.note(now, f"at {now}") for now in (0.0, 9.9, 10.0, 20.0)] == [None] * 4
    assert budget.note(20.0, "again") is None
    error = budget.note(20.0, "too much")

    assert error is not None
    assert "mine" in str(error)
    assert "too much" in str(error)
    assert budget.crashes == 6


def test_a_budget_of_nothing_bears_no_crash() -> None:
    """The first one breaks the pool."""
    assert RestartBudget(ProcessSettings(max_restarts=0)).note(1.0, "x") is not None


def test_a_call_is_refused_after_so_many_kills_and_no_other_is() -> None:
    """A call is its function and its arguments."""
    quarantine = Quarantine(2)
    bad, good = Packed(1, b"f", b"1"), Packed(1, b"f", b"2")
    assert not quarantine.is_needed
    assert [quarantine.note(bad, "x"), quarantine.check(bad, "job")] == [1, None]
    assert quarantine.note(bad, "y") == 2

    error = quarantine.check(bad, "job")

    assert error is not None
    assert error.kills == 2
    assert quarantine.check(good, "job") is None
    assert quarantine.is_needed


def test_calls_are_told_apart_by_their_large_arguments() -> None:
    """These are in the attachment; as long as another one's they are not the same."""
    quarantine = Quarantine(1)

    def call(byte: bytes) -> Packed:
        writer = AttachmentWriter()
        writer.add(byte * 100)
        return Packed(1, b"f", b"1", writer.finish())

    bad, again, good = call(b"1"), call(b"1"), call(b"2")
    quarantine.note(bad, "x")

    assert quarantine.check(again, "job") is not None
    assert quarantine.check(good, "job") is None
    quarantine.forgive(good)
    assert quarantine.check(again, "job") is not None
    quarantine.forgive(again)
    assert not quarantine.is_needed


def test_long_calls_are_not_looked_at_with_the_lock_held() -> None:
    """What has another length is no such call; what is long is only looked at once."""
    quarantine = Quarantine(1)
    bad, other = Packed(1, b"f", b"1" * 99_999), Packed(1, b"f", b"1" * 99_998)
    quarantine.note(bad, "x")
    late = Packed(1, b"f", b"1" * 99_999)

    quarantine.forgive(other)
    quarantine.forgive(late)
    assert quarantine.check(other, "job") is None

    assert (other.digest, late.digest) == (None, None)
    assert quarantine.is_needed
    quarantine.forgive(bad)
    assert not quarantine.is_needed


def test_a_quarantine_is_bounded() -> None:
    """The oldest is forgotten; one that came again is not the oldest."""
    quarantine = Quarantine(1)
    first = Packed(0, b"first")
    quarantine.note(first, "x")
    for number in range(255):
        quarantine.note(Packed(0, bytes([number]), b"many"), "x")
    quarantine.note(first, "x")
    quarantine.note(Packed(0, b"new"), "x")

    assert quarantine.check(first, "job") is not None
    assert quarantine.check(Packed(0, b"\x00", b"many"), "job") is None


# ---- nesting -------------------------------------------------------------------


@pytest.fixture
def three_deep() -> Iterator[None]:
    """This process is a child of a child of a child."""
    before = list(nesting._here)
    nesting.enter(3, 3)
    yield
    nesting._here[:] = before


@pytest.mark.usefixtures("three_deep")
def test_pools_within_pools_end_somewhere() -> None:
    """An import that makes a pool would go on for ever."""
    assert nesting.depth() == 3
    with pytest.raises(PoolDeadlockError, match=r"within 3 others.*max_depth=3"):
        ProcessBackend(threading.RLock(), SYSTEM_CLOCK, ProcessSettings(name="inner"))
    nesting.enter(2, 3)
    nesting.check_depth("inner")


# ---- plans -------------------------------------------------------------------


def set_up() -> None:
    """An initializer."""


def test_a_plan_says_how_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment as it is when the child starts, and the pool's own functions, packed once."""
    plans = Plans(ProcessSettings(initializer=set_up, max_memory_bytes=1 << 30, results="data"))
    monkeypatch.setenv("SEEN_BY_CHILDREN", "yes")

    plan = pickle.loads(plans.make())

    assert plan["environ"]["SEEN_BY_CHILDREN"] == "yes"
    assert plan["depth"] == nesting.depth() + 1
    assert plan["max_memory_bytes"] == 1 << 30
    assert plan["finalizer"] is None
    assert plan["initializer"][0]
    assert plan["server"][-1] is True


def test_a_function_of_the_pool_that_cannot_travel_is_refused_when_the_pool_is_made() -> None:
    """By the name of what it is for."""
    lock = threading.Lock()
    with pytest.raises(UnpicklableError, match="the finalizer"):
        Plans(ProcessSettings(finalizer=lambda: lock))


def test_check_travels_says_what_a_spawn_would_say() -> None:
    """Without a pool."""
    lock = threading.Lock()
    check_travels(set_up)
    with pytest.raises(UnpicklableError, match="the function"):
        check_travels(lambda: lock)


def test_a_source_is_of_the_kind_that_is_asked_for() -> None:
    """Nothing is started yet."""
    assert isinstance(make_source(ProcessSettings(start_method="spawn")), SpawnSource)
    assert isinstance(make_source(ProcessSettings()), TemplateSource)


# ---- options -------------------------------------------------------------------


def checked(**options: Any) -> ProcessSettings:  # noqa: ANN401 - Any: on purpose
    """Return the settings of a pool of two."""
    return check_process_options(options, 2, "mine", None)


def test_every_option_arrives_where_it_belongs() -> None:
    """And what is not said has its default."""
    settings = checked(
        start_method="spawn", preload=["json"], min_workers=1, idle_timeout=None, grace=0,
        startup_timeout=1.5, finalizer=set_up, max_jobs_per_worker=5, max_rss_bytes=None,
        max_memory_bytes=1 << 30, max_message_bytes=4096, max_output_bytes=0, capture_output=True,
        results="data", context_vars=(), retry_on_crash=1, max_crashes=1, max_restarts=0,
        restart_window=2, max_depth=1,
    )  # fmt: skip

    assert settings.preload == ("json",)
    assert settings.max_workers == 2
    assert settings.finalizer is set_up
    assert (settings.grace, settings.idle_timeout, settings.restart_window) == (0, None, 2)
    assert checked().start_method in {"template", "spawn"}
    assert checked() == ProcessSettings(2, "mine", start_method=checked().start_method)


@pytest.mark.parametrize(
    ("option", "value", "kind", "words"),
    [
        ("prelod", [], TypeError, "no option prelod: those of a pool of processes are capture"),
        ("preload", "json", TypeError, r"write preload=\[...\]"),
        ("preload", 7, TypeError, "must be a list"),
        ("context_vars", b"x", TypeError, "must be a list"),
        ("min_workers", 3, ValueError, "more than max_workers"),
        ("min_workers", -1, ValueError, "0 or more"),
        ("min_workers", True, TypeError, "whole number"),
        ("min_workers", 1.0, TypeError, "whole number"),
        ("max_workers", 1, TypeError, "no option max_workers"),
        ("max_jobs_per_worker", 0, ValueError, "1 or more"),
        ("max_memory_bytes", 5, ValueError, "1048576 or more"),
        ("max_message_bytes", None, TypeError, "whole number"),
        ("idle_timeout", -1, ValueError, "idle_timeout"),
        ("grace", math.nan, ValueError, "grace"),
        ("startup_timeout", "1", TypeError, "startup_timeout"),
        ("restart_window", None, TypeError, "number of seconds"),
        ("start_method", "fork", ValueError, "template"),
        ("results", "pickle", ValueError, "data"),
        ("capture_output", 1, TypeError, "True or False"),
        ("finalizer", "f", TypeError, "a function or None"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    option: str, value: object, kind: type[Exception], words: str
) -> None:
    """With what was given, and what may be."""
    with pytest.raises(kind, match=words):
        checked(**{option: value})
