"""Several calls at the same moment, from as many threads.

Source: async-runtime-spec.md, section 10.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from runtime.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("race",)

T = TypeVar("T")


def race(*calls: Callable[[], T], timeout: float = 10.0) -> list[T]:
    """Call each of *calls* in a thread of its own, all let go at once; return what they gave.

    Args:
        calls: Called once each, without arguments.
        timeout: Seconds for all of them together, a guard that only a deadlock reaches.

    Raises:
        ExceptionGroup: some raised; it holds what, in order of the calls.
        TimeoutError: some had not returned in time; names them. Their threads are left behind.

    A single run proves little: bring the calls to the critical place with events first, or
    run many rounds under a short ``sys.setswitchinterval``.
    """
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}
    start = threading.Barrier(len(calls) or 1)

    def run(index: int, call: Callable[[], T]) -> None:
        try:
            start.wait(timeout)
            results[index] = call()
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            errors[index] = error

    threads = [
        threading.Thread(target=run, args=(index, call), name=f"race-{index}", daemon=True)
        for index, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    end = SYSTEM_CLOCK.now() + timeout
    for thread in threads:
        thread.join(max(0.0, end - SYSTEM_CLOCK.now()))
    stuck = [thread.name for thread in threads if thread.is_alive()]
    if stuck:
        raise TimeoutError(f"race() timed out (exceeded {timeout}s): {', '.join(stuck)} still run")
    if errors:
        found = [errors[index] for index in sorted(errors)]
        raise BaseExceptionGroup(f"race(): {len(found)} of {len(calls)} calls raised", found)
    return [results[index] for index in range(len(calls))]
