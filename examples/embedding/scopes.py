"""Which slot of which call a name means, decided while compiling.

Threads: none. The slots of a block belong to the call of the function around it.
"""

from __future__ import annotations

__all__ = ("Scope",)


class Scope:
    """The names of one function; *outer* is the scope around it."""

    def __init__(self, outer: Scope | None) -> None:
        self._outer = outer
        self._blocks: list[dict[str, int]] = [{}]  # innermost last
        self.count = 0  # variables; slot 0 is none of them: it leads to the surrounding call

    def open_block(self) -> None:
        """From here on, names are declared in a block of their own."""
        self._blocks.append({})

    def close_block(self) -> None:
        """Forget the names of the innermost block."""
        del self._blocks[-1]

    def declare(self, name: str) -> int:
        """Return the slot of *name* in the innermost block; a second time, the same one."""
        block = self._blocks[-1]
        if name not in block:
            self.count += 1
            block[name] = self.count
        return block[name]

    def knows(self, name: str) -> bool:
        """Tell whether *name* is declared in this function."""
        return self._slot(name) is not None

    def find(self, name: str) -> tuple[int, int] | None:
        """Return how many functions out *name* is declared, and its slot there."""
        depth, scope = 0, self
        while True:
            slot = scope._slot(name)
            if slot is not None:
                return depth, slot
            if scope._outer is None:
                return None
            depth, scope = depth + 1, scope._outer

    def _slot(self, name: str) -> int | None:
        for block in reversed(self._blocks):
            if name in block:
                return block[name]
        return None
