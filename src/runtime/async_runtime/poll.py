"""The answer to one poll: ready with a value, or pending."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from runtime.errors import InvalidPollError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("PENDING", "Poll", "PollState", "checked")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")


class PollState(Enum):
    """Whether the value is there."""

    READY = "ready"
    PENDING = "pending"


class Poll(Generic[T_co]):
    """What `Future.poll` returns. Immutable; made by `Poll.ready` and `Poll.pending`.

    Source: async-runtime-spec.md, section 1.
    """

    __slots__ = ("_state", "_value")

    def __init__(self, state: PollState, value: T_co | None = None) -> None:
        self._state = state
        self._value = value

    @staticmethod
    def ready(value: U) -> Poll[U]:
        """Return a poll that is ready with *value*, which may be None."""
        return Poll(_READY, value)

    @staticmethod
    def pending() -> Poll[Any]:
        """Return the pending poll: always the same object."""
        return PENDING

    @property
    def state(self) -> PollState:
        """`PollState.READY` or `PollState.PENDING`."""
        return self._state

    @property
    def value(self) -> T_co | None:
        """The value; None while pending."""
        return self._value

    def is_ready(self) -> bool:
        """Tell whether the value is there."""
        return self._state is _READY

    def is_pending(self) -> bool:
        """Tell whether the value is not there yet."""
        return self._state is not _READY

    def unwrap(self) -> T_co:
        """Return the value.

        Raises:
            ValueError: the poll is pending.
        """
        if self._state is not _READY:
            raise ValueError("cannot unwrap a pending poll: ask is_ready() first, or poll again")
        return self._value  # type: ignore[return-value]  # ready: the value is a T, None included

    def unwrap_or(self, default: U) -> T_co | U:
        """Return the value, or *default* while pending."""
        return self.unwrap() if self._state is _READY else default

    def map(self, func: Callable[[T_co], U]) -> Poll[U]:
        """Return a poll with ``func(value)``; a pending one stays pending."""
        return Poll(_READY, func(self.unwrap())) if self._state is _READY else PENDING

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Poll):
            return NotImplemented
        return self._state is other._state and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash((self._state, self._value))

    def __repr__(self) -> str:
        return f"Poll.ready({self._value!r})" if self._state is _READY else "Poll.pending()"


_READY: Final = PollState.READY
PENDING: Final[Poll[Any]] = Poll(PollState.PENDING)  # Any: it is pending for every type


def checked(polled: object, source: object) -> Poll[Any]:
    """Return *polled*, what the ``poll`` of *source* gave, where it is a `Poll`.

    Raises:
        InvalidPollError: it is something else.
    """
    if isinstance(polled, Poll):
        return polled
    raise InvalidPollError(
        f"poll() of {source!r} gave {polled!r} ({type(polled).__name__}): "
        "return Poll.ready(value) or Poll.pending()"
    )
