"""What a forked copy of this process does with the sources of children that it inherits.

Threads: registered from any thread; the hook runs in the copy, which has one.
Invariant: a source is forgotten in a process that did not make it, and nowhere else. Hooks run in
the order in which they were registered, so when this one runs, pools may have made their new ones.
Source: worker-api-spec.md, section 10.9; ADR-007.
"""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol

__all__ = ("forget_after_fork",)


class _Source(Protocol):
    def forget(self) -> None: ...


_made_in: Final[weakref.WeakKeyDictionary[_Source, int]] = weakref.WeakKeyDictionary()


def forget_after_fork(source: _Source) -> None:
    """From now on forked copies of this process let go of *source*."""
    _made_in[source] = os.getpid()


def _in_forked_child() -> None:
    here = os.getpid()
    for source, process in list(_made_in.items()):
        if process != here:
            source.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
