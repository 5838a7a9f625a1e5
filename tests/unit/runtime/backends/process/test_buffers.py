"""Attachments: what goes in comes out, sealed, aligned, and gone with the last view."""

from __future__ import annotations

import gc
import os
import random
import weakref
from struct import pack

import pytest

from runtime.backends.process import buffers, sealed_files
from runtime.backends.process.buffers import Attachment, AttachmentWriter
from runtime.backends.process.sealed_files import is_supported
from runtime.errors import ProtocolError

pytestmark = pytest.mark.skipif(not is_supported(), reason="needs files in memory")


def written(*sections: bytes) -> Attachment:
    writer = AttachmentWriter()
    for section in sections:
        writer.add(section)
    attachment = writer.finish()
    assert attachment is not None
    return attachment


def file_of(data: bytes, *, is_sealed: bool = True) -> int:
    fd = sealed_files.new_file()
    os.write(fd, data)
    if is_sealed:
        sealed_files.seal(fd)
    return fd


def test_sections_come_out_as_they_went_in() -> None:
    """In order, whatever their lengths; those for a stream apart."""
    writer = AttachmentWriter()
    writer.add(b"a" * 100)
    writer.add(memoryview(b"spliced"), 5)
    writer.add(b"")
    writer.add(bytearray(b"b" * 64))
    attachment = writer.finish()
    assert attachment is not None

    contents = attachment.open()

    assert [bytes(view) for view in contents.buffers] == [b"a" * 100, b"", b"b" * 64]
    assert [(place, bytes(view)) for place, view in contents.splices] == [(5, b"spliced")]


def test_nothing_written_is_no_attachment() -> None:
    """Most jobs have no large buffers: no file is made."""
    assert AttachmentWriter().finish() is None


def test_what_was_taken_back_is_not_there() -> None:
    """A second attempt at pickling starts where the first one did."""
    writer = AttachmentWriter()
    writer.add(b"first")
    mark = writer.mark()
    writer.add(b"x" * 10_000)
    writer.rewind(mark)
    writer.add(b"second")
    attachment = writer.finish()
    assert attachment is not None
    assert attachment.size < 1000

    assert [bytes(view) for view in attachment.open().buffers] == [b"first", b"second"]


def test_views_are_writable_and_private() -> None:
    """An array may be changed in place; nobody else sees that."""
    attachment = written(b"x" * 100)
    other = Attachment.from_fd(os.dup(attachment.fileno()))

    mine, theirs = attachment.open().buffers[0], other.open().buffers[0]
    mine[0] = ord("y")

    assert bytes(mine[:2]) == b"yx"
    assert bytes(theirs[:2]) == b"xx"


def test_sections_are_aligned() -> None:
    """Vector instructions want that."""
    attachment = written(b"x", b"y" * 65, b"z")
    data = attachment.read()
    attachment.close()

    assert (data[0], data[64], data[192]) == (ord("x"), ord("y"), ord("z"))


def test_an_opened_attachment_holds_no_descriptor_of_its_own() -> None:
    """It was for the way only."""
    attachment = written(b"x" * 100)
    attachment.open()

    assert attachment.fileno() == -1
    with pytest.raises(ProtocolError, match="closed"):
        attachment.open()


def test_a_dropped_attachment_is_closed() -> None:
    """A job that was cancelled before it was sent: the leak check sees the rest."""
    fd = written(b"x").fileno()
    gc.collect()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_closing_twice_is_fine() -> None:
    """And never closes the descriptor of somebody else."""
    attachment = written(b"x")
    attachment.close()
    attachment.close()

    assert repr(attachment) == f"<Attachment of {attachment.size} bytes, descriptor -1>"


def test_memory_goes_with_the_last_view() -> None:
    """A view of a view of a section keeps all of it, and nothing else does."""
    contents = written(b"x" * 100).open()
    view = contents.buffers[0][10:20]
    mapping = weakref.ref(contents.buffers[0].obj)
    del contents
    gc.collect()
    assert mapping() is not None

    assert bytes(view) == b"x" * 10
    del view
    gc.collect()

    assert mapping() is None


def test_bytes_take_the_place_of_a_descriptor() -> None:
    """For a process that cannot take any more of them."""
    attachment = written(b"a" * 100, b"b")
    data = attachment.read()
    attachment.close()

    contents = Attachment.from_bytes(data).open()
    contents.buffers[1][0] = ord("c")

    assert [bytes(view) for view in contents.buffers] == [b"a" * 100, b"c"]


def test_a_file_that_can_still_be_changed_is_refused() -> None:
    """A process that cut it afterwards would kill the one that reads."""
    good = written(b"x")
    fd = file_of(good.read(), is_sealed=False)
    good.close()

    with pytest.raises(ProtocolError, match="not sealed"):
        Attachment.from_fd(fd)


def test_another_kind_of_file_is_refused() -> None:
    """A process may send whatever it has."""
    reader, writer = os.pipe()
    os.close(writer)

    with pytest.raises(ProtocolError, match="no file in memory"):
        Attachment.from_fd(reader)


FOOT = b"vela-att"
TABLES = {
    "empty": b"",
    "short": b"x" * 15,
    "no mark": b"x" * 64 + pack("<QQQ8s", buffers.BUFFER, 64, 1, b"elsewise"),
    "too many": b"x" * 64 + pack("<QQQ8s", buffers.BUFFER, 64, 1 << 40, FOOT),
    "more than there is": pack("<QQQ8s", buffers.BUFFER, 64, 2, FOOT),
    "too long": b"x" * 64 + pack("<QQQ8s", buffers.BUFFER, 65, 1, FOOT),
    "huge": b"x" * 64 + pack("<QQQ8s", buffers.BUFFER, (1 << 64) - 1, 1, FOOT),
    "too short": b"x" * 128 + pack("<QQQ8s", buffers.BUFFER, 64, 1, FOOT),
    "out of order": b"x" * 128 + pack("<QQQQQ8s", 9, 64, 8, 64, 2, FOOT),
}


@pytest.mark.parametrize("data", TABLES.values(), ids=TABLES.keys())
def test_a_wrong_table_is_refused(data: bytes) -> None:
    """Nothing in it is believed before it was checked."""
    with pytest.raises(ProtocolError):
        Attachment.from_fd(file_of(data)).open()


def test_broken_files_are_refused_or_read() -> None:
    """Whatever bytes are changed: no other error, and no access out of bounds."""
    chance = random.Random(7)
    attachment = written(b"a" * 100, b"b" * 30)
    good = attachment.read()
    attachment.close()

    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(190, len(data))] = chance.randrange(256)
        try:
            contents = Attachment.from_bytes(data).open()
        except ProtocolError:
            continue
        assert all(len(view) <= len(data) for view in contents.buffers)
