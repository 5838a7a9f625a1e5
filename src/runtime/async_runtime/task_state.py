"""The states of a task, and the only function that says how they change.

Source: state-machines.md, section "Task"; ADR-002.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from runtime.errors import InvalidStateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("TERMINAL", "TRANSITIONS", "TaskEvent", "TaskState", "next_state")


class TaskState(Enum):
    """Where a task is; the values are the words that messages show."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskEvent(Enum):
    """What can happen to a task; the values are verbs."""

    POLL = "poll"
    SUSPEND = "suspend"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"


_S, _E = TaskState, TaskEvent

TERMINAL: Final = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED})
TRANSITIONS: Final[Mapping[tuple[TaskState, TaskEvent], TaskState]] = MappingProxyType(
    {
        (_S.PENDING, _E.POLL): _S.RUNNING,
        (_S.PENDING, _E.CANCEL): _S.CANCELLED,  # never polled again
        (_S.RUNNING, _E.SUSPEND): _S.PENDING,
        (_S.RUNNING, _E.COMPLETE): _S.COMPLETED,
        (_S.RUNNING, _E.FAIL): _S.FAILED,
        (_S.RUNNING, _E.CANCEL): _S.CANCELLED,  # it let the request to stop pass
    }
)


def next_state(state: TaskState, event: TaskEvent) -> TaskState | None:
    """Return the state after *event*, or None where *event* came too late.

    Raises:
        InvalidStateError: *event* cannot happen in *state*: a bug, not a race.
    """
    if state in TERMINAL:
        return None
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvalidStateError(f"cannot {event.value} a task that is {state.value}") from None
