"""The demonstration from its first line to its exit status.

Four steps: read every file once, on workers, so that both measured runs find it in the system's
cache; digest all on workers; digest the same in a plain loop; compare. Then the guest program.
Threads: for one thread, the main one where Ctrl-C is to be seen.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO, TypeVar, final

import runtime
from runtime.clock import SYSTEM_CLOCK, Clock
from runtime.demo import guest, report
from runtime.demo.digests import (
    Failure,
    FileDigest,
    add_up,
    differences,
    digest_file,
    find_files,
    read_chunks,
)
from runtime.demo.progress import Progress
from runtime.demo.sweep import Limits, sweep
from runtime.workers import Worker, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runtime.demo.digests import Reader

__all__ = ("DIFFERENT", "FAILED", "GUEST_FAILED", "INTERRUPTED", "OK", "Demo", "Settings")

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
    with_guest: bool = True
    quiet: bool = False


class _RunInterruptedError(Exception):
    """Ctrl-C came while jobs ran; the message says how far they were."""


@final
class Demo:
    """One run of the demonstration. Not thread-safe.

    Args:
        settings: What to do.
        out: Gets the report; the standard output by default.
        err: Gets the progress, and what goes wrong; the standard error by default.
        read: Gives the content of a file.
        clock: What everything is measured on.
        package: The folder of this package: the examples are looked for around it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        out: TextIO | None = None,
        err: TextIO | None = None,
        read: Reader = read_chunks,
        clock: Clock = SYSTEM_CLOCK,
        package: Path | None = None,
    ) -> None:
        self._settings = settings
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._read = read
        self._clock = clock
        self._package = package or Path(runtime.__file__).resolve().parent
        self._progress = Progress(self._err, clock, quiet=settings.quiet)
        self._failures: list[Failure] = []

    def run(self) -> int:
        """Do it all; return the exit status."""
        began = self._clock.now()
        try:
            status = self._digest_all()
            if self._settings.with_guest:
                status = self._run_guest() or status
        except (KeyboardInterrupt, _RunInterruptedError) as error:
            self._progress.end()
            self._complain(f"interrupted{f': {error}' if str(error) else ''}")
            return INTERRUPTED
        words = {OK: "ok", DIFFERENT: "the digests differ", FAILED: "some files failed"}
        verdict = words.get(status, "the guest program failed")
        self._out.write(f"{verdict}, after {self._clock.now() - began:.1f} s\n")
        return status

    # ---- the standard library -------------------------------------------------------------

    def _digest_all(self) -> int:
        folder = self._settings.folder
        names, self._failures = find_files(folder, self._settings.limit)
        self._say([f"{report.describe_interpreter()}: {len(names):,} files below {folder}"])
        names = self._warm_up(names)
        with self._pool() as pool:
            began = self._clock.now()
            crew = report.describe_crew(pool.max_workers)
            on_workers = self._sweep(pool, crew, names, self._digest_on_worker, _size_of)
            statistics = pool.statistics()
        middle = self._clock.now()  # the time to stop the workers counts as theirs
        names = [name for name in names if name in on_workers]
        in_sequence = self._digest_in_sequence(names)
        ended = self._clock.now()

        totals = add_up(on_workers)
        self._say(report.describe_totals(totals))
        self._say(report.describe_speed(totals, crew, middle - began, ended - middle))
        self._say(report.describe_pool(statistics))
        return self._judge(differences(on_workers, in_sequence), totals.files)

    def _judge(self, different: Sequence[str], files: int) -> int:
        """Say what is wrong, if anything is; return the exit status."""
        for line in report.describe_failures(self._failures):
            self._complain(line)
        if different:
            for line in report.describe_differences(different):
                self._complain(line)
            return DIFFERENT
        if not files:
            self._complain(f"nothing could be read below {self._settings.folder}")
            return FAILED
        if self._failures:
            self._say(
                [f"  both runs    identical, but for the {len(self._failures):,} that failed"]
            )
            return FAILED
        self._say(["  both runs    identical"])
        return OK

    def _warm_up(self, names: Sequence[str]) -> list[str]:
        """Read every file once; return the names of those that can be read."""
        with self._pool() as pool:
            sizes = self._sweep(pool, "reading", names, self._read_on_worker, lambda size: size)
        return [name for name in names if name in sizes]

    def _sweep(
        self,
        pool: WorkerPool,
        title: str,
        names: Sequence[str],
        job: Callable[[str], T],
        size_of: Callable[[T], int],
    ) -> dict[str, T]:
        """Run *job* for each of *names*; return its results, and note failures."""
        limits = Limits(self._settings.timeout, self._settings.patience)
        self._progress.begin(title, len(names))
        swept = sweep(pool, job, names, limits, self._progress, size_of)
        self._progress.end()
        self._failures += swept.failures
        if swept.interrupted:
            left = f", and these still ran: {', '.join(swept.left)}" if swept.left else ""
            raise _RunInterruptedError(
                f"{len(swept.results)} of {len(names)} files were done{left}"
            )
        return swept.results

    def _digest_in_sequence(self, names: Sequence[str]) -> dict[str, FileDigest]:
        found: dict[str, FileDigest] = {}
        self._progress.begin("in sequence", len(names))
        for name in names:
            path = self._settings.folder / name
            try:
                found[name] = digest_file(path, self._read, lambda: None)
            except Exception as error:  # noqa: BLE001 - it is gone by now, for instance
                self._failures.append(Failure.of(name, error))
            else:
                self._progress.advance(found[name].size)
        self._progress.end()
        return found

    # These two run on workers: they touch nothing that changes.

    def _read_on_worker(self, name: str) -> int:
        check, size = Worker.current().check, 0
        for chunk in self._read(self._settings.folder / name):
            check()
            size += len(chunk)
        return size

    def _digest_on_worker(self, name: str) -> FileDigest:
        return digest_file(self._settings.folder / name, self._read, Worker.current().check)

    @contextmanager
    def _pool(self) -> Iterator[WorkerPool]:
        """Give a pool that does not outlive its block, nor make the interpreter's exit wait."""
        pool = WorkerPool(self._settings.workers, exit_timeout=0.0)
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_pending=True)
            raise
        pool.shutdown()

    # ---- the guest ------------------------------------------------------------------------

    def _run_guest(self) -> int:
        program = guest.find_program(self._package)
        if program is None:
            self._say([guest.NOT_HERE])
            return OK
        self._say([f"{program.name}, in a toy language whose tasks are futures:"])
        try:
            summary = guest.run_program(program, self._write_for_guest, self._settings.workers)
        except Exception as error:  # noqa: BLE001 - whatever a guest comes to is its own affair
            self._complain(f"  the guest program failed: {type(error).__name__}: {error}")
            return GUEST_FAILED
        self._say([f"  {summary}"])
        return OK

    def _write_for_guest(self, text: str) -> None:
        if text.strip():
            self._say([f"  > {text.rstrip()}"])

    # ---- saying ---------------------------------------------------------------------------

    def _say(self, lines: Iterable[str]) -> None:
        if not self._settings.quiet:
            self._out.writelines(f"{line}\n" for line in lines)
            self._out.flush()

    def _complain(self, line: str) -> None:
        self._err.write(f"{line}\n")
        self._err.flush()


def _size_of(digest: FileDigest) -> int:
    return digest.size
