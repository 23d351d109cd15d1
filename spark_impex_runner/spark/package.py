"""Verify a downloaded package before it gets its final name."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from spark_impex_runner import archives, digests
from spark_impex_runner.errors import IntegrityError, UnreadablePackageError
from spark_impex_runner.spark.download.partial import disk_errors

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path
    from typing import BinaryIO

    from spark_impex_runner.models import Artifact

# The local header: signature, fields that the directory repeats, lengths of name and extra field.
_HEADER = struct.Struct("<4s22xHH")


def check(artifact: Artifact) -> None:
    """Raise ``IntegrityError`` if a file is not the package that the tenant promised.

    The structure is checked first, since its error names a web page as such. Each entry's CRC is
    checked only without a hash from the tenant, which would cover all bytes at once.
    """
    try:
        check_zip(artifact.path, artifact.name, entries=artifact.hash_agreed is None)
    except UnreadablePackageError:
        check_hash(artifact)  # damaged bytes prove nothing about the package
        raise
    check_hash(artifact)


def check_hash(artifact: Artifact) -> None:
    """Raise ``IntegrityError`` if the bytes are not those whose hash the tenant announced."""
    announced = artifact.remote.file_hash if artifact.remote else None
    expected = digests.read_hash(announced or "")
    if expected is None or artifact.hash_agreed is not False:
        return
    name, found = expected.algorithm, artifact.digests.get(expected.algorithm)
    if found is None:
        with disk_errors(artifact.path):
            found = digests.of_file(artifact.path, [name], lambda: None)[name]
    raise IntegrityError(
        f"{artifact.name}: the tenant announced {name} {expected.digest.hex()}, "
        f"the download has {found}; export again"
    )


def check_zip(path: Path, name: str = "", *, entries: bool = True) -> None:
    """Raise ``IntegrityError`` if a file is no whole ZIP, or one that cannot be unpacked.

    Its directory must be complete and each entry at its place there; with ``entries`` each
    entry's CRC must be right, too. Memory does not grow with the package. ``name`` replaces the
    file's own name, which may be that of a partial file, in the message.
    """
    name = name or path.name
    with disk_errors(path), path.open("rb") as file:
        try:
            with archives.opened(file) as package:
                broken = _misplaced(file, package) or (package.testzip() if entries else None)
        except archives.UnreadableZipError as error:
            raise UnreadablePackageError(f"{name}: the ZIP package {error}") from error
        except archives.BROKEN:
            raise IntegrityError(f"{name}: {_describe_non_zip(file)}") from None
    if broken is not None:
        shown = archives.quoted(broken)
        raise IntegrityError(f"{name}: the entry {shown} is damaged; export again")


def _misplaced(file: BinaryIO, package: zipfile.ZipFile) -> str | None:
    """Return the first entry that is not at its offset, or overlaps the directory."""
    for entry in package.infolist():
        file.seek(entry.header_offset)
        signature, name, extra = _HEADER.unpack(file.read(_HEADER.size))
        same = file.read(name) == archives.raw_name(entry)
        end = entry.header_offset + _HEADER.size + name + extra + entry.compress_size
        if signature != b"PK\x03\x04" or not same or end > package.start_dir:
            return entry.filename
    return None


def _describe_non_zip(file: BinaryIO) -> str:
    """Describe a file that is no package."""
    file.seek(0)
    start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "the download is empty, not a ZIP package"
    if start.startswith(b"<"):
        return "the download is an HTML page (a login or error page), not a ZIP package"
    if start.startswith(b"pk"):
        return "the ZIP package is cut off or damaged; export again"
    return "the download is not a ZIP package"
