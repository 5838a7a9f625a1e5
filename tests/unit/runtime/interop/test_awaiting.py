"""Awaiting our futures in every loop: cancelling in both directions, tracebacks, silence."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Promise, sleep
from runtime.errors import CancellationError
from runtime.workers import HandleState, Outcome, WorkerPool
from tests.unit.runtime.gates import Gate
from tests.unit.runtime.loops import ALL_LOOPS, Loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.workers import WorkerFuture


@pytest.fixture
def gate() -> Iterator[Gate[Any]]:
    made: Gate[Any] = Gate()
    yield made
    made.open()


@pytest.fixture
def pool(gate: Gate[Any]) -> Iterator[WorkerPool]:
    with WorkerPool(1) as made:
        yield made
        gate.open()


# ---- the task is cancelled ----------------------------------------------------------------


@ALL_LOOPS
def test_a_cancelled_task_gets_its_loops_own_cancellation_and_cancels_the_job(
    loop: Loop, pool: WorkerPool, gate: Gate[Any]
) -> None:
    """A job that runs, and one that is queued and then never runs."""
    seen: list[type[BaseException]] = []

    async def wait(job: WorkerFuture[Any]) -> None:
        try:
            await job
        except BaseException as error:
            seen.append(type(error))
            raise

    async def main() -> list[WorkerFuture[Any]]:
        jobs = [pool.spawn(gate), pool.spawn(int)]
        gate.wait_begun()
        for job in reversed(jobs):  # the slot of an abandoned job is replaced, and takes the next
            async with loop.group() as group:
                group.start(wait, job)
                await loop.turns()
                group.cancel()
        assert [issubclass(kind, loop.cancelled()) for kind in seen] == [True, True]
        return jobs

    running, queued = loop.run(main)

    assert running.outcome is Outcome.ABANDONED
    assert queued.outcome is Outcome.NEVER_RAN
    assert running.cancelled()


@ALL_LOOPS
def test_a_limit_of_the_loop_cancels_the_job(loop: Loop, pool: WorkerPool, gate: Gate[Any]) -> None:
    """And is raised as that loop's own limit."""

    async def main() -> WorkerFuture[Any]:
        job = pool.spawn(gate)
        with pytest.raises(loop.expired):
            async with loop.limit(0.005):
                await job
        return job

    assert loop.run(main).cancelled()


@ALL_LOOPS
def test_a_sibling_that_fails_cancels_the_job(
    loop: Loop, pool: WorkerPool, gate: Gate[Any]
) -> None:
    """The group waits for nobody: the job is cancelled with the task that awaits it."""
    job = pool.spawn(gate)

    async def fail() -> None:
        await loop.turns()
        raise KeyError("sibling")

    async def wait() -> None:
        await job

    async def main() -> None:
        async with loop.group() as group:
            group.start(wait)
            group.start(fail)

    with pytest.raises(ExceptionGroup) as caught:
        loop.run(main)

    assert [type(error) for error in caught.value.exceptions] == [KeyError]
    assert job.cancelled()


@ALL_LOOPS
def test_cancel_on_abandon_decides(loop: Loop, pool: WorkerPool, gate: Gate[Any]) -> None:
    """A job that is to outlive its waiter goes on, and can be awaited again."""

    async def main() -> object:
        job = pool.spawn(gate, cancel_on_abandon=False)
        with contextlib.suppress(loop.expired):
            async with loop.limit(0.005):
                await job
        assert not job.done()
        gate.open()
        return await job

    assert loop.run(main) == "through"


@ALL_LOOPS
def test_a_job_that_somebody_else_awaits_goes_on(
    loop: Loop, pool: WorkerPool, gate: Gate[Any]
) -> None:
    """Only the last one who leaves takes it along."""
    got: list[object] = []

    async def wait(job: WorkerFuture[Any]) -> None:
        got.append(await job)

    async def main() -> None:
        job = pool.spawn(gate)
        async with loop.group() as stay:
            stay.start(wait, job)
            async with loop.group() as leave:
                leave.start(wait, job)
                await loop.turns()
                leave.cancel()
            assert not job.done()
            gate.open()

    loop.run(main)

    assert got == ["through"]


@ALL_LOOPS
def test_nothing_is_kept_of_those_who_left(loop: Loop) -> None:
    """A future that lives long does not collect wakers of tasks that are gone."""
    promise: Promise[int] = Promise()

    async def main() -> None:
        for _ in range(20):
            with contextlib.suppress(loop.expired):
                async with loop.limit(0.0005):
                    await promise.future()

    loop.run(main)

    assert promise.future()._waiting() == []


# ---- the job is cancelled -----------------------------------------------------------------


