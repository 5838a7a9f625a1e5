"""What a child does, in this process: the pool's side of the socket is the test."""

from __future__ import annotations

import contextvars
import functools
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from runtime.backends.process.channel import Channel
from runtime.backends.process.context import ContextPacker, set_variables
from runtime.backends.process.failures import unpack_error
from runtime.backends.process.output import StandardStreams
from runtime.backends.process.packing import Packed, Packer
from runtime.backends.process.page import (
    CANCELLED,
    FINISHED,
    REVOKED,
    SKIPPED,
    STARTED,
    Page,
    new_page_file,
)
from runtime.backends.process.parcel import Parcel, job_frame
from runtime.backends.process.results import unpack_result
from runtime.backends.process.serving import REPLACE_ME, Server, ServerOptions
from runtime.backends.process.unpacking import KnownFunctions, label_of
from runtime.backends.process.wire import Frame, FrameReader, FrameType, frame, rights
from runtime.errors import ResultRefusedError, ResultTooLargeError
from tests.unit.runtime.backends.process.core_bench import FakeJob
from tests.unit.runtime.backends.process.socket_pairs import pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT: Final = 1 << 24
request_id: contextvars.ContextVar[int] = contextvars.ContextVar("request_id", default=-1)
own: contextvars.ContextVar[int] = contextvars.ContextVar("own", default=-1)
calls: list[object] = []


def note(value: object) -> object:
    """Remember *value*, and return it."""
    calls.append(value)
    return value


def fail() -> None:
    """Raise."""
    raise ValueError("no")


def leave_a_variable() -> tuple[int, int]:
    """Return what it sees, and leave something behind."""
    seen = request_id.get(), own.get()
    own.set(7)
    return seen


class Slot:
    """The slot of this process, as the layer above makes it."""

    def __init__(self) -> None:
        self.orders: list[tuple[Any, ...]] = []
        self.stopped: list[int] = []

    def begin(self, order: tuple[Any, ...], call: Callable[[], Any]) -> Callable[[], Any]:
        """Remember."""
        self.orders.append(order)
        return call

    def end(self, error: BaseException | None) -> BaseException | None:
        """Change nothing."""
        return error

    def stop(self, number: int) -> None:
        """Remember."""
        self.stopped.append(number)


class Life:
    """A child's life from the first job to the last."""

    def __init__(self, options: ServerOptions) -> None:
        self.fd = new_page_file()
        self.page, self.pool_page = Page(self.fd), Page(self.fd)
        self._pair = pair(blocking=True)
        ours, self.pool = self._pair.__enter__()
        self.slot = Slot()
        self.server = Server(Channel(ours, LIMIT), self.page, self.slot, options)
        self.packer, self.known = Packer(1000), KnownFunctions()
        self._number = 0

    def order(
        self, func: Callable[..., object], context: bytes = b"", *, bare: bool = False
    ) -> FakeJob:
        """Send a job."""
        self._number += 1
        job = FakeJob(self._number + 100)
        packed: Packed = self.packer.pack(func, job)
        job.work = Parcel(packed, context)
        job.work.is_bare = bare
        job.given_name, job.run_timeout = "named \udc80", 3.0
        self.send(job)
        return job

    def send(self, job: FakeJob) -> None:
        """Send a job that was packed."""
        data, fds, _ = job_frame(self._number, job, self.known, None)
        if fds:
            self.pool.sendmsg([data], rights(fds))
        else:
            self.pool.sendall(data)

    def live(self) -> list[Frame]:
        """Run what was sent; return what was answered."""
        self.pool.sendall(frame(FrameType.LEAVE))
        self.server.serve()
        self.pool.setblocking(False)
        reader, found = FrameReader(self.pool, LIMIT), []
        try:
            while reader.fill():
                found += reader.frames()
        except BlockingIOError:
            return found
        return found

    def close(self) -> None:
        """Give everything back."""
        self.page.close()
        self.pool_page.close()
        self._pair.__exit__(None, None, None)
        os.close(self.fd)


