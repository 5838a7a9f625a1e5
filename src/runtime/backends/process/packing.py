"""Jobs on their way to a worker process: the function, its arguments, large buffers.

A function that can be imported travels as its name, pickled once for ever. Another one travels by
value, and is pickled again only when something that it holds may have changed; a child gets it
again only when its bytes have changed.
Hot path: `Packer.pack` of a function that was packed before.
Threads: any, also a finalizer in the middle of a call: tables change by atomic calls only. Where
two threads meet, a body may get two keys: then a child gets it twice.
Source: process-wire-spec.md, section 5; ADR-010.
"""

from __future__ import annotations

import functools
import itertools
import pickle
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, final

from runtime.backends.process.buffers import AttachmentWriter
from runtime.backends.process.freezing import Snapshot, is_importable, snapshot_of
from runtime.backends.process.pickling import dump
from runtime.backends.process.sealed_files import AttachmentRefusedError, is_supported
from runtime.backends.process.traveling import why_not
from runtime.backends.process.unpacking import FRESH, KEPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.process.buffers import Attachment

__all__ = ("THRESHOLD", "Labelled", "Packed", "Packer")

THRESHOLD: Final = 2 << 20  # bytes from which on shared memory beats the socket: ADR-010
_SIMPLE: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
_partial: Final = functools.partial
_keys: Final = itertools.count(1)  # unique in this process, over all pools
_BODIES: Final = 256  # bodies whose bytes are remembered, to see that they come again
_LONGEST_BODY: Final = 16 * 1024  # of those; to compare longer ones costs more than it saves


class Labelled(Protocol):
    """A job, for messages; its label is only made when it is needed."""

    @property
    def label(self) -> str:
        """Who this is: ``worker 7 'resize'``."""
        ...


@final
class Packed:
    """A job as bytes. One without arguments may be shared: nothing in it ever changes.

    Attributes:
        key: The number of the function's body, for `KnownFunctions`; 0 for one not to be kept.
        function: The body of the function alone.
        call: The pickle of ``(args, kwargs)``; empty where there are none.
        attachment: The large buffers, or None. Whoever has the job closes it.
        digest: Of all that tells this call from others, once somebody has made it.
    """

    __slots__ = ("attachment", "call", "digest", "function", "key")

    def __init__(
        self, key: int, function: bytes, call: bytes = b"", attachment: Attachment | None = None
    ) -> None:
        self.key = key
        self.function = function
        self.call = call
        self.attachment = attachment
        self.digest: bytes | None = None

    def close(self) -> None:
        """Give back what the attachment holds. May be called twice."""
        if self.attachment is not None:
            self.attachment.close()


class _Known(weakref.ref["Callable[..., Any]"]):
    """A function that was packed; it keeps the function from nothing."""

    __slots__ = ("identity", "packed", "snapshot")

    identity: int
    packed: Packed
    snapshot: Snapshot | None  # None: importable, so its bytes never change


