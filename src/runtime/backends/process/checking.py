"""Whether a function could travel to a child, without sending it anywhere.

Source: worker-api-spec.md, section 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runtime.backends.process.packing import Packer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("check_travels",)


class _Nobody(NamedTuple):
    """Stands for the job that there is none of."""

    label: str


def check_travels(func: Callable[..., object]) -> None:
    """Return where *func* and all that it holds can travel.

    Raises:
        UnpicklableError: something cannot; the message tells what and where it is.
    """
    name = getattr(func, "__qualname__", None) or repr(func)
    Packer().check(func, _Nobody(f"the function {name}"))
