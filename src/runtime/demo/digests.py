"""What is worked on, and the work for one file: read it, hash it, compress it.

Threads: any; `digest_file` is what runs on the workers. Reading, SHA-256 and zlib all let
other threads run meanwhile.
Invariant: the same files give the same list, the same digests and the same total, in each run
and in whatever order they are worked on.
"""

from __future__ import annotations

import hashlib
import os
import sysconfig
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from runtime.errors import WorkerTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = (
    "SKIPPED",
    "Failure",
    "FileDigest",
    "Reader",
    "Totals",
    "add_up",
    "differences",
    "digest_file",
    "find_files",
    "read_chunks",
    "stdlib_folder",
)

# Bytecode is written while modules are imported: with it, two runs would not see the same files.
SKIPPED: Final = ("__pycache__", "dist-packages", "site-packages")
_CHUNK_BYTES: Final = 256 * 1024

Reader: TypeAlias = "Callable[[Path], Iterator[bytes]]"


@dataclass(frozen=True, slots=True)
class FileDigest:
    """What came out for one file."""

    size: int
    compressed_size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """A file, or a folder, that could not be worked on, and why."""

    name: str
    reason: str

    @classmethod
    def of(cls, name: str, error: BaseException) -> Failure:
        """Describe *error* in one line."""
        if isinstance(error, WorkerTimeoutError):
            return cls(name, f"took longer than {error.timeout:g} s on a worker")
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return cls(name, f"{type(error).__name__}: {words}".removesuffix(": "))


@dataclass(frozen=True, slots=True)
class Totals:
    """All files together; *sha256* is the digest over all digests."""

    files: int
    size: int
    compressed_size: int
    sha256: str

    @property
    def ratio(self) -> float:
        """The compressed size as a part of the size."""
        return self.compressed_size / self.size if self.size else 1.0


def stdlib_folder() -> Path:
    """Return where the running interpreter keeps its standard library."""
    return Path(sysconfig.get_path("stdlib"))


def find_files(folder: Path, limit: int | None = None) -> tuple[list[str], list[Failure]]:
    """Return the names of the regular files below *folder*, and the folders that cannot be read.

    Args:
        folder: Searched with all folders in it, but for those in `SKIPPED`. Links to files are
            followed, links to folders are not.
        limit: Take only so many files, the first ones.

    Returns:
        Names relative to *folder*, with slashes, sorted; and the failures.
    """
    failures: list[Failure] = []

    def note(error: OSError) -> None:
        where = Path(error.filename or folder)
        name = where.relative_to(folder) if where.is_relative_to(folder) else where
        failures.append(Failure.of(name.as_posix(), error))

    names: list[str] = []
    for where, subfolders, files in os.walk(folder, onerror=note):
        subfolders[:] = [name for name in subfolders if name not in SKIPPED]
        paths = (Path(where, name) for name in files)
        names += [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    return sorted(names)[:limit], sorted(failures, key=lambda failure: failure.name)


def read_chunks(path: Path) -> Iterator[bytes]:
    """Give the content of a file piece by piece, so that a large one takes little memory."""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def digest_file(path: Path, read: Reader, check: Callable[[], None]) -> FileDigest:
    """Hash and compress one file.

    Args:
        path: The file.
        read: Gives its content; see `read_chunks`.
        check: Called between pieces; raises where the work should stop.

    Raises:
        OSError: it cannot be read.
    """
    sha256, packer = hashlib.sha256(), zlib.compressobj()
    size = compressed_size = 0
    for chunk in read(path):
        check()
        sha256.update(chunk)
        compressed_size += len(packer.compress(chunk))
        size += len(chunk)
    compressed_size += len(packer.flush())
    return FileDigest(size, compressed_size, sha256.digest())


def add_up(digests: Mapping[str, FileDigest]) -> Totals:
    """Return the totals; the order in which the files were worked on does not matter."""
    overall = hashlib.sha256()
    for name, digest in sorted(digests.items()):
        overall.update(os.fsencode(name) + b"\0" + digest.sha256)
    return Totals(
        files=len(digests),
        size=sum(digest.size for digest in digests.values()),
        compressed_size=sum(digest.compressed_size for digest in digests.values()),
        sha256=overall.hexdigest(),
    )


def differences(first: Mapping[str, FileDigest], second: Mapping[str, FileDigest]) -> list[str]:
    """Return the names of files that came out in both runs, and not alike."""
    return [name for name, digest in second.items() if name in first and first[name] != digest]
