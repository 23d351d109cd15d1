"""Read ZIP files of any tool: decode the names of entries, and explain unreadable files.

The check of a download and every step use it, so that all of them read a package alike.
"""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from typing import IO, Final

_UTF8 = 0x800
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_PATCH = 0x20
_AES = 99
_DOS = 0
# Tools on these systems write names as bytes of the file system: Unix and macOS.
_UNIX = (3, 19)
_UNICODE_PATH = 0x7075
_METHODS: Final = {
    1: "shrinking",
    2: "reducing",
    3: "reducing",
    4: "reducing",
    5: "reducing",
    6: "imploding",
    9: "Deflate64",
    10: "PKWARE's imploding",
    12: "bzip2",
    14: "LZMA",
    16: "IBM's CMPSC",
    18: "IBM's TERSE",
    19: "IBM's LZ77",
    20: "Zstandard",
    93: "Zstandard",
    94: "MP3",
    95: "XZ",
    96: "JPEG",
    97: "WavPack",
    98: "PPMd",
}
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_TAIL = (1 << 16) + _END.size
_PIECE = 1 << 20
# What zipfile raises on invalid bytes; seeking to a negative offset is an OSError.
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


class UnreadableZipError(zipfile.BadZipFile):
    """The ZIP file is complete but cannot be read; the message says why."""


def opened(stream: IO[bytes]) -> zipfile.ZipFile:
    """Return the ZIP file in ``stream``, its entries named as unzip and 7z name them.

    Raises ``UnreadableZipError`` if it is complete but cannot be read, and ``zipfile.BadZipFile``
    if it is damaged, truncated or no ZIP file.
    """
    if reason := _split_reason(stream):
        raise UnreadableZipError(reason)
    archive = _directory(stream)
    if not archive.infolist():
        raise UnreadableZipError("holds no file")
    for entry in archive.infolist():
        entry.filename = name_of(entry)
        if reason := problem(entry):
            name = quoted(entry.filename)
            if not _headers_agree(stream, entry):  # damaged, rather than of an unknown kind
                raise zipfile.BadZipFile(f"the headers of the entry {name} contradict each other")
            raise UnreadableZipError(f"cannot be unpacked: entry {name} {reason}")
    return archive


def _directory(stream: IO[bytes]) -> zipfile.ZipFile:
    """Return the ZIP file in ``stream``, after reading only its directory."""
    try:
        return zipfile.ZipFile(stream)
    except NotImplementedError as error:
        raise UnreadableZipError(f"needs a newer ZIP program ({error})") from error
    except UnicodeDecodeError as error:
        raise UnreadableZipError("has a name that is not in UTF-8 although it says so") from error
    except BROKEN as error:
        if _has_trailing_data(stream):
            raise UnreadableZipError("has other data behind its end") from error
        raise zipfile.BadZipFile(str(error)) from error


def _headers_agree(stream: IO[bytes], entry: zipfile.ZipInfo) -> bool:
    """Return True if the entry's own header agrees with the directory about its content."""
    try:
        stream.seek(entry.header_offset)
        signature, flags, method = struct.unpack("<4s2xHH", stream.read(10))
    except (OSError, ValueError, struct.error):
        return False
    same = (flags ^ entry.flag_bits) & (_ENCRYPTED | _PATCH) == 0
    return bool(signature == b"PK\x03\x04" and same and method == entry.compress_type)


def problem(entry: zipfile.ZipInfo) -> str:
    """Return why the content of an entry cannot be read, empty if it can."""
    if entry.flag_bits & _ENCRYPTED or entry.compress_type == _AES:
        return "is encrypted"
    if entry.flag_bits & _PATCH:
        return "is a patch for another file"
    if entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return ""
    method = _METHODS.get(entry.compress_type, "an unknown method")
    return (
        f"is compressed in another way than deflate: with {method} (method {entry.compress_type})"
    )


def raw_name(entry: zipfile.ZipInfo) -> bytes:
    """Return the bytes of the name in the package."""
    return entry.orig_filename.encode("utf-8" if entry.flag_bits & _UTF8 else "cp437")


def name_of(entry: zipfile.ZipInfo) -> str:
    """Return an entry's name as Info-ZIP's unzip, bsdtar and 7z read it.

    UTF-8 if the entry says so; else the Unicode Path of its extra field, if that belongs to the
    name; else UTF-8 where a Unix tool wrote it, if it is; else code page 437. Where a tool for DOS
    or Windows wrote it, backslashes without a slash are slashes.
    """
    name = _decoded(entry)
    # Some Windows tools separate folders with backslashes, which no name on Windows contains.
    return name.replace("\\", "/") if entry.create_system == _DOS and "/" not in name else name


def _decoded(entry: zipfile.ZipInfo) -> str:
    """Return an entry's name with the separators of the package."""
    if entry.flag_bits & _UTF8:
        return entry.orig_filename
    raw = raw_name(entry)
    candidates = [_unicode_path(entry.extra, raw)]
    if entry.create_system in _UNIX:
        candidates.append(raw)
    for each in candidates:
        try:
            if each:
                return each.decode()
        except UnicodeDecodeError:
            continue
    return entry.orig_filename


def quoted(name: str) -> str:
    """Return a name for a message, quoted and shortened."""
    text = repr(name)
    return text if len(text) <= 120 else f"{text[:100]}...'"


def _unicode_path(extra: bytes, raw: bytes) -> bytes:
    """Return the name in the Unicode Path field, empty if the field belongs to another name."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        data, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(data) > 5:
            version, crc = struct.unpack_from("<BL", data)
            if version == 1 and crc == zlib.crc32(raw):
                return data[5:]
    return b""


def _split_reason(stream: IO[bytes]) -> str:
    """Return an error message if the file is a part of a split archive, else empty."""
    stream.seek(0)
    first = stream.read(8) == b"PK\x07\x08PK\x03\x04"
    length = stream.seek(0, 2)
    stream.seek(max(0, length - _TAIL))
    tail = stream.read(_TAIL)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        return "is the first part of an archive that was split into several files" if first else ""
    _, disk, start, *_ = _END.unpack_from(tail, at)
    parts = 1
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size :].startswith(b"PK\x06\x07"):
        parts = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)[3]
    if parts > 1 or any(number not in (0, 0xFFFF) for number in (disk, start)):
        return "is the last part of an archive that was split into several files"
    return ""


def _has_trailing_data(stream: IO[bytes]) -> bool:
    """Return True if more data follows a complete ZIP file than any program searches."""
    length = stream.seek(0, 2)
    stream.seek(0)
    before, offset = b"", 0
    while piece := stream.read(_PIECE):
        window = before + piece
        at = window.find(b"PK\x05\x06")
        # Not every match is the end record: its size and offset must lead to itself.
        while 0 <= at <= len(window) - _END.size:
            _, disk, _, _, _, size, start, _ = _END.unpack_from(window, at)
            end = offset - len(before) + at
            if not disk and end == start + size and length - end > _TAIL:
                return True
            at = window.find(b"PK\x05\x06", at + 1)
        offset += len(piece)
        before = window[-_END.size :]
    return False
