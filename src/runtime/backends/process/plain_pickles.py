"""Pickles of plain data, read so that whoever made them can do no harm.

A pickle is a program. One that makes nothing but numbers, text, bytes, tuples, lists and
dictionaries of these uses few of the instructions; here all others are refused before it is run,
and so are lengths that reach beyond its end: an instruction of five bytes can otherwise ask for
64 GiB of memory.
Threads: any; no state.
"""

from __future__ import annotations

import pickle
from typing import Any, Final

__all__ = ("load_plain",)

_ALONE: Final = (
    pickle.MARK,
    pickle.NONE,
    pickle.NEWTRUE,
    pickle.NEWFALSE,
    pickle.EMPTY_TUPLE,
    pickle.TUPLE,
    pickle.TUPLE1,
    pickle.TUPLE2,
    pickle.TUPLE3,
    pickle.EMPTY_LIST,
    pickle.APPEND,
    pickle.APPENDS,
    pickle.EMPTY_DICT,
    pickle.SETITEM,
    pickle.SETITEMS,
    pickle.MEMOIZE,
    pickle.STOP,
)
_FIXED: Final = {  # by the bytes that follow
    pickle.PROTO: 1,
    pickle.FRAME: 8,
    pickle.BININT: 4,
    pickle.BININT1: 1,
    pickle.BININT2: 2,
    pickle.BINFLOAT: 8,
    pickle.BINGET: 1,
    pickle.LONG_BINGET: 4,
}
_COUNTED: Final = {  # by the bytes of the length that follows
    pickle.LONG1: 1,
    pickle.LONG4: 4,
    pickle.SHORT_BINUNICODE: 1,
    pickle.BINUNICODE: 4,
    pickle.BINUNICODE8: 8,
    pickle.SHORT_BINBYTES: 1,
    pickle.BINBYTES: 4,
    pickle.BINBYTES8: 8,
}
_REFUSED: Final = 0
# By instruction: its length; where that is negative, the size of the length that follows.
_STEPS: Final = [_REFUSED] * 256
for _code in _ALONE:
    _STEPS[_code[0]] = 1
for _code, _size in _FIXED.items():
    _STEPS[_code[0]] = 1 + _size
for _code, _size in _COUNTED.items():
    _STEPS[_code[0]] = -_size
_FRAME: Final = pickle.FRAME[0]


def load_plain(data: bytes) -> Any:  # noqa: ANN401 - plain data of any type
    """Return what *data* is the pickle of.

    Raises:
        pickle.UnpicklingError: It is no pickle of plain data.
        Exception: It is no pickle at all.
    """
    at, end = 0, len(data)
    while at < end:
        code = data[at]
        step = _STEPS[code]
        if step > 0:
            if code == _FRAME:
                step_end = at + step
                if int.from_bytes(data[at + 1 : step_end], "little") > end - step_end:
                    raise pickle.UnpicklingError("a frame reaches beyond the end of the data")
            at += step
        elif step == _REFUSED:
            raise pickle.UnpicklingError(f"instruction {code:#x} at {at} makes no plain data")
        else:
            start = at + 1 - step
            at = start + int.from_bytes(data[at + 1 : start], "little")
    if at > end:
        raise pickle.UnpicklingError("the data is cut off")
    return pickle.loads(data)
