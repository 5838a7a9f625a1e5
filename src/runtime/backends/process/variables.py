"""Context variables on their way between processes.

A `contextvars.ContextVar` cannot be pickled: it is its own identity. One that is an attribute of a
module travels as that name; another one, of ``__main__`` or of a closure, as a token, and is the
same object wherever the same token comes to: in a child again and again, and here when it
comes back.
Threads: any.
"""

from __future__ import annotations

import contextvars
import importlib
import os
import sys
from typing import Any, Final, TypeAlias

__all__ = ("Variable", "named_variable", "reduce_variable", "variable_of_token")

Variable: TypeAlias = "contextvars.ContextVar[Any]"  # Any: whatever the user keeps in it

# Every change is one atomic call. They never shrink: neither do the variables of a program.
_by_token: Final[dict[bytes, Variable]] = {}
_tokens: Final[dict[Variable, bytes]] = {}
_homes: Final[dict[Variable, tuple[str, str]]] = {}


def reduce_variable(variable: Variable) -> tuple[Any, tuple[Any, ...]]:  # Any: as pickle wants it
    """Return how to find or make *variable* in another process."""
    home = _home_of(variable)
    if home is not None:
        return named_variable, home
    token = _tokens.setdefault(variable, os.urandom(16))
    _by_token.setdefault(token, variable)
    try:
        default = contextvars.Context().run(variable.get)
    except LookupError:
        return variable_of_token, (token, variable.name)
    return variable_of_token, (token, variable.name, default)


def named_variable(module: str, name: str) -> Variable:
    """Return the variable that is an attribute of a module.

    Raises:
        TypeError: it is something else here.
    """
    variable = getattr(importlib.import_module(module), name)
    if not isinstance(variable, contextvars.ContextVar):
        raise TypeError(f"{module}.{name} is no context variable in this process: {variable!r}")
    return variable


def variable_of_token(token: bytes, name: str, *default: object) -> Variable:
    """Return the variable that *token* stands for; made when it comes for the first time."""
    variable = _by_token.get(token)
    if variable is None:
        variable = _by_token.setdefault(token, _made(name, *default))
        _tokens.setdefault(variable, token)
    return variable


def _made(name: str, *default: object) -> Variable:
    if default:
        return contextvars.ContextVar(name, default=default[0])
    return contextvars.ContextVar(name)


def _home_of(variable: Variable) -> tuple[str, str] | None:
    """Return the module and the name of *variable*, where another process finds them, too."""
    home = _homes.get(variable)
    if home is not None:
        return home
    for module_name, module in sys.modules.copy().items():
        if module_name == "__main__" or getattr(module, "__spec__", None) is None:
            continue
        for name, value in vars(module).copy().items():
            if value is variable:
                _homes[variable] = module_name, name
                return module_name, name
    return None
