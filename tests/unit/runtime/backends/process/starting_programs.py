"""Programs for children that are started without a pool, and modules' worth of trouble."""

from __future__ import annotations

import atexit
import itertools
import os
import random
import resource
import signal
import socket
import sys
import threading
from typing import Final, NoReturn

from runtime.backends.process.lifeline import arm_lifeline

__all__ = ("answer", "count_for_ever", "leave_noisily", "raise_error", "raise_exit")

_KNOWN: Final = {
    "memory": bytearray,
    "os": os,
    "random": random,
    "resource": resource,
    "signal": signal,
    "sys": sys,
    "threading": threading,
}


def answer(channel: int, page: int, lifeline: int, output: int, errors: int) -> int:
    """Evaluate what comes on the channel and answer, until it is closed; end with its length."""
    arm_lifeline(lifeline)
    known = {**_KNOWN, "fds": (channel, page, lifeline, output, errors)}
    with socket.socket(fileno=channel) as sock:
        answered = 0
        while asked := sock.recv(1 << 16):
            sock.sendall(repr(eval(asked, known)).encode() + b"\n")
            answered += 1
    return answered


def count_for_ever(channel: int, page: int, lifeline: int, *rest: int) -> NoReturn:  # noqa: ARG001
    """Run in C, holding the interpreter, until somebody puts an end to it."""
    arm_lifeline(lifeline)
    os.write(channel, b"counting\n")
    for _ in itertools.count():
        sum(range(1 << 60))
    raise AssertionError


def leave_noisily(*fds: int) -> int:  # noqa: ARG001
    """Leave output in the buffers and handlers for the end."""
    atexit.register(print, "a handler ran")
    sys.stdout.write("out ")
    sys.stderr.write("err ")
    return 300  # its lowest byte, 44, is the status


def raise_error(*fds: int) -> int:
    """Fail."""
    raise LookupError(f"no luck with {len(fds)} descriptors")


def raise_exit(*fds: int) -> int:
    """End as a program does."""
    sys.exit(len(fds))
