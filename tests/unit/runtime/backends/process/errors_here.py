"""Errors of every kind, well-behaved and not, for the tests of how they travel."""

from __future__ import annotations

import sys
import threading
from typing import Any, Final, NoReturn, Self

from runtime.backends.process.failures import pack_error, unpack_error

__all__ = (
    "ONLY",
    "ChangedMindError",
    "CountedError",
    "ElsewhereError",
    "FalsyError",
    "GroupWithCode",
    "HoldsLockError",
    "LeavesError",
    "MetaError",
    "OddNotesError",
    "OnlyOneError",
    "OwnInitError",
    "OwnOSError",
    "OwnReduceError",
    "RaisesInReduceError",
    "SlottedError",
    "SpeechlessError",
    "StateError",
    "TwiceError",
    "UnloadableError",
    "raised",
    "sent",
)


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Return *error* as it is after it was raised and caught."""
    try:
        if cause is None:
            raise error  # noqa: TRY301 - to have it back
        raise error from cause  # noqa: TRY301 - to have it back
    except BaseException as caught:  # noqa: BLE001 - of any type
        return caught


def sent(error: BaseException, **how: Any) -> BaseException:  # noqa: ANN401 - options
    """Return what arrives of *error*."""
    return unpack_error(pack_error(error, "worker 7 'job'"), **how)


class OwnInitError(Exception):
    """No pickler of the standard library loads it."""

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


class TwiceError(Exception):
    """Pickle makes 'told: told: x' of it: its args are not what its __init__ takes."""

    def __init__(self, text: str) -> None:
        super().__init__(f"told: {text}")


class CountedError(Exception):
    """Its __init__ does something that must not be done twice."""

    made = 0

    def __init__(self) -> None:
        super().__init__("counted")
        type(self).made += 1


class SlottedError(Exception):
    """Keeps a field outside its __dict__."""

    __slots__ = ("code", "unset")

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


class OwnOSError(OSError):
    """`OSError` reads its arguments in __init__ where a subclass has one."""

    def __init__(self, path: str) -> None:
        super().__init__(2, "not there", path)
        self.more = path


class GroupWithCode(ExceptionGroup[Exception]):
    """A group with an attribute, and a __new__ of its own."""

    code: int

    def __new__(cls, errors: list[Exception], code: int) -> Self:
        """Make it."""
        self = super().__new__(cls, "grouped", errors)
        self.code = code
        return self


class HoldsLockError(Exception):
    """Has an attribute that no pickler takes."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class RaisesInReduceError(Exception):
    """Refuses to be pickled."""

    def __reduce__(self) -> NoReturn:
        raise RuntimeError("never")


class LeavesError(Exception):
    """Ends the interpreter where it is pickled."""

    def __reduce__(self) -> NoReturn:
        sys.exit(3)


class OwnReduceError(Exception):
    """Says how to pickle it, and means it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.twice = 2 * code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0],)


class StateError(Exception):
    """Its state is not its __dict__."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {"told": "by state"}

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        assert state is not None
        self.state = {**state, "set": True}


class UnloadableError(Exception):
    """Pickles as a call that fails."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


class ElsewhereError(Exception):
    """Pickles as something that is no error."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ()


class ChangedMindError(Exception):
    """Loads where it was pickled, and not where it arrives: flip `arrived`."""

    arrived = False
    answer: type[BaseException] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _load_here_only, self.args


class OnlyOneError(Exception):
    """There is but one object of it."""

    def __reduce__(self) -> str:
        return "ONLY"


ONLY: Final = OnlyOneError("only")


class SpeechlessError(Exception):
    """No text of it can be had."""

    def __str__(self) -> str:
        raise GeneratorExit

    def __repr__(self) -> str:
        raise GeneratorExit


class FalsyError(Exception):
    """Is false, equals nothing, and refuses to be hashed or to have attributes set."""

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    def __hash__(self) -> int:
        raise AssertionError("hashed")

    def __setattr__(self, name: str, value: object) -> None:
        raise AssertionError("set")

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - as object has it
        if name in {"__cause__", "__context__", "__dict__", "args", "__traceback__"}:
            return 7
        return super().__getattribute__(name)


class OddNotesError(Exception):
    """Has notes that are none."""

    __notes__ = 7  # type: ignore[assignment]  # that is the case


class _Meta(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]  # that is the case
        raise RuntimeError("nowhere")


class MetaError(Exception, metaclass=_Meta):
    """Even its class does not say what it is."""


def _refuse() -> NoReturn:
    raise ValueError("not here")


def _load_here_only(text: str) -> ChangedMindError:
    if ChangedMindError.arrived:
        if ChangedMindError.answer is None:
            sys.exit("gone")
        return ChangedMindError.answer(text)  # type: ignore[return-value]  # that is the lie
    return ChangedMindError(text)
