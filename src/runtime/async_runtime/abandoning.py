"""Futures over futures that nobody waits for any more: nor does anybody for what they wait for.

A join, a chain or a timeout whose last waiter was cancelled tells each of its futures, which then
decides for itself: by its own ``cancel_on_abandon``, and by who else waits for it. Polled again,
the combinator asks its futures anew.
Threads: any. No recursion, however deep they are nested.
Source: async-runtime-spec.md, section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.async_runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Combined",)


class Combined:
    """The part that passes on that nobody waits; see the module."""

    if not TYPE_CHECKING:
        __slots__ = ()  # who has it has another base too: the slots are in the class of both

    def _unawaited(self) -> Sequence[object]:
        """Return the futures that this one waited for; none where somebody waits for this one."""
        raise NotImplementedError

    def _abandoned(self) -> None:
        """The task that awaited this was cancelled, and has dropped its wakers by now."""
        left: list[object] = [self]
        seen: set[int] = set()  # by id: one may be in a join more than once; `left` keeps them
        first: BaseException | None = None
        for future in left:  # grows while we go through it
            if id(future) in seen:
                continue
            seen.add(id(future))
            try:
                if isinstance(future, Combined):
                    left += future._unawaited()
                elif isinstance(future, Future):
                    future._abandoned()
            except BaseException as error:  # noqa: BLE001 - a callback's; the others come first
                first = error if first is None else first
        if first is not None:
            raise first
