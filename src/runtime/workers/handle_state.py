"""The states of one job, and the only function that says how they change (ADR-013).

`TRANSITIONS` is the readable source, walked by tests and printed in state-machines.md; `NEXT` is
the same table compiled for the hot path, where every job passes twice.
Source: worker-api-spec.md, section 3; state-machines.md, section "Job".
"""

from __future__ import annotations

from enum import Enum, IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from runtime.errors import InvalidStateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "IMPOSSIBLE",
    "LATE",
    "NEXT",
    "TERMINAL",
    "TRANSITIONS",
    "HandleEvent",
    "HandleState",
    "Outcome",
    "next_state",
)


class HandleState(IntEnum):
    """Where a job is."""

    PENDING = 0
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    TIMED_OUT = 4
    CANCELLED = 5

    @property
    def label(self) -> str:
        """The word that messages show."""
        return self.name.lower().replace("_", " ")


class HandleEvent(IntEnum):
    """What can happen to a job."""

    START = 0
    SUCCEED = 1
    FAIL = 2
    EXPIRE = 3
    CANCEL = 4


class Outcome(Enum):
    """What really became of the function; the honest side of a cancellation or a timeout."""

    NEVER_RAN = "never_ran"  # it was still queued
    STOPPED = "stopped"  # it saw the request and let it pass
    KILLED = "killed"  # it was ended against its will (processes)
    ABANDONED = "abandoned"  # it still runs; nobody waits for it any more
    FINISHED = "finished"  # it ran to its own end, value or error


_S, _E = HandleState, HandleEvent

TERMINAL: Final = frozenset({_S.SUCCEEDED, _S.FAILED, _S.TIMED_OUT, _S.CANCELLED})
TRANSITIONS: Final[Mapping[tuple[HandleState, HandleEvent], HandleState]] = MappingProxyType(
    {
        (_S.PENDING, _E.START): _S.RUNNING,
        (_S.PENDING, _E.SUCCEED): _S.SUCCEEDED,  # by hand, through the handle; never by a slot
        (_S.PENDING, _E.FAIL): _S.FAILED,  # never reached a slot: the pool refused it
        (_S.PENDING, _E.EXPIRE): _S.TIMED_OUT,
        (_S.PENDING, _E.CANCEL): _S.CANCELLED,
        (_S.RUNNING, _E.SUCCEED): _S.SUCCEEDED,
        (_S.RUNNING, _E.FAIL): _S.FAILED,
        (_S.RUNNING, _E.EXPIRE): _S.TIMED_OUT,
        (_S.RUNNING, _E.CANCEL): _S.CANCELLED,  # a thread runs on; its result is dropped
    }
)

LATE: Final = -1  # in NEXT: another outcome came first and stands
IMPOSSIBLE: Final = -2  # in NEXT: a bug


def _compile(state: HandleState, event: HandleEvent) -> int:
    if state in TERMINAL:
        return LATE
    return int(TRANSITIONS.get((state, event), IMPOSSIBLE))


# NEXT[state][event], all plain ints: a look-up costs a tenth of one in TRANSITIONS.
NEXT: Final = tuple(tuple(_compile(state, event) for event in HandleEvent) for state in HandleState)


def next_state(state: HandleState, event: HandleEvent) -> HandleState | None:
    """Return the state after *event*, or None where *event* came too late.

    Raises:
        InvalidStateError: *event* cannot happen in *state*: a bug, not a race.
    """
    after = NEXT[state][event]
    if after == LATE:
        return None
    if after == IMPOSSIBLE:
        raise InvalidStateError(f"cannot {event.name.lower()} a worker that is {state.label}")
    return HandleState(after)
