"""ZIP files of other tools are read, or refused with the reason."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner import errors
from spark_impex_runner.archives import UnreadableZipError, name_of, opened
from spark_impex_runner.models import Artifact, RemoteFile
from spark_impex_runner.spark.download.files import download_verified
from spark_impex_runner.spark.package import check

if TYPE_CHECKING:
    from pathlib import Path

UTF8, LATIN = "prämie.json".encode(), "prämie.json".encode("latin-1")
OEM = "prämie.json".encode("cp437")


def packed(
    name: bytes = b"a", *, flags: int = 0, method: int = 0, system: int = 3, extra: bytes = b""
) -> bytes:
    """Return a ZIP file with one entry of these headers and the content ``x``."""
    crc = zlib.crc32(b"x")
    fields = struct.pack("<4HLLL", flags, method, 0, 33, crc, 1, 1)
    sizes = struct.pack("<HH", len(name), len(extra))
    local = b"PK\x03\x04" + struct.pack("<H", 20) + fields + sizes + name + extra + b"x"
    made = struct.pack("<BBH", 20, system, 20)
    rest = struct.pack("<HHHLL", 0, 0, 0, 0, 0)
    central = b"PK\x01\x02" + made + fields + sizes + rest + name + extra
    end = struct.pack("<4H2LH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + b"PK\x05\x06" + end


def unicode_path(raw: bytes, name: bytes = UTF8) -> bytes:
    """Return the extra field that Info-ZIP writes for a name that ``raw`` cannot spell."""
    data = struct.pack("<BL", 1, zlib.crc32(raw)) + name
    return struct.pack("<HH", 0x7075, len(data)) + data


@pytest.mark.parametrize(
    ("name", "keys", "expected"),
    [
        (UTF8, {}, "prämie.json"),
        (UTF8, {"flags": 0x800, "system": 0}, "prämie.json"),
        (UTF8, {"system": 19}, "prämie.json"),
        (OEM, {"system": 0}, "prämie.json"),
        (UTF8, {"system": 0}, UTF8.decode("cp437")),
        (b"a\\b\\c", {"system": 0}, "a/b/c"),
        (b"a\\b/c", {"system": 0}, "a\\b/c"),
        (b"a\\b", {}, "a\\b"),
        (LATIN, {}, LATIN.decode("cp437")),
        (b"pr?mie.json", {"system": 0, "extra": unicode_path(b"pr?mie.json")}, "prämie.json"),
        (b"pr?mie.json", {"system": 0, "extra": unicode_path(b"other")}, "pr?mie.json"),
        (b"a", {"extra": b"UT\x05\x00\x01abcd" + unicode_path(b"a")}, "prämie.json"),
    ],
)
def test_names_match_common_tools(name: bytes, keys: dict[str, object], expected: str) -> None:
    """Info-ZIP's unzip, bsdtar and 7z read the same name, and the entry is found by it."""
    with opened(io.BytesIO(packed(name, **keys))) as archive:  # type: ignore[arg-type]
        [entry] = archive.infolist()

        assert entry.filename == name_of(entry) == expected
        assert archive.read(entry) == b"x"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (packed(flags=1), "'a' is encrypted"),
        (packed(method=99), "'a' is encrypted"),
        (packed(flags=0x41), "'a' is encrypted"),
        (packed(flags=0x2000), "'a' is encrypted"),
        (packed(flags=0x20), "is a patch"),
        (packed(method=9), "Deflate64 (method 9)"),
        (packed(method=12), "bzip2 (method 12)"),
        (packed(method=14), "LZMA (method 14)"),
        (packed(method=93), "Zstandard (method 93)"),
        (packed(method=98), "PPMd (method 98)"),
        (packed(method=77), "an unknown method (method 77)"),
        (packed(b"\xff", flags=0x800), "has a name that is not in UTF-8"),
        (packed()[:-22] + b"PK\x05\x06" + bytes(18), "holds no file"),
        (b"PK\x05\x06" + bytes(18), "holds no file"),
        (b"PK\x07\x08" + packed()[:30], "is the first part of an archive that was split"),
        (packed()[:-18] + b"\1\0\1\0" + packed()[-14:], "is the last part of an archive"),
        (packed() + bytes(1 << 17), "has other data behind its end"),
    ],
)
def test_unreadable_archive_is_named(tmp_path: Path, clock: Any, data: bytes, words: str) -> None:
    """The message gives the reason and no damage, and nothing is downloaded again."""
    path, tries = tmp_path / "p.zip", []

    def once() -> None:
        path.write_bytes(data)
        tries.append(1)
        check(Artifact(path, "p.zip"))

    with pytest.raises(errors.UnreadablePackageError) as raised:
        download_verified(path, once, clock, lambda *_: None)

    assert words in str(raised.value)
    assert "damaged" not in str(raised.value)
    assert len(tries) == 1


CENTRAL = packed().index(b"PK\x01\x02") + 8


@pytest.mark.parametrize(
    ("spoilt", "hash_agreed"),
    [
        (packed()[:-20], None),
        (packed()[:CENTRAL] + b"\1" + packed()[CENTRAL + 1 :], None),
        (packed(flags=1), False),
    ],
)
def test_damaged_archive_is_downloaded_again(
    tmp_path: Path, clock: Any, spoilt: bytes, hash_agreed: bool | None
) -> None:
    """So is one with a missing end, contradicting headers or other bytes."""
    path, left = tmp_path / "p.zip", [(spoilt, hash_agreed), (packed(), None)]

    def once() -> None:
        data, agreed = left.pop(0)
        path.write_bytes(data)
        check(Artifact(path, "p.zip", remote=RemoteFile("", "ab" * 32), hash_agreed=agreed))

    download_verified(path, once, clock, lambda *_: None)

    assert not left


@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\n", b"PK00"])
@pytest.mark.parametrize("behind", [b"", b"\0" * 99])
@pytest.mark.parametrize("large", [False, True])
def test_unusual_archives_are_read(
    tmp_path: Path, before: bytes, behind: bytes, large: bool
) -> None:
    """Data before the first entry, a little after the end, and ZIP64 fields are accepted."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a", "w", force_zip64=large) as file:
        file.write(b"x")
    path = tmp_path / "p.zip"
    path.write_bytes(before + buffer.getvalue() + behind)

    check(Artifact(path, "p.zip"))
    with path.open("rb") as stream, opened(stream) as archive:
        assert archive.read("a") == b"x"


def test_no_reason_is_invented_for_other_files() -> None:
    """A file that is no ZIP file is damaged, not unreadable."""
    odd = packed().replace(b"PK\x01\x02", b"XX\x01\x02")
    for data in (b"", b"PK", b"<html>", packed()[:40], bytes(1 << 17), odd):
        with pytest.raises(zipfile.BadZipFile) as raised:
            opened(io.BytesIO(data))
        assert not isinstance(raised.value, UnreadableZipError)
