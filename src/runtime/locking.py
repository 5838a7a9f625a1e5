"""Sections under a lock that an exception out of a signal handler cannot leave locked.

``with lock:`` is no such section everywhere: where the interpreter looks for signals after
each call (3.14), a `KeyboardInterrupt` can be raised when ``__enter__`` has taken the lock and
the block has not begun; nobody gives the lock back then, and who wants it hangs. So the lock is
taken by an operator, ``True in taking``: it calls ``acquire`` from C, and no signal is looked
for between an operator and the ``try`` after it.
Source: worker-api-spec.md, section 4.3; ADR-006.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("Locked", "Takeable", "locked", "taking", "trying")

P = ParamSpec("P")
R = TypeVar("R")


class Takeable(Protocol):
    """A lock, re-entrant or not: the classes of `threading` have no public name in common."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, waiting for it."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class Locked(Protocol):
    """What has methods that are `locked`."""

    @property
    def lock(self) -> Takeable:
        """What is held while such a method runs."""
        ...

    taking: Iterator[bool]  # made by `taking` from the lock


LockedT = TypeVar("LockedT", bound=Locked)


def taking(lock: Takeable) -> Iterator[bool]:
    """Return the iterator that takes *lock* for whoever evaluates ``True in`` it."""
    return iter(lock.acquire, None)  # acquire gives True, so each look takes exactly one


def trying(lock: Takeable) -> Iterator[bool]:
    """Return the iterator that tries, without waiting, to take *lock* for each item asked for.

    To be used as ``for taken in tries: break``, and then ``if not taken: return`` or the like,
    with ``try`` after it: no signal is looked for from the one to the other.
    """
    return map(lock.acquire, itertools.repeat(False))


def locked(
    method: Callable[Concatenate[LockedT, P], R],
) -> Callable[Concatenate[LockedT, P], R]:
    """Decorate *method*: it runs with ``self.lock`` held. Re-entrant."""

    def run(self: LockedT, /, *args: P.args, **kwargs: P.kwargs) -> R:
        lock = self.lock
        _ = True in self.taking  # takes the lock; see the module
        try:
            return method(self, *args, **kwargs)
        finally:
            lock.release()

    functools.update_wrapper(run, method)
    return run
