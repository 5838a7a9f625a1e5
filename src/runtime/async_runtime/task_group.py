"""Tasks that live no longer than a block.

Source: async-runtime-spec.md, section 7.4; ADR-004.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar, cast

from runtime.async_runtime.cancellation import current_task
from runtime.async_runtime.outcome import ERROR
from runtime.errors import AwaitCycleError, CancelRequestedError, InvalidStateError

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType
    from typing import Self

    from runtime.async_runtime.driven import DrivenTask
    from runtime.async_runtime.future import FutureLike
    from runtime.async_runtime.outcome import OutcomeFuture

__all__ = ("TaskGroup",)

T = TypeVar("T")


class TaskGroup:
    """An async context manager: children that it spawned have ended when its block has.

    The first child that fails, or the block itself failing, asks all other children (and the
    block) to stop. When all have ended, an `ExceptionGroup` with every failure is raised.
    A child that was cancelled alone is no failure. An outer cancellation stops the children,
    waits for them, and goes on outwards; where children fail meanwhile, their failures are
    raised first, and the task sees the request again at its next ``await``.

    Belongs to one task; `spawn` may be called by its children too, until the block has ended.
    Not thread-safe: only from the executor's thread.
    """

    __slots__ = ("_children", "_errors", "_level", "_outer", "_parent", "_stopping", "_used")

    def __init__(self) -> None:
        self._parent: DrivenTask[Any] | None = None  # while the block runs
        self._level = 0  # in how many shields the block lies
        self._children: dict[DrivenTask[Any], None] = {}  # in order of their spawns
        self._errors: list[BaseException] = []  # of children, and of the block
        self._outer: list[CancelRequestedError] = []  # requests by others, seen by the block
        self._stopping = False
        self._used = False

    def spawn(self, future: FutureLike[T]) -> DrivenTask[T]:
        """Drive *future* as a child; in a group that is stopping, it never starts.

        Raises:
            InvalidStateError: the block has not begun, or has ended.
            TypeError, ExecutorClosedError: as `Executor.spawn`.
        """
        parent = self._parent
        if parent is None:
            close = getattr(future, "close", None)
            if close is not None:
                close()  # no warning about a coroutine that was never awaited
            raise InvalidStateError("cannot spawn in a task group outside of its block")
        child = parent._executor.spawn(future)
        child._spawned_at(sys._getframe(1))
        self._children[child] = None
        child.add_done_callback(self._child_ended)
        if self._stopping:
            child.cancel()
        return child

    def cancel(self) -> None:
        """Ask every child, and the block, to stop; the block then ends without an error."""
        self._stop()
        if self._parent is not None:
            self._parent._request_stop(self, self._level)

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            for child in list(self._children):
                child.cancel()

    def _child_ended(self, child: OutcomeFuture[Any]) -> None:
        self._children.pop(cast("DrivenTask[Any]", child), None)
        if child._outcome == ERROR:
            self._errors.append(child._failure().view())
            if not self._stopping:
                self.cancel()

    async def __aenter__(self) -> Self:
        if self._used:
            raise InvalidStateError("a task group is used once: make a new one for each block")
        self._used = True
        self._parent = current_task()
        self._level = self._parent._level
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is not None:
            self._stop()
            if isinstance(error, CancelRequestedError):
                self._note(error)
            elif isinstance(error, Exception):
                self._errors.append(error)
            elif isinstance(error, GeneratorExit):  # the coroutine is closed: it cannot wait
                self._parent = None
                return False
        await _Ended(self)
        return self._leave(error)

    def _note(self, request: CancelRequestedError) -> None:
        if request.reason is not self:
            self._outer.append(request)

    def _leave(self, error: BaseException | None) -> bool:
        """Raise what the block has come to; True where *error* is settled thereby."""
        parent, self._parent = cast("DrivenTask[Any]", self._parent), None
        parent._withdraw_stop(self)
        outer, self._outer = self._outer, []
        errors, self._errors = self._errors, []
        if error is not None and not isinstance(error, (Exception, CancelRequestedError)):
            return False  # KeyboardInterrupt and its kind pass as they are
        # One is raised below, if nothing else is; the others come back at the next await.
        for request in outer if errors else outer[1:]:
            parent._request_stop(request.reason, getattr(request.reason, "_level", 0))
        del parent  # the traceback keeps this frame: it must not keep the task
        if errors:
            raise BaseExceptionGroup("a task group failed", errors) from None
        if outer and outer[0] is not error:
            raise outer.pop(0)
        return not outer


class _Ended:
    """Awaits the end of every child; requests to stop do not cut it short."""

    __slots__ = ("_group",)

    def __init__(self, group: TaskGroup) -> None:
        self._group = group

    def __await__(self) -> Generator[Any, object, None]:
        group = self._group
        while group._children:
            child = next(iter(group._children))
            try:
                yield from child._until_ended(check=not group._stopping)
            except AwaitCycleError as error:  # a child awaits this task: neither would ever end
                group._errors.append(error)
                group._stop()
            except CancelRequestedError as request:
                group._note(request)
                group._stop()
