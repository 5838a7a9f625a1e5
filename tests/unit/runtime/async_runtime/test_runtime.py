"""The runtime that a program shares, and block_on."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.async_runtime import Executor, Future, Runtime, block_on, sleep, yield_now
from runtime.testing import race

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Give each test a process without a shared runtime."""
    before, Runtime._shared = Runtime._shared, None
    yield
    Runtime.get().executor.close()
    Runtime._shared = before


async def answer() -> int:
    """Return 42 after a turn."""
    await yield_now()
    return 42


def test_get_gives_the_same_object_each_time() -> None:
    """Also to threads that ask at once."""
    made = race(Runtime.get, Runtime.get, Runtime.get)

    assert len({id(one) for one in made}) == 1
    assert Runtime.get() is made[0]
    assert isinstance(Runtime.get().executor, Executor)
    assert repr(Runtime.get()).startswith("<Runtime of <Executor")


def test_block_on_drives_a_coroutine_or_a_future() -> None:
    """On the shared executor, with or without the class."""
    assert block_on(answer()) == 42
    assert block_on(Future.ready(1)) == 1
    assert Runtime.get().block_on(answer(), timeout=10) == 42
    with pytest.raises(TimeoutError):
        block_on(Future.pending(), timeout=0)


def test_spawn_run_and_stop() -> None:
    """The verbs of the executor; the place is that of the caller."""
    runtime = Runtime.get()
    handle = runtime.spawn(answer())
    assert "test_runtime.py" in handle.place
    runtime.run(1)
    assert handle.is_pending()
    runtime.stop()
    runtime.run()

    assert handle.result() == 42


def test_more_runtimes_can_be_made() -> None:
    """Each with an executor of its own, or with one that is given."""
    with Executor() as executor:
        runtime = Runtime(executor)
        assert runtime.executor is executor
        assert runtime.block_on(answer()) == 42
    other = Runtime()
    assert other is not Runtime.get()
    other.executor.close()


def test_block_on_in_another_thread_uses_an_executor_of_that_thread() -> None:
    """The shared one belongs to the thread that drove it first."""
    assert block_on(answer()) == 42

    def twice() -> int:
        return block_on(answer()) + block_on(sleep(0).map(lambda _: 1))

    assert race(twice, twice) == [43, 43]


def test_block_on_from_two_threads_at_once_takes_the_shared_one_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever finds it free has it: another thread cannot come in before the first poll."""
    results: list[int] = []
    spawn = Executor.spawn

    def spawn_late(executor: Executor, future: Any) -> Any:  # noqa: ANN401 - as spawn
        monkeypatch.setattr(Executor, "spawn", spawn)
        other = threading.Thread(target=lambda: results.append(block_on(answer())))
        other.start()  # between the choice of the executor and the first poll
        other.join(10)
        return spawn(executor, future)

    monkeypatch.setattr(Runtime, "_shared", None)
    monkeypatch.setattr(Executor, "spawn", spawn_late)

    results.append(block_on(answer()))

    assert results == [42, 42]
    Runtime.get().executor.close()


def test_block_on_inside_of_a_task_is_a_nested_run() -> None:
    """The plain thing that programs do."""

    async def main() -> int:
        return block_on(answer())

    assert block_on(main()) == 42
