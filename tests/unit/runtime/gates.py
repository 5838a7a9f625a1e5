"""Functions for jobs, whose begin and end a test can wait for and decide."""

from __future__ import annotations

import threading
from typing import Any, Final, Generic, TypeVar

__all__ = ("GUARD", "Gate", "nothing")

GUARD: Final = 10.0  # seconds that only a deadlock reaches
T = TypeVar("T")


def nothing() -> None:
    """Do nothing."""


class Gate(Generic[T]):
    """A job that tells when it has begun, and returns *result*, or raises it, once opened."""

    def __init__(self, result: T | BaseException = "through") -> None:  # type: ignore[assignment]  # T is str then
        self._result: Any = result  # Any: told apart below
        self._begun = threading.Event()
        self._opened = threading.Event()
        self.calls = 0

    def __call__(self) -> T:
        """Run as the job."""
        self.calls += 1
        self.tell_begun()
        assert self._opened.wait(GUARD), "nobody opened the gate"
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result  # type: ignore[no-any-return]  # see _result

    def tell_begun(self) -> None:
        """In a job of another kind: it runs."""
        self._begun.set()

    def wait_begun(self) -> None:
        """Wait until the job runs."""
        assert self._begun.wait(GUARD), "the job did not begin"

    def open(self) -> None:
        """Let the job end."""
        self._opened.set()

    def close(self) -> None:
        """Give everything back: nothing here."""
