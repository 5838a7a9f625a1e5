"""Gates as in `gates`, for jobs that run in another process."""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tests.unit.runtime.gates import GUARD

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("FarGate",)

T = TypeVar("T")


class FarGate(Generic[T]):
    """A `Gate` over named pipes: whoever has it, and be it a copy in a child, sees the same.

    Whoever made it closes it.
    """

    def __init__(self, result: T | BaseException = "through") -> None:  # type: ignore[assignment]  # T is str then
        self._result: Any = result  # Any: told apart below
        self._folder = Path(tempfile.mkdtemp(prefix="gate-"))
        self._ends: list[int] = []
        for name in ("begun", "opened"):
            os.mkfifo(self._folder / name)
            # Both ways: nobody who opens it waits, and what is written stays.
            self._ends.append(os.open(self._folder / name, os.O_RDWR | os.O_NONBLOCK))

    def __call__(self) -> T:
        """Run as the job."""
        # Opened first: one who comes when all others have closed it would never hear of that.
        with self._end("opened") as end:
            self.tell_begun()
            assert _is_readable(end, GUARD), "nobody opened the gate"
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result  # type: ignore[no-any-return]  # see _result

    def tell_begun(self) -> None:
        """In a job of another kind: it runs."""
        self._write("begun")

    def wait_begun(self) -> None:
        """Wait until the job runs."""
        assert self._wait("begun"), "the job did not begin"

    def has_begun(self) -> bool:
        """Tell whether the job runs, or did."""
        return self._wait("begun", 0.0)

    def open(self) -> None:
        """Let the job end."""
        self._write("opened")

    def close(self) -> None:
        """Give everything back. May be called twice."""
        for end in self._ends:
            os.close(end)
        if self._ends:
            for name in ("begun", "opened"):
                (self._folder / name).unlink()
            self._folder.rmdir()
        self._ends = []

    def _write(self, name: str) -> None:
        end = os.open(self._folder / name, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(end, b"x")
        finally:
            os.close(end)

    def _wait(self, name: str, timeout: float = GUARD) -> bool:
        with self._end(name) as end:
            return _is_readable(end, timeout)

    @contextlib.contextmanager
    def _end(self, name: str) -> Iterator[int]:
        end = os.open(self._folder / name, os.O_RDONLY | os.O_NONBLOCK)
        try:
            yield end
        finally:
            os.close(end)

    def __getstate__(self) -> dict[str, Any]:  # Any: the attributes
        return self.__dict__ | {"_ends": []}


def _is_readable(end: int, timeout: float) -> bool:
    return bool(select.select([end], [], [], timeout)[0])
