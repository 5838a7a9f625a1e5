"""Where the standard streams of a child lead."""

from __future__ import annotations

import io
import sys

import pytest

from runtime.backends.process.output import flush_output
from tests.unit.runtime.backends.process.in_a_child import run_in_a_child

REDIRECTED = """
    import os, sys
    from runtime.backends.process.output import flush_output, redirect_output
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    before = os.dup(2)
"""
REPORT = """
    os.close(1)
    os.close(2)
    os.write(before, repr([os.read(out, 99), os.read(err, 99)]).encode())
"""


@pytest.mark.process
def test_both_streams_lead_to_the_parent() -> None:
    """A line at a time: what was printed before a crash is there after it."""
    ended = run_in_a_child(f"""{REDIRECTED}
    redirect_output(out_end, err_end)
    print("a\\udcff\\u00e9")
    sys.stderr.write("b\\n")
    {REPORT}""")

    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == repr([b"a\\udcff\xc3\xa9\n", b"b\n"])


@pytest.mark.process
def test_what_was_printed_before_goes_to_the_old_place() -> None:
    """And a stream that is not led away stays."""
    ended = run_in_a_child("""
        import os, sys
        from runtime.backends.process.output import redirect_output
        sys.stdout.write("before")
        out, end = os.pipe()
        redirect_output(end, -1)
        print("after")
        sys.stderr.write(repr(os.read(out, 99)))
    """)

    assert (ended.stdout, ended.stderr) == ("before", repr(b"after\n"))


@pytest.mark.process
def test_processes_that_jobs_start_print_to_the_same_place() -> None:
    """What `subprocess` runs has no stream of ours, only descriptors."""
    ended = run_in_a_child(f"""{REDIRECTED}
    redirect_output(out_end, err_end)
    os.system("echo from a shell; echo oh >&2")
    {REPORT}""")

    assert ended.stderr == repr([b"from a shell\n", b"oh\n"])


@pytest.mark.process
def test_missing_streams_are_no_obstacle() -> None:
    """A program without a terminal may have none; and the descriptor may be the right one."""
    ended = run_in_a_child("""
        import os, sys
        from runtime.backends.process.output import flush_output, redirect_output
        out, end = os.pipe()
        before = os.dup(2)
        sys.stdout = None
        os.close(1)
        assert os.dup(end) == 1
        os.close(end)
        redirect_output(1, -1)
        flush_output()
        os.write(1, b"x")
        sys.stderr.write(repr(os.read(out, 9)))
    """)

    assert ended.stderr == repr(b"x")


def test_flushing_writes_out_what_was_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each job: the child may be killed before the next one prints."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
    print("printed")  # noqa: T201 - its subject

    flush_output()

    assert raw.getvalue() == b"printed\n"


class BadStream:
    """What a job may put there."""

    def flush(self) -> None:
        """Fail."""
        raise SystemExit(3)


def closed_stream() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, object(), closed_stream(), BadStream()])
def test_flushing_never_fails(stream: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a job did to its streams is no failure of the child."""
    for name in ("stdout", "stderr"):
        with monkeypatch.context() as patch:
            patch.setattr(sys, name, stream)
            flush_output()


@pytest.mark.process
@pytest.mark.parametrize(
    ("change", "intact"),
    [
        ("", True),
        ("sys.stdout = io.StringIO()", True),
        ("sys.stdout = None", True),
        ("os.chdir('/'); os.umask(0)", True),
        ("os.close(1)", False),
        ("os.close(0); os.open('/dev/zero', os.O_RDONLY)", False),
        ("os.dup2(os.open('/dev/null', os.O_WRONLY), 1)", False),
        ("sys.stdout.close()", False),
        ("sys.stderr.close()", False),
        ("os.closerange(0, 3)", False),
    ],
)
def test_a_child_whose_streams_were_changed_is_found_out(change: str, *, intact: bool) -> None:
    """The next file that is opened would be what all jobs after it print to."""
    ended = run_in_a_child(f"""
        import io, os, sys
        from runtime.backends.process.output import StandardStreams
        streams = StandardStreams()
        assert streams.is_intact()
        {change}
        {"sys.exit" if intact else "os._exit"}(streams.is_intact())
    """)

    assert ended.returncode == intact


@pytest.mark.process
def test_a_stream_that_was_missing_from_the_start_is_no_change() -> None:
    """A daemon may have none of the three."""
    ended = run_in_a_child("""
        import os
        from runtime.backends.process.output import StandardStreams
        os.closerange(0, 3)
        raise SystemExit(StandardStreams().is_intact())
    """)

    assert ended.returncode == 1


@pytest.mark.process
def test_the_helper_reports_what_failed() -> None:
    """These tests would see nothing without it."""
    assert run_in_a_child("raise SystemExit(3)").returncode == 3
