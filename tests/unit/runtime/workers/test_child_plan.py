"""The first frames that a child reads, however they are cut."""

from __future__ import annotations

import pickle
import socket

import pytest

from runtime.backends.process.channel import Channel
from runtime.backends.process.wire import FrameType, frame
from runtime.workers.child_process import _read_plan

PLAN = frame(FrameType.PLAN, 0, pickle.dumps({"depth": 1}))
LEAVE = frame(FrameType.LEAVE)


@pytest.mark.parametrize(
    ("sent", "expected"), [(PLAN, {"depth": 1}), (PLAN + LEAVE, None), (b"", None)]
)
def test_a_child_that_is_let_go_before_it_has_read_its_plan_leaves(
    sent: bytes, expected: object
) -> None:
    """Else it waits for what it has thrown away, and its pool's shutdown loses patience."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)

        assert _read_plan(Channel(theirs, 1 << 20)) == expected
