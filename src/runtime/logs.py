"""Loggers that are imported when something is to be said, not before.

`logging` costs as much to import as this whole package; most programs that embed
it never need a log line of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

__all__ = ("logger",)


def logger(name: str) -> logging.Logger:
    """Return the logger of module *name*."""
    import logging  # noqa: PLC0415 - late on purpose, see above

    return logging.getLogger(name)
