"""P14 and the security rules: what a process that was taken over may send."""

# A spawned job runs on without its future:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from runtime.backends.process.wire import HEADER, VERSION, FrameType, frame
from runtime.errors import ResultRefusedError, WorkerCrashedError
from tests.unit.runtime.faults.hostile_jobs import (
    answer_then,
    close_channel,
    drip,
    send,
    send_and_end,
    send_descriptors,
)
from tests.unit.runtime.faults.process_jobs import double, until
from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.workers import WorkerPool

pytestmark = pytest.mark.process

MUCH: Final = 1 << 60


BAD: Final = {
    "another version": HEADER.pack(VERSION + 1, FrameType.VALUE, 0, 0, 0, 1, 0),
    "an unknown type": frame(99, 1),
    "too long": HEADER.pack(VERSION, FrameType.VALUE, 0, 0, 0, 1, MUCH),
    "too many descriptors": HEADER.pack(VERSION, FrameType.VALUE, 0, 200, 0, 1, 0),
    "a job it does not have": frame(FrameType.VALUE, 77),
    "ready once more": frame(FrameType.READY, 1),
    "unfit too late": frame(FrameType.UNFIT, 1, b"nonsense"),
    "what only the pool sends": frame(FrameType.JOB, 1),
    "noise": random.Random(3).randbytes(4096),
}


@pytest.mark.parametrize("what", BAD)
def test_a_frame_that_makes_no_sense_ends_the_process_that_sent_it(
    pool: WorkerPool, what: str
) -> None:
    """Its job fails as after any crash; nothing is allocated for what it announces."""
    error = pool.spawn(send, args=(BAD[what],)).exception(GUARD)

    assert isinstance(error, WorkerCrashedError)
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4


def test_an_answer_in_front_of_a_bad_frame_counts(pool: WorkerPool) -> None:
    """It was whole; and the job is settled one way or the other, never lost."""
    job = pool.spawn(answer_then, args=(frame(99),))

    assert job.exception(GUARD) is None or isinstance(job.exception(0), WorkerCrashedError)
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4


PAYLOADS: Final = (
    b"",
    b"x",
    b"\x80",
    b"cos\nsystem\n(S'true'\ntR.",
    b"\x80\x05\x8c\x02os\x8c\x06system\x93.",
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, 3, 4, 5, 7, 8, 60])
def test_a_payload_that_makes_no_sense_is_the_jobs_failure(
    make_pool: Callable[..., WorkerPool], kind: int
) -> None:
    """With results="data", where nothing is unpickled: no code runs here."""
    pool = make_pool(1, results="data")
    for payload in PAYLOADS:
        job = pool.spawn(send_and_end, args=(frame(FrameType.VALUE, 1, payload, kind=kind),))

        outcome = job.exception(GUARD)

        assert outcome is None or isinstance(outcome, Exception)
        assert kind != 7 or isinstance(outcome, ResultRefusedError)


@pytest.mark.parametrize("announced", [False, True])
def test_descriptors_that_nobody_asked_for_are_not_kept(
    pool: WorkerPool, *, announced: bool
) -> None:
    """A process could use up those of its pool."""
    pool.warm_up(GUARD)
    before = len(os.listdir("/proc/self/fd"))

    job = pool.spawn(send_descriptors, args=(100,), kwargs={"announced": announced})

    assert isinstance(job.exception(GUARD), WorkerCrashedError)
    pool.warm_up(GUARD)
    assert len(os.listdir("/proc/self/fd")) < before + 20


def test_an_answer_that_comes_byte_by_byte_is_an_answer(pool: WorkerPool) -> None:
    """How a stream is cut is nobody's fault."""
    job = pool.spawn(drip, args=(frame(FrameType.VALUE, 1, b"drops", kind=6),))

    assert job.result(GUARD) == b"drops"


@pytest.mark.slow
@pytest.mark.timeout(55)
def test_random_frames_never_hang_nor_break_the_pool(make_pool: Callable[..., WorkerPool]) -> None:
    """Valid heads with random insides, cut at random places."""
    chance = random.Random(17)
    pool = make_pool(1, max_restarts=1000, max_crashes=1000, results="data")
    kinds = range(16, 26)
    for _ in range(20):
        data = b"".join(
            frame(
                chance.choice(kinds),
                chance.choice((0, 1, 2, 1 << 40)),
                chance.randbytes(chance.choice((0, 1, 30, 5000))),
                kind=chance.randrange(256),
                extra=chance.randrange(1 << 32),
                descriptors=chance.choice((0, 0, 0, 1)),
            )
            for _ in range(3)
        )
        job = pool.spawn(send, args=(data[: chance.randrange(1, len(data))],), timeout=0.1)
        job.exception(GUARD)
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4


def test_a_process_that_hangs_up_and_lives_is_ended(pool: WorkerPool) -> None:
    """It is of no use any more."""
    error = pool.spawn(close_channel).exception(GUARD)

    assert isinstance(error, WorkerCrashedError)
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4


def _names(pid: int) -> list[str]:
    return [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()]


def test_nobody_else_can_reach_the_channel(pool: WorkerPool) -> None:
    """Only socket pairs without a name; nothing is told by arguments or environment."""
    pid = pool.spawn(os.getpid).result(GUARD)
    inodes = {name for name in _names(pid) if name.startswith("socket:")}
    assert inodes

    named = [
        line.split()
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]
        if f"socket:[{line.split()[6]}]" in inodes
    ]

    assert all(len(fields) == 7 for fields in named)  # an eighth one would be its name
    assert b"socket" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_template_that_is_killed_is_replaced_and_its_children_run_on(
    make_pool: Callable[..., WorkerPool],
) -> None:
    """It only starts processes; the next start makes another one."""
    pool = make_pool(2)
    pid = pool.spawn(os.getpid).result(GUARD)
    backend: Any = pool._backend  # Any: a look inside
    template = backend._nursery._source.template_pid

    os.kill(template, signal.SIGKILL)

    until(lambda: backend._nursery._source.template_pid != template)
    assert pool.spawn(os.getpid).result(GUARD) == pid
    os.kill(pid, signal.SIGKILL)
    assert pool.spawn(double, args=(2,)).result(GUARD) == 4
