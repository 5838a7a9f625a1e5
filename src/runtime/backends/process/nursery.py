"""How children come: asked for, started, ready; or not, and then it is said why.

Threads: the collector's. Source: worker-api-spec.md, section 10; ADR-009.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.backends.process.births import Births
from runtime.backends.process.child_state import ChildEvent, ChildState
from runtime.backends.process.deaths import Deaths
from runtime.backends.process.farewells import Farewells
from runtime.backends.process.sources import make_source
from runtime.backends.process.starting import Ended, Failed, Lost, Started
from runtime.errors import WorkerStartError, WorkerStartupError
from runtime.locking import locked
from runtime.logs import logger

if TYPE_CHECKING:
    from runtime.backends.process.child import Child
    from runtime.backends.process.hub import Hub
    from runtime.errors import BrokenPoolError, RestartBudgetError

__all__ = ("Nursery",)


class Nursery:
    """See the module.

    Args:
        hub: What it works on.

    Raises:
        UnpicklableError: the initializer or the finalizer cannot travel.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.lock = hub.lock
        self.taking = hub.taking
        self._fleet = hub.fleet
        self._source = make_source(hub.settings)
        self._births = Births(hub, self._source)
        self._next = 0  # protected by the pool's lock
        self._unfit = 0  # children whose initializer has raised
        self._hears = False  # whether the collector listens to the source
        self.farewells = Farewells(hub)
        self.deaths = Deaths(hub, self._source, self.farewells)
        self.farewells.unborn = self._give_up_start
        hub.start_wanted = self._start_wanted
        hub.at_end = self._end

    # ---- asked for ------------------------------------------------------------------------

    def _start_wanted(self) -> None:
        """Start as many children as the fleet wants."""
        while True:
            number = self._take_number()
            if number is None:
                return
            try:
                child = self._births.start(number, self.deaths.read)
            except (OSError, WorkerStartError) as error:
                self.hub.cannot_start(error)
                return
            self._admit(child)
            child.outbox.flush()
            self._listen_to_source()
            self._read_source()

    @locked
    def _take_number(self) -> int | None:
        fleet = self._fleet
        if not fleet.wanted:
            return None
        if fleet.closing and fleet.queue.is_empty() and not fleet.again:
            fleet.wanted = 0
            return None
        self._next += 1
        return self._next

    @locked
    def _admit(self, child: Child) -> None:
        # Wanted until it is there: in between, nobody must take it for one too few.
        self._fleet.wanted = max(0, self._fleet.wanted - 1)
        self._fleet.children[child.number] = child
        limit = self.hub.settings.startup_timeout
        if limit is not None:
            self.farewells.watch(child, limit, self._too_slow)

    # ---- what the source tells ------------------------------------------------------------

    def _listen_to_source(self) -> None:
        fd = self._source.fileno()
        if fd is not None and not self._hears:
            self._hears = True
            self.hub.collector.listen(fd, lambda _: self._read_source())

    def _read_source(self) -> None:
        events = self._source.events()
        lost = next((event for event in events if isinstance(event, Lost)), None)
        for event in events:
            if isinstance(event, Started):
                self._started(event)
            elif isinstance(event, Ended):
                self.deaths.on_status(event)
            elif isinstance(event, Failed):
                self._failed(event, lost)
        if lost is not None:
            logger(__name__).warning(
                "%s: the process that starts its workers ended (%s); the next start makes another",
                self.hub.settings.name,
                lost.reason,
            )
            self.hub.dispatch()

    def _started(self, event: Started) -> None:
        child = self._fleet.children.get(event.number)
        if child is None:
            if event.pidfd >= 0:
                os.close(event.pidfd)
            return
        child.take_process(event.pid, event.pidfd)
        if event.pidfd >= 0:
            self.hub.collector.listen(event.pidfd, lambda _: self.deaths.on_death(child))
        if child.is_early:
            child.is_early = False
            self.ready(child)

    def _failed(self, event: Failed, lost: Lost | None) -> None:
        """The source could not start this child."""
        child = self._fleet.children.get(event.number)
        if child is None:
            return
        name = self.hub.settings.name
        self.deaths.strike(child)
        if event.permanent:
            what = "its processes cannot be started: the program or a module to preload fails"
            self.break_pool(WorkerStartupError(name, what, remote_traceback=event.error))
        elif lost is None:
            self.hub.cannot_start(WorkerStartError(event.error))
        else:  # it is asked for again, by another one, unless that happens too often
            broken = self._note_crash(f"the process that starts workers ended ({lost.reason})")
            if broken is not None:
                self.break_pool(broken)
        self._fleet.watchers.tell()

    @locked
    def _note_crash(self, what: str) -> RestartBudgetError | None:
        return self.hub.budget.note(self.hub.clock.now(), what)

    # ---- ready, or not --------------------------------------------------------------------

    def ready(self, child: Child) -> None:
        """The child's initializer has returned.

        Its word may be here before that of its source: then it counts with that, for who sees an
        idle child may send its process a signal, and a process 0 is all of one's own group.
        """
        if not child.pid:
            child.is_early = True
            return
        self._make_ready(child)
        self.hub.dispatch()
        self.hub.rebalance()
        self.farewells.look()
        self._fleet.watchers.tell()

    @locked
    def _make_ready(self, child: Child) -> None:
        if child.state is not ChildState.LEAVING:
            child.cancel_timer()
        child.advance(ChildEvent.GET_READY)
        if child.state is ChildState.IDLE:
            child.since = self.hub.clock.now()
            self._fleet.idle.append(child)

    def expect_unfit(self, child: Child) -> None:
        """The child's initializer has raised; `unfit` follows when it is known what.

        That may be never, for the error may hang when it is rebuilt: then so many must do.
        """
        self.farewells.expect(child)
        self._unfit += 1
        settings = self.hub.settings
        if self._unfit > settings.max_workers + settings.max_restarts:
            what = (
                f"its initializer raised in {self._unfit} processes, and its error cannot be read"
            )
            self.break_pool(WorkerStartupError(settings.name, what, pid=child.pid))

    def unfit(self, child: Child, error: BaseException) -> None:
        """The child's initializer has raised *error*: so it would in all others. Any thread."""
        what = f"its initializer raised {type(error).__name__}: {error}"
        broken = WorkerStartupError(self.hub.settings.name, what, pid=child.pid)
        broken.__cause__ = error
        self.break_pool(broken)

    def break_pool(self, error: BrokenPoolError) -> None:
        """See `Hub.break_pool`; those that have nothing to do leave. Any thread."""
        self.hub.break_pool(error)
        self.farewells.look()

    def _too_slow(self, child: Child) -> None:
        """The initializer has not returned in time."""
        if child.state is not ChildState.STARTING:
            return
        what = (
            f"a process did not get ready within startup_timeout="
            f"{self.hub.settings.startup_timeout}s: its initializer hangs, or the machine is slow"
        )
        error = WorkerStartupError(self.hub.settings.name, what, pid=child.pid or None)
        self.farewells.kill(child)
        if not child.pid:
            self._give_up_start(child)
        self.break_pool(error)

    def _give_up_start(self, child: Child) -> None:
        """*child* was not even forked and is not waited for any more: a preloaded module hangs."""
        self._source.abandon(child.number)
        self.deaths.strike(child)
        self.farewells.look()
        self._fleet.watchers.tell()

    # ---- the end --------------------------------------------------------------------------

    def forget(self) -> None:
        """In a forked child: the source is the parent's."""
        self._source.forget()

    def _end(self) -> None:
        """The collector's thread is about to end: no child is left. A closed pool ends for good."""
        fleet = self._fleet
        if fleet.closing:
            fd = self._source.fileno()
            if fd is not None and self._hears:
                self.hub.collector.forget(fd)
                self._hears = False
            self._source.close()
            self.hub.loader.close()
            if fleet.idle_timer is not None:
                fleet.idle_timer.cancel()
            fleet.is_closed = True
        fleet.watchers.tell()
