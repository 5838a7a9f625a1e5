"""A plugin of pytest's: what is skipped though its package is installed fails the run.

For `scripts.extras`. A package of the extras that could not be installed excuses what names it;
what is skipped for want of something else (another package, a display, a system) is not looked at.
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from scripts import extras, in_env

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("absent", "is_excused", "module_of", "pytest_configure")

# Where it is not the package's own name.
MODULES = {"grpcio": "grpc", "ipython": "IPython", "jupyter-client": "jupyter_client"}
OF_ABSENCE = re.compile(
    r"not installed|could not import|no module named|cannot run here", re.IGNORECASE
)


def pytest_configure(config: pytest.Config) -> None:
    """Watch this run."""
    text = (in_env.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = map(name_of, extras.requirements(tomllib.loads(text)))
    config.pluginmanager.register(_Watch(absent(wanted)), "extras-skips")


def name_of(requirement: str) -> str:
    """Return the package's name alone."""
    found = re.match(r"[\w.-]+", requirement)
    if found is None:
        raise ValueError(f"not a requirement: {requirement!r}")
    return found[0]


def module_of(package: str) -> str:
    """Return what a program imports."""
    return MODULES.get(package, package)


def absent(packages: Iterable[str]) -> list[str]:
    """Return the modules of those that are not installed."""
    return [
        module_of(package)
        for package in packages
        if not list(importlib.metadata.distributions(name=package))
    ]


def is_excused(reason: str, missing: Iterable[str], installed: Iterable[str]) -> bool:
    """Tell whether *reason* names something that is not there, or nothing that is."""
    words = set(re.findall(r"\w+", reason))
    if OF_ABSENCE.search(reason) is None or not words.isdisjoint(missing):
        return True
    return words.isdisjoint(installed)


class _Watch:
    """Takes note of what is skipped."""

    def __init__(self, missing: list[str]) -> None:
        self.missing = missing
        self.installed = set(importlib.metadata.packages_distributions())
        self.wrong: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at a test."""
        self._look(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Look at a file: it may be skipped as a whole."""
        self._look(report)

    def _look(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not is_excused(reason, self.missing, self.installed):
            self.wrong.append(f"{report.nodeid}: {reason}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that has not failed yet."""
        if self.wrong and session.exitstatus in {
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        }:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which."""
        if self.missing:
            terminalreporter.write_line(f"not installed here: {', '.join(self.missing)}")
        for line in self.wrong:
            terminalreporter.write_line(f"SKIPPED THOUGH INSTALLED: {line}", red=True)
