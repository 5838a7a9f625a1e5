"""What one look at a future gives."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import pytest

from runtime.async_runtime import Poll, PollState


def test_ready_holds_its_value_even_none() -> None:
    """None is a value like any other."""
    poll: Poll[None] = Poll.ready(None)

    assert (poll.state, poll.value) == (PollState.READY, None)
    assert poll.is_ready()
    assert not poll.is_pending()
    assert poll.unwrap() is None


def test_pending_has_no_value_and_is_one_object() -> None:
    """The loop tells it by identity."""
    poll = Poll.pending()

    assert (poll.state, poll.value) == (PollState.PENDING, None)
    assert poll.is_pending()
    assert not poll.is_ready()
    assert poll is Poll.pending()


def test_unwrap_while_pending_is_a_value_error() -> None:
    """There is nothing to give, and None would hide that."""
    with pytest.raises(ValueError, match="pending"):
        Poll.pending().unwrap()


def test_unwrap_or_gives_the_default_only_while_pending() -> None:
    """A falsy value is still a value."""
    assert Poll.pending().unwrap_or(7) == 7
    assert Poll.ready(0).unwrap_or(7) == 0


def test_map_applies_to_a_value_and_leaves_pending_alone() -> None:
    """The function must not run without a value."""
    assert Poll.ready(20).map(lambda value: value + 1).unwrap() == 21
    assert Poll.pending().map(lambda _: pytest.fail("called")).is_pending()


def test_polls_compare_by_state_and_value() -> None:
    """Tests and users compare them; a pending one equals no ready one."""
    assert Poll.ready(1) == Poll.ready(1)
    assert Poll.ready(1) != Poll.ready(2)
    assert Poll.ready(None) != Poll.pending()
    assert Poll.ready(1) != 1
    assert hash(Poll.ready(1)) == hash(Poll.ready(1))


def test_repr_shows_state_and_value() -> None:
    """It turns up in assertion messages."""
    assert repr(Poll.ready("x")) == "Poll.ready('x')"
    assert repr(Poll.pending()) == "Poll.pending()"
