"""A run inside a run: drive one future from within a task, and let the other tasks lie still.

A member of the nest is polled: the task of the awaited future, what members spawn, and what
members wait for, directly, through ``Future.all`` and its kind, or through other tasks. Any
other task that is ready is set aside and put back, in order, when the nested run ends.
What a member gets by other ways (a promise that a task outside would settle) nobody can know.
Source: async-runtime-spec.md, section 8.4; ADR-008.
"""

from __future__ import annotations

import sys
from collections import deque
from itertools import repeat
from typing import TYPE_CHECKING, Any

from runtime.async_runtime.driven import DrivenTask
from runtime.async_runtime.joining import ChildWaker
from runtime.async_runtime.loop import DONE, SPENT, STALLED
from runtime.async_runtime.markers import Marker

if TYPE_CHECKING:
    from runtime.async_runtime.loop import ReadyLoop

__all__ = ("Nest",)


class Nest:
    """One nested run. Loop thread only.

    Args:
        loop: Whose.
        current: What the run around this one is polling: a task, or a marker, or nothing.
        until: The task to drive to its end.
    """

    __slots__ = ("_held", "_idle", "_loop", "_members", "outer", "running")

    def __init__(self, loop: ReadyLoop, current: object, until: DrivenTask[Any]) -> None:
        self._loop = loop
        self._idle = loop._idle  # what the run around this one has counted
        self._members: set[DrivenTask[Any]] = set()
        self._held: deque[DrivenTask[Any]] = deque()  # ready, but not ours to poll
        self.outer = loop._nest
        # Tasks in the middle of a poll, further down on the stack: never polled from here.
        self.running: set[object] = {current, *(self.outer.running if self.outer else ())}
        self.require(until)

    def admit(self, task: DrivenTask[Any]) -> None:
        """Make *task*, which is new, a member."""
        self._members.add(task)

    def require(self, task: DrivenTask[Any]) -> None:
        """Make *task* a member, and what it waits for; queue those set aside."""
        if task in self._members:
            return
        step: DrivenTask[Any] | None = task
        while step is not None and step not in self._members:
            self._members.add(step)
            step = step._awaiting
        for held in list(self._held):
            if held not in self.running and self._is_needed(held):
                self._held.remove(held)
                self._loop._ready.append(held)

    def drain(self, until: DrivenTask[Any], limit: int = sys.maxsize) -> int:
        """Poll members until *until* has ended, none is ready, or there is something to look at.

        *limit*: after how many polls at most.
        """
        loop = self._loop
        task: Any = None  # Any: a task or a marker
        try:
            while not until._outcome:
                try:
                    task = loop._pop()
                except IndexError:
                    return STALLED
                if not isinstance(task, Marker) and self._is_foreign(task):
                    self._held.append(task)
                    continue
                why = loop._drain(repeat(None, 1), until, [task].pop)
                if why not in (SPENT, DONE):
                    return why
                limit -= 1
                if not limit:
                    return SPENT
            return DONE
        finally:
            del task, until  # as in _drain

    def release(self) -> None:
        """Give back what was set aside, ahead of what became ready later."""
        self._loop._ready.extendleft(reversed(self._held))
        self._loop._idle = self._idle
        self._held.clear()
        self._members.clear()

    def _is_foreign(self, task: DrivenTask[Any]) -> bool:
        return task in self.running or not self._is_needed(task)

    def _is_needed(self, task: DrivenTask[Any]) -> bool:
        """Tell whether a member waits for *task*; make it one where that is so."""
        if task in self._members:
            return True
        seen = {task}
        waiting: list[Any] = [*task._waiting()]  # Any: wakers of any kind
        while waiting:
            waker = waiting.pop()
            if isinstance(waker, ChildWaker):
                waiting += waker.followers()
            elif isinstance(waker, DrivenTask) and waker not in seen:
                if waker in self._members:
                    self._members.add(task)
                    return True
                seen.add(waker)
                waiting += waker._waiting()
        return False
