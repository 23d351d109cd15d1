"""Extract a ZIP package to a folder, in constant memory, within limits of its real size."""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from spark_impex_runner import errors, tools

from . import inflate
from .entries import File, Limits, UnsafeArchive, check, entry_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

# Fits a core's cache from the inflate to the disk, and is large enough that the threads seldom
# contend for the interpreter lock.
CHUNK = 1 << 18
# More threads do not help: the disk and the interpreter lock are the bottleneck then.
THREADS = min(os.cpu_count() or 1, 4)
# A smaller file spends more time under the interpreter lock than outside it.
SMALL_FILE = 1 << 15


@dataclass(frozen=True, slots=True)
class Tree:
    """The extracted folder: total bytes and digest."""

    size: int
    sha256: str


@dataclass(slots=True)
class SizeLimiter:
    """Counts extracted bytes across threads, and stops them at a limit."""

    limits: Limits
    package: int
    stopping: Callable[[], bool]
    total: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    # Set when one thread has failed, so that the others stop.
    ended: threading.Event = field(default_factory=threading.Event)

    def add(self, count: int) -> None:
        """Count bytes; raise ``UnsafeArchive`` over a limit, ``Interrupted`` if the run stops."""
        if self.ended.is_set() or self.stopping():
            raise errors.Interrupted
        with self.lock:
            self.total += count
            self.limits.check_bytes(self.total, self.package)


@dataclass(slots=True)
class SharedReader:
    """The package's file, which several threads read at their own offsets."""

    stream: IO[bytes]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def pieces(self, start: int, size: int) -> Iterator[bytes]:
        """Yield ``size`` bytes from ``start``, fewer if the package ends."""
        for offset in range(start, start + size, CHUNK):
            with self.lock:
                self.stream.seek(offset)
                piece = self.stream.read(min(CHUNK, start + size - offset))
            yield piece


def extract(package: Path, folder: Path, limits: Limits, stopping: Callable[[], bool]) -> Tree:
    """Extract ``package`` into the empty ``folder``.

    Raises ``UnsafeArchive`` if it is unsafe or over a limit, the errors of ``tools.open_zip`` if
    it is broken, and ``Interrupted``. The caller removes the partial folder then.
    """
    limiter = SizeLimiter(limits, package.stat().st_size, stopping)
    found: dict[str, str] = {}
    failures: list[BaseException] = []
    with package.open("rb") as stream, tools.open_zip(stream) as archive:
        files = check(archive, stream, limits)
        tools.require_space(folder, sum(each.entry.file_size for each in files))
        _create_folders(archive.namelist(), folder)
        reader = SharedReader(stream)

        def write(files: Iterable[File]) -> None:
            try:
                for file in files:
                    found[file.entry.filename] = _write(reader, file, folder, limiter)
            except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
                if isinstance(error, OSError) and not error.filename:
                    error.filename = str(folder)  # that of a write names none
                failures.append(error)
                limiter.ended.set()

        with ThreadPoolExecutor(THREADS, "unzip") as pool:
            try:
                wait([pool.submit(write, each) for each in _batches(files)])
            finally:
                limiter.ended.set()
    if failures:  # the others are consequences of the first
        raise failures[0]
    return Tree(limiter.total, tools.folder_digest(found))


def _batches(files: Iterable[File]) -> list[list[File]]:
    """Return the units of work of one thread: all small files, or one large file."""
    # The largest first, so that no thread starts a large one when the others are done.
    ordered = sorted(files, key=lambda file: file.entry.file_size, reverse=True)
    large = [[file] for file in ordered if file.entry.file_size >= SMALL_FILE]
    small = ordered[len(large) :]
    return [small, *large]


def _create_folders(entries: Iterable[str], folder: Path) -> None:
    for name in sorted({entry.rpartition("/")[0] for entry in entries}):
        (folder / name).mkdir(parents=True, exist_ok=True)


def _write(reader: SharedReader, file: File, folder: Path, limiter: SizeLimiter) -> str:
    """Write one file and return its SHA-256; raise if length or CRC differ from the entry."""
    entry, digest, crc, size = file.entry, hashlib.sha256(), 0, 0
    limiter.add(0)
    # The archive's modes are ignored: the umask decides, as for any new file.
    # Building a Path takes half as long as opening the file, which counts for many small ones.
    with open(f"{folder}/{entry.filename}", "xb") as target:  # noqa: PTH123
        for piece in _content(reader, file):
            size += len(piece)
            limiter.add(len(piece))
            crc = inflate.crc32(piece, crc)
            digest.update(piece)
            target.write(piece)
    if size != entry.file_size:
        raise UnsafeArchive(f"entry {entry_name(entry)} does not have the declared length")
    if crc != entry.CRC:
        raise zipfile.BadZipFile(f"entry {entry_name(entry)} does not match its CRC")
    return digest.hexdigest()


def _content(reader: SharedReader, file: File) -> Iterator[bytes]:
    """Yield the decompressed bytes of one file."""
    pieces = reader.pieces(file.start, file.entry.compress_size)
    # Some programs mark an empty file as deflated and write no data for it.
    if file.entry.compress_type == zipfile.ZIP_STORED or not file.entry.compress_size:
        yield from pieces
        return
    try:
        yield from inflate.inflated(pieces, CHUNK)
    except inflate.Damaged as error:
        raise zipfile.BadZipFile(f"entry {entry_name(file.entry)}: {error}") from error