@ALL_LOOPS
def test_a_job_cancelled_by_others_is_an_error_and_no_cancellation(
    loop: Loop, pool: WorkerPool, gate: Gate[Any]
) -> None:
    """The task that awaits it goes on; so does its group."""

    async def wait(job: WorkerFuture[Any]) -> None:
        with pytest.raises(CancellationError):
            await job
        await loop.sleep(0)
        got.append("went on")

    got: list[str] = []

    async def main() -> None:
        job = pool.spawn(gate)
        async with loop.group() as group:
            group.start(wait, job)
            await loop.turns()
            threading.Thread(target=job.cancel).start()
        assert job.handle.state is HandleState.CANCELLED

    loop.run(main)

    assert got == ["went on"]


# ---- errors, silence ----------------------------------------------------------------------


@ALL_LOOPS
def test_the_traceback_leads_from_the_await_to_the_job(loop: Loop, pool: WorkerPool) -> None:
    """The line with the ``await``, and the line that failed."""

    def divide() -> float:
        return 1 / 0

    async def main() -> str:
        try:
            await pool.spawn(divide)  # here
        except ZeroDivisionError:
            return traceback.format_exc()
        return ""

    text = loop.run(main)

    assert "await pool.spawn(divide)  # here" in text
    assert "return 1 / 0" in text
    assert text.index("# here") < text.index("return 1 / 0")


@ALL_LOOPS
def test_debug_modes_stay_silent(
    loop: Loop, pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    """Loops of asyncio run in debug mode here; warnings are errors in all of these tests."""

    async def main() -> None:
        for _ in range(20):
            await pool.spawn(int)
        await sleep(0.001)
        with contextlib.suppress(loop.expired):
            async with loop.limit(0.001):
                await sleep(10)

    loop.run(main)

    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


# ---- the tools of asyncio, and of trio ----------------------------------------------------


def test_gather_and_as_completed_take_the_bare_future(pool: WorkerPool) -> None:
    """They make tasks of whatever can be awaited."""

    async def main() -> tuple[list[int], set[int]]:
        jobs = [pool.spawn(lambda n=n: n) for n in range(5)]
        gathered = await asyncio.gather(*jobs)
        ensured = asyncio.ensure_future(pool.spawn(lambda: 7))
        done, _ = await asyncio.wait([ensured, asyncio.ensure_future(pool.spawn(lambda: 8))])
        assert ensured in done
        completed = {
            await each for each in asyncio.as_completed([pool.spawn(lambda n=n: n) for n in (3, 4)])
        }
        return gathered, completed | {task.result() for task in done}

    assert asyncio.run(main(), debug=True) == ([0, 1, 2, 3, 4], {3, 4, 7, 8})


def test_wait_for_and_shield(pool: WorkerPool, gate: Gate[Any]) -> None:
    """One cancels the job, the other one keeps it."""

    async def main() -> None:
        job = pool.spawn(gate)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(job), 0.005)
        assert not job.done()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(job, 0.005)
        await asyncio.sleep(0.005)
        kept = asyncio.all_tasks() - {asyncio.current_task()}  # what shield() made
        assert job.done() == (not kept)
        gate.open()
        await asyncio.gather(*kept)

    asyncio.run(main(), debug=True)


PROGRAM = """
import asyncio, sys, warnings
warnings.simplefilter("error")
from runtime import Worker, sleep
async def main():
    values = [await Worker.spawn(int, timeout=5.0) for _ in range(5)]
    await sleep(0.001)
    try:
        async with asyncio.timeout(0.001):
            await sleep(60)
    except TimeoutError:
        pass
    return values
print(asyncio.run(main()), "trio" in sys.modules)
"""


@pytest.mark.process
def test_a_program_in_asyncios_debug_mode_says_nothing_and_loads_no_other_loop() -> None:
    """With ``PYTHONASYNCIODEBUG=1``, as a developer runs it."""
    child = subprocess.run(
        [sys.executable, "-X", "dev", "-c", PROGRAM],
        env={
            **os.environ,
            "PYTHONASYNCIODEBUG": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (child.stdout.split(), child.stderr) == (["[0,", "0,", "0,", "0,", "0]", "False"], "")


@pytest.mark.process
def test_under_trio_nobody_loads_asyncio() -> None:
    """What runs is looked for among what is loaded."""
    pytest.importorskip("trio")
    program = (
        "import sys, trio; from runtime.workers import Worker\n"
        "async def main(): return await Worker.spawn(int, timeout=5.0)\n"
        "trio.run(main); sys.exit('asyncio' in sys.modules)"
    )

    child = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=30,
        check=False,
    )

    assert child.returncode == 0
