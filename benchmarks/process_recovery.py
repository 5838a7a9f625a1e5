"""C6, C7: how soon a slot serves again whose child was killed, or had to be."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import tempfile
import time
from concurrent.futures import BrokenExecutor, CancelledError, ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.measure import percentile
from benchmarks.model import OURS, Benchmark, Side, Unit, adds, share, within
from benchmarks.process_jobs import RELEASE, endless, hold, spin
from benchmarks.process_pools import WORKERS, all_children, kind_of, ours, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from benchmarks.model import Target

__all__ = ("BENCHMARKS",)

A_LOOK = 0.0005  # seconds between two looks whether a job has started
SPAN = 0.1  # seconds that a job gets
SHORT = 0.001
CHAIN = 100  # short jobs
KILL_AFTER = 20  # of them

Children = Any  # a `Submitted`; its tickets are of many types


class Meeting:
    """A folder in which jobs leave their process ids, and find the word to end."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def pid(self, name: str) -> int:
        """Return where the job of this name runs; wait until it does."""
        path = Path(self.folder, name)
        while not path.exists():
            time.sleep(A_LOOK)
        return int(path.read_text(encoding="ascii"))

    def release(self) -> None:
        """Let those who hold go."""
        Path(self.folder, RELEASE).touch()


@contextlib.contextmanager
def meeting() -> Generator[Meeting]:
    """Make such a folder; whoever holds is released at the end."""
    with tempfile.TemporaryDirectory() as folder:
        place = Meeting(folder)
        try:
            yield place
        finally:
            place.release()


def kill(pid: int) -> None:
    """End a process from outside, as the system does that is out of memory."""
    os.kill(pid, signal.SIGKILL)


def ask(children: Children) -> object:
    """Return the id of the process that serves next; an error where none does for long."""
    return children.wait_a_while(children.submit(os.getpid, ()))


def read(name: str, children: Children, ticket: object) -> None:
    """Look at the error of a job whose child was killed; multiprocessing's never comes."""
    if name != "multiprocessing.Pool":
        with contextlib.suppress(Exception):
            children.wait_a_while(ticket)


# ---- C6: killed from outside ------------------------------------------------------------------


def recover(size: int, *, name: str) -> float:
    """Return the time from the kill until another child has served; the other slot is taken."""
    return median(_recover(name) for _ in range(size))


def _recover(name: str) -> float:
    with _open(name) as children, meeting() as place:
        all_children(children)
        killed = children.submit(hold, (place.folder, "killed"))
        other = children.submit(hold, (place.folder, "other"))
        victim, bystander = place.pid("killed"), place.pid("other")
        begin = perf_counter()
        kill(victim)
        server = ask(children)
        cost = perf_counter() - begin
        place.release()
        if children.wait_a_while(other) != bystander or server in (victim, bystander):
            raise RuntimeError("the other job was disturbed")
        read(name, children, killed)
    return cost


def recover_anew(size: int) -> float:
    """The same where the pool breaks, all jobs are lost, and a new pool must be made."""
    return median(_recover_anew() for _ in range(size))


def _recover_anew() -> float:
    with meeting() as place, ProcessPoolExecutor(WORKERS) as pool:
        ticket = pool.submit(hold, place.folder, "killed")
        pool.submit(hold, place.folder, "other")
        victim, _ = place.pid("killed"), place.pid("other")
        begin = perf_counter()
        kill(victim)
        with contextlib.suppress(BrokenExecutor):
            ticket.result()
        with ProcessPoolExecutor(WORKERS) as other:
            other.submit(os.getpid).result()
            return perf_counter() - begin


def start_of_a_child(size: int) -> float:
    """Return the time that a second child takes to its first result; the first is there."""
    costs = []
    for _ in range(size):
        with ours() as children, meeting() as place:
            first = children.submit(hold, (place.folder, "first"))
            place.pid("first")
            begin = perf_counter()
            ask(children)
            costs.append(perf_counter() - begin)
            place.release()
            children.wait_a_while(first)
    return median(costs)


def pause(size: int, *, name: str) -> float:
    """Return the longest time between two results of the other child, beyond a job's own."""
    return median(_pause(name) for _ in range(size))


