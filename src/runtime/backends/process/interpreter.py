"""Starting another interpreter like this one: its flags, its standard streams, its first steps.

Threads: any. The new process gets `sys.path` and everything else that is not for
everybody's eyes through a file without a name, and nothing of it as an argument or a variable.
Invariant: before that path is in place it imports built-in and frozen modules only (what ``site``
does on each start apart); it has no folder of its own in its path (``-P``).
Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import errno
import fcntl
import marshal
import os
import select
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import WorkerStartError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = (
    "above_standard",
    "end_process",
    "interpreter_flags",
    "module_path",
    "open_interpreter",
    "plan_of",
)

_FIRST: Final = 3  # descriptors below it are the standard streams
_MARSHAL: Final = 4  # the version that every supported interpreter reads

# What the new interpreter runs. `runtime` is loaded from where it was loaded here, whatever a
# script has done to its path since; a failure is reported, since nobody may look at stderr.
# The collector waits meanwhile: what is loaded stays, so each of its looks would be in vain.
_CODE: Final = """
def start():
    import gc, marshal, os, sys
    collects = gc.isenabled()
    gc.disable()
    with open(int(sys.argv[1]), "rb") as file:
        plan = marshal.load(file)
    try:
        if plan["version"] != sys.hexversion:
            raise ImportError("%s is Python %s" % (sys.executable, sys.version))
        sys.path[:] = plan["path"]
        from importlib.machinery import PathFinder
        from importlib.util import module_from_spec
        spec = PathFinder.find_spec("runtime", [plan["home"]])
        if spec is not None:
            sys.modules["runtime"] = module_from_spec(spec)
            spec.loader.exec_module(sys.modules["runtime"])
        from importlib import import_module
        main = import_module(plan["main"]).main
    except BaseException:
        import traceback
        text = traceback.format_exc()[-8000:]
        os.write(plan["report"], marshal.dumps(("failed", -1, text, True), 4))
        os._exit(1)
    gc.freeze()
    if collects:
        gc.enable()
    main(plan)
start()
"""


def interpreter_flags() -> list[str]:
    """Return the command line options that make an interpreter behave like this one.

    Always with ``-P``: the path comes from here, and nothing is put in front of it.
    """
    flags = sys.flags
    found = ["-P"]
    for letter, times in (
        ("O", flags.optimize),
        ("B", flags.dont_write_bytecode),
        ("S", flags.no_site),
        ("v", flags.verbose),
        ("b", flags.bytes_warning),
    ):
        if times > 0:
            found.append("-" + letter * times)
    if flags.isolated:
        found.append("-I")
    else:
        found += ["-E"] * (flags.ignore_environment > 0) + ["-s"] * (flags.no_user_site > 0)
    for option in sys.warnoptions:
        found += ["-W", option]
    for name, value in sys._xoptions.items():
        found += ["-X", name if value is True else f"{name}={value}"]
    return found


def plan_of(main: str, report: int, **more: object) -> dict[str, Any]:  # Any: what marshal takes
    """Return the plan of a new interpreter that is like this one.

    Args:
        main: The module whose ``main`` is called with the plan.
        report: The descriptor that it reports a failure to.
        more: What *main* needs.
    """
    return {
        "version": sys.hexversion,
        "home": os.path.dirname(next(iter(sys.modules["runtime"].__path__))),
        "path": module_path(),
        "argv": _texts(sys.argv),
        "dont_write_bytecode": bool(sys.dont_write_bytecode),
        "pycache_prefix": sys.pycache_prefix,
        "main": main,
        "report": report,
        **more,
    }


def module_path() -> list[str]:
    """Return `sys.path` as plain text: what else people put there is of no use to imports."""
    return _texts(sys.path)


def _texts(entries: Iterable[object]) -> list[str]:
    # marshal takes no subclass of str; this gives what is underneath.
    return [str.__str__(entry) for entry in entries if isinstance(entry, str)]


def open_interpreter(
    plan: dict[str, Any],  # Any: see `plan_of`
    passed: Sequence[int],
    executable: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start an interpreter that runs *plan*.

    It begins with SIGINT blocked, so that a Ctrl-C cannot hit it before it ignores the signal.

    Args:
        plan: See `plan_of`.
        passed: The descriptors that it keeps, none of them a standard stream; they stay open here.
        executable: The interpreter; by default `sys.executable`.

    Raises:
        WorkerStartError: the system refused, or there is no such interpreter.
    """
    program = executable or sys.executable
    if not program:
        raise WorkerStartError(
            "cannot start a process: sys.executable is not set "
            f"({sys.executable!r}), as in a program that embeds Python; set it to the path of "
            "a Python interpreter of this version"
        )
    try:
        with _file_of(plan) as number:
            words = [program, *interpreter_flags(), "-c", _CODE, str(number)]
            return _open(words, (*passed, number))
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: the interpreter is ending
        raise WorkerStartError(
            f"cannot start a process from {program!r}: {type(error).__name__}: {error}"
        ) from error


def _open(words: list[str], passed: tuple[int, ...]) -> subprocess.Popen[bytes]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=_stream(1),
            stderr=_stream(2),
            pass_fds=passed,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stream(number: int) -> int | None:
    """Return what `subprocess` is to make a standard stream of: this one, where it is one.

    Where it was closed, something else may have its number by now, which is nobody's business.
    """
    try:
        is_ours = os.get_inheritable(number)  # what Python opens itself is not
    except OSError:
        is_ours = False
    return None if is_ours else subprocess.DEVNULL


class _file_of:  # noqa: N801 - a context manager
    """The number of a file without a name that holds the plan."""

    def __init__(self, plan: dict[str, Any]) -> None:  # Any: see `plan_of`
        self._data = marshal.dumps(plan, _MARSHAL)
        self._number = -1

    def __enter__(self) -> int:
        self._number = number = above_standard(_nameless_file())
        with open(number, "wb", closefd=False) as file:
            file.write(self._data)
        os.lseek(number, 0, os.SEEK_SET)
        return number

    def __exit__(self, *error: object) -> None:
        os.close(self._number)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        try:
            return os.memfd_create("vela-plan")
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EACCES, errno.ENOSYS}:
                raise  # a limit, which a temporary file would meet as well
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def above_standard(descriptor: int) -> int:
    """Return *descriptor*, moved where it has the number of a standard stream.

    That happens where a program has closed its streams; in a child it would be taken for one.
    """
    if descriptor >= _FIRST:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST)
    finally:
        os.close(descriptor)


def end_process(process: subprocess.Popen[bytes], patience: float) -> int | None:
    """Wait *patience* seconds for *process* to end, then kill it; return its status.

    None: it cannot be known (this program ignores SIGCHLD), or the system does not let it end.
    """
    for seconds in (patience, 5.0):
        try:
            return process.wait(0.0 if _has_waited(process, seconds) else seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return None


def _has_waited(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until *process* has ended, *seconds* at most; False where the system cannot do that.

    `subprocess` would look again and again, in pauses that get as long as all before together.
    """
    if process.returncode is not None:
        return False
    try:
        pidfd = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return False
    try:
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        ended.poll(seconds * 1000)
    finally:
        os.close(pidfd)
    return True
