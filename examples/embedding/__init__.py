"""A small language on top of the runtime: what an author of an interpreter has to write.

`fiber` shows how a guest task becomes a future, `host` how a loop of one's own drives them.
"""

from __future__ import annotations

from examples.embedding.errors import GuestError, GuestSyntaxError, Source
from examples.embedding.host import Host, Summary, run_program

__all__ = ("GuestError", "GuestSyntaxError", "Host", "Source", "Summary", "run_program")
