"""A slot's table of states, and that real slots keep to it."""

from __future__ import annotations

import itertools

import pytest

from runtime.backends.slot_state import TRANSITIONS, SlotEvent, SlotState, next_state
from runtime.errors import InvalidStateError
from runtime.workers import WorkerPool
from tests.unit.runtime.backends.inside import crew_of, wait_until
from tests.unit.runtime.gates import GUARD, Gate, nothing


@pytest.mark.parametrize(("state", "event"), [*itertools.product(SlotState, SlotEvent)])
def test_every_pair_leads_somewhere_or_is_refused(state: SlotState, event: SlotEvent) -> None:
    """The table is the whole truth."""
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(InvalidStateError, match=f"cannot {event.name.lower()} a slot that is"):
            next_state(state, event)


def test_a_slot_goes_through_the_states_of_its_table() -> None:
    """Its state is nowhere stored: it must come out of the fields as the table says."""
    with WorkerPool(1) as pool:
        crew = crew_of(pool)
        pool.spawn(nothing).result(GUARD)
        assert pool.wait_idle(GUARD)
        (slot,) = crew.slots
        seen = [slot.state]
        gate: Gate[str] = Gate()
        job = pool.spawn(gate)
        gate.wait_begun()
        seen.append(slot.state)

        job.cancel()

        seen.append(slot.state)
        gate.open()
        pool.shutdown(wait=False)
        wait_until(pool, lambda: not crew.slots)
    seen.append(slot.state)
    assert seen == [SlotState.IDLE, SlotState.BUSY, SlotState.ABANDONED, SlotState.RETIRED]
