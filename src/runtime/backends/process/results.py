"""Results on their way from a worker process: as few bytes as possible, or pickle.

Small values of the usual types are a kind and their own bytes: no pickle, no code. Where only plain
data is accepted, the rest goes through `plain`, otherwise through `pickling`.
Source: process-wire-spec.md, section "Results"; ADR-009.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from runtime.backends.process.buffers import (
    AttachmentRefusedError,
    AttachmentWriter,
    is_supported,
)
from runtime.backends.process.pickling import dump, load
from runtime.backends.process.traveling import why_not
from runtime.errors import ProtocolError, ResultRefusedError

if TYPE_CHECKING:
    from runtime.backends.process.buffers import Attachment

__all__ = ("Kind", "may_run_code", "pack_result", "unpack_result")


class Kind:
    """How a result is packed, as plain ints: they are compared for every job."""

    NONE: Final = 0
    TRUE: Final = 1
    FALSE: Final = 2
    INT: Final = 3  # 64 bits
    FLOAT: Final = 4
    TEXT: Final = 5
    BYTES: Final = 6
    PICKLE: Final = 7
    PLAIN: Final = 8  # see `plain`


_INT: Final = Struct("<q")
_FLOAT: Final = Struct("<d")
_LOOKS_UP: Final = re.compile(rb"[\x82-\x84\x93]")  # opcodes EXT1 to EXT4, STACK_GLOBAL
_LONG: Final = 1 << 16  # to unpickle more takes its time, whatever it is


def pack_result(
    value: object,
    threshold: int,
    *,
    label: str = "the job",
    data_only: bool = False,
    in_band: bool = False,
) -> tuple[int, bytes, Attachment | None]:
    """Return the kind of *value*, its bytes, and its large buffers. In the child.

    Raises:
        UnpicklableError: *value* cannot travel.
        ResultRefusedError: *data_only*, and *value* is not plain data.
    """
    if value is None:
        return 0, b"", None
    writer = AttachmentWriter() if is_supported() and not in_band else None
    try:
        data = dump(value, writer, threshold)
        return Kind.PICKLE, data, None if writer is None else writer.finish()
    except AttachmentRefusedError:
        return pack_result(value, threshold, label=label, data_only=data_only, in_band=True)
    except (Exception, SystemExit) as error:
        raise why_not(label, {"result": value}, error) from error
    finally:
        if writer is not None:
            writer.close()


def unpack_result(
    kind: int,
    data: bytes | bytearray | memoryview,
    attachment: Attachment | None = None,
    *,
    data_only: bool = False,
    label: str = "the job",
) -> Any:  # noqa: ANN401 - Any: whatever the function returned
    """Return the value. In the parent."""
    if kind == Kind.NONE:
        return None
    contents = None if attachment is None else attachment.open()
    if contents is None:
        return load(data)
    return load(data, contents.buffers, contents.splices)


def may_run_code(kind: int, data: bytes | bytearray | memoryview) -> bool:
    """Tell whether `unpack_result` may take long or run code of the user.

    A hint for where to call it: no promise against a process that lies.
    """
    return kind == Kind.PICKLE and (len(data) > _LONG or _LOOKS_UP.search(data) is not None)
