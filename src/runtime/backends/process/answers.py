"""What children say: read, checked, and made into outcomes.

Threads: the collector's; what may run code of the user goes to the loader's threads.
Nothing that comes is trusted: a frame that makes no sense, or speaks of a job that the child does
not have, ends that child, and its job fails as after any crash.
Source: process-wire-spec.md, sections 2, 3 and 6; ADR-009.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, TypeAlias

from runtime.backends.process.child_state import ChildEvent, ChildState
from runtime.backends.process.fleet import AHEAD, MOST_AHEAD
from runtime.backends.process.outcomes import Outcomes, drop
from runtime.backends.process.serving import REPLACE_ME
from runtime.backends.process.wire import FrameType
from runtime.errors import ProtocolError
from runtime.locking import locked
from runtime.logs import logger

if TYPE_CHECKING:
    from runtime.backends.base import JobSink
    from runtime.backends.process.child import Child
    from runtime.backends.process.hub import Hub
    from runtime.backends.process.nursery import Nursery
    from runtime.backends.process.wire import Frame

__all__ = ("Answers",)

# Jobs with their answers, to whom to send, whether idle children need a look, what went wrong.
_Taken: TypeAlias = "tuple[list[tuple[JobSink, Frame]], list[Child], bool, ProtocolError | None]"
_READS: Final = 64  # of one child in a row, where a large frame comes
_MICROSECONDS: Final = 1e-6
_NOT_RUN: Final = frozenset({FrameType.SKIPPED, FrameType.BARE})
_WORKING: Final = frozenset({ChildState.BUSY, ChildState.ABANDONED})
_JOBS: Final = _NOT_RUN | {FrameType.VALUE, FrameType.ERROR}


class Answers:
    """See the module.

    Args:
        hub: What it works on.
        nursery: Told of children that are ready, unfit, or not to be trusted.
    """

    def __init__(self, hub: Hub, nursery: Nursery) -> None:
        self.hub = hub
        self.lock = hub.lock
        self.taking = hub.taking
        self._fleet = hub.fleet
        self._nursery = nursery
        self._deaths = nursery.deaths
        self._outcomes = Outcomes(hub)

    def read(self, child: Child) -> None:
        """Read what *child* has sent, and do what it says."""
        try:
            is_open = self._read(child)
        except BlockingIOError:
            return
        except (ProtocolError, MemoryError) as error:
            self._distrust(child, error)
            return
        except OSError:  # reset: it died with something unread
            is_open = False
        except Exception as error:  # noqa: BLE001 - a bug of ours: the rest ends as after a crash
            logger(__name__).exception("worker process %d cannot be understood", child.pid)
            self._deaths.hang_up(child, error)
            return
        if not is_open:
            self._deaths.hang_up(child)

    def _read(self, child: Child) -> bool:
        """Read as long as there is something; False at the end of it."""
        reader = child.reader
        is_open = True
        for _ in range(_READS):
            is_open = reader.fill()
            self._handle(child, reader.frames())
            if reader.is_cut():  # or no frame at all is what follows: that raises here
                self._handle(child, reader.frames())
            elif not child.has_ended:
                break
            if not is_open:
                break
        return is_open

    def _distrust(self, child: Child, error: ProtocolError | MemoryError) -> None:
        logger(__name__).error(
            "worker process %d sent what no worker process sends and is ended: %s",
            child.pid,
            error,
        )
        self._deaths.hang_up(child, error)

    def _handle(self, child: Child, frames: list[Frame]) -> None:
        """Do what *frames* say, in their order; answers in a row are taken together."""
        first = 0
        for index, frame in enumerate(frames):
            if frame.type in _JOBS:
                continue
            try:
                self._answered(child, frames[first:index])
                self._other(child, frame)
            except BaseException:
                drop(frames[index + 1 :])
                raise
            first = index + 1
        self._answered(child, frames[first:] if first else frames)

    def _other(self, child: Child, frame: Frame) -> None:
        """Do what *frame* says, which answers no job."""
        if frame.descriptors:
            drop([frame])
        if frame.type == FrameType.LOG:
            child.relay.handle(child.pid, bytes(frame.payload))
        elif frame.type == FrameType.PROGRESS:
            self._outcomes.progress(child, frame)
        else:
            self._life(child, frame)

    def _life(self, child: Child, frame: Frame) -> None:
        if frame.type == FrameType.HELLO:
            child.is_set_up = True  # its process is known by the source
            return
        if child.state not in {ChildState.STARTING, ChildState.LEAVING}:
            raise ProtocolError(f"a frame of type {frame.type} came at the wrong time")
        if frame.type == FrameType.READY:
            self._nursery.ready(child)
        elif frame.type == FrameType.UNFIT:
            self._nursery.expect_unfit(child)
            self.hub.loader.submit(functools.partial(self._unfit, child, frame))
        else:
            raise ProtocolError(f"a frame of unknown type {frame.type} came")

    def _unfit(self, child: Child, frame: Frame) -> None:
        self._nursery.unfit(child, self._outcomes.error(frame, "the initializer"))

    # ---- answers --------------------------------------------------------------------------

    def _answered(self, child: Child, frames: list[Frame]) -> None:
        """Give the child more to do, then settle what it has done."""
        if not frames:
            return
        answers, touched, chores, error = self._take_and_go_on(child, frames)
        try:
            if touched or self._fleet.wanted or self._fleet.begun:
                self.hub.send(touched, wanted=self._fleet.wanted > 0)
            for reader in child.outputs:
                reader.end_job()
        finally:  # nobody else has these jobs any more
            self._outcomes.settle(answers)
        if error is not None:  # what came before it counts all the same
            raise error
        if child.state is ChildState.LEAVING:
            child.outbox.flush()
        if chores:
            self.hub.rebalance()
            self._nursery.farewells.look()
        if self._fleet.watchers:
            self._fleet.watchers.tell()

    @locked
    def _take_and_go_on(self, child: Child, frames: list[Frame]) -> _Taken:
        """Return what *frames* answer, to whom to send now, whether idle children need a look."""
        answers, error = self._take(child, frames)
        if error is not None:  # no more for this one
            return answers, [], False, error
        return answers, *self._go_on(child), None

    def _go_on(self, child: Child) -> tuple[list[Child], bool]:
        """Needs lock. Give more work, to *child* or others; see `_take_and_go_on`."""
        fleet, in_flight = self._fleet, child.in_flight
        most = fleet.settings.max_jobs_per_worker
        if most is not None and child.jobs_done >= most and child.recycle is None:
            child.recycle = f"it has done {most} job(s)"
        if child.recycle is not None:
            fleet.take_back(child)
        child.since = self.hub.clock.now()
        if in_flight:
            child.claim(in_flight[0][1])  # the next one has begun, or is about to
        elif child.state in _WORKING:  # and not idle already: it skips what was taken back
            abandoned = child.state is ChildState.ABANDONED
            child.advance(ChildEvent.COME_BACK if abandoned else ChildEvent.RUN_DRY)
            child.cancel_timer()
            if child.is_dying:  # a signal to end is on its way to it
                self._nursery.farewells.let_go(child)
            elif child.recycle is not None:
                fleet.recycled += 1
                self._nursery.farewells.let_go(child)
            else:
                fleet.idle.append(child)
        touched: list[Child] = []
        # Before the look: who pushes after it comes here itself. What made the fleet full may have
        # gone without anybody having looked.
        fleet.is_full = fleet.is_full and bool(in_flight)
        if fleet.queue or fleet.again:
            has_room = in_flight or child.state is ChildState.IDLE
            touched = fleet.give_out(child if has_room else None)
        chores = child.state is ChildState.IDLE and (
            fleet.has_jobs_behind() or self._nursery.farewells.must_look()
        )
        return touched, chores

    def _take(
        self, child: Child, frames: list[Frame]
    ) -> tuple[list[tuple[JobSink, Frame]], ProtocolError | None]:
        """Needs lock. Return the jobs that *frames* answer: the first ones that *child* has.

        And what is wrong with the first frame that makes no sense; those after it do not count.
        """
        in_flight, answers = child.in_flight, []
        error = None
        for index, frame in enumerate(frames):
            is_answer = frame.type not in _NOT_RUN
            if not (is_answer and in_flight and in_flight[0][0] == frame.number):
                error = self._no_answer(child, frame)
                if error is None:
                    continue
                drop(frames[index:])
                break
            job = in_flight.popleft()[1]
            if job.is_pending():  # it began unnoticed
                child.claim(job)
            if self.hub.quarantine.is_needed and job.work is not None:
                self.hub.quarantine.forgive(job.work.packed)
            answers.append((job, frame))
            child.note_cost(frame.extra * _MICROSECONDS, AHEAD, MOST_AHEAD)
            if frame.kind & REPLACE_ME:
                child.recycle = "a job left it unfit for others, or it holds too much memory"
        child.jobs_done += len(answers)
        self._fleet.settling.update([job for job, _ in answers])
        return answers, error

    def _no_answer(self, child: Child, frame: Frame) -> ProtocolError | None:
        """Needs lock. *frame* tells of a job that was not run, or makes no sense: return why.

        Invariant: a job is skipped only where the pool took it back, and comes bare only once:
        whatever the child says, and whatever it has written on the page.
        """
        number, in_flight = frame.number, child.in_flight
        was_taken_back = frame.type == FrameType.SKIPPED and number <= child.revoked
        if not in_flight or in_flight[0][0] != number:
            if not was_taken_back:
                return ProtocolError(f"an answer came for job {number}, which it does not have")
            drop([frame])  # it is somewhere else by now
            return None
        job = in_flight[0][1]
        if frame.type == FrameType.SKIPPED and not was_taken_back:
            return ProtocolError(f"job {number} was skipped, and had not been taken back")
        if frame.type == FrameType.BARE and (job.work is None or job.work.is_bare):
            return ProtocolError(f"job {number} was to come bare, and had come so")
        in_flight.popleft()
        self._put_back(job, frame)
        return None

    def _put_back(self, job: JobSink, frame: Frame) -> None:
        """Needs lock. *job* has come to the child, and has not been run."""
        drop([frame])
        job.slot = None
        if frame.type == FrameType.BARE and job.work is not None:
            job.work.is_bare = True
        self._fleet.put_back(job)
