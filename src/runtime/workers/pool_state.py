"""The states of a pool, and what leads from one to the other.

Source: state-machines.md, section "Pool"; ADR-006.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from runtime.errors import InvalidStateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("TRANSITIONS", "PoolEvent", "PoolState", "next_state")


class PoolState(Enum):
    """Where a pool is; the values are the words that `PoolStatistics` shows."""

    OPEN = "open"
    CLOSING = "closing"  # takes no more jobs, ends those that it has
    CLOSED = "closed"  # no job is left but functions that do not return


class PoolEvent(Enum):
    """What can happen to a pool; the values are verbs."""

    SHUT_DOWN = "shut down"
    RUN_DRY = "run dry"
    FORK = "fork"


_S, _E = PoolState, PoolEvent

TRANSITIONS: Final[Mapping[tuple[PoolState, PoolEvent], PoolState]] = MappingProxyType(
    {
        (_S.OPEN, _E.SHUT_DOWN): _S.CLOSING,
        (_S.OPEN, _E.FORK): _S.OPEN,  # the child gets it as new
        (_S.CLOSING, _E.SHUT_DOWN): _S.CLOSING,  # twice is fine
        (_S.CLOSING, _E.RUN_DRY): _S.CLOSED,
        (_S.CLOSING, _E.FORK): _S.CLOSED,  # the jobs it would end are the parent's
        (_S.CLOSED, _E.SHUT_DOWN): _S.CLOSED,
        (_S.CLOSED, _E.RUN_DRY): _S.CLOSED,
        (_S.CLOSED, _E.FORK): _S.CLOSED,
    }
)


def next_state(state: PoolState, event: PoolEvent) -> PoolState:
    """Return the state after *event*.

    Raises:
        InvalidStateError: *event* cannot happen in *state*: a bug.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvalidStateError(f"cannot {event.value} a pool that is {state.value}") from None