@final
class Packer:
    """Packs jobs, and remembers functions. One for each pool.

    Args:
        threshold: The size in bytes from which on a buffer travels in shared memory.
    """

    __slots__ = ("_bodies", "_forget", "_known", "_threshold")

    def __init__(self, threshold: int = THRESHOLD) -> None:
        self._threshold = threshold
        self._known: dict[int, _Known] = {}  # by identity; every change is one atomic call
        self._bodies: dict[bytes, int] = {}  # keys of bodies; the one used last at the end
        known = self._known

        def forget(reference: _Known) -> None:  # no `self`: nothing may keep the packer
            if known.get(reference.identity) is reference:
                known.pop(reference.identity, None)

        self._forget: Final = forget

    def pack(self, func: Callable[..., Any], job: Labelled, *, in_band: bool = False) -> Packed:
        """Return *func* as bytes; arguments that `functools.partial` has bound go separately.

        Args:
            func: What the job is to call.
            job: Whose function it is, for messages.
            in_band: Use no attachment, for a child that could not take one.

        Raises:
            UnpicklableError: *func* cannot travel; the message tells what in it, and the cause why.
            KeyboardInterrupt: and other errors that are no `Exception`, as they came; apart from
                `SystemExit`, which is a cause: nobody wants a program to end because
                of an argument.

        Thread-safety: may be called from any thread.
        """
        known = self._known.get(id(func))
        if known is not None and known() is func:
            snapshot = known.snapshot
            if snapshot is None or snapshot.holds():
                return known.packed
        return self._pack(func, job, in_band=in_band)

    def check(self, func: Callable[..., Any], job: Labelled) -> None:
        """Raise what `pack` would raise for *func*."""
        self.pack(func, job, in_band=True)

    def _pack(self, func: Callable[..., Any], job: Labelled, *, in_band: bool) -> Packed:
        whole = func
        func, args, kwargs = _taken_apart(func)
        writer = AttachmentWriter() if is_supported() and not in_band else None
        try:
            return self._packed(func, args, kwargs, writer)
        except AttachmentRefusedError:
            return self._pack(whole, job, in_band=True)
        except (Exception, SystemExit) as error:
            parts: dict[str, object] = {"func": func}
            parts |= {f"args[{index}]": value for index, value in enumerate(args)}
            parts |= {f"kwargs[{key!r}]": value for key, value in kwargs.items()}
            raise why_not(job.label, parts, error) from error
        finally:
            if writer is not None:
                writer.close()

    def _packed(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        writer: AttachmentWriter | None,
    ) -> Packed:
        packed = self._function(func, writer)
        call = self._call(args, kwargs, writer) if args or kwargs else b""
        attachment = None if writer is None else writer.finish()
        if not call and attachment is None:
            return packed
        return Packed(packed.key, packed.function, call, attachment)

    def _call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], writer: AttachmentWriter | None
    ) -> bytes:
        for values in (args, kwargs.values()):
            for value in values:
                if type(value) not in _SIMPLE:
                    return dump((args, kwargs), writer, self._threshold)
        call = pickle.dumps((args, kwargs), 5)
        if len(call) < self._threshold:
            return call
        return dump((args, kwargs), writer, self._threshold)

    def _function(self, func: Callable[..., Any], writer: AttachmentWriter | None) -> Packed:
        """Return *func* alone; buffers that it holds go to *writer*."""
        known = self._known.get(id(func))
        if known is not None:
            if known() is not func:
                known = None
            elif known.snapshot is None or known.snapshot.holds():
                return known.packed
        if is_importable(func):
            packed = Packed(next(_keys), KEPT + dump(func, None, self._threshold))
            return self._remember(func, packed, None)
        return self._by_value(func, None if known is None else known.packed, writer)

    def _by_value(
        self, func: Callable[..., Any], before: Packed | None, writer: AttachmentWriter | None
    ) -> Packed:
        """Return *func*, which was *before* when it was last packed."""
        snapshot = snapshot_of(func)
        mark = (0, 0) if writer is None else writer.mark()
        data = dump(func, writer, self._threshold, splice=False, by_value=snapshot is not None)
        if writer is not None and writer.mark() != mark:
            return Packed(0, FRESH + data)  # half of it is in the attachment
        if snapshot is not None and not snapshot.holds():
            snapshot = None  # another thread changed something meanwhile
        body = (FRESH if snapshot is None or snapshot.is_written else KEPT) + data
        if before is None or before.function != body:
            before = Packed(self._key(body, is_frozen=snapshot is not None), body)
        return before if snapshot is None else self._remember(func, before, snapshot)

    def _key(self, body: bytes, *, is_frozen: bool) -> int:
        """Return the number of *body*; 0 for one that is not likely to come again."""
        if len(body) > _LONGEST_BODY:
            return next(_keys) if is_frozen else 0
        bodies = self._bodies
        key = bodies.pop(body, None)
        if not key and (key is not None or is_frozen):
            key = next(_keys)  # seen for the second time, or a function that stays as it is
        bodies[body] = key or 0
        if len(bodies) > _BODIES:
            with suppress(RuntimeError, StopIteration):  # another thread is at it: then it does it
                bodies.pop(next(iter(bodies)), None)
        return key or 0

    def _remember(
        self, func: Callable[..., Any], packed: Packed, snapshot: Snapshot | None
    ) -> Packed:
        try:
            known = _Known(func, self._forget)
        except TypeError:  # there are no weak references to it
            return packed
        known.identity, known.packed, known.snapshot = id(func), packed, snapshot
        self._known[id(func)] = known
        return packed


def _taken_apart(
    func: Callable[..., Any],
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Return the function that a `functools.partial` was made of, and the arguments."""
    if isinstance(func, _partial) and type(func) is _partial and not func.__dict__:
        return func.func, func.args, func.keywords
    return func, (), {}
