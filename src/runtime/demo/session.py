"""What the parts of the demonstration share: what is asked for, and the ways to speak.

Threads: for one thread.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO, TypeVar, final

from runtime.demo.progress import Progress
from runtime.demo.sweep import Limits, sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from runtime.clock import Clock
    from runtime.demo.sweep import Swept, Work
    from runtime.workers import WorkerPool

__all__ = (
    "DIFFERENT",
    "FAILED",
    "GUEST_FAILED",
    "INTERRUPTED",
    "OK",
    "RunInterruptedError",
    "Session",
    "Settings",
    "Verdict",
)

T = TypeVar("T")

OK: Final = 0
DIFFERENT: Final = 1
FAILED: Final = 3  # 2 is what argparse ends with
GUEST_FAILED: Final = 4
INTERRUPTED: Final = 130  # what a shell expects after Ctrl-C


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked for; *timeout* (for one file) and *patience* (after Ctrl-C) are in seconds."""

    folder: Path
    workers: int | None = None
    limit: int | None = None
    timeout: float = 30.0
    patience: float = 3.0
    with_digests: bool = True
    with_survey: bool = True
    with_tests: bool = False
    with_guest: bool = True
    chaos: bool = False
    quiet: bool = False


class Verdict(NamedTuple):
    """How a part ended: the exit status, and the words for it."""

    status: int
    words: str


class RunInterruptedError(Exception):
    """Ctrl-C came while jobs ran; the message says how far they were."""


@final
class Session:
    """One run of the demonstration: its settings, its clock, and its two streams."""

    def __init__(self, settings: Settings, out: TextIO, err: TextIO, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.progress = Progress(err, clock, quiet=settings.quiet)
        self._out = out
        self._err = err

    def say(self, lines: Iterable[str]) -> None:
        """Write *lines* of the report, unless all shall be quiet."""
        if not self.settings.quiet:
            self._out.writelines(f"{line}\n" for line in lines)
            self._out.flush()

    def complain(self, line: str) -> None:
        """Write what went wrong."""
        self._err.write(f"{line}\n")
        self._err.flush()

    def conclude(self, words: str, began: float) -> None:
        """Write the last line, also where all shall be quiet."""
        self._out.write(f"{words}, after {self.clock.now() - began:.1f} s\n")

    def interrupted(self, error: BaseException) -> int:
        """Say that *error*, a Ctrl-C, ended it; return the exit status."""
        self.progress.end()
        self.complain(f"interrupted{f': {error}' if str(error) else ''}")
        return INTERRUPTED

    def sweep(self, pool: WorkerPool, title: str, names: Sequence[str], work: Work[T]) -> Swept[T]:
        """Do *work* on *pool* for each of *names*, with the progress shown.

        Raises:
            RunInterruptedError: after Ctrl-C.
        """
        limits = Limits(self.settings.timeout, self.settings.patience)
        self.progress.begin(title, len(names))
        with self._show_log():
            swept = sweep(pool, work, names, limits, self.progress)
        self.progress.end()
        if swept.interrupted:
            left = f", and these still ran: {', '.join(swept.left)}" if swept.left else ""
            raise RunInterruptedError(f"{len(swept.results)} of {len(names)} files were done{left}")
        return swept

    @contextmanager
    def _show_log(self) -> Iterator[None]:
        """Show what the pools log beside the progress; what nobody takes goes over that line."""
        logger, handler = logging.getLogger("runtime"), _Notes(self.progress)
        if self.settings.quiet or logger.hasHandlers():  # somebody else takes it
            yield
            return
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


class _Notes(logging.Handler):
    """Makes notes of warnings; on any thread."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.note(self.format(record))