@pytest.fixture
def life(request: pytest.FixtureRequest) -> Iterator[Life]:
    """A child that has got ready."""
    calls.clear()
    given = {
        "threshold": 1000,
        "max_message_bytes": 1 << 20,
        "max_rss_bytes": None,
        "data_only": False,
    }
    life = Life(ServerOptions(**(given | getattr(request, "param", {}))))
    yield life
    life.close()


def of(**options: object) -> pytest.MarkDecorator:
    """Make the life with these options."""
    return pytest.mark.parametrize("life", [options], indirect=True)


def bound(func: Callable[..., object], *args: object) -> Callable[..., object]:
    """Return *func* with its arguments, as spawn makes it."""
    return functools.partial(func, *args)


def test_jobs_are_run_in_their_order_and_answered_one_by_one(life: Life) -> None:
    """With the name and the limits that were given."""
    life.order(bound(note, 1))
    life.order(bound(note, None))
    life.order(bound(note, [2, 3]))

    answers = life.live()

    assert calls == [1, None, [2, 3]]
    assert [one.number for one in answers] == [1, 2, 3]
    assert [unpack_result(one.kind, one.payload) for one in answers] == [1, None, [2, 3]]
    assert life.pool_page.words[STARTED] == life.pool_page.words[FINISHED] == 3
    assert life.slot.orders[0][:3] == (1, 101, "named \udc80")
    assert label_of((1, 7, None, 0.0, 0)) == "worker 7"
    assert label_of((1, 7, "x", 0.0, 0)) == "worker 7 'x'"


def test_a_function_that_was_sent_once_is_known(life: Life) -> None:
    """Only its key is sent again."""
    for _ in range(3):
        life.order(os.getpid)
    assert [unpack_result(one.kind, one.payload) for one in life.live()] == [os.getpid()] * 3


def test_an_error_is_the_outcome(life: Life) -> None:
    """Whatever it is."""
    life.order(fail)
    life.order(sys.exit)
    answers = life.live()

    assert [one.type for one in answers] == [FrameType.ERROR] * 2
    assert isinstance(unpack_error(answers[0].payload, label="x"), ValueError)
    assert isinstance(unpack_error(answers[1].payload, label="x"), SystemExit)


def test_a_job_that_was_taken_back_never_begins(life: Life) -> None:
    """The child says so, and knows its function all the same."""
    life.order(bound(note, 1))
    life.order(bound(note, 2))
    life.pool_page.words[REVOKED] = 1

    answers = life.live()

    assert calls == [2]
    assert [one.type for one in answers] == [FrameType.SKIPPED, FrameType.VALUE]
    assert life.pool_page.words[SKIPPED] == 1


@pytest.mark.parametrize("taken_back", [False, True])
def test_a_job_without_its_descriptors_is_asked_for_again_where_it_is_still_wanted(
    life: Life, *, taken_back: bool
) -> None:
    """A pool that has taken it back knows it no more: it must hear nothing else of it."""
    job = FakeJob(1)
    packed = life.packer.pack(bound(note, bytearray(5000)), job)
    job.work = Parcel(packed, b"")
    life._number = 1
    data, _, _ = job_frame(1, job, life.known, None)
    life.pool.sendall(data)
    life.pool_page.words[REVOKED] = int(taken_back)

    (answer,) = life.live()

    assert answer.type == (FrameType.SKIPPED if taken_back else FrameType.BARE)
    assert calls == []
    packed.close()


@pytest.mark.parametrize("bare", [False, True])
def test_large_arguments_and_results_come_through(life: Life, *, bare: bool) -> None:
    """Beside the frames, or in them where the child can have no more descriptors."""
    data = bytearray(range(250)) * 40
    life.order(bound(note, data), bare=bare)

    (answer,) = life.live()

    assert calls == [data]
    assert len(answer.descriptors) == 1
    os.close(answer.descriptors[0])


def test_a_large_job_that_was_taken_back_leaves_no_descriptor(life: Life) -> None:
    """The leak check counts them."""
    life.order(bound(note, bytearray(5000)))
    life.pool_page.words[REVOKED] = 1
    assert [one.type for one in life.live()] == [FrameType.SKIPPED]


