"""A guest task: a future whose ``poll`` runs guest code until it has to wait.

This is all that the runtime ever sees of the language. There is no coroutine and no
generator: what a suspended task has to remember (its calls, its values, its next instruction)
is data in a `Fiber`, so guest calls nest as deep as memory allows.
Threads: the executor's. Wakers may be called from anywhere.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Protocol

from examples.embedding import operations as op
from examples.embedding.errors import GuestError
from examples.embedding.values import Instruction, Value
from runtime.async_runtime import Future, Poll, Waker

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.embedding.errors import Place
    from examples.embedding.values import Slots, TaskValue

__all__ = ("Cancellable", "Errand", "Fiber", "World")

_NOBODY = Waker.noop()


class World(Protocol):
    """What a fiber needs from its host."""

    budget: int  # instructions in one poll
    polls: int  # counted here, as is:
    failures: int  # how many tasks ended with an error

    def spawn(self, callee_and_arguments: list[Value], place: Place) -> TaskValue:
        """Make a fiber that calls, and give it to the executor."""
        ...

    def ended(self, fiber: Fiber) -> None:
        """*fiber* will not run any more."""
        ...


class Fiber(Future[Value]):
    """One guest task.

    Args:
        world: The host.
        number: What messages call it.
        callee_and_arguments: What the task calls; its result is the task's.
        place: Where it was spawned.
    """

    __slots__ = (
        "_at",
        "_result",
        "frames",
        "handlers",
        "number",
        "place",
        "slots",
        "stack",
        "waker",
        "world",
    )

    def __init__(
        self, world: World, number: int, callee_and_arguments: list[Value], place: Place
    ) -> None:
        self.world = world
        self.number = number
        self.place = place
        self.waker = _NOBODY  # who polls now
        self.stack = callee_and_arguments  # values that are being worked on
        self.slots: Slots = []  # the variables of the call under way
        self.frames: list[tuple[Instruction, Slots]] = []  # the calls around it, as they were
        self.handlers: list[tuple[Instruction, int, int]] = []  # open try blocks
        first = Instruction(op.call, len(callee_and_arguments) - 1, place)
        first.next = Instruction(op.finish, None, place)
        self._at: Instruction | None = first  # None: it has ended
        self._result: Value = None

    def poll(self, waker: Waker = _NOBODY) -> Poll[Value]:
        """Run until the end, until something is pending, or until the budget is spent."""
        at = self._at
        if at is None:
            return Poll.ready(self._result)
        self.world.polls += 1
        self.waker = waker
        while True:
            try:
                for _ in repeat(None, self.world.budget):
                    following = at.run(self, at)
                    if following is None:  # `suspend` or `end` was called
                        return Poll.ready(self._result) if self._at is None else Poll.pending()
                    at = following
            except GuestError as error:
                at = self._unwind(at, error)
            except Exception as error:  # noqa: BLE001 - a host function's; the guest may catch it
                wrapped = GuestError(f"{type(error).__name__}: {error}")
                wrapped.__cause__ = error
                at = self._unwind(at, wrapped)
            else:  # others want their turn too: back to the end of the queue
                self._at = at
                waker.wake()
                return Poll.pending()

    def cancel(self) -> bool:
        """Never run again; called by the executor when the task was cancelled."""
        if self._at is None:
            return False
        if self.stack and isinstance(self.stack[-1], Errand):
            self.stack[-1].cancel()
        self.end(None)
        return True

    # ---- for operations -------------------------------------------------------------------

    def suspend(self, at: Instruction) -> None:
        """Leave the poll; the next one goes on with *at*."""
        self._at = at

    def end(self, result: Value) -> None:
        """The task is over; let go of everything, for who holds a task holds its fiber."""
        self._at = None
        self._result = result
        self.stack, self.slots, self.frames, self.handlers = [], [], [], []
        self.waker = _NOBODY
        self.world.ended(self)

    # ---- errors ---------------------------------------------------------------------------

    def trace(self, at: Instruction | None = None) -> list[str]:
        """Return the guest's stack, innermost call first; by default from where it waits."""
        at = at or self._at
        places = [] if at is None else [at.place]
        places.extend(call.place for call, _ in reversed(self.frames[1:]))
        lines = [f"in {place.function} ({place})" for place in places]
        if self.place.line:  # the main task was spawned by the host, from nowhere
            lines.append(f"spawned by {self.place.function} ({self.place})")
        return lines

    def _unwind(self, at: Instruction, error: GuestError) -> Instruction:
        """Go to the innermost handler; without one the task ends with *error*."""
        if not self.handlers:
            trace = self.trace(at)
            if error.place is not None:  # it comes from another task
                trace[0] = f"awaited {trace[0]}"
            error.locate(at.place, trace)
            self.world.failures += 1
            self.end(None)
            raise error
        target, depth, height = self.handlers.pop()
        if len(self.frames) > depth:
            self.slots = self.frames[depth][1]
            del self.frames[depth:]
        self.stack[height:] = [error.value]
        return target


class Cancellable(Protocol):
    """A future that can be told that nobody waits for it any more."""

    def poll(self, waker: Waker, /) -> Poll[Value]:
        """See `Future.poll`."""
        ...

    def cancel(self) -> bool:
        """Give up."""
        ...


class Errand(Future[Value]):
    """Something of the host's that one task waits for, and that ends with that task.

    Args:
        future: A timer, a job on a worker; something with ``cancel``.
        describe: Makes the guest's message of its error.
        on_end: Called once, whatever the end.
    """

    __slots__ = ("_describe", "_future", "_on_end")

    def __init__(
        self,
        future: Cancellable,
        describe: Callable[[Exception], str],
        on_end: Callable[[], None],
    ) -> None:
        self._future = future
        self._describe = describe
        self._on_end: Callable[[], None] | None = on_end

    def poll(self, waker: Waker = _NOBODY) -> Poll[Value]:
        """Poll the future; its error becomes a guest error."""
        try:
            polled = self._future.poll(waker)
        except Exception as error:
            self._end()
            raise GuestError(self._describe(error)) from error
        if polled.is_ready():
            self._end()
        return polled

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._end()
        self._future.cancel()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()
