"""The demonstration: what it counts, how it tells, and how it ends when something goes wrong."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import zlib
from typing import TYPE_CHECKING, Final

import pytest

from examples.stdlib_digest import main
from runtime.demo import guest
from runtime.demo.digests import digest_file, find_files, read_chunks, stdlib_folder
from runtime.demo.program import Demo
from runtime.demo.progress import Progress
from runtime.demo.report import describe_differences, describe_pool, printable
from runtime.demo.session import DIFFERENT, FAILED, GUEST_FAILED, OK, Settings
from runtime.errors import CancelRequestedError
from runtime.testing.clock import ManualClock
from runtime.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.demo.digests import Reader

GUARD: Final = 10.0  # seconds; only a deadlock takes so long
CONTENTS: Final = {"a.txt": b"a" * 1000, "b.txt": b"", "sub/c.bin": bytes(range(256)) * 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "lib"
    for name, content in CONTENTS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    for skipped in ("__pycache__", "site-packages", "dist-packages"):
        (root / skipped).mkdir()
        (root / skipped / "skipped.py").write_bytes(b"never seen")
    return root


class Terminal(io.StringIO):
    """Keeps what is written, and says that a person looks at it."""

    def isatty(self) -> bool:  # noqa: D102
        return True


def demo(
    folder: Path, read: Reader = read_chunks, *, timeout: float = GUARD, workers: int = 2
) -> tuple[int, str, str]:
    """Run the first part; return the status, the report, and what was complained about."""
    out, err = io.StringIO(), io.StringIO()
    settings = Settings(
        folder, workers=workers, timeout=timeout, with_survey=False, with_guest=False
    )
    status = Demo(settings, out=out, err=err, read=read).run()
    return status, out.getvalue(), err.getvalue()


# ---- when all is well -------------------------------------------------------------------------


def test_the_report_tells_what_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The numbers are those that anybody can compute by other means."""
    overall = hashlib.sha256()
    for name, content in sorted(CONTENTS.items()):
        overall.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    compressed = sum(len(zlib.compress(content)) for content in CONTENTS.values())

    status = main(["--folder", str(folder), "--workers", "2", "--no-survey", "--no-guest"])

    report = capsys.readouterr().out
    assert status == OK
    assert f"3 files below {folder}\n  files        3\n  bytes        2,024\n" in report
    assert f"  compressed   {compressed:,} (" in report
    assert f"  SHA-256      {overall.hexdigest()}\n  on 2 workers " in report
    assert re.search(r"\n  in sequence  .* s .*\n  speed-up     [0-9.]+ x\n", report)
    assert "  backend      thread, 2 at once, 0 abandoned\n" in report
    assert "3 done: 3 succeeded, 0 failed, 0 timed out, 0 cancelled\n" in report
    assert re.search(r"\n  both runs    identical\nok, after [0-9.]+ s\n$", report)


