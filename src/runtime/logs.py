"""Loggers that are imported when something is to be said, not before.

`logging` costs as much to import as this whole package; most programs that embed
it never need a log line of ours.

While the interpreter is being taken apart nothing can be imported, and what is needed to format a
traceback may be gone: what is said then is one plain line on ``sys.stderr``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ("Log", "logger")

_ExcInfo: TypeAlias = (
    "BaseException | tuple[type[BaseException], BaseException, TracebackType | None] | None"
)


class Log(Protocol):
    """As much of a logger as is used here."""

    def warning(self, message: str, /, *args: object) -> None:
        """Say what may be wrong."""
        ...

    def error(self, message: str, /, *args: object, exc_info: _ExcInfo = None) -> None:
        """Say what is wrong."""
        ...

    def exception(self, message: str, /, *args: object) -> None:
        """Say what is wrong, from an ``except`` block."""
        ...


class _LastWords:
    """What is logged when there is no logging any more."""

    def warning(self, message: str, /, *args: object) -> None:
        """See `Log.warning`."""
        try:
            sys.stderr.write(message % args + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - stderr may be closed, or gone: nobody can be told
            return

    def error(self, message: str, /, *args: object, exc_info: _ExcInfo = None) -> None:  # noqa: ARG002 - one line
        """See `Log.error`."""
        self.warning(message, *args)

    def exception(self, message: str, /, *args: object) -> None:
        """See `Log.exception`."""
        self.warning(f"{message}: %r", *args, sys.exception())


def logger(name: str) -> Log:
    """Return the logger of module *name*."""
    if sys.is_finalizing():
        return _LastWords()
    import logging  # noqa: PLC0415 - late on purpose, see above

    return logging.getLogger(name)
