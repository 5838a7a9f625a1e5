"""What a process that was taken over sends; a module of its own: each new child imports it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NoReturn

from runtime.backends.base import this_thread
from runtime.backends.process.wire import FrameType, frame, rights

if TYPE_CHECKING:
    import socket

__all__ = (
    "answer_then",
    "close_channel",
    "drip",
    "send",
    "send_and_end",
    "send_descriptors",
)


def _socket() -> socket.socket:
    slot: Any = this_thread.slot  # Any: the child's own kind
    sock: socket.socket = slot.channel._sock
    return sock


def send(data: bytes) -> NoReturn:
    """Send *data* instead of an answer, and wait for the end."""
    _socket().sendall(data)
    while True:
        time.sleep(60)


def send_descriptors(count: int, *, announced: bool) -> NoReturn:
    """Send frames with descriptors that nobody asked for."""
    sock = _socket()
    for _ in range(count):
        data = frame(FrameType.LOG, 0, b"x", descriptors=1 if announced else 0)
        sock.sendmsg([data], rights((0,)))
    send(b"\xff" * 64)


def send_and_end(data: bytes) -> NoReturn:
    """Send *data* instead of an answer, and end at once."""
    _socket().sendall(data)
    os._exit(0)


def answer_then(data: bytes) -> NoReturn:
    """Answer the job that runs, then send *data* with it."""
    send_and_end(frame(FrameType.VALUE, 1) + data)


def drip(data: bytes) -> NoReturn:
    """Send *data* byte by byte."""
    sock = _socket()
    for at in range(len(data)):
        sock.sendall(data[at : at + 1])
    os._exit(0)


def close_channel() -> NoReturn:
    """Hang up, and live on."""
    _socket().close()
    while True:
        time.sleep(60)
