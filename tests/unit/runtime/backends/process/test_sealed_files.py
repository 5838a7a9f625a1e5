"""Files in memory: made, sealed, mapped, and what happens where the system has none to give."""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING

import pytest

from runtime.backends.process import sealed_files
from runtime.backends.process.buffers import Attachment, AttachmentWriter
from runtime.backends.process.sealed_files import AttachmentRefusedError, is_supported, mapped

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not is_supported(), reason="needs files in memory")


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_files, "_said", [])


def written(data: bytes = b"x" * 1000) -> Attachment:
    writer = AttachmentWriter()
    writer.add(data)
    attachment = writer.finish()
    assert attachment is not None
    return attachment


@pytest.mark.usefixtures("nothing_said")
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM, errno.EPERM])
def test_a_refused_file_is_said_once(
    code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that sends a thousand arrays is not told a thousand times."""

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "memfd_create", refuse)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(AttachmentRefusedError, match=os.strerror(code)):
                AttachmentWriter().add(b"data")

    assert len(caplog.records) == 1
    assert "they go over the socket" in caplog.text


@pytest.mark.usefixtures("nothing_said")
def test_too_many_descriptors_are_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the program needs some, too; what is given back can be taken again."""
    monkeypatch.setattr(sealed_files, "_most_descriptors", lambda: len(sealed_files._holding) + 1)
    limit = sealed_files._most_descriptors()
    monkeypatch.setattr(sealed_files, "_most_descriptors", lambda: limit)
    first = written()

    with pytest.raises(AttachmentRefusedError, match="held by attachments"):
        written()
    first.close()

    written().close()


@pytest.mark.usefixtures("nothing_said")
def test_a_full_system_is_a_refusal_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write may fail in the middle: the leak check of every test sees the descriptor."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", full)

    with pytest.raises(AttachmentRefusedError):
        AttachmentWriter().add(b"data")


def test_short_writes_are_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system writes as much as it likes."""
    write: Callable[[int, memoryview, int], int] = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:7], at))

    contents = written(bytes(range(100))).open()

    assert bytes(contents.buffers[0]) == bytes(range(100))


def test_where_descriptors_are_short_a_mapping_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 3.13 each mapping holds one, and a program may keep thousands of arrays."""
    attachment = written(b"abc" * 500)
    monkeypatch.setattr(sealed_files, "_NEEDS_NO_FD", {})
    monkeypatch.setattr(sealed_files, "_most_descriptors", lambda: 0)

    mapping = mapped(attachment.fileno(), attachment.size)

    assert mapping[:6] == b"abcabc"
    mapping.close()
    attachment.close()


def test_a_mapping_that_is_gone_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the count comes back to what it was."""
    monkeypatch.setattr(sealed_files, "_NEEDS_NO_FD", {})
    before = len(sealed_files._holding)

    contents = written().open()
    assert len(sealed_files._holding) == before + 1
    del contents

    assert len(sealed_files._holding) == before
