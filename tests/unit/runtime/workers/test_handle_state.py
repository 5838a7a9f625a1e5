"""The table of a job's states, walked."""

from __future__ import annotations

import itertools

import pytest

from runtime.errors import InvalidStateError
from runtime.workers.handle_state import (
    IMPOSSIBLE,
    LATE,
    NEXT,
    TERMINAL,
    TRANSITIONS,
    HandleEvent,
    HandleState,
    next_state,
)

PAIRS = list(itertools.product(HandleState, HandleEvent))


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_every_pair_is_a_transition_late_or_impossible(
    state: HandleState, event: HandleEvent
) -> None:
    """No pair is left to chance, and the compiled table says what the readable one says."""
    if state in TERMINAL:
        assert next_state(state, event) is None
        assert NEXT[state][event] == LATE
    elif (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
        assert NEXT[state][event] == TRANSITIONS[state, event]
    else:
        assert NEXT[state][event] == IMPOSSIBLE
        with pytest.raises(InvalidStateError, match=rf"cannot {event.name.lower()}"):
            next_state(state, event)


def test_terminal_states_are_those_that_nothing_leaves() -> None:
    """The first outcome stands, whichever it is."""
    left = {state for state, _ in TRANSITIONS}

    assert set(HandleState) - left == TERMINAL


def test_every_state_is_reached_from_pending() -> None:
    """A state that nothing leads to would be a mistake in the table."""
    reached = {HandleState.PENDING}
    for _ in HandleState:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}

    assert reached == set(HandleState)


def test_only_starting_a_running_job_is_impossible() -> None:
    """Races are normal and answered quietly; running one job twice is a bug."""
    impossible = {(state, event) for state, event in PAIRS if NEXT[state][event] == IMPOSSIBLE}

    assert impossible == {(HandleState.RUNNING, HandleEvent.START)}


def test_labels_are_words() -> None:
    """Messages show them."""
    assert HandleState.TIMED_OUT.label == "timed out"
