"""From a ZIP package to a folder, in constant memory, counting what really comes out."""

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
from .entries import File, Limits, Refusal, check, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

# Small enough to stay in a core's cache from the inflate to the disk, large enough that the
# threads seldom wait for each other.
PIECE = 1 << 18
# More do not help: then the disk and Python's own lock are what is waited for.
THREADS = min(os.cpu_count() or 1, 4)
# A smaller file costs more in Python, where threads hinder each other, than it does outside.
SMALL = 1 << 15


@dataclass(frozen=True, slots=True)
class Tree:
    """What was extracted: the bytes of all files, and the digest of the folder."""

    size: int
    sha256: str


@dataclass(slots=True)
class Meter:
    """Counts the bytes of one package, and stops the work when they are too many."""

    limits: Limits
    package: int
    stopping: Callable[[], bool]
    total: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    # Set when one thread has failed: the others end, too.
    ended: threading.Event = field(default_factory=threading.Event)

    def add(self, count: int) -> None:
        """Count bytes; raise ``Refusal`` over a limit, ``Interrupted`` when the run ends."""
        if self.ended.is_set() or self.stopping():
            raise errors.Interrupted
        with self.lock:
            self.total += count
            self.limits.check_bytes(self.total, self.package)


@dataclass(slots=True)
class Source:
    """The package, as several threads read it: each says where."""

    stream: IO[bytes]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def pieces(self, start: int, size: int) -> Iterator[bytes]:
        """Yield ``size`` bytes from ``start`` on, or fewer if the package ends."""
        for place in range(start, start + size, PIECE):
            with self.lock:
                self.stream.seek(place)
                piece = self.stream.read(min(PIECE, start + size - place))
            yield piece


def extract(package: Path, folder: Path, limits: Limits, stopping: Callable[[], bool]) -> Tree:
    """Extract ``package`` into the empty ``folder``.

    Raises ``Refusal`` for a package that is unsafe or over a limit, what ``tools.open_zip`` raises
    for one that is broken, and ``Interrupted``. The folder then holds a part and is to be removed.
    """
    meter = Meter(limits, package.stat().st_size, stopping)
    found: dict[str, str] = {}
    failures: list[BaseException] = []
    with package.open("rb") as stream, tools.open_zip(stream) as archive:
        files = check(archive, stream, limits)
        _make_folders(archive.namelist(), folder)
        source = Source(stream)

        def write(files: Iterable[File]) -> None:
            try:
                for file in files:
                    found[file.entry.filename] = _write(source, file, folder, meter)
            except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
                failures.append(error)
                meter.ended.set()

        with ThreadPoolExecutor(THREADS, "unzip") as pool:
            try:
                wait([pool.submit(write, each) for each in _portions(files)])
            finally:
                meter.ended.set()
    if failures:  # the others follow from the first
        raise failures[0]
    return Tree(meter.total, tools.folder_digest(found))


def _portions(files: Iterable[File]) -> list[list[File]]:
    """Return what one thread takes at a time: all small files, or a large one.

    The largest come first, so that no thread begins a large one when the others are done.
    """
    ordered = sorted(files, key=lambda file: file.entry.file_size, reverse=True)
    large = [[file] for file in ordered if file.entry.file_size >= SMALL]
    small = ordered[len(large) :]
    return [small, *large]


def _make_folders(entries: Iterable[str], folder: Path) -> None:
    """Make the folders that are entries, and those of all files, once each."""
    for name in sorted({entry.rpartition("/")[0] for entry in entries}):
        (folder / name).mkdir(parents=True, exist_ok=True)


def _write(source: Source, file: File, folder: Path, meter: Meter) -> str:
    """Write one file and return its SHA-256; its length and its CRC must be those of the entry.

    The modes in the archive are not looked at: the umask decides, as for any new file.
    """
    entry, digest, crc, size = file.entry, hashlib.sha256(), 0, 0
    meter.add(0)
    # A Path for each of many small files would take half as long as opening it.
    with open(f"{folder}/{entry.filename}", "xb") as target:  # noqa: PTH123
        for piece in _content(source, file):
            size += len(piece)
            meter.add(len(piece))
            crc = inflate.crc32(piece, crc)
            digest.update(piece)
            target.write(piece)
    if size != entry.file_size:
        raise Refusal(f"entry {shown(entry)} has another length than the package says")
    if crc != entry.CRC:
        raise zipfile.BadZipFile(f"entry {shown(entry)} has another CRC than the package says")
    return digest.hexdigest()


def _content(source: Source, file: File) -> Iterator[bytes]:
    """Yield the bytes of one file as they come out of the package."""
    pieces = source.pieces(file.start, file.entry.compress_size)
    # Some programs call an empty file deflated and write nothing for it.
    if file.entry.compress_type == zipfile.ZIP_STORED or not file.entry.compress_size:
        yield from pieces
        return
    try:
        yield from inflate.inflated(pieces, PIECE)
    except inflate.Damaged as error:
        raise zipfile.BadZipFile(f"entry {shown(file.entry)}: {error}") from error
