"""The logging of this process, put back after a test has changed it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Records", "logging_of_our_own")


class Records(logging.Handler):
    """Keeps the records that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep *record*."""
        self.seen.append(record)

    def messages(self) -> list[str]:
        """Return what the records say."""
        return [record.getMessage() for record in self.seen]


@contextmanager
def logging_of_our_own() -> Iterator[logging.Logger]:
    """Give the root logger; put handlers, levels and switches back at the end."""
    root, manager = logging.getLogger(), logging.Logger.manager
    found = manager.loggerDict.values()
    loggers = [root, *(each for each in found if isinstance(each, logging.Logger))]
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]
    known, disabled, raising = set(manager.loggerDict), manager.disable, logging.raiseExceptions
    try:
        yield root
    finally:
        for logger, handlers, level, propagate in before:
            logger.handlers[:] = handlers
            logger.setLevel(level)
            logger.propagate = propagate
        for name in set(manager.loggerDict) - known:
            del manager.loggerDict[name]
        logging.disable(disabled)
        logging.raiseExceptions = raising
