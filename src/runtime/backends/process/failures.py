"""Errors on their way from a worker process to its parent."""

from __future__ import annotations

import os
import pickle
import traceback

from runtime.errors import RemoteError, RemoteTraceback

__all__ = ("pack_error", "runs_code", "unpack_error")


def pack_error(error: BaseException, label: str = "") -> bytes:
    """Return *error* as bytes; never raises. In the process of the job."""
    text = "".join(traceback.format_exception(error))
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except BaseException as refusal:
        data = pickle.dumps(
            RemoteError(label, [c.__qualname__ for c in type(error).__mro__], str(error), reason=repr(refusal))
        )
    return b"C" + pickle.dumps((data, text, os.getpid()))


def runs_code(data: bytes | memoryview, *, data_only: bool = False) -> bool:
    """Tell whether `unpack_error` may run code of the user."""
    return not data_only and bytes(data[:1]) != b"P"


def unpack_error(
    data: bytes | memoryview, *, data_only: bool = False, label: str = ""
) -> BaseException:
    """Return the error that *data* tells of. In the parent."""
    body, text, pid = pickle.loads(data[1:])
    error: BaseException = pickle.loads(body)
    error.__cause__ = RemoteTraceback(text, pid)
    return error
