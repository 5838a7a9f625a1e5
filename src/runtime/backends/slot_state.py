"""The states of a slot of the thread backend, and what leads from one to the other.

Source: state-machines.md, section "Slot"; ADR-006.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from runtime.errors import InvalidStateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("TRANSITIONS", "SlotEvent", "SlotState", "next_state")


class SlotState(IntEnum):
    """Where a slot is."""

    IDLE = 0  # no job
    BUSY = 1  # its job is wanted
    ABANDONED = 2  # its job is over, and the function still runs
    RETIRED = 3  # its thread has left


class SlotEvent(IntEnum):
    """What can happen to a slot."""

    TAKE = 0
    FINISH = 1
    ABANDON = 2
    RETIRE = 3


_S, _E = SlotState, SlotEvent

TRANSITIONS: Final[Mapping[tuple[SlotState, SlotEvent], SlotState]] = MappingProxyType(
    {
        (_S.IDLE, _E.TAKE): _S.BUSY,
        (_S.IDLE, _E.RETIRE): _S.RETIRED,
        (_S.BUSY, _E.TAKE): _S.BUSY,  # it runs the job that its own job waits for
        (_S.BUSY, _E.FINISH): _S.IDLE,
        (_S.BUSY, _E.ABANDON): _S.ABANDONED,
        (_S.ABANDONED, _E.TAKE): _S.ABANDONED,  # the same, in a job that is over
        (_S.ABANDONED, _E.ABANDON): _S.ABANDONED,  # a second job of its stack
        (_S.ABANDONED, _E.FINISH): _S.IDLE,
    }
)


def next_state(state: SlotState, event: SlotEvent) -> SlotState:
    """Return the state after *event*.

    Raises:
        InvalidStateError: *event* cannot happen in *state*: a bug.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvalidStateError(
            f"cannot {event.name.lower()} a slot that is {state.name.lower()}"
        ) from None
