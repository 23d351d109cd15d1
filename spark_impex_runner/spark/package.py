"""What a downloaded package must prove before it gets its name."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

from spark_impex_runner.errors import IntegrityError
from spark_impex_runner.spark.hashes import digests_of, read_hash
from spark_impex_runner.spark.partial import disk

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from spark_impex_runner.models import Artifact

_PIECE = 1 << 20
_HEADER = struct.Struct("<4s22xHH")
# What zipfile raises on bytes that are no ZIP, whole or sane: a bad offset is an OSError.
_NOT_A_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


def check(artifact: Artifact) -> None:
    """Raise ``IntegrityError`` where a file is not the package that the tenant promised.

    The structure comes first, as it tells a web page as such. Each entry's CRC is read only
    where the tenant gave no hash to compare with: a hash says the same of all bytes at once.
    """
    check_zip(artifact.path, artifact.name, entries=artifact.hash_agreed is None)
    check_hash(artifact)


def check_hash(artifact: Artifact) -> None:
    """Raise ``IntegrityError`` where the bytes are not those whose hash the tenant announced."""
    expected = read_hash(artifact.remote.file_hash if artifact.remote else None)
    if expected is None or artifact.hash_agreed is not False:
        return
    found = artifact.digests.get(expected.algorithm)
    if found is None:
        with disk(artifact.path), artifact.path.open("rb") as file:
            chunks = iter(lambda: file.read(_PIECE), b"")
            found = digests_of(chunks, [expected.algorithm])[expected.algorithm].hex()
    raise IntegrityError(
        f"{artifact.name}: the tenant announced {expected.algorithm} {expected.digest.hex()}, "
        f"the download has {found}; export again"
    )


def check_zip(path: Path, name: str = "", *, entries: bool = True) -> None:
    """Raise ``IntegrityError`` where a file is no whole ZIP.

    Its directory must be there and each entry where the directory says; with ``entries`` each
    entry's CRC must be right, too. Reads in chunks, so that memory does not grow with the
    package. ``name`` is what the message calls the file, whose own name may be that of a partial
    file.
    """
    with disk(path), path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as package:
                broken = _misplaced(file, package) or (package.testzip() if entries else None)
        except _NOT_A_ZIP:
            raise IntegrityError(f"{name or path.name}: {_instead_of_zip(file)}") from None
    if broken is not None:
        raise IntegrityError(f"{name or path.name}: the entry {broken!r} is damaged; export again")


def _misplaced(file: BinaryIO, package: zipfile.ZipFile) -> str | None:
    """Return the first entry that is not where the directory says, or runs into the directory."""
    for entry in package.infolist():
        file.seek(entry.header_offset)
        signature, name, extra = _HEADER.unpack(file.read(_HEADER.size))
        encoding = "utf-8" if entry.flag_bits & 0x800 else "cp437"
        same = file.read(name) == entry.orig_filename.encode(encoding)
        end = entry.header_offset + _HEADER.size + name + extra + entry.compress_size
        if signature != b"PK\x03\x04" or not same or end > package.start_dir:
            return entry.filename
    return None


def _instead_of_zip(file: BinaryIO) -> str:
    """Say what a file is that should have been a package."""
    file.seek(0)
    start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "the download is empty, not a ZIP package"
    if start.startswith(b"<"):
        return "the download is an HTML page (a login or error page), not a ZIP package"
    if start.startswith(b"pk"):
        return "the ZIP package is cut off or damaged; export again"
    return "the download is not a ZIP package"
