"""Names of a package that are imported when somebody asks for them.

A program pays for the parts that it uses: a worker process, for one, starts in half the time.
Threads: any; the import system's own locks see to it that each part is loaded once.
Source: PEP 562; ADR-009.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("lazy_names",)


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:  # Any: whatever the name stands for
    """Return the ``__getattr__`` and the ``__dir__`` of *package*.

    Args:
        package: Its full name.
        homes: In which module each name is; a module of the package is its own home.
    """

    def find(name: str) -> Any:  # noqa: ANN401 - as above
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(home)
        found = module if home == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, found)  # the next time it is simply there
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return find, names
