"""Failures that nobody looked at: what is told about them, once.

A failure is reported when the last object that could still show it is gone: as long as
somebody holds the future, it may still be read, and then there is nothing to report.
Source: async-runtime-spec.md, section 4.3; ADR-003.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.async_runtime.places import describe_place
from runtime.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

__all__ = ("UnhandledError", "log_unhandled", "tell")


class UnhandledError:
    """One failure that nobody read.

    Attributes:
        error: The exception, with its traceback.
        who: The task or job that failed, in words.
    """

    __slots__ = ("_place", "error", "who")

    def __init__(self, error: BaseException, who: str, place: tuple[CodeType | None, int]) -> None:
        self.error = error
        self.who = who
        self._place = place

    @property
    def place(self) -> str:
        """Where it was spawned: ``file:line in function``."""
        return describe_place(*self._place)

    def __str__(self) -> str:
        return f"{self.who} failed and nobody looked: {self.error!r} (spawned at {self.place})"

    def __repr__(self) -> str:
        return f"<UnhandledError {self}>"


def log_unhandled(report: UnhandledError) -> None:
    """Log *report* at error level: the default of ``on_unhandled``.

    While the interpreter is being taken apart it is one plain line on ``sys.stderr``.
    """
    error = report.error
    logger(__name__).error("%s", report, exc_info=(type(error), error, error.__traceback__))


def tell(hook: Callable[[UnhandledError], object], report: UnhandledError) -> None:
    """Call *hook*; it runs where a failure is dropped, so what it raises has nowhere to go."""
    try:
        hook(report)
    except Exception:  # noqa: BLE001 - reported
        logger(__name__).exception("on_unhandled %r raised on %s", hook, report)
