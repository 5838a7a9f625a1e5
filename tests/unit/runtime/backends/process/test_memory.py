"""How much memory a process has, and what of it is its own."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from runtime.backends.process import memory
from runtime.backends.process.memory import MemoryGrowth, memory_of, own_private_bytes
from tests.unit.runtime.backends.process.in_a_child import run_in_a_child

TAKE = """
        import mmap
        def take(size, flags=mmap.MAP_PRIVATE):  # not from an allocator: it may keep what it has
            taken = mmap.mmap(-1, size << 20, flags=flags | mmap.MAP_ANONYMOUS)
            for at in range(0, size << 20, mmap.PAGESIZE):
                taken[at] = 1
            return taken
"""
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MIB = 1024 * 1024


@linux_only
def test_a_process_has_resident_proportional_and_peak_memory() -> None:
    """In this order of size."""
    found = memory_of(os.getpid())

    assert found is not None
    assert found.pss_bytes is not None
    assert found.peak_bytes is not None
    assert MIB < found.pss_bytes <= found.rss_bytes <= found.peak_bytes + MIB


@linux_only
@pytest.mark.process
def test_a_process_that_has_ended_has_none() -> None:
    """Neither as a zombie nor when it was reaped."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    as_zombie = memory_of(child.pid)
    child.wait()

    assert as_zombie is memory_of(child.pid) is None


@linux_only
@pytest.mark.process
def test_growth_counts_what_was_taken_since_the_start() -> None:
    """And what was given back no more."""
    ended = run_in_a_child(f"""{TAKE}
        from runtime.backends.process.memory import MemoryGrowth
        before = take(64)
        growth = MemoryGrowth()
        start = growth.in_bytes()
        taken = take(96)
        full = growth.in_bytes()
        taken.close()
        print(start >> 20, full >> 20, growth.in_bytes() >> 20)
        before.close()
        print(growth.in_bytes())
    """)

    first, end = ended.stdout.splitlines()
    start, full, after = map(int, first.split())
    assert start <= 8
    assert 88 <= full <= 104
    assert after <= 8
    assert end == "0"


@linux_only
@pytest.mark.process
def test_memory_of_the_process_forked_from_is_no_growth() -> None:
    """A child of a process with large modules would look full before its first job."""
    ended = run_in_a_child("""
        import os
        from runtime.backends.process.memory import MemoryGrowth, memory_of
        preloaded = bytearray(b"x") * (128 << 20)
        pid = os.fork()
        if not pid:
            growth = MemoryGrowth()
            own = memory_of(os.getpid())
            small = growth.in_bytes() < 16 << 20 < own.pss_bytes < own.rss_bytes - (32 << 20)
            os._exit(0 if small and own.rss_bytes > 128 << 20 else 1)
        os._exit(os.waitpid(pid, 0)[1])
    """)

    assert ended.returncode == 0, ended.stderr


@linux_only
@pytest.mark.process
def test_shared_memory_is_no_growth() -> None:
    """Large arguments are mapped from the parent's memory, and go with the job."""
    ended = run_in_a_child(f"""{TAKE}
        from runtime.backends.process.memory import MemoryGrowth
        growth = MemoryGrowth()
        shared = take(64, mmap.MAP_SHARED)
        print(growth.in_bytes() >> 20)
    """)

    assert int(ended.stdout) <= 16


class FakePsutil:
    """As much of `psutil` as is used."""

    def __init__(self, info: object) -> None:
        self._info = info

    def Process(self, _pid: int) -> FakePsutil:  # noqa: N802 - its name there
        """Return the process."""
        return self

    def memory_info(self) -> object:
        """Return what was given."""
        if isinstance(self._info, Exception):
            raise self._info
        return self._info


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A system without /proc, and without psutil."""

    def refuse(*_: object, **__: object) -> int:
        raise FileNotFoundError("/proc")

    monkeypatch.setattr(memory, "open", refuse, raising=False)
    monkeypatch.setattr(
        memory, "os", SimpleNamespace(open=refuse, getpid=os.getpid, O_RDONLY=0, O_CLOEXEC=0)
    )
    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform="other"))
    monkeypatch.setitem(sys.modules, "psutil", None)
    return monkeypatch


@pytest.mark.usefixtures("elsewhere")
def test_without_proc_and_psutil_nothing_is_known() -> None:
    """Nothing fails: the statistics have a gap, the limit does not hold."""
    assert memory_of(1) is None
    assert own_private_bytes() is None
    assert MemoryGrowth().in_bytes() is None


@pytest.mark.parametrize(
    ("info", "peak"),
    [(SimpleNamespace(rss=5, peak_wset=9), 9), (SimpleNamespace(rss=5), None)],
)
def test_elsewhere_psutil_is_asked(
    info: object, peak: int | None, elsewhere: pytest.MonkeyPatch
) -> None:
    """Each system has other numbers."""
    elsewhere.setitem(sys.modules, "psutil", FakePsutil(info))

    assert memory_of(1) == (5, None, peak)
    assert own_private_bytes() == 5
    assert MemoryGrowth().in_bytes() == 0


def test_a_process_that_psutil_cannot_see_has_none(elsewhere: pytest.MonkeyPatch) -> None:
    """It may be gone, or somebody else's."""
    elsewhere.setitem(sys.modules, "psutil", FakePsutil(PermissionError("denied")))

    assert memory_of(1) is None


def test_psutil_itself_agrees() -> None:
    """The real one, where it is installed."""
    pytest.importorskip("psutil")
    found = memory._memory_by_psutil(os.getpid())

    assert found is not None
    assert found.rss_bytes > MIB
    assert memory._memory_by_psutil(2**22 + 1) is None