@of(max_message_bytes=10_000)
def test_a_result_that_is_too_large_is_an_error(life: Life) -> None:
    """In the frame and beside it."""
    life.order(bound(bytes, 20_000))
    life.order(bound(note, "x" * 20_000))
    errors = [unpack_error(one.payload, label="x") for one in life.live()]
    assert [type(error) for error in errors] == [ResultTooLargeError] * 2


@of(data_only=True)
def test_a_result_that_is_no_plain_data_is_refused(life: Life) -> None:
    """Where the pool takes nothing else."""
    life.order(Slot)
    (answer,) = life.live()
    assert isinstance(unpack_error(answer.payload, label="x"), ResultRefusedError)


@of(max_rss_bytes=-1)
def test_a_child_that_has_grown_asks_to_be_replaced(life: Life) -> None:
    """Between jobs, not within one."""
    life.order(bound(note, 1))
    (answer,) = life.live()
    assert answer.kind & REPLACE_ME
    assert unpack_result(answer.kind & ~REPLACE_ME, answer.payload) == 1


def test_a_job_that_changes_the_standard_streams_makes_the_child_unfit(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless its function has been trusted: it left all in order three times."""
    monkeypatch.setattr(StandardStreams, "is_intact", lambda _self: len(calls) < 4)
    for value in range(3):
        life.order(bound(note, value))
    life.order(bound(note, 3))
    life.order(bound(os.getenv, "X"))

    kinds = [one.kind & REPLACE_ME for one in life.live()]

    assert kinds == [0, 0, 0, 0, REPLACE_ME]


def test_what_it_trusts_is_bounded(life: Life) -> None:
    """Functions may be made at run time, without end."""
    for key in range(1, 3000):
        assert not life.server._is_unfit(key)
    assert not life.server._is_unfit(0)
    assert len(life.server._trust) <= 1025


def test_the_token_stops_the_job_that_the_page_names(life: Life) -> None:
    """Also where it came before the job had begun."""
    life.pool_page.words[CANCELLED] = 2
    life.order(bound(note, 1))
    life.order(bound(note, 2))
    life.live()
    assert life.slot.stopped == [2]
    life.server.on_token(0, None)
    assert life.slot.stopped == [2, 2]


def test_a_pool_that_is_gone_ends_it(life: Life) -> None:
    """Without a word."""
    life.pool.close()
    life.server.serve()


# ---- context -------------------------------------------------------------------


def test_a_job_sees_what_may_cross_and_nothing_of_the_job_before(life: Life) -> None:
    """Context variables: sent along, or clean."""
    context = contextvars.copy_context()
    context.run(request_id.set, 5)
    context.run(own.set, 6)
    packer = ContextPacker([request_id, f"{__name__}:request_id"])
    assert packer
    life.order(leave_a_variable, packer.pack(context, FakeJob(1)))
    life.order(leave_a_variable)

    values = [unpack_result(one.kind, one.payload) for one in life.live()]

    assert values == [(5, -1), (-1, -1)]
    assert own.get() == -1


def test_a_context_without_values_is_nothing_to_send() -> None:
    """Most jobs have none."""
    packer = ContextPacker((request_id,))
    assert packer.pack(None, FakeJob(1)) == b""
    assert packer.pack(contextvars.Context(), FakeJob(1)) == b""
    assert not ContextPacker(())
    into = contextvars.Context()
    source = contextvars.Context()
    source.run(request_id.set, 9)
    set_variables(into, packer.pack(source, FakeJob(1)))
    assert into[request_id] == 9


@pytest.mark.parametrize("name", ["no_such_module_here:x", "os:no_such_name", "os", ""])
def test_a_variable_that_is_not_there_is_a_value_error(name: str) -> None:
    """When the pool is made, not when a job runs."""
    with pytest.raises(ValueError, match="write 'module:name'"):
        ContextPacker([name])


@pytest.mark.parametrize("variable", ["os:getpid", 7])
def test_what_is_no_variable_is_a_type_error(variable: Any) -> None:  # noqa: ANN401 - Any: on purpose
    """As above."""
    with pytest.raises(TypeError, match="must be ContextVars"):
        ContextPacker([variable])
