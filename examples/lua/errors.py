"""What can go wrong with Lua code, as Python sees it."""

from __future__ import annotations

__all__ = ("LuaFailure", "LuaMemoryLimitError", "LuaTurnLimitError")


class LuaFailure(Exception):  # noqa: N818 - as "failed" of a task; LuaError is lupa's
    """A task, a job or a program of Lua ended with an error.

    Attributes:
        message: What Lua says, with the place.
        stack: The Lua stack, as text; empty where there is none.
    """

    def __init__(self, message: str, stack: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.stack = stack

    def report(self) -> str:
        """Return the message and the Lua stack, for a person."""
        return "\n".join(filter(None, ("lua: " + self.message, self.stack)))


class LuaMemoryLimitError(LuaFailure, MemoryError):
    """Lua asked for more memory than its state may have."""

    def __init__(self, max_memory_bytes: int, stack: str = "") -> None:
        super().__init__(
            f"Lua asked for more memory than the limit ({max_memory_bytes} bytes for each "
            "state): keep less at a time, or give a larger max_memory_bytes=",
            stack,
        )
        self.max_memory_bytes = max_memory_bytes


class LuaTurnLimitError(LuaFailure):
    """A task on the loop did not let others run."""

    def __init__(self, instructions: int) -> None:
        super().__init__(
            f"a task ran {instructions} instructions without waiting, and held up all others: "
            "give long computations to work(), or give a larger max_turn="
        )
        self.instructions = instructions
