"""Poll-based futures and the loop that drives them."""

from __future__ import annotations

# First: `future` and the modules of its combinators need each other, in this order.
from runtime.async_runtime.future import Future  # isort: skip

import runtime.async_runtime.forking  # noqa: F401 - imported for its hook
from runtime.async_runtime.cancellation import current_task, shield, timeout
from runtime.async_runtime.descriptors import notify_closing, wait_readable, wait_writable
from runtime.async_runtime.executor import Executor
from runtime.async_runtime.outcome import OutcomeFuture
from runtime.async_runtime.poll import Poll, PollState
from runtime.async_runtime.promise import (
    Promise,
    PromiseFuture,
    promise_from_callback,
    promise_from_error_callback,
)
from runtime.async_runtime.reports import UnhandledError
from runtime.async_runtime.running import current_executor
from runtime.async_runtime.runtime import Runtime, block_on
from runtime.async_runtime.sleeping import sleep, yield_now
from runtime.async_runtime.task import Task, TaskHandle, TaskId, TaskState
from runtime.async_runtime.task_group import TaskGroup
from runtime.async_runtime.waker import Waker

__all__ = (
    "Executor",
    "Future",
    "OutcomeFuture",
    "Poll",
    "PollState",
    "Promise",
    "PromiseFuture",
    "Runtime",
    "Task",
    "TaskGroup",
    "TaskHandle",
    "TaskId",
    "TaskState",
    "UnhandledError",
    "Waker",
    "block_on",
    "current_executor",
    "current_task",
    "notify_closing",
    "promise_from_callback",
    "promise_from_error_callback",
    "shield",
    "sleep",
    "timeout",
    "wait_readable",
    "wait_writable",
    "yield_now",
)
