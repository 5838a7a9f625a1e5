"""Running a job on top of the one that waits: on the same thread, in the meantime.

Source: worker-api-spec.md, section 6; ADR-006.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.async_runtime.running import running
from runtime.backends.base import end_forked_child
from runtime.backends.headroom import has_headroom

if TYPE_CHECKING:
    from runtime.backends.base import JobSink
    from runtime.backends.slot import Slot

__all__ = ("run_any_in_place", "run_in_place")

MAX_STACK: Final = 64  # jobs on one thread: each takes some ten frames of the interpreter's 1000


def run_in_place(slot: Slot, job: JobSink) -> bool:
    """Run *job* on *slot*'s thread if it waits in its queue; False where it does not."""
    crew = slot.crew
    if len(slot.stack) >= MAX_STACK or not has_headroom():
        return False
    with crew.lock:  # a worker thread: no signal handler runs here
        if job.is_over() or not crew.queue.remove(job):
            return False
        try:
            if not _stack_up(slot, job):
                return False
        except BaseException:
            crew.queue.put_back(job)
            raise
    _run(slot, job)
    return True


def run_any_in_place(slot: Slot) -> bool:
    """Run the next queued job on *slot*'s thread; False where none waits."""
    crew = slot.crew
    if len(slot.stack) >= MAX_STACK or not has_headroom():
        return False
    with crew.lock:
        job = crew.queue.pop()
        if job is None:
            return False
        try:
            if not _stack_up(slot, job):
                return False
        except BaseException:
            crew.queue.put_back(job)
            raise
    _run(slot, job)
    return True


def _stack_up(slot: Slot, job: JobSink) -> bool:
    """Claim *job* for *slot*, on top of what runs there. Needs the pool's lock."""
    if slot.job is None or not job.claim(slot):
        return False
    slot.stack.append(slot.job)
    slot.job = job
    return True


def _run(slot: Slot, job: JobSink) -> None:
    waits_for, slot.waits_for = slot.waits_for, None
    waits_for_all, slot.waits_for_all = slot.waits_for_all, None
    # An executor that waits below must not seem to drive what runs here.
    executor, running.executor = running.executor, None
    try:
        job.execute()
    except BaseException as error:
        if job.is_over():
            raise
        job.crash(error)  # who waits for it is told
    finally:
        running.executor = executor
        slot.waits_for = waits_for
        slot.waits_for_all = waits_for_all
        if slot.forked:  # the job forked: its copy must not go on with the job below
            end_forked_child(None)
        crew = slot.crew
        with crew.lock:
            slot.job = slot.stack.pop()  # *job* is kept by this frame: nothing is freed here
            crew.recount(slot)
        if crew.watchers:
            crew.watchers.tell()