def test_quiet_says_only_how_it_ended(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts: one line, and the exit status."""
    status = main(
        ["--folder", str(folder), "--workers", "2", "--no-survey", "--no-guest", "--quiet"]
    )

    written = capsys.readouterr()
    assert status == OK
    assert re.fullmatch(r"ok, after [0-9.]+ s\n", written.out)
    assert written.err == ""


def test_limit_takes_the_first_files(folder: Path) -> None:
    """Always the same ones, whatever the order in which the system lists a folder."""
    assert find_files(folder) == (sorted(CONTENTS), [])
    assert find_files(folder, 2) == (["a.txt", "b.txt"], [])


def test_the_standard_library_of_this_interpreter_is_found() -> None:
    """By default it is what this very interpreter imports from."""
    assert (stdlib_folder() / "threading.py").samefile(str(threading.__file__))


def test_a_large_file_is_read_in_pieces_and_may_be_stopped_between_them(tmp_path: Path) -> None:
    """The digest does not depend on the pieces, and a cancelled job ends at the next one."""
    content = b"0123456789abcdef" * 50_000
    (tmp_path / "large").write_bytes(content)
    checks = iter([None, CancelRequestedError()])

    def check() -> None:
        request = next(checks)
        if request is not None:
            raise request

    digest = digest_file(tmp_path / "large", read_chunks, lambda: None)
    with pytest.raises(CancelRequestedError):
        digest_file(tmp_path / "large", read_chunks, check)

    assert (digest.size, digest.sha256) == (len(content), hashlib.sha256(content).digest())
    assert digest.compressed_size == len(zlib.compress(content))


def test_jobs_in_the_caller_do_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without threads still gets the digests."""
    monkeypatch.setenv("RUNTIME_WORKERS_INLINE", "1")

    status, report, _ = demo(folder)

    assert status == OK
    assert "backend      inline" in report


# ---- when something is wrong ------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_named_and_the_run_goes_on(folder: Path) -> None:
    """One bad file must not hide the others, nor be hidden by them."""

    def read(path: Path) -> Iterator[bytes]:
        if path.name == "b.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return read_chunks(path)

    status, report, complaints = demo(folder, read)

    assert status == FAILED
    assert "  failed       b.txt: PermissionError: Permission denied\n" in complaints
    assert "  files        2\n" in report
    assert "  both runs    identical, but for the 1 that failed\nsome files failed" in report


def test_a_file_that_is_gone_for_the_run_in_sequence_is_named(folder: Path) -> None:
    """It failed; it is not different."""

    def read(path: Path) -> Iterator[bytes]:
        if threading.current_thread() is threading.main_thread() and path.name == "a.txt":
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return read_chunks(path)

    status, _, complaints = demo(folder, read)

    assert status == FAILED
    assert "  failed       a.txt: FileNotFoundError: No such file or directory\n" in complaints
    assert "DIFFERENT" not in complaints


@pytest.mark.slow
def test_a_file_that_takes_too_long_is_named_and_the_run_goes_on(folder: Path) -> None:
    """A hanging network drive costs one worker for a while, not the run."""
    release = threading.Event()

    def read(path: Path) -> Iterator[bytes]:
        if path.name == "b.txt":
            release.wait(GUARD)
        return read_chunks(path)

    try:
        status, report, complaints = demo(folder, read, timeout=0.5)
    finally:
        release.set()

    assert status == FAILED
    assert "  failed       b.txt: took longer than 0.5 s on a worker\n" in complaints
    assert "  files        2\n" in report


@pytest.mark.slow
def test_a_run_in_which_everything_hangs_is_given_up(tmp_path: Path) -> None:
    """The pool replaces only so many workers; then the rest is reported, and not waited for."""
    for number in range(50):
        (tmp_path / f"{number:02}").write_bytes(b"x")
    release = threading.Event()

    def read(path: Path) -> Iterator[bytes]:
        release.wait(GUARD)
        return read_chunks(path)

    try:
        status, _, complaints = demo(tmp_path, read, timeout=0.01, workers=1)
    finally:
        release.set()

    assert status == FAILED
    assert "  failed       00: took longer than 0.01 s on a worker\n" in complaints
    assert "  failed       49: not tried: too many others hang\n" in complaints
    assert complaints.count("  failed ") == 50
    assert complaints.endswith(f"nothing could be read below {tmp_path}\n")


def test_different_digests_are_told_by_the_exit_status(folder: Path) -> None:
    """That is what the second run is for."""

    def read(path: Path) -> Iterator[bytes]:
        if threading.current_thread() is threading.main_thread() and path.name == "a.txt":
            return iter([b"something else"])
        return read_chunks(path)

    status, report, complaints = demo(folder, read)

    assert status == DIFFERENT
    assert "  DIFFERENT    a.txt\n" in complaints
    assert "identical" not in report
    assert "the digests differ, after" in report


def test_times_of_jobs_are_summed_up(tmp_path: Path) -> None:
    """How long jobs waited and ran, of those that the pool took the time of."""
    for number in range(16):
        (tmp_path / str(number)).write_bytes(b"x")

    _, report, _ = demo(tmp_path)

    span = "[0-9.,]+ (us|ms)"
    times = f"{span} on average, 95 % at most {span}, longest {span}"
    assert re.search(rf"\n  waited       {times} \([0-9]+ jobs sampled\)\n", report)
    assert re.search(rf"\n  ran          {times} \([0-9]+ jobs sampled\)\n", report)


def test_a_long_list_of_differences_is_cut() -> None:
    """Thousands of names would push the first ones off the screen."""
    lines = list(describe_differences([f"file-{number}" for number in range(12)]))

    assert lines[0] == "  DIFFERENT    file-0"
    assert lines[10:] == ["  DIFFERENT    and 2 more"]


def test_a_folder_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    """A run over nothing must not pass for a good one."""
    status, _, complaints = demo(tmp_path / "missing")

    assert status == FAILED
    assert "  failed       .: FileNotFoundError: No such file or directory\n" in complaints


def test_a_name_cannot_play_tricks_on_the_terminal() -> None:
    """File names are bytes of somebody else's choice."""
    assert printable("caf\u00e9 \x1b[2J\udcff\n") == "caf\u00e9 \\x1b[2J\\udcff\\n"


def test_an_abandoned_job_is_named_in_the_statistics() -> None:
    """Whoever reads that something was given up wants to know what."""
    release, began = threading.Event(), threading.Event()

    def hang() -> None:
        began.set()
        release.wait(GUARD)

    with WorkerPool(1) as pool:
        future = pool.spawn(hang, name="stuck")
        assert began.wait(GUARD)
        future.cancel()
        lines = list(describe_pool(pool.statistics()))
        release.set()

    assert lines[0] == "  backend      thread, 1 at once, 1 abandoned"
    assert lines[2] == "  waited       no sample"
    assert re.fullmatch(r"  still runs   worker \d+ 'stuck', given up [0-9.]+ s ago", lines[-1])


# ---- progress ---------------------------------------------------------------------------------


def test_progress_in_a_log_is_a_line_now_and_then() -> None:
    """A file of ten thousand carriage returns helps nobody."""
    stream, clock = io.StringIO(), ManualClock()
    progress = Progress(stream, clock)

    progress.begin("reading", 3)
    progress.advance(1_000_000)
    clock.advance(2.0)
    progress.advance(500_000)
    progress.tick()
    progress.end()

    assert stream.getvalue() == (
        "reading: 0/3 files, 0.0 MB, 0.0 s\nreading: 2/3 files, 1.5 MB, 2.0 s\n"
    )


def test_progress_on_a_terminal_is_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fits the width, covers what it replaces, and leaves nothing behind."""
    monkeypatch.setenv("COLUMNS", "58")
    stream, clock = Terminal(), ManualClock()
    progress = Progress(stream, clock)

    progress.begin("reading", 2)
    progress.advance(5)
    clock.advance(0.1)
    progress.tick()
    progress.end()
    progress.end()

    first = "[------------------------] reading: 0/2 files, 0.0 MB, 0.0"
    second = "[############------------] reading: 1/2 files, 0.0 MB, 0.1"
    assert stream.getvalue().split("\r") == ["", first[:57], second[:57], " " * 57, ""]


def test_a_note_does_not_get_into_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the line over, and the picture goes on below it."""
    monkeypatch.setenv("COLUMNS", "40")
    live, log, clock = Terminal(), io.StringIO(), ManualClock()

    for stream in (live, log):
        progress = Progress(stream, clock)
        progress.begin("reading", 2)
        progress.note("one crashed")
        progress.tick()
        progress.note("and another")
        progress.end()

    line = "[------------------------] reading: 0/2"
    assert live.getvalue() == (
        f"\r{line}\r{' ' * 39}\rone crashed\n\r{line}\r{' ' * 39}\rand another\n"
    )
    assert log.getvalue() == "reading: 0/2 files, 0.0 MB, 0.0 s\none crashed\nand another\n"


# ---- the guest --------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_guest_program_is_run_and_summed_up(folder: Path) -> None:
    """In a clone, thousands of tasks of another language wait on our workers."""
    out = io.StringIO()

    status = Demo(Settings(folder, workers=2, with_survey=False), out=out, err=io.StringIO()).run()

    assert status == OK
    assert "crowd.toy, in a toy language whose tasks are futures:\n  > the sum" in out.getvalue()
    assert "  5001 guest task(s), 5001 worker job(s), " in out.getvalue()


def test_without_a_clone_the_main_job_is_still_done(folder: Path, tmp_path: Path) -> None:
    """What is installed from a wheel has no examples, and says so."""
    out = io.StringIO()

    status = Demo(
        Settings(folder, workers=2, with_survey=False),
        out=out,
        err=io.StringIO(),
        package=tmp_path / "runtime",
    ).run()

    assert status == OK
    assert f"  both runs    identical\n{guest.NOT_HERE}\nok, after" in out.getvalue()


def test_a_clone_without_examples_has_no_guest(tmp_path: Path) -> None:
    """Somebody may have deleted or moved them."""
    (tmp_path / "pyproject.toml").touch()

    assert guest.clone_of(tmp_path / "src" / "runtime") == tmp_path
    assert guest.find_program(tmp_path / "src" / "runtime") is None


def test_a_guest_that_fails_is_told_by_the_exit_status(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another package called examples is in the way: that is no reason to run its code."""
    monkeypatch.setattr(guest, "find_program", lambda _: tmp_path / "a" / "b" / "c" / "crowd.toy")
    out, err = io.StringIO(), io.StringIO()

    status = Demo(Settings(folder, workers=2, with_survey=False), out=out, err=err).run()

    assert status == GUEST_FAILED
    assert "the guest program failed: ImportError: another package called examples" in (
        err.getvalue()
    )
    assert "the guest program failed, after" in out.getvalue()
