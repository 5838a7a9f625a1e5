"""The demonstration from its first line to its exit status.

Its first part reads every file once, on workers, so that both measured runs find it in the
system's cache; digests all on workers; digests the same in a plain loop; compares. Then come the
survey on processes, and the guest program.
Threads: for one thread, the main one where Ctrl-C is to be seen.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar, final

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
from runtime.demo.session import (
    DIFFERENT,
    FAILED,
    GUEST_FAILED,
    OK,
    RunInterruptedError,
    Session,
    Settings,
    Verdict,
)
from runtime.demo.survey import Survey
from runtime.demo.sweep import Work
from runtime.workers import Worker, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runtime.demo.digests import Reader

__all__ = ("Demo",)

T = TypeVar("T")


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
        self._session = Session(settings, out or sys.stdout, err or sys.stderr, clock)
        self._read = read
        self._clock = clock
        self._package = package or Path(runtime.__file__).resolve().parent
        self._failures: list[Failure] = []

    def run(self) -> int:
        """Do it all; return the exit status."""
        session, settings = self._session, self._settings
        began = self._clock.now()
        try:
            verdicts = []
            if settings.with_digests:
                verdicts.append(self._digest_all())
            if settings.with_survey:
                verdicts.append(Survey(session).run())
            if settings.with_guest:
                verdicts.append(self._run_guest())
        except (KeyboardInterrupt, RunInterruptedError) as error:
            return session.interrupted(error)
        verdict = next((one for one in verdicts if one.status != OK), Verdict(OK, "ok"))
        session.conclude(verdict.words, began)
        return verdict.status

    # ---- the standard library -------------------------------------------------------------

    def _digest_all(self) -> Verdict:
        folder = self._settings.folder
        names, self._failures = find_files(folder, self._settings.limit)
        self._session.say([f"{report.describe_interpreter()}: {len(names):,} files below {folder}"])
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
        self._session.say(report.describe_totals(totals))
        self._session.say(report.describe_speed(totals, crew, middle - began, ended - middle))
        self._session.say(report.describe_pool(statistics))
        return self._judge(differences(on_workers, in_sequence), totals.files)

    def _judge(self, different: Sequence[str], files: int) -> Verdict:
        """Say what is wrong, if anything is; return the verdict."""
        for line in report.describe_failures(self._failures):
            self._session.complain(line)
        if different:
            for line in report.describe_differences(different):
                self._session.complain(line)
            return Verdict(DIFFERENT, "the digests differ")
        if not files:
            self._session.complain(f"nothing could be read below {self._settings.folder}")
            return Verdict(FAILED, "some files failed")
        if self._failures:
            self._session.say(
                [f"  both runs    identical, but for the {len(self._failures):,} that failed"]
            )
            return Verdict(FAILED, "some files failed")
        self._session.say(["  both runs    identical"])
        return Verdict(OK, "ok")

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
        swept = self._session.sweep(pool, title, names, Work(job, size_of))
        self._failures += swept.failures
        return swept.results

    def _digest_in_sequence(self, names: Sequence[str]) -> dict[str, FileDigest]:
        found: dict[str, FileDigest] = {}
        self._session.progress.begin("in sequence", len(names))
        for name in names:
            path = self._settings.folder / name
            try:
                found[name] = digest_file(path, self._read, lambda: None)
            except Exception as error:  # noqa: BLE001 - it is gone by now, for instance
                self._failures.append(Failure.of(name, error))
            else:
                self._session.progress.advance(found[name].size)
        self._session.progress.end()
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

    def _run_guest(self) -> Verdict:
        program = guest.find_program(self._package)
        if program is None:
            self._session.say([guest.NOT_HERE])
            return Verdict(OK, "ok")
        self._session.say([f"{program.name}, in a toy language whose tasks are futures:"])
        try:
            summary = guest.run_program(program, self._write_for_guest, self._settings.workers)
        except Exception as error:  # noqa: BLE001 - whatever a guest comes to is its own affair
            self._session.complain(f"  the guest program failed: {type(error).__name__}: {error}")
            return Verdict(GUEST_FAILED, "the guest program failed")
        self._session.say([f"  {summary}"])
        return Verdict(OK, "ok")

    def _write_for_guest(self, text: str) -> None:
        if text.strip():
            self._session.say([f"  > {text.rstrip()}"])


def _size_of(digest: FileDigest) -> int:
    return digest.size
