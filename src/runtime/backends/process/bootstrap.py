"""The first steps of a child process, before the pool's program runs in it.

Threads: the main thread, the only one.
A child ends by ``os._exit`` with what the program returned, after its standard streams are
flushed. Handlers of `atexit` do not run, as in children of `multiprocessing`: those that
preloaded modules have registered belong to the template, and what a pool wants to
clean up it gives as its ``finalizer``. Threads that jobs have left are not waited for.
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import gc
import importlib
import marshal
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = (
    "FAILED_STATUS",
    "Program",
    "do_nothing",
    "failure",
    "last_error",
    "load_program",
    "main",
    "run_program",
    "settle",
    "settle_signals",
)

Program: TypeAlias = "Callable[[int, int, int, int, int], int]"

_MARSHAL: Final = 4
_CAP: Final = 16_000  # characters of a traceback: enough, and always one packet
FAILED_STATUS: Final = 70  # EX_SOFTWARE: the program was not reached


def main(plan: dict[str, Any]) -> NoReturn:  # Any: see `interpreter.plan_of`
    """Be a child in an interpreter of its own."""
    report, fds = plan["report"], plan["fds"]
    try:
        settle(plan)
        for descriptor in (report, *fds):
            if descriptor >= 0:
                os.set_inheritable(descriptor, False)
        program = load_program(plan["program"])
        for name in plan["preload"]:
            importlib.import_module(name)
        os.write(report, marshal.dumps(("ready",), _MARSHAL))
    except BaseException:  # noqa: BLE001 - told to the pool
        os.write(report, failure(-1, permanent=True))
        os._exit(FAILED_STATUS)
    os.close(report)
    run_program(program, fds)


def settle(plan: dict[str, Any]) -> None:  # Any: see `interpreter.plan_of`
    """Take over what a fresh interpreter is told by the one that started it."""
    settle_signals()
    sys.argv[:] = plan["argv"]
    sys.dont_write_bytecode = plan["dont_write_bytecode"]
    sys.pycache_prefix = plan["pycache_prefix"]


def settle_signals() -> None:
    """Do nothing on SIGINT (the pool decides), let SIGTERM end the process, see to no other.

    What was inherited may be anything: a thread's mask, or a program that ignores SIGCHLD.
    SIGINT has a handler: programs that a job starts would inherit that it is ignored, and be
    deaf to Ctrl-C. System calls go on, also those of libraries in C.
    """
    signal.signal(signal.SIGINT, do_nothing)
    signal.siginterrupt(signal.SIGINT, False)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def do_nothing(*_: object) -> None:
    """Handle a signal that means nothing here."""


def load_program(name: str) -> Program:
    """Return the function that *name* (``module:function``) means.

    The collector waits meanwhile, and never looks at what there is by now: it stays.
    """
    module, _, function = name.partition(":")
    collects = gc.isenabled()
    gc.disable()
    try:
        found: Program = getattr(importlib.import_module(module), function)
        gc.freeze()
    finally:
        if collects:
            gc.enable()
    return found


def failure(number: int, *, permanent: bool, kind: str = "failed") -> bytes:
    """Return the message that tells of the exception that is being handled."""
    return marshal.dumps((kind, number, last_error(), permanent), _MARSHAL)


def last_error() -> str:
    """Return the traceback of the exception that is being handled, or its end."""
    import traceback  # noqa: PLC0415 - no child needs it before something fails

    return traceback.format_exc()[-_CAP:]


def run_program(program: Program, fds: Sequence[int]) -> NoReturn:
    """Run the program, and end the process with what it returns."""
    status = 1
    try:
        channel, page, lifeline, output, errors = fds
        status = program(channel, page, lifeline, output, errors)
    except SystemExit as error:
        status = _status_of(error)
    except BaseException:  # noqa: BLE001 - the process ends with it
        _complain()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(BaseException):
                stream.flush()
        os._exit(status & 0xFF)


def _status_of(error: SystemExit) -> int:
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1


def _complain() -> None:
    with suppress(BaseException):
        import traceback  # noqa: PLC0415 - see `failure`

        traceback.print_exc()
