"""The common part of futures over many futures: which child to look at, and when.

A child that wakes is noted by its index, so a poll looks at those that woke and not at all
of them: joining n futures costs n polls, not n squared.

Threads: children may settle on any thread; the join may be polled by several executors.
Whoever gets the ``_busy`` lock (tried, never waited for) looks at the children; the others
are in ``_parents`` and are woken when there is an outcome. No wake-up is lost: a child's
waker first appends its index to ``_dirty``, then wakes the parents, and each parent polls.
Source: async-runtime-spec.md, section 5; ADR-003.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from runtime.async_runtime.abandoning import Combined
from runtime.async_runtime.coroutines import CoroutineFuture, as_pollable
from runtime.async_runtime.failure import Failure, caught
from runtime.async_runtime.future import Future, FutureLike, cancel_loser, checked, forget
from runtime.async_runtime.poll import PENDING, Poll
from runtime.async_runtime.promise import PromiseFuture
from runtime.async_runtime.waiters import wake_each
from runtime.async_runtime.waker import NOOP, Waker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.async_runtime.future import Pollable

__all__ = ("ChildWaker", "Join", "Settled")

T = TypeVar("T")
U = TypeVar("U")


class Settled(Generic[T]):
    """One outcome of `Future.all_settled`: a value, or an error.

    Attributes:
        error: The error, or None where there is a value.
    """

    __slots__ = ("_value", "error")

    def __init__(self, value: T | None, error: BaseException | None) -> None:
        self._value = value
        self.error = error

    @property
    def value(self) -> T:
        """The value; raises the error where there is none."""
        if self.error is not None:
            raise self.error
        return cast("T", self._value)

    def is_ok(self) -> bool:
        """Tell whether there is a value."""
        return self.error is None

    def __repr__(self) -> str:
        if self.error is not None:  # not its truth: an exception may be falsy
            return f"Settled(error={self.error!r})"
        return f"Settled({self._value!r})"


class ChildWaker(Waker):
    """Notes which child woke, and wakes those who poll the join."""

    __slots__ = ("_index", "_join")

    def __init__(self, join: Join[Any, Any], index: int) -> None:
        self._join = join
        self._index = index

    def wake(self) -> None:
        """Have the child looked at. Thread-safe."""
        # In a loop: joins of joins may be nested deeper than the stack of whoever wakes allows.
        nested: list[ChildWaker] = [self]
        seen: dict[int, Waker] = {id(self): self}  # by id, as in Join._parents
        others: list[Waker] = []
        for waker in nested:  # grows while we go through it
            waker._join._dirty.append(waker._index)
            for follower in waker.followers():
                if id(follower) not in seen:  # a join may be in another one more than once
                    seen[id(follower)] = follower
                    if isinstance(follower, ChildWaker):
                        nested.append(follower)
                    else:
                        others.append(follower)
        wake_each(others)

    def followers(self) -> list[Waker]:
        """Return those who poll the join."""
        return list(self._join._parents.copy().values())

    def is_woken(self) -> bool:
        """Tell whether the child is to be looked at."""
        return self._index in self._join._dirty

    def reset(self) -> None:
        """Nothing to arm: each wake counts."""

    def clone(self) -> Waker:
        """Return another waker of the same child."""
        return ChildWaker(self._join, self._index)


class Join(Combined, Future[U], Generic[T, U]):
    """The common part: which child to look at; what to do with its outcome is the subclass's."""

    __slots__ = ("_busy", "_cell", "_children", "_dirty", "_open", "_parents", "_values")

    def __init__(self, futures: Iterable[FutureLike[T]]) -> None:
        self._children: list[Pollable[T] | None] = [as_pollable(one) for one in futures]
        self._values: list[Any] = [None] * len(self._children)  # Any: values, or failures
        self._open = len(self._children)  # written by whoever holds _busy
        self._dirty = deque(range(len(self._children)))
        self._parents: dict[int, Waker] = {}  # by id: a waker need not be hashable
        self._busy = threading.Lock()  # tried, never waited for
        self._cell: PromiseFuture[U] = PromiseFuture()
        if not self._children:
            self._on_empty()

    def poll(self, waker: Waker = NOOP) -> Poll[U]:
        """Look at the children that woke since the last poll."""
        cell = self._cell
        if not cell._outcome:
            if waker is not NOOP and id(waker) not in self._parents:
                if self._parents:  # maybe of another loop, which has to watch deadlines too
                    self._dirty.extend(range(len(self._children)))
                self._parents[id(waker)] = waker
            while self._dirty and not cell._outcome and self._busy.acquire(False):
                try:
                    self._look()
                finally:
                    self._busy.release()
            if not cell._outcome:
                return PENDING
            self._drop_children()  # where another thread cancelled us meanwhile
            self._parents.pop(id(waker), None)
        waker = NOOP  # an error's traceback keeps this frame: it must not keep the task
        return cell.poll()

    def _look(self) -> None:
        """Poll every child that woke. Needs _busy."""
        while not self._cell._outcome:
            try:
                index = self._dirty.popleft()
            except IndexError:
                return
            child = self._children[index]
            if child is None:  # woken again after its outcome
                continue
            try:
                polled = checked(child.poll(self._waker_of(index)), child)
            except KeyboardInterrupt:  # maybe not the child's at all: nothing is lost by it
                self._dirty.appendleft(index)
                raise
            except BaseException as error:  # noqa: BLE001 - it is the outcome of the child
                self._children[index] = None
                self._open -= 1
                self._on_error(index, caught(error))
            else:
                if polled.is_pending():
                    continue
                self._children[index] = None
                self._open -= 1
                self._on_value(index, polled.value)

    def _waker_of(self, index: int) -> Waker:
        """Return the one waker of a child: kept where its value will be, until that comes."""
        waker = self._values[index]
        if waker is None:
            waker = self._values[index] = ChildWaker(self, index)
        return cast("Waker", waker)

    def _settle(self, outcome: int, value: object) -> None:
        """End the join: drop the children, tell everybody who polls. Needs _busy."""
        if not self._cell._settle(outcome, value):
            return
        self._forget_children()
        children, self._children, self._values = self._children, [], []
        for child in children:
            if isinstance(child, CoroutineFuture):  # it is ours alone: nobody else can await it
                child.cancel()
        self._wake_parents()

    def _wake_parents(self) -> None:
        """Wake those who poll, each once: whoever takes one out wakes it."""
        batch: list[Waker] = []
        while self._parents:
            try:
                batch.append(self._parents.popitem()[1])
            except KeyError:  # another thread took the last one
                break
        batch.reverse()
        wake_each(batch)

    def _forget_children(self) -> None:
        """Drop our wakers where they are kept: a long-lived child must not keep this join."""
        for child, waker in zip(self._children, self._values, strict=True):
            if child is not None and isinstance(waker, ChildWaker):
                forget(child, waker)

    def _drop_children(self) -> None:
        """Let go of what is left after an outcome; whoever looks at the children does it then."""
        while self._children and self._busy.acquire(False):
            try:
                self._forget_children()
                self._children, self._values = [], []
            finally:
                self._busy.release()

    def _on_empty(self) -> None:
        """Hook: there are no children at all. The default stays pending for ever."""

    def _on_value(self, index: int, value: object) -> None:
        raise NotImplementedError

    def _on_error(self, index: int, failure: Failure) -> None:
        raise NotImplementedError

    def _forget(self, waker: Waker) -> None:
        self._parents.pop(id(waker), None)
        if not self._parents and self._busy.acquire(False):
            try:
                if not self._cell._outcome:
                    self._forget_children()
                    self._dirty.extend(range(len(self._children)))  # asked again at the next poll
            finally:
                self._busy.release()

    def _unawaited(self) -> list[Pollable[T]]:
        if self._cell._outcome or self._parents:
            return []
        return [child for child in self._children if child is not None]

    def cancel(self) -> bool:
        """Cancel every child that is still open and can be; False where there is an outcome."""
        children = list(self._children)
        if not self._cell.cancel():
            return False
        self._drop_children()
        for child in children:
            if child is not None:
                cancel_loser(child)
        self._wake_parents()
        return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._cell!r}>"
