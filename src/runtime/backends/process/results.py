"""Results on their way from a worker process: as few bytes as possible, or pickle.

Small values of the usual types are a kind and their own bytes: no pickle, no code. Where only plain
data is accepted, the rest goes through `plain`, otherwise through `pickling`.
Source: process-wire-spec.md, section 5; ADR-010.
"""

from __future__ import annotations

import re
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import TYPE_CHECKING, Any, Final

from runtime.backends.process.buffers import AttachmentWriter
from runtime.backends.process.pickling import dump, load
from runtime.backends.process.sealed_files import AttachmentRefusedError, is_supported
from runtime.backends.process.traveling import reason_of, why_not
from runtime.errors import ProtocolError, ResultRefusedError, UnpicklableError

if TYPE_CHECKING:
    from collections.abc import Callable

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
_INT_LIMIT: Final = 1 << 63
_FLOAT: Final = Struct("<d")
_LOOKS_UP: Final = re.compile(rb"[\x82-\x84\x93]")  # opcodes EXT1 to EXT4, STACK_GLOBAL
_NAMES: Final = {"return": "result", "report": "progress"}  # of a value, by what is done with it
_LONG: Final = 1 << 16  # to unpickle more takes its time, whatever it is


def pack_result(
    value: object,
    threshold: int,
    *,
    label: str = "the job",
    data_only: bool = False,
    in_band: bool = False,
    verb: str = "return",
) -> tuple[int, bytes, Attachment | None]:
    """Return the kind of *value*, its bytes, and its large buffers. In the process of the job.

    Args:
        value: What the function returned.
        threshold: From how many bytes on a buffer is large.
        label: Whose result it is, for messages.
        data_only: Pack plain data and nothing else.
        in_band: Use no attachment.
        verb: What the job does with it, for messages: ``return`` or ``report``.

    Raises:
        UnpicklableError: *value* cannot travel.
        ResultRefusedError: with *data_only*: it is not plain data.
        KeyboardInterrupt: and other errors that are no `Exception`, as they came, apart from
            `SystemExit`.
    """
    small = _small(value, threshold)
    if small is not None:
        return *small, None
    writer = AttachmentWriter() if is_supported() and not in_band else None
    try:
        if data_only:
            kind, data = Kind.PLAIN, _plain(value, writer, threshold, (label, verb))
        else:
            kind, data = Kind.PICKLE, dump(value, writer, threshold)
        return kind, data, None if writer is None else writer.finish()
    except AttachmentRefusedError:
        return pack_result(
            value, threshold, label=label, data_only=data_only, in_band=True, verb=verb
        )
    except ResultRefusedError:
        raise
    except (Exception, SystemExit) as error:
        raise why_not(label, {_NAMES[verb]: value}, error, verb) from error
    finally:
        if writer is not None:
            writer.close()


def _plain(
    value: object, writer: AttachmentWriter | None, threshold: int, whose: tuple[str, str]
) -> bytes:
    from runtime.backends.process.plain import NotPlainError, encode  # noqa: PLC0415 - an option

    try:
        return encode(value, writer, threshold)
    except NotPlainError as error:
        label, verb = whose
        raise ResultRefusedError(label, error.path(_NAMES[verb]), verb=f"{verb}ed") from None


def _small(value: object, threshold: int) -> tuple[int, bytes] | None:
    """Return a small value of the usual types; None for every other."""
    pack = _SMALL.get(type(value))
    return None if pack is None else pack(value, threshold)


def _small_int(value: int, _: int) -> tuple[int, bytes] | None:
    return (Kind.INT, _INT.pack(value)) if -_INT_LIMIT <= value < _INT_LIMIT else None


def _small_text(value: str, threshold: int) -> tuple[int, bytes] | None:
    if len(value) >= threshold:
        return None
    return Kind.TEXT, value.encode("utf-8", "surrogatepass")


def _small_bytes(value: bytes, threshold: int) -> tuple[int, bytes] | None:
    return (Kind.BYTES, value) if len(value) < threshold else None


def unpack_result(
    kind: int,
    data: bytes | bytearray | memoryview,
    attachment: Attachment | None = None,
    *,
    data_only: bool = False,
    label: str = "the job",
    verb: str = "return",
) -> Any:  # noqa: ANN401 - Any: whatever the function returned
    """Return the value. In the parent; the *attachment* is closed, also where this raises.

    Args:
        kind: As `pack_result` gave it.
        data: The bytes.
        attachment: The large buffers, if there are any.
        data_only: Refuse everything that would have to be unpickled.
        label: Whose result it is, for messages.
        verb: See `pack_result`.

    Raises:
        ResultRefusedError: with *data_only*: it is pickled.
        ProtocolError: it is nothing that `pack_result` makes: the process lies.
        UnpicklableError: it cannot be rebuilt here; the cause says why.
    """
    try:
        if kind == Kind.PICKLE:
            if data_only:
                raise ResultRefusedError(label, f"{_NAMES[verb]}: a pickle", verb=f"{verb}ed")
            return _unpickled(data, attachment, label)
        if kind == Kind.PLAIN:
            from runtime.backends.process.plain_reading import decode  # noqa: PLC0415 - an option

            return decode(data, () if attachment is None else attachment.open().buffers)
        try:
            return _UNPACK[kind](data)
        except (LookupError, ValueError, StructError) as error:
            raise ProtocolError(
                f"a result of kind {kind} with {len(data)} byte(s) makes no sense: {error}"
            ) from None
    finally:
        if attachment is not None:
            attachment.close()


def _unpickled(
    data: bytes | bytearray | memoryview,
    attachment: Attachment | None,
    label: str,
) -> Any:  # noqa: ANN401 - Any: see `unpack_result`
    contents = None if attachment is None else attachment.open()
    try:
        if contents is None:
            return load(data)
        return load(data, contents.buffers, contents.splices)
    except (Exception, SystemExit) as error:
        raise UnpicklableError(
            label,
            "its result cannot be rebuilt in the process of the pool",
            reason=reason_of(error),
            advice="return plain data, or correct how its class is unpickled",
        ) from error


def may_run_code(kind: int, data: bytes | bytearray | memoryview) -> bool:
    """Tell whether `unpack_result` may take long or run code of the user.

    A hint for where to call it: no promise against a process that lies.
    """
    if kind == Kind.PICKLE:
        return len(data) > _LONG or _LOOKS_UP.search(data) is not None
    return len(data) > _LONG


_SMALL: Final[dict[type, Callable[[Any, int], tuple[int, bytes] | None]]] = {  # Any: by type
    type(None): lambda _value, _: (Kind.NONE, b""),
    bool: lambda value, _: (Kind.TRUE if value else Kind.FALSE, b""),
    int: _small_int,
    float: lambda value, _: (Kind.FLOAT, _FLOAT.pack(value)),
    str: _small_text,
    bytes: _small_bytes,
}
_UNPACK: Final[dict[int, Callable[[Any], object]]] = {  # Any: what has bytes
    Kind.NONE: lambda _: None,
    Kind.TRUE: lambda _: True,
    Kind.FALSE: lambda _: False,
    Kind.INT: lambda data: _INT.unpack(data)[0],
    Kind.FLOAT: lambda data: _FLOAT.unpack(data)[0],
    Kind.TEXT: lambda data: str(data, "utf-8", "surrogatepass"),
    Kind.BYTES: bytes,
}
