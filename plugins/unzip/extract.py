"""From a ZIP package to a folder, in constant memory, counting what really comes out."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner import digests
from spark_impex_runner.errors import Interrupted

from .entries import Limits, Refusal, check, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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

    def add(self, count: int) -> None:
        """Count bytes; raise ``Refusal`` over a limit, ``Interrupted`` when the run ends."""
        if self.stopping():
            raise Interrupted
        self.total += count
        self.limits.check_bytes(self.total, self.package)


def extract(package: Path, folder: Path, limits: Limits, stopping: Callable[[], bool]) -> Tree:
    """Extract ``package`` into the empty ``folder``.

    Raises ``Refusal`` for a package that is unsafe or over a limit, what ``zipfile`` raises for
    one that is broken, and ``Interrupted``. The folder then holds a part and is to be removed.
    """
    meter = Meter(limits, package.stat().st_size, stopping)
    with package.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        check(archive, stream, limits)
        files = {}
        for entry in archive.infolist():
            if entry.is_dir():
                (folder / entry.filename).mkdir(parents=True, exist_ok=True)
            else:
                files[entry.filename] = _write(archive, entry, folder, meter)
    return Tree(meter.total, digests.of_tree(files))


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, meter: Meter) -> str:
    """Write one file and return its SHA-256; ``zipfile`` compares the CRC at its end.

    The modes in the archive are not looked at: the umask decides, as for any new file.
    """
    path = folder / entry.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, before = hashlib.sha256(), meter.total
    meter.add(0)
    with archive.open(entry) as source, path.open("xb") as target:
        while piece := source.read(digests.CHUNK):
            meter.add(len(piece))
            digest.update(piece)
            target.write(piece)
    if meter.total - before != entry.file_size:
        raise Refusal(f"entry {shown(entry)} has another length than the package says")
    return digest.hexdigest()
