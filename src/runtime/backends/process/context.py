"""Which context variables cross to a child, and their values for one job.

Source: worker-api-spec.md, section 10.
"""

from __future__ import annotations

import contextvars
import importlib
from typing import TYPE_CHECKING, Any, Final

from runtime.backends.process.pickling import dump, load
from runtime.backends.process.traveling import why_not

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.backends.process.packing import Labelled

__all__ = ("ContextPacker", "set_variables")

_THRESHOLD: Final = 1 << 62  # never: values go with the job


class ContextPacker:
    """Packs the values of the variables that are allowed to cross; false where there are none.

    Args:
        variables: Variables, or where they are: ``"module:name"``.

    Raises:
        TypeError: one is neither.
        ValueError: a module or a name cannot be found.
    """

    def __init__(self, variables: Iterable[contextvars.ContextVar[Any] | str]) -> None:
        self._variables = tuple(_found(variable) for variable in variables)

    def __bool__(self) -> bool:
        return bool(self._variables)

    def pack(self, context: contextvars.Context | None, job: Labelled) -> bytes:
        """Return the values that *context* has of them, pickled; empty for none.

        Raises:
            UnpicklableError: a value cannot travel; the message names its variable, and *job*.
        """
        if context is None:
            return b""
        values = [(one, context[one]) for one in self._variables if one in context]
        if not values:
            return b""
        try:
            return dump(values, None, _THRESHOLD)
        except (Exception, SystemExit) as error:
            named = {f"the context variable {one.name!r}": value for one, value in values}
            raise why_not(job.label, named, error) from error


def set_variables(context: contextvars.Context, packed: bytes | memoryview) -> None:
    """Give *context* the values that came as *packed*."""
    for variable, value in load(packed):
        context.run(variable.set, value)


def _found(variable: object) -> contextvars.ContextVar[Any]:
    if isinstance(variable, str):
        module, _, name = variable.partition(":")
        try:
            found: object = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"context_vars: there is no {variable!r} ({error}): write 'module:name'"
            ) from error
    else:
        found = variable
    if not isinstance(found, contextvars.ContextVar):
        raise TypeError(
            f"context_vars must be ContextVars or 'module:name', got {variable!r} "
            f"({type(found).__name__})"
        )
    return found
