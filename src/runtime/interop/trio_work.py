"""The loop of trio in a lent thread, and one piece of work in it.

Source: interop-spec.md, section 5; ADR-012.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import trio

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Awaitable, Callable

    from runtime.interop.foreign_future import ForeignFuture
    from runtime.interop.lending import Stay

__all__ = ("begin_work", "serve")

T = TypeVar("T")


def serve(stay: Stay) -> None:
    """Run trio until its end is asked for; *stay* gets how to reach it."""
    trio.run(_main, stay)


async def _main(stay: Stay) -> None:
    end = trio.Event()
    stay(trio.lowlevel.current_trio_token().run_sync_soon, end.set)
    await end.wait()


def begin_work(
    ours: ForeignFuture[T],
    function: Callable[..., Awaitable[T]],
    args: tuple[Any, ...],  # Any: whatever the function takes
    context: contextvars.Context,
    ended: Callable[[], object],
) -> None:
    """Start the work, in trio's thread; call *ended* when it is over."""
    token = trio.lowlevel.current_trio_token()
    scope = trio.CancelScope()

    def ask() -> None:
        try:
            token.run_sync_soon(scope.cancel)
        except trio.RunFinishedError:
            return

    async def work() -> None:
        try:
            with scope:
                ours.settle_value(await function(*args))
            if scope.cancelled_caught:
                ours.settle_cancelled()
        except trio.Cancelled:  # the run ends around us
            ours.settle_cancelled()
            raise
        except BaseException as error:  # noqa: BLE001 - the future's readers get it
            ours.settle_error(error)
        finally:
            ended()

    ours.begun(ask)
    trio.lowlevel.spawn_system_task(work, name=ours._who, context=context)
