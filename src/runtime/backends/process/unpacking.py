"""What a worker process makes of a job that came to it: a callable without arguments.

`KnownFunctions` is kept on both sides, one for each child and one in it: with the same calls in
the order of the frames, both sides agree on which functions the child still has.
Threads: the parent's side is called with the pool's lock held; the child has one thread.
Source: process-wire-spec.md, section 5; ADR-010.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from runtime.backends.process.pickling import load
from runtime.backends.process.traveling import reason_of
from runtime.errors import ProtocolError, UnpicklableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.process.buffers import Attachment

__all__ = (
    "FRESH",
    "KEPT",
    "KnownFunctions",
    "Order",
    "ReceivedFunction",
    "Unpacker",
    "label_of",
)

# What a child is told of a job, its function apart: its number among those of this child, its id,
# its name, its deadline, whether it may be interrupted. A plain tuple: one is made for every job,
# and few look at it.
Order: TypeAlias = tuple[int, int, str | None, float, int]

# The first byte of a function's body: whether one loaded function serves many jobs, or
# each job loads its own, because a job could leave something in it for the next.
KEPT: Final = b"K"
FRESH: Final = b"F"


class KnownFunctions:
    """Which functions a child has, the one used last at the end.

    Args:
        limit: How many at most.
        max_bytes: How large they may be together; one may always stay.
    """

    __slots__ = ("_bytes", "_limit", "_max_bytes", "_sizes")

    def __init__(self, limit: int = 256, max_bytes: int = 64 << 20) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._bytes = 0
        self._sizes: OrderedDict[int, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sizes)

    def touch(self, key: int) -> bool:
        """Tell whether the child has *key*; then it is the one used last."""
        if key not in self._sizes:
            return False
        self._sizes.move_to_end(key)
        return True

    def add(self, key: int, size: int) -> list[int]:
        """Note that the child gets *key*; return those that it forgets for that."""
        dropped: list[int] = []
        self._bytes += size - self._sizes.pop(key, 0)
        self._sizes[key] = size
        while len(self._sizes) > 1 and (
            len(self._sizes) > self._limit or self._bytes > self._max_bytes
        ):
            oldest, freed = self._sizes.popitem(last=False)
            self._bytes -= freed
            dropped.append(oldest)
        return dropped

    def must_send(self, key: int, body: bytes) -> bool:
        """Tell whether a job has to bring *body*; note it as sent. The parent's side.

        To be called once for each job, in the order in which the jobs are sent.
        """
        if not key or not self.touch(key):
            if key:
                self.add(key, len(body))
            return True
        return False


class ReceivedFunction:
    """A function that came; loaded when a job that needs it begins."""

    __slots__ = ("_body", "_function")

    def __init__(self, body: bytes | bytearray | memoryview) -> None:
        self._body = bytes(body)
        self._function: Callable[..., Any] | None = None  # Any: the user's function

    def bind(
        self,
        call: bytes | bytearray | memoryview = b"",
        attachment: Attachment | None = None,
        order: Order | None = None,
    ) -> Callable[[], Any]:  # Any: the user's result
        """Return the function, with the arguments that came as *call*. Runs the user's code.

        The *attachment* is closed, also where this raises. *order* tells whose function it is.

        Raises:
            UnpicklableError: the function or its arguments cannot be rebuilt here; the cause says
                why.
            ProtocolError: the attachment is not what it should be.
        """
        function = self._function
        if function is not None and not call and attachment is None:
            return function
        contents = None if attachment is None else attachment.open()
        buffers = iter(() if contents is None else contents.buffers)
        part = "its function"
        try:
            if function is None:
                function = load(memoryview(self._body)[1:], buffers)
                if self._body[:1] == KEPT:
                    self._function, self._body = function, b""
            if not call and (contents is None or not contents.splices):
                return function  # else all of its arguments are in the attachment
            part = "its arguments"
            args, kwargs = load(call, buffers, () if contents is None else contents.splices)
        except (Exception, SystemExit) as error:
            raise UnpicklableError(
                "the job" if order is None else label_of(order),
                f"{part} cannot be rebuilt in the worker process",
                reason=reason_of(error),
                advice=_advice(error),
            ) from error
        return functools.partial(function, *args, **kwargs)


class Unpacker:
    """The functions that this child has. `accept` is called for each job, in their order."""

    __slots__ = ("_functions", "_known")

    def __init__(self) -> None:
        self._known = KnownFunctions()
        self._functions: dict[int, ReceivedFunction] = {}

    def accept(self, key: int, body: bytes | bytearray | memoryview) -> ReceivedFunction:
        """Return the function of the next job; nothing is loaded yet.

        Args:
            key: Its number; 0 for one that is not kept.
            body: What came of it; empty where it was sent before.

        Raises:
            ProtocolError: it was not sent before, or not kept.
        """
        if body:
            received = ReceivedFunction(body)
            if key:
                self._functions[key] = received
                for dropped in self._known.add(key, len(body)):
                    self._functions.pop(dropped, None)
            return received
        if not self._known.touch(key):
            raise ProtocolError(f"a job came for function {key}, which this process does not have")
        return self._functions[key]


def label_of(order: Order) -> str:
    """Return who this is, for messages: as the pool calls it."""
    _, id_, name, *_ = order
    return f"worker {id_}" if name is None else f"worker {id_} {name!r}"


def _advice(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return (
            "a worker process imports what a function refers to: install the module, or put its "
            "folder on sys.path before the pool is made"
        )
    if isinstance(error, AttributeError):
        return "a worker process imports what a function refers to, and found another version of it"
    return "see the cause"
