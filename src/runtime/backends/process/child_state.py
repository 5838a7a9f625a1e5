"""The states of a child process, as its pool sees it, and what leads from one to the other.

Source: state-machines.md, section "Child"; ADR-009.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from runtime.errors import InvalidStateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("TRANSITIONS", "ChildEvent", "ChildState", "next_state")


class ChildState(Enum):
    """Where a child is; the values are the words that `PoolStatistics` shows."""

    STARTING = "starting"  # asked for; not ready before its initializer has returned
    IDLE = "idle"
    BUSY = "busy"  # has at least one job
    ABANDONED = "abandoned"  # runs a job that nobody wants any more
    LEAVING = "leaving"  # gets no more jobs; ends by itself, or is being killed
    DEAD = "dead"

    __hash__ = object.__hash__  # members are unique; their own hash is a call of Python


class ChildEvent(Enum):
    """What can happen to a child; the values are verbs."""

    GET_READY = "get ready"
    GIVE = "give a job to"
    RUN_DRY = "run dry"
    ABANDON = "abandon"
    COME_BACK = "come back"  # what was abandoned has returned
    LET_GO = "let go"
    DIE = "die"

    __hash__ = object.__hash__  # as above


_S, _E = ChildState, ChildEvent

TRANSITIONS: Final[Mapping[tuple[ChildState, ChildEvent], ChildState]] = MappingProxyType(
    {
        (_S.STARTING, _E.GET_READY): _S.IDLE,
        (_S.STARTING, _E.LET_GO): _S.LEAVING,  # the pool was shut down meanwhile
        (_S.STARTING, _E.DIE): _S.DEAD,
        (_S.IDLE, _E.GIVE): _S.BUSY,
        (_S.IDLE, _E.LET_GO): _S.LEAVING,
        (_S.IDLE, _E.DIE): _S.DEAD,
        (_S.BUSY, _E.GIVE): _S.BUSY,  # sent ahead
        (_S.BUSY, _E.RUN_DRY): _S.IDLE,
        (_S.BUSY, _E.ABANDON): _S.ABANDONED,
        (_S.BUSY, _E.LET_GO): _S.LEAVING,  # it broke the protocol
        (_S.BUSY, _E.DIE): _S.DEAD,
        (_S.ABANDONED, _E.COME_BACK): _S.IDLE,
        (_S.ABANDONED, _E.LET_GO): _S.LEAVING,
        (_S.ABANDONED, _E.DIE): _S.DEAD,
        (_S.LEAVING, _E.GET_READY): _S.LEAVING,  # too late
        (_S.LEAVING, _E.RUN_DRY): _S.LEAVING,
        (_S.LEAVING, _E.ABANDON): _S.LEAVING,
        (_S.LEAVING, _E.COME_BACK): _S.LEAVING,
        (_S.LEAVING, _E.LET_GO): _S.LEAVING,  # twice is fine
        (_S.LEAVING, _E.DIE): _S.DEAD,
    }
)


def next_state(state: ChildState, event: ChildEvent) -> ChildState:
    """Return the state after *event*.

    Raises:
        InvalidStateError: *event* cannot happen in *state*: a bug.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvalidStateError(f"cannot {event.value} a child that is {state.value}") from None
