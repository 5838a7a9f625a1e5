"""The heart of the executor: the ready queue, and the loop that resumes tasks.

Hot path: `ReadyLoop._drain`, and nothing else in this package. A resume pays for one ``popleft``,
one ``context.run`` and three stores. Whatever else may want the loop's attention sits in
the queue as a `Marker`, so that nothing has to be asked for at every turn.
Wake-ups: a task's ``_woken`` is cleared *before* it is polled, so a wake during the poll
queues it again (without the GIL too: storing a slot takes the object's lock there, so what the
poll loads is not older than the store). Parking is explained in `parking`.
Threads: one thread drives; any thread may append to the queue.
Source: async-runtime-spec.md, section 6; ADR-002.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from runtime.async_runtime.driven import DrivenTask
from runtime.async_runtime.failure import Failure
from runtime.async_runtime.future import cancel_loser, forget
from runtime.async_runtime.interrupts import has_ended, is_own
from runtime.async_runtime.markers import Leave, Marker
from runtime.async_runtime.outcome import CANCELLED, ERROR, VALUE
from runtime.async_runtime.parking import Parker
from runtime.async_runtime.poll import PENDING, Poll
from runtime.async_runtime.reports import UnhandledError, log_unhandled, tell
from runtime.async_runtime.running import FREE_THREADED, full_fence
from runtime.async_runtime.stopping import StopRequests
from runtime.async_runtime.timer_heap import Timer, TimerHeap
from runtime.errors import CancelRequestedError, InvalidPollError
from runtime.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from itertools import repeat
    from random import Random

    from runtime.async_runtime.nesting import Nest
    from runtime.async_runtime.waker import Waker
    from runtime.clock import Clock

__all__ = ("DONE", "LOOK", "SPENT", "STALLED", "STOPPED", "STOP_MARKER", "ReadyLoop")

# Why `ReadyLoop._drain` came back.
STALLED: Final = 0  # nothing is ready
SPENT: Final = 1  # the limit is reached
DONE: Final = 2  # the awaited task has ended
STOPPED: Final = 3  # `stop` was called
LOOK: Final = 4  # something else has happened that whoever drives should look at


class ReadyLoop:
    """The queue, the timers and the tasks; the classes above add what people call."""

    def __init__(
        self,
        clock: Clock,
        order: str | int,
        on_wake: Callable[[], object] | None,
        on_unhandled: Callable[[UnhandledError], object] | None,
    ) -> None:
        self._clock = clock
        self._ready: deque[Any] = deque()  # Any: tasks and markers; appended to by any thread
        self._active: dict[DrivenTask[Any], None] = {}  # in order of spawns; strong references
        self._timers = TimerHeap()  # loop thread only
        self._parker = Parker(on_wake)
        self._on_unhandled = on_unhandled or log_unhandled
        self._current: Any = None  # Any: the task (or marker) that is being polled
        self._nest: Nest | None = None  # the innermost nested run
        self._told: float | None = None  # the deadline that a host knows of
        self._idle = 0  # turns that polled no task; loop thread only
        self._ticking = False  # the tick marker is in the queue; loop thread only
        self._stopping = False  # stop() was called during the run under way
        self._littered = False  # other markers may be in the queue
        self._random: Random | None = None
        self._pop: Callable[[], Any] = self._ready.popleft
        if order != "fifo":
            from random import Random  # noqa: PLC0415 - as dear to import as this package

            self._random = Random(order)
            self._pop = self._pop_random

    # ---- hot path -------------------------------------------------------------------------

    def _drain(  # noqa: C901, PLR0912, PLR0915 - written out: a call per resume would cost a third more
        self,
        turns: repeat[None],
        until: DrivenTask[Any] | None,
        pop: Callable[[], Any] | None = None,
    ) -> int:
        """Poll at most *turns* tasks that *pop* gives, or until *until* has ended. Say why."""
        pop = pop or self._pop
        append = self._ready.append
        forget = self._active.pop
        task = None
        try:
            for _ in turns:
                try:
                    task = pop()
                except IndexError:
                    self._idle += 1
                    return STALLED
                if task._outcome:  # woken after its end, or ended out of turn
                    if task is until:
                        return DONE
                    self._idle += 1
                    continue
                task._woken = False  # before the poll: see the module
                self._current = task
                try:
                    got = task._context.run(task._resume.send, task._arg)
                except StopIteration as stop:
                    if task._arg is None:  # as _end, without the two calls
                        task._value = stop.value  # first: no call, so no interrupt comes before
                        task._outcome = VALUE
                        task._woken = True
                        forget(task, None)
                        task._resume = task._context = None
                        if FREE_THREADED:
                            full_fence()
                        if task._waiters is not None:
                            task._wake_all()
                    else:
                        self._fail(task, stop)
                except Leave as leave:
                    return leave.why
                except BaseException as error:
                    if not is_own(error, task):
                        raise
                    self._fail(task, error)
                else:
                    if got is PENDING:  # it waits; its waker is in good hands
                        continue
                    if got is None and task._arg is None:  # a bare yield: let the others run
                        task._woken = True
                        append(task)
                        continue
                    self._take_other(task, got)
                if task is until:
                    return DONE
            return SPENT  # noqa: TRY300 - an else would need a test of its own
        except BaseException as error:
            self._left_by(task, error)
            raise
        finally:
            # A kept traceback keeps this frame, below that of the task: it must not keep the task.
            task = until = self._current = None

    def _end(self, task: DrivenTask[Any], outcome: int, value: object) -> None:
        """Settle *task*, free what it held, wake those who wait for it."""
        self._let_go(task)
        task._publish(outcome, value)

    def _let_go(self, task: DrivenTask[Any]) -> None:
        self._active.pop(task, None)
        task._woken = True  # never queued again
        task._resume = task._arg = None
        task._context = None  # type: ignore[assignment]  # nobody resumes it
        if task._stop is not None:
            task._stop.resume = None

    def _left_by(self, task: Any, error: BaseException) -> None:  # noqa: ANN401 - as _current
        """Finish for *task* what an interrupt that hit the loop itself has cut short."""
        if task is None or type(task) is Marker:
            return
        if task._outcome:
            self._let_go(task)
            if task._waiters is not None:
                task._wake_all()
        elif has_ended(task):
            failure = Failure(error, error.__traceback__)  # what it returned is lost
            failure.mark_observed()  # as in _fail
            self._end(task, ERROR, failure)
        else:
            self._active.setdefault(task)  # it gets one more poll: see _requeue_all

    def _take_other(self, task: DrivenTask[Any], got: object) -> None:
        """Handle what `_drain` does not know at first sight."""
        if task._arg is None:
            text = (
                f"{task!r} awaited something that yields {got!r}: it belongs to another loop; "
                "await futures of this runtime here"
            )
            task._raise_inside(InvalidPollError(text))
        elif not isinstance(got, Poll):
            text = f"poll() of {task!r} gave {got!r}: return Poll.ready(value) or Poll.pending()"
            self._fail(task, InvalidPollError(text))
        elif got.is_ready():
            self._end(task, VALUE, got.value)

    def _fail(self, task: DrivenTask[Any], error: BaseException) -> None:
        """Settle *task* with *error*; what must leave the loop is raised again."""
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code in _OWN_FRAMES:
            trace = trace.tb_next
        error.__traceback__ = trace
        if isinstance(error, CancelRequestedError) and task._stop and task._stop.delivered:
            self._cancelled(task)
            return
        place, name, hook = (task._code, task._instruction), repr(task), self._on_unhandled

        def report(failure: Failure) -> None:
            tell(hook, UnhandledError(failure.error, name, place))

        failure = Failure(error, trace, report)
        self._end(task, ERROR, failure)
        if not isinstance(error, Exception) and not isinstance(error, CancelRequestedError):
            failure.mark_observed()  # whoever drives the loop gets it right now
            try:
                raise error
            finally:
                del error, failure  # the traceback keeps this frame

    def _cancelled(self, task: DrivenTask[Any]) -> None:
        """Settle *task* as cancelled, and with it the future that it drives, if any."""
        source = task.source if task._arg is not None else None
        self._end(task, CANCELLED, None)
        if source is not None:
            forget(source, cast("Waker", task))  # cast: it is registered as one
            try:
                cancel_loser(source)
            except Exception:  # noqa: BLE001 - reported: the loop, or close(), has to go on
                logger(__name__).exception("cancel() of %r, which %r drove, raised", source, task)

    def _pop_random(self) -> Any:  # noqa: ANN401 - see _ready
        """Take any of the ready ones; the seed decides which, so a run can be repeated."""
        ready = self._ready
        if self._stopping:  # wherever in the queue the marker is by now
            return STOP_MARKER
        if len(ready) > 1 and self._random is not None:
            ready.rotate(-self._random.randrange(len(ready)))
        return ready.popleft()

    def _leave_stopped(self) -> None:
        if self._stopping:  # else it is left over from an earlier run
            self._stopping = False
            raise Leave(STOPPED)

    def _leave_to_look(self) -> None:
        raise Leave(LOOK)

    def _look(self) -> None:
        """Make whoever drives look up, once what is queued before this has had its turn."""
        self._littered = True
        self._ready.append(LOOK_MARKER)

    def _sweep(self) -> None:
        """Take markers that nobody needs any more out of the queue."""
        self._littered = False
        ready = self._ready
        for _ in range(len(ready)):
            task = ready.popleft()
            if task is not STOP_MARKER and task is not LOOK_MARKER:
                ready.append(task)

    @property
    def has_ready(self) -> bool:
        """Whether a step would poll something now (apart from timers that are due)."""
        return len(self._ready) > self._ticking

    # ---- timers ---------------------------------------------------------------------------

    def _add_timer(self, deadline: float, callback: Callable[[], object]) -> Timer:
        """Call *callback* on the loop at *deadline*. Only on the loop's thread."""
        timer = self._timers.add(deadline, callback)
        self._keep_ticking()
        if self._parker.armed and (self._told is None or deadline < self._told):
            self._told = deadline
            self._parker.signal()  # a host sleeps for longer than this
        return timer

    def _tick(self) -> None:
        """Run what is due. While anything is waited for, the marker goes round with the tasks."""
        timers = self._timers
        if timers:
            timers.run_due(self._clock.now())
        if timers or (self._parker.watcher is not None and self._parker.is_watching):
            self._keep_ticking()

    def _keep_ticking(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._ready.append(TICK_MARKER)

    def _tick_in_turn(self) -> None:
        self._ticking = False
        self._tick()
        if not self.has_ready:  # nothing but the marker: let the thread park
            raise Leave(STALLED)
        self._parker.look()


TICK_MARKER: Final = Marker(ReadyLoop._tick_in_turn)
STOP_MARKER: Final = Marker(ReadyLoop._leave_stopped)
LOOK_MARKER: Final = Marker(ReadyLoop._leave_to_look)

# Frames at the upper end of a task's traceback that say nothing, and that hold the task.
_OWN_FRAMES: Final = frozenset(
    {ReadyLoop._drain.__code__, StopRequests.send.__code__, DrivenTask.send.__code__}
)
