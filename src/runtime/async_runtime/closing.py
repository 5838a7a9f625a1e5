"""The end of an executor: every task that is left ends, and is told about once.

Source: async-runtime-spec.md, section 8.6; ADR-008.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runtime.async_runtime.outcome import CANCELLED
from runtime.async_runtime.running import running
from runtime.logs import logger

if TYPE_CHECKING:
    from runtime.async_runtime.driven import DrivenTask
    from runtime.async_runtime.executor import Executor

__all__ = ("end_tasks",)

_NAMED: Final = 5  # how many pending tasks a report names


def end_tasks(executor: Executor) -> None:
    """End what *executor*, which takes no more tasks, still has, and say so in the log."""
    left = list(executor._active.copy())
    if left:
        _report(executor, left)
    before, running.executor = running.executor, executor
    try:
        while executor._active:  # a finally block may have spawned before, from another thread
            for task in left:
                _end(executor, task)
            left = list(executor._active.copy())
    finally:
        running.executor = before
        executor._current = None


def _report(executor: Executor, left: list[DrivenTask[Any]]) -> None:
    names = "; ".join(f"{task!r} spawned at {task.place}" for task in left[:_NAMED])
    more = f"; and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    logger(__name__).warning(
        "%r closed with %d task(s) pending: %s%s", executor, len(left), names, more
    )


def _end(executor: Executor, task: DrivenTask[Any]) -> None:
    try:
        del executor._active[task]
    except KeyError:  # it has ended, or whoever spawned it has noticed that we are closed
        return
    executor._current = task
    try:
        if task._arg is None:
            task._context.run(task.source.close)
    except BaseException as error:  # noqa: BLE001 - reported: closing must come to its end
        _fail(executor, task, error)
    else:
        if task._arg is None:
            executor._end(task, CANCELLED, None)
        else:
            executor._cancelled(task)


def _fail(executor: Executor, task: DrivenTask[Any], error: BaseException) -> None:
    try:
        executor._fail(task, error)
    except BaseException as raised:  # noqa: BLE001 - a KeyboardInterrupt in a finally block
        logger(__name__).error("%r raised while being closed", task, exc_info=raised)
