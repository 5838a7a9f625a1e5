"""One Lua state: a runtime of lupa with limits, and the prelude in it.

Threads: one at a time. lupa releases the GIL while Lua runs, so states in several threads run
side by side; the hook of the prelude takes it for a moment, every `PERIOD` instructions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from lupa.lua54 import LuaMemoryError, LuaRuntime

from examples.lua.errors import LuaFailure, LuaMemoryLimitError
from examples.lua.values import LuaValue, as_lua, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("PERIOD", "LuaState")

PERIOD: Final = 100_000  # instructions; about a millisecond

_PRELUDE: Final = Path(__file__).with_name("prelude.lua")
_OUT_OF_MEMORY: Final = "not enough memory"  # the words of Lua
_ENOUGH: Final = 1 << 62  # bytes: no limit, but memory is counted


class LuaState:
    """Runs Lua.

    Args:
        look: Called every *period* instructions; to stop what runs it raises. Lua code cannot
            catch that: the error comes out of `step` or `run`.
        write: Gets what programs print.
        functions: What else the prelude finds at the host: each answers True and a result, or
            False and a message; see `answering`.
        max_memory_bytes: How much the state may hold; None for no limit.
        period: Instructions between two looks.

    Attributes:
        looks: How often *look* was called since Lua was last entered.
    """

    def __init__(
        self,
        look: Callable[[], object],
        write: Callable[[str], object],
        functions: Mapping[str, Callable[..., object]],
        *,
        max_memory_bytes: int | None = None,
        period: int = PERIOD,
    ) -> None:
        self.looks = 0
        self._look = look
        self._reason: BaseException | None = None  # why what runs has to end
        self._max_memory_bytes = max_memory_bytes
        self.runtime = LuaRuntime(
            encoding=None,  # strings are bytes
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            attribute_filter=_refuse,
            max_memory=max_memory_bytes or _ENOUGH,
        )
        host = self.runtime.table()
        mine = {
            "must_stop": self._must_stop,
            "write": lambda line: write(text(line)),
        }
        for name, function in {**mine, **functions}.items():
            host[name.encode()] = function
        prelude = self.runtime.compile(_PRELUDE.read_bytes(), name=b"=prelude")
        calls = prelude(host, period)
        self._compile, self._step, self._run = calls[b"compile"], calls[b"step"], calls[b"run"]

    def compile(self, source: str, name: str) -> LuaValue:
        """Return the task that runs *source*, the text of a program.

        Raises:
            LuaFailure: it is no Lua.
        """
        answer = self._compile(source.encode(), b"@" + name.encode())
        if not isinstance(answer, tuple):
            return answer
        raise LuaFailure(text(answer[1]))

    def step(self, task: LuaValue, *values: object) -> tuple[bytes, Any]:
        """Run *task* until it ends or waits; return the word for that, and what of it.

        Raises:
            LuaFailure: it failed.
            LuaMemoryLimitError: it needs too much memory.
            BaseException: what `look` raised.
        """
        return self._answer(self._step, task, *(as_lua(self.runtime, one) for one in values))

    def run(self, code: bytes, arguments: LuaValue, count: int) -> LuaValue:
        """Run *code* (bytecode) with *count* arguments to its end; return its result.

        Raises: as `step`.
        """
        return self._answer(self._run, code, as_lua(self.runtime, arguments), count)[1]

    def _answer(self, call: LuaValue, *arguments: LuaValue) -> tuple[bytes, Any]:
        self.looks = 0
        try:
            answer = call(*arguments)
        except LuaMemoryError as error:  # outside of what the prelude protects
            raise self._memory_error() from error
        finally:
            reason, self._reason = self._reason, None
            if reason is not None:
                raise reason
        word, value, *rest = answer if isinstance(answer, tuple) else (answer, None)
        if word == b"failed":
            self._fail(text(value), text(rest[0]) if rest else "")
        return word, value

    def _fail(self, message: str, stack: str) -> NoReturn:
        if message == _OUT_OF_MEMORY:
            raise self._memory_error(stack)
        raise LuaFailure(message, stack)

    def _memory_error(self, stack: str = "") -> LuaMemoryLimitError:
        return LuaMemoryLimitError(self._max_memory_bytes or _ENOUGH, stack)

    def _must_stop(self) -> bool:
        self.looks += 1
        try:
            self._look()
        except BaseException as error:  # noqa: BLE001 - raised where Lua was called, not inside
            self._reason = error
            return True
        return False


def _refuse(_object: object, _name: object, _is_setting: bool) -> NoReturn:
    raise AttributeError("Lua code must not look inside of objects of the host")
