"""The part on processes: parse every module, on workers and in a plain loop, and compare.

The work is Python code, for which threads would have to take turns. A process may die under its
job, too: such a job is run again, once. With *chaos* one of them is made to.
Threads: for one thread, the main one where Ctrl-C is to be seen.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Final, final

from runtime.demo import report
from runtime.demo.digests import Failure, find_files
from runtime.demo.session import DIFFERENT, FAILED, OK, Verdict
from runtime.demo.sweep import Work
from runtime.demo.syntax import ModuleSurvey, add_up, survey_module
from runtime.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runtime.demo.session import Session, Settings
    from runtime.demo.sweep import Swept

__all__ = ("NOT_HERE", "Survey")

NOT_HERE: Final = "modules are not parsed: this version has process workers on POSIX systems only"
_IS_SUPPORTED: Final = os.name == "posix"

# Imported once, by the process that the workers are forked from, and not by each of them.
_PRELOAD: Final = (__name__,)
_TESTS: Final = "test/"  # the interpreter's own: more than all the rest, and no part of the library
_KILL: Final = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


@final
class Survey:
    """One run of this part. Not thread-safe.

    Args:
        session: Its settings and streams.
        in_sequence: Surveys a module in the plain loop.
    """

    def __init__(
        self,
        session: Session,
        *,
        in_sequence: Callable[[Path, str], ModuleSurvey] = survey_module,
    ) -> None:
        self._session = session
        self._survey_in_sequence = in_sequence
        self._failures: list[Failure] = []

    def run(self) -> Verdict:
        """Do it all."""
        session, settings = self._session, self._session.settings
        if not _IS_SUPPORTED:
            session.say([NOT_HERE])
            return Verdict(OK, "ok")
        names, self._failures = find_files(settings.folder)
        names = [name for name in names if _is_module(name, settings)][: settings.limit]
        session.say(
            [f"{report.describe_interpreter()}: {len(names):,} modules below {settings.folder}"]
        )
        if not names:
            return self._judge([], 0)
        began = session.clock.now()
        pool = WorkerPool(settings.workers, backend="process", exit_timeout=0.0, preload=_PRELOAD)
        try:
            crew = report.describe_crew(pool.max_workers)
            swept = session.sweep(pool, crew, names, self._make_work(names))
            statistics = pool.statistics()
        except BaseException:
            pool.shutdown(wait=False, cancel_pending=True)
            raise
        pool.shutdown()
        middle = session.clock.now()  # the time to start and to stop the processes is theirs
        self._failures += swept.failures
        surveys = self._survey_all_in_sequence([name for name in names if name in swept.results])
        ended = session.clock.now()

        totals = add_up(swept.results)
        session.say(report.describe_syntax(totals))
        session.say(report.describe_speed(totals, crew, middle - began, ended - middle))
        session.say(report.describe_pool(statistics))
        self._tell_crashes(swept)
        different = [name for name, survey in surveys.items() if survey != swept.results[name]]
        return self._judge(different, totals.files)

    def _make_work(self, names: Sequence[str]) -> Work[ModuleSurvey]:
        """Return what to do with each module, and what to do with one whose process died."""
        folder = self._session.settings.folder
        job = again = partial(survey_module, folder)
        if self._session.settings.chaos:
            victim = names[len(names) // 2]
            self._session.say(
                [f"  chaos        the process that takes {report.printable(victim)} is killed"]
            )
            job = partial(_survey_or_die, folder, victim)
        return Work(job, lambda survey: survey.size, again)

    def _survey_all_in_sequence(self, names: Sequence[str]) -> dict[str, ModuleSurvey]:
        folder, progress = self._session.settings.folder, self._session.progress
        found: dict[str, ModuleSurvey] = {}
        progress.begin("in sequence", len(names))
        for name in names:
            try:
                found[name] = self._survey_in_sequence(folder, name)
            except Exception as error:  # noqa: BLE001 - it is gone by now, for instance
                self._failures.append(Failure.of(name, error))
            else:
                progress.advance(found[name].size)
        progress.end()
        return found

    def _tell_crashes(self, swept: Swept[ModuleSurvey]) -> None:
        """Say whose process died, and what became of the job."""
        for name, crash in swept.crashes:
            end = crash.signal_name or f"exit code {crash.exit_code}"
            what = "done" if name in swept.results else "in vain"
            told = f"process {crash.pid} ended by {end}, run again: {what}"
            self._session.say([f"  crashed      {report.printable(name)}: {told}"])

    def _judge(self, different: Sequence[str], files: int) -> Verdict:
        """Say what is wrong, if anything is; return the verdict."""
        session = self._session
        for line in report.describe_failures(self._failures):
            session.complain(line)
        if different:
            for line in report.describe_differences(different):
                session.complain(line)
            return Verdict(DIFFERENT, "the totals differ")
        but = f", but for the {len(self._failures):,} that failed" if self._failures else ""
        session.say([f"  both runs    identical{but}"] if files else ["  nothing to parse"])
        return Verdict(FAILED, "some files failed") if self._failures else Verdict(OK, "ok")


def _is_module(name: str, settings: Settings) -> bool:
    return name.endswith(".py") and (settings.with_tests or not name.startswith(_TESTS))


def _survey_or_die(folder: Path, victim: str, name: str) -> ModuleSurvey:
    """Survey a module; at *victim* end this process as the system does when memory runs out."""
    if name == victim:
        os.kill(os.getpid(), _KILL)
    return survey_module(folder, name)
