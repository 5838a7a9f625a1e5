"""The table of a pool's states, walked."""

from __future__ import annotations

import itertools

import pytest

from runtime.errors import InvalidStateError
from runtime.workers.pool_state import TRANSITIONS, PoolEvent, PoolState, next_state


@pytest.mark.parametrize(("state", "event"), list(itertools.product(PoolState, PoolEvent)))
def test_every_pair_is_a_transition_or_a_bug(state: PoolState, event: PoolEvent) -> None:
    """Shutting down twice, from anywhere, is fine; running dry while open is not."""
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(InvalidStateError, match=f"cannot {event.value} a pool"):
            next_state(state, event)


def test_only_running_dry_while_open_is_impossible() -> None:
    """All else may happen at any time."""
    pairs = set(itertools.product(PoolState, PoolEvent))

    assert pairs - set(TRANSITIONS) == {(PoolState.OPEN, PoolEvent.RUN_DRY)}


def test_a_closed_pool_never_opens_again() -> None:
    """Whoever saw it closed may rely on that."""
    assert {next_state(PoolState.CLOSED, event) for event in PoolEvent} == {PoolState.CLOSED}
    assert next_state(PoolState.CLOSING, PoolEvent.SHUT_DOWN) is PoolState.CLOSING
