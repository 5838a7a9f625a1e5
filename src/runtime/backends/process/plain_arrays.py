"""Numpy's arrays and numbers as plain data: a description, a shape and bytes, no objects.

Numpy is never imported to write one; to read one it is, where it is installed.
Threads: any.
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any, Final, TypeAlias

__all__ = ("TYPECODES", "layout_of", "rebuilt")

TYPECODES: Final = "bBhHiIlLqQfd"  # of `array.array`, those that are numbers

_Description: TypeAlias = "str | list[tuple[Any, ...]]"  # Any: names, types, shapes of fields
_TYPE: Final = re.compile(
    r"[<>|=]?(?:[biufc]\d{1,2}|\?|b1|[SUV]\d{1,9}|[mM]8(?:\[[0-9a-zA-Z/]+\])?)"
)
_MOST_DIMENSIONS: Final = 64


def layout_of(value: Any) -> tuple[_Description, tuple[int, ...] | None, memoryview] | None:  # noqa: ANN401 - Any: see `plain`
    """Return the type, the shape (None: a number, no array) and the bytes of *value*.

    None where it is nothing of numpy's, or has objects in it.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    is_array = type(value) is numpy.ndarray
    if not is_array and not isinstance(value, numpy.generic):
        return None
    kind = value.dtype
    description = kind.str if kind.names is None else kind.descr
    if kind.hasobject or not kind.itemsize or not _is_faithful(numpy, description, kind):
        return None
    if not is_array:
        return description, None, memoryview(value.tobytes())
    # A row of bytes, whatever the order in memory was: `numpy` has no other buffer for dates.
    flat = numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8)
    return description, value.shape, memoryview(flat)


def rebuilt(description: object, shape: object, data: memoryview) -> object:
    """Return the array, or the number.

    Raises:
        ValueError: something is not as it should be.
        ImportError: there is no numpy here.
    """
    import numpy as np  # noqa: PLC0415 - only where one comes

    kind = np.dtype(_checked(description))
    if kind.hasobject or not kind.itemsize:
        raise ValueError(f"an array of {kind} is no plain data")
    if shape is None:
        return np.frombuffer(data, dtype=kind, count=1)[0]
    if (
        not isinstance(shape, tuple)
        or len(shape) > _MOST_DIMENSIONS
        or not all(type(length) is int and length >= 0 for length in shape)
        or math.prod(shape) * kind.itemsize != len(data)
    ):
        raise ValueError(f"{len(data)} byte(s) are no array of {kind} and shape {shape}")
    if not len(data):
        return np.empty(shape, dtype=kind)
    return np.frombuffer(data, dtype=kind).reshape(shape)


def _is_faithful(numpy: Any, description: _Description, kind: Any) -> bool:  # noqa: ANN401 - Any: numpy's
    """Tell whether the description says all."""
    try:
        return bool(numpy.dtype(_checked(description)) == kind)
    except (TypeError, ValueError):
        return False


def _checked(description: Any, depth: int = 0) -> Any:  # noqa: ANN401 - Any: data
    """Return *description* where it is a type of plain data.

    Raises:
        ValueError: it is not.
    """
    if isinstance(description, str):
        if _TYPE.fullmatch(description):
            return description
    elif isinstance(description, list) and depth < _MOST_DIMENSIONS // 8:
        return [_checked_field(field, depth + 1) for field in description]
    raise ValueError("there is no such type of plain data")


def _checked_field(field: Any, depth: int) -> tuple[Any, ...]:  # noqa: ANN401 - Any: data
    if not isinstance(field, tuple) or not 2 <= len(field) <= 3 or not isinstance(field[0], str):  # noqa: PLR2004 - name, type, shape
        raise ValueError("a field has a name, a type and a shape")
    return (field[0], _checked(field[1], depth), *field[2:])