def _pause(name: str) -> float:
    with _open(name) as children, meeting() as place:
        all_children(children)
        killed = children.submit(hold, (place.folder, "killed"))
        victim = place.pid("killed")
        tickets = [children.submit(spin, (SHORT,)) for _ in range(CHAIN)]
        times = []
        for number, ticket in enumerate(tickets):
            if number == KILL_AFTER:
                kill(victim)
            children.wait_a_while(ticket)
            times.append(perf_counter())
        read(name, children, killed)
        return max(after - before for before, after in pairwise(times)) - SHORT


# ---- C7: a loop that does not end -------------------------------------------------------------


def stop(size: int, *, name: str, by: str, until: str) -> float:
    """Return the time from the cancel (or the deadline) of an endless loop.

    Args:
        size: How often; the result is the median for the slot, and the p99 for the future.
        name: The kind of children.
        by: ``cancel`` or ``timeout``.
        until: ``served``: another child has returned a result, while the other slot is taken.
            ``answered``: the future has raised.
    """
    costs = []
    with _open(name, grace=False) as children:
        all_children(children)
        for _ in range(size):
            with meeting() as place:
                costs.append(_stop(children, place, by, until))
    return median(costs) if until == "served" else percentile(costs, 0.99)


def _stop(children: Children, place: Meeting, by: str, until: str) -> float:
    holder = children.submit(hold, (place.folder, "other"))
    bystander = place.pid("other")
    limit = {"timeout": SPAN} if by == "timeout" else {}
    begin = perf_counter()
    future = children.bare(partial(endless, place.folder, "endless"), **limit)
    looper = place.pid("endless")
    if by == "timeout":
        begin += SPAN
    else:
        begin = perf_counter()
        future.cancel()
    cost = 0.0
    if until == "served":
        if ask(children) in (looper, bystander):
            raise RuntimeError("the loop's process was to end")
        cost = perf_counter() - begin
    with contextlib.suppress(Exception, CancelledError):
        children.wait_a_while(future)
    cost = cost or perf_counter() - begin
    place.release()
    children.wait_a_while(holder)
    ask(children)
    return cost


def _open(name: str, *, grace: bool = True) -> contextlib.AbstractContextManager[Children]:
    """Open the children; without *grace*, a loop is not asked to end before it is killed."""
    if name == OURS and not grace:
        return ours(grace=0.0)
    if name == "pebble":
        importlib.import_module("pebble").CONSTS.term_timeout = 3 if grace else 0
    return kind_of(name).open()


def _row(
    key: str,
    title: str,
    sizes: tuple[int, int],
    measure: Callable[..., float],
    peers: tuple[str, ...],
    others: tuple[Side, ...],
    *targets: Target,
) -> Benchmark:
    return Benchmark(
        key,
        title,
        Unit("ms", 1e-3),
        *sizes,
        partial(measure, name=OURS),
        (
            *others,
            *(Side(peer, partial(measure, name=peer), kind_of(peer).needs) for peer in peers),
        ),
        targets,
        absent=why_not,
    )


def _stops(by: str, until: str, title: str, others: tuple[Side, ...], target: Target) -> Benchmark:
    said = "cancel" if by == "cancel" else "time out"
    return _row(
        "C7",
        f"{said} an endless loop, no grace, until {title}",
        (10 if until == "answered" else 5, 1),
        partial(stop, by=by, until=until),
        ("pebble",),
        others,
        target,
    )


_START = (Side("start of a child", start_of_a_child),)
_RESTART = adds(0.100, "start of a child")

BENCHMARKS = (
    _row(
        "C6",
        "a child is killed: until a replacement has served a job",
        (5, 1),
        recover,
        ("multiprocessing.Pool", "pebble"),
        (*_START, Side("ProcessPoolExecutor, anew", recover_anew)),
        _RESTART,
    ),
    _row(
        "C6",
        "a child is killed: longest pause of the other child",
        (3, 1),
        pause,
        ("multiprocessing.Pool", "pebble"),
        (Side("own restart", partial(recover, name=OURS)),),
        share(1, "own restart"),
    ),
    _stops("cancel", "served", "its slot has served a job", _START, _RESTART),
    _stops("cancel", "answered", "the future answers, p99", (), within(0.005)),
    _stops("timeout", "served", "its slot has served a job", _START, _RESTART),
    _stops("timeout", "answered", "the future answers, p99", (), within(0.005)),
)
