"""What the tests of packing share: a job, a way there and back, functions that can be imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from runtime.backends.process.packing import Packed, Packer
from runtime.backends.process.unpacking import Unpacker

if TYPE_CHECKING:
    from collections.abc import Callable


class Job:
    """As much of a job as a packer looks at."""

    label = "worker 7 'resize'"


class There:
    """A child: takes packed jobs in order."""

    def __init__(self) -> None:
        self.unpacker = Unpacker()
        self.bodies = 0

    def bind(self, packed: Packed, *, send_body: bool = True) -> Callable[[], Any]:  # Any: results
        """Return what the child would call."""
        self.bodies += send_body
        received = self.unpacker.accept(packed.key, packed.function if send_body else b"")
        return received.bind(packed.call, packed.attachment)


def there(func: Callable[..., Any], packer: Packer | None = None) -> Any:  # noqa: ANN401 - results
    """Return what *func* gives in a child."""
    return There().bind((packer or Packer()).pack(func, Job()))()


def add(left: int, right: int = 1) -> int:
    """Return the sum."""
    return left + right


def same(*values: object) -> tuple[object, ...]:
    """Return the arguments."""
    return values


class Counted:
    """Counts how often its objects are pickled."""

    count: ClassVar[int] = 0

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def __reduce__(self) -> tuple[type[Counted], tuple[int]]:
        Counted.count += 1
        return Counted, (self.value,)


class Raises:
    """Raises what it is told to when it is pickled."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> str:
        raise self.error


class RaisesThere:
    """Raises what it is told to when it is unpickled."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> tuple[Callable[..., object], tuple[type[BaseException]]]:
        return _raise, (self.kind,)


def _raise(kind: type[BaseException]) -> None:
    raise kind("there")
