"""Interrupts that hit the loop itself, and not a task: nothing is swallowed, nothing is lost."""

# A spawned task runs on without its handle:
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import pytest

from runtime.async_runtime import Executor, sleep, yield_now


async def turns(count: int) -> str:
    """Give way *count* times."""
    for _ in range(count):
        await yield_now()
    return "done"


class BadClock:
    """Raises when it is asked for the *nth* time."""

    def __init__(self, nth: int, error: BaseException) -> None:
        self.left = nth
        self.error = error

    def now(self) -> float:
        """Return a time that stands still."""
        self.left -= 1
        if self.left == 0:
            raise self.error
        return 0.0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), LookupError("no time")])
@pytest.mark.parametrize("nth", range(2, 8))
def test_what_is_raised_while_timers_are_looked_at_leaves_the_run(
    error: BaseException, nth: int
) -> None:
    """Between two tasks nobody but the caller can be told; the tasks go on afterwards."""
    executor = Executor(clock=BadClock(nth, error))
    sleeper = executor.spawn(sleep(1))
    main = executor.spawn(turns(10))

    with pytest.raises(type(error)):
        executor.run_until_complete(main)

    assert executor.run_until_complete(main) == "done"
    assert sleeper.is_pending()
    sleeper.cancel()
    executor.close()
