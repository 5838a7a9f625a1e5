"""What cannot become an outcome as it came: the job is settled all the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from runtime.async_runtime.failure import Failure, fresh_view
from runtime.backends.process.failures import pack_error
from runtime.backends.process.outcomes import Outcomes
from runtime.backends.process.results import pack_result
from runtime.backends.process.wire import Frame, FrameType
from runtime.errors import RemoteError
from runtime.workers import WorkerPool
from tests.unit.runtime.backends.process.core_bench import FakeJob

if TYPE_CHECKING:
    from collections.abc import Callable


class EvilError(Exception):
    """Its class makes something of its own of every name."""

    def __getattribute__(self, name: str) -> object:
        raise ZeroDivisionError(name)


class Picky(FakeJob):
    """Refuses what it does not know."""

    def raised(self, error: BaseException) -> None:
        """Take no evil ones."""
        if issubclass(type(error), EvilError):
            raise ArithmeticError("not this one")  # noqa: TRY004 - it might be any
        super().raised(error)


@pytest.fixture
def outcomes() -> Outcomes:
    """They load on whichever thread submits."""

    def submit(call: Callable[[], object], _job: object = None) -> None:
        call()

    hub = SimpleNamespace(
        fleet=SimpleNamespace(settling=set(), watchers=None),
        settings=SimpleNamespace(results="pickle"),
        loader=SimpleNamespace(submit=submit),
    )
    return Outcomes(cast("Any", hub))


def settle(outcomes: Outcomes, job: FakeJob, type_: int, payload: bytes, kind: int) -> None:
    """Give *job* an answer."""
    job.work = None
    outcomes._fleet.settling.add(cast("Any", job))
    frame = Frame(type_, kind, 0, 1, payload, ())
    outcomes.settle([(cast("Any", job), frame)])
    assert outcomes._fleet.settling == set()


def test_an_error_that_the_job_does_not_bear_gets_one_that_stands_for_it(
    outcomes: Outcomes,
) -> None:
    """On the threads that load nobody else would catch what comes of it."""
    job = Picky(1)

    settle(outcomes, job, FrameType.ERROR, pack_error(EvilError("x")), 0)

    (error,) = job.outcomes
    assert isinstance(error, RemoteError)
    assert "EvilError" in str(error)
    assert "ArithmeticError: not this one" in str(error)


def test_a_job_is_settled_whatever_else_goes_wrong(
    outcomes: Outcomes, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where an error of ours is in the way, which is reported."""

    class Shaky(FakeJob):
        def returned(self, value: object) -> None:
            raise OSError(value)

    job = Shaky(1)
    kind, payload, _ = pack_result(EvilError, 1 << 30)

    settle(outcomes, job, FrameType.VALUE, payload, kind)

    assert isinstance(job.outcomes[0], OSError)
    assert "the answer of worker 1 was lost" in caplog.text


def test_what_nobody_wants_any_more_is_not_unpickled(
    outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might take for ever."""
    monkeypatch.setattr(
        "runtime.backends.process.outcomes.unpack_result", lambda *_, **__: pytest.fail("it was")
    )
    job = FakeJob(1)
    kind, payload, _ = pack_result(EvilError, 1 << 30)
    job.cancel()

    settle(outcomes, job, FrameType.VALUE, payload, kind)

    assert job.outcomes == ["cancelled"]


def test_a_job_takes_errors_whose_class_refuses_everything() -> None:
    """It asks the error for nothing by way of its class."""
    error = EvilError("x")
    with WorkerPool(max_workers=1) as pool:
        job: Any = pool.spawn(int)
        job.result(timeout=30)
        failure: Failure = job._new_failure(error)
        failure.mark_observed()
        job.raised(error)  # late: dropped

        assert failure.error is error
        assert fresh_view(error, None) is error
