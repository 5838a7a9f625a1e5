"""Awaits that could never end: of oneself, in a circle, or of what waits for us further down.

Source: async-runtime-spec.md, section 6; ADR-002.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.errors import AwaitCycleError, InvalidStateError

if TYPE_CHECKING:
    from runtime.async_runtime.driven import DrivenTask

__all__ = ("check_await",)


def check_await(task: DrivenTask[Any], current: DrivenTask[Any]) -> None:
    """Refuse that *current* awaits *task* where that would be for ever.

    Raises:
        AwaitCycleError: it closes a circle of tasks that await each other.
        InvalidStateError: *task* is of an executor that waits, on this thread, for ours.
    """
    executor = task._executor
    if current._executor is executor:
        _check_circle(task, current)
    elif executor._is_below():
        raise InvalidStateError(
            f"{current!r} cannot await {task!r}: that one's executor waits, on this very "
            "thread, for the one that runs here; await it outside of this run"
        )


def _check_circle(task: DrivenTask[Any], current: DrivenTask[Any]) -> None:
    nested = task._executor._nest is not None  # a run inside a task awaits without a waker
    if task is not current and not current._waiters and not nested:
        return  # nobody awaits us, so no circle can close here: the usual case
    chain: list[DrivenTask[Any]] = [current]
    step: DrivenTask[Any] | None = task
    while step is not None:
        chain.append(step)
        if step is current:
            raise AwaitCycleError(
                f"this await would never end: {' -> '.join(map(repr, chain))}; "
                "let one of these tasks finish without the others"
            )
        step = step._awaiting
