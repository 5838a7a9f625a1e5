"""A job spawned from a job inherits what is left of its deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.errors import WorkerTimeoutError
from runtime.testing import ManualClock, ScriptedBackend
from runtime.workers import Worker, WorkerPool
from tests.unit.runtime.gates import nothing

if TYPE_CHECKING:
    from runtime.workers import WorkerFuture


def child_of(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock, **limits: float | None
) -> WorkerFuture[None]:
    """Spawn a job from one that had three seconds and has used one of them."""
    children: list[WorkerFuture[None]] = []

    def work() -> None:
        clock.advance(1.0)
        children.append(scripted.spawn(nothing, **limits))  # type: ignore[call-overload]  # the names are those of limits

    backend.run(scripted.spawn(work, timeout=3.0, name="parent"))
    return children[0]


@pytest.mark.parametrize(
    ("limits", "expires_after"),
    [({}, 2.0), ({"timeout": 10.0}, 2.0), ({"timeout": 0.5}, 0.5), ({"timeout": None}, 2.0)],
)
def test_the_earlier_limit_counts(
    scripted: WorkerPool,
    backend: ScriptedBackend,
    clock: ManualClock,
    limits: dict[str, float | None],
    expires_after: float,
) -> None:
    """A child cannot have more time than its parent has left; less, it may."""
    child = child_of(scripted, backend, clock, **limits)

    clock.advance(expires_after - 0.25)
    before = child.done()
    clock.advance(0.25)

    assert before is False
    assert isinstance(child.exception(), WorkerTimeoutError)


def test_the_error_says_whose_limit_it_was(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock
) -> None:
    """Nobody gave this job a limit: the reader must learn where it came from."""
    child = child_of(scripted, backend, clock)
    clock.advance(2.0)

    error = child.exception()

    assert isinstance(error, WorkerTimeoutError)
    assert error.timeout == 2.0
    assert error.__notes__ == ["this limit was left of the deadline of worker 1 'parent'"]
    assert child.handle.timeout is None


def test_run_timeout_of_the_parent_is_inherited_too(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock
) -> None:
    """Once it runs, that is its deadline."""
    left: list[float] = []

    def child() -> None:
        left.append(Worker.current().remaining())

    def work() -> None:
        clock.advance(1.0)
        backend.run(scripted.spawn(child))

    clock.advance(5.0)
    backend.run(scripted.spawn(work, run_timeout=4.0))

    assert left == [3.0]


def test_an_own_run_timeout_that_ends_earlier_replaces_the_inherited_limit(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock
) -> None:
    """And the error speaks of that one."""
    child = child_of(scripted, backend, clock, run_timeout=0.5)
    child._func = lambda: clock.advance(0.5)

    backend.run(child)

    error = child.exception()
    assert isinstance(error, WorkerTimeoutError)
    assert (error.timeout, error.since) == (0.5, "start")
    assert not hasattr(error, "__notes__")


def test_a_parent_past_its_deadline_spawns_what_never_runs(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock
) -> None:
    """Nothing is left to inherit."""
    children: list[WorkerFuture[None]] = []

    def work() -> None:
        clock.advance(5.0)
        children.append(scripted.spawn(nothing))
        backend.run(children[0])

    backend.run(scripted.spawn(work, timeout=3.0))

    assert isinstance(children[0].exception(), WorkerTimeoutError)
    assert children[0].handle.started_at is None


def test_a_callback_after_the_job_inherits_nothing(
    scripted: WorkerPool, backend: ScriptedBackend
) -> None:
    """It runs on the job's thread, and is no part of it: its time is its own."""
    followers: list[WorkerFuture[None]] = []
    future = scripted.spawn(nothing, timeout=3.0)
    future.add_done_callback(lambda _: followers.append(scripted.spawn(nothing)))

    backend.run(future)

    assert followers[0]._options is None


def test_a_job_without_a_limit_gives_none(scripted: WorkerPool, backend: ScriptedBackend) -> None:
    """And costs its children nothing."""
    children: list[WorkerFuture[None]] = []

    backend.run(scripted.spawn(lambda: children.append(scripted.spawn(nothing))))

    assert children[0]._options is None


def test_a_deadline_is_converted_to_the_clock_of_the_other_pool(
    scripted: WorkerPool, backend: ScriptedBackend, clock: ManualClock
) -> None:
    """What is left is a span; the point in time means nothing on another clock."""
    other_clock, other_backend = ManualClock(start=5000.0), ScriptedBackend()
    other = WorkerPool(1, backend=other_backend.attach, clock=other_clock)
    children: list[WorkerFuture[None]] = []

    def work() -> None:
        clock.advance(1.0)
        children.append(other.spawn(nothing))

    backend.run(scripted.spawn(work, timeout=3.0, name="parent"))

    other_clock.advance(1.75)
    before = children[0].done()
    other_clock.advance(0.25)
    assert before is False
    assert isinstance(children[0].exception(0), WorkerTimeoutError)
