r"""File digests in the form that ``sha256sum`` and its relatives write and check.

A folder has a digest, too: the SHA-256 over its files' lines, sorted by path. GNU tools give
the same answer, run inside the folder::

    find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

CHUNK = 1 << 20
_LINE = re.compile(r"(\\?)([0-9a-f]+) [ *](.+)")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_ESCAPED = {escape: character for character, escape in _ESCAPES.items()}
_BY_SIZE = {16: "md5", 20: "sha1", 28: "sha224", 32: "sha256", 48: "sha384", 64: "sha512"}
# The names that programs use for the algorithms, without hyphens.
_ALGORITHMS = {
    **{name: name for name in ("md5", "sha1", "blake2b", "blake2s")},
    "blake2b512": "blake2b",
    "blake2s256": "blake2s",
    **{f"sha{size}": f"sha{size}" for size in (224, 256, 384, 512)},
    **{f"sha2{size}": f"sha{size}" for size in (224, 256, 384, 512)},
    **{f"sha3{size}": f"sha3_{size}" for size in (224, 256, 384, 512)},
    "sha": "sha1",
}
_NAME = r"(md5|sha-?[123]?-?(?:224|256|384|512)?|blake2(?:b-?(?:512)?|s-?(?:256)?))"
_LABEL = re.compile(rf"(?:urn:)?\{{?{_NAME}(?:\}}|\s*[:=-]|\s)\s*(\S.*)", re.IGNORECASE | re.DOTALL)
_TAGGED = re.compile(rf"(\\?){_NAME} ?\((.+)\) ?= ?(\S+)", re.IGNORECASE)
_HEX = re.compile(r"(?:0x)?([0-9a-f]{2}(?:[ :-]?[0-9a-f]{2})*)", re.IGNORECASE | re.ASCII)
_SUM = re.compile(r"(\\?)(\S+)(?: [ *]|[ \t]+\*?)(.+)")
_STANDARD = str.maketrans("-_", "+/")
_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


@dataclass(frozen=True, slots=True)
class Hash:
    """A digest and the name that ``hashlib`` has for its algorithm."""

    algorithm: str
    digest: bytes


@dataclass(slots=True)
class Sums:
    """A list of hashes by file; ``unread`` are the numbers of lines in no known notation."""

    rows: list[tuple[str, Hash]] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)


def read_hash(text: str) -> Hash | None:
    """Return the hash in a text, in any notation of common tools; None if there is none.

    Hex of either case, also with ``:``, ``-`` or blanks between bytes, or base64 of either
    alphabet, with or without padding; before it perhaps the algorithm's name (``md5:``,
    ``sha256=``, ``{SHA}``, ``sha-256=:…:``, ``sha256-…``), or after it a file's name as
    ``sha256sum`` writes it. Without an algorithm's name the length decides.
    """
    text = text.replace("\ufeff", "").strip().strip("\"'").strip()
    if tagged := _TAGGED.fullmatch(text):  # SHA256 (name) = digest, of BSD and openssl
        return _of_algorithm(tagged[2], tagged[4])
    if (label := _LABEL.fullmatch(text)) and (found := _of_algorithm(label[1], label[2])):
        return found
    if digest := _digest(text):
        return Hash(_BY_SIZE[len(digest)], digest)
    row = _SUM.fullmatch(text)
    return read_hash(row[2]) if row and _HEX.fullmatch(row[2]) else None


def read_sums(data: bytes) -> Sums:
    """Return a list of hashes as ``md5sum``, ``openssl``, ``md5`` of BSD and others write it.

    Its ``rows`` are pairs of a file's name and its ``Hash``, ``unread`` the numbers of other lines.
    Byte order marks, any line ends or NUL, UTF-16, comments and binary marks are understood.
    """
    sums = Sums()
    for number, row in enumerate(re.split(r"\r\n|[\r\n\0]", _text(data)), 1):
        if not row.strip() or row.lstrip().startswith(("#", ";")):
            continue
        tagged, plain = _TAGGED.fullmatch(row.strip()), _SUM.fullmatch(row.lstrip(" \t"))
        escape_mark, name, found = "", "", None
        if tagged:
            escape_mark, name, found = tagged[1], tagged[3], _of_algorithm(tagged[2], tagged[4])
        elif plain:
            escape_mark, name, found = plain[1], plain[3], read_hash(plain[2])
        if found:
            sums.rows.append((_unescape(escape_mark, name), found))
        else:
            sums.unread.append(number)
    return sums


def line(digest: str, name: str) -> str:
    r"""Return one line of a sums file with its newline.

    A name with a backslash or a line break is escaped, and the line then begins with ``\``.
    """
    escaped = re.sub(r"[\\\n\r]", lambda found: _ESCAPES[found[0]], name)
    escape_mark = "\\" if escaped != name else ""
    return f"{escape_mark}{digest}  {escaped}\n"


def read_lines(text: str) -> dict[str, str]:
    """Return the digest of each name in a sums file; skip lines in another form."""
    found = (_LINE.fullmatch(row) for row in text.split("\n"))
    return {_unescape(row[1], row[3]): row[2] for row in found if row}


def of_file(path: Path, algorithms: Sequence[str], check: Callable[[], None]) -> dict[str, str]:
    """Return the hexadecimal digest of ``path`` for each algorithm, read once.

    ``check`` is called between pieces of 1 MiB and may raise to end the reading.
    """
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            check()
            for each in hashes.values():
                each.update(piece)
    return {name: each.hexdigest() for name, each in hashes.items()}


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of ``path``."""
    return of_file(path, ["sha256"], lambda: None)["sha256"]


def of_bytes(
    pieces: Iterable[bytes], algorithm: str = "sha256", check: Callable[[], None] = lambda: None
) -> str:
    """Return the hexadecimal digest of bytes that come in pieces.

    ``check`` is called before each piece and may raise to end the reading.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    for piece in pieces:
        check()
        digest.update(piece)
    return digest.hexdigest()


def of_tree(files: Mapping[str, str]) -> str:
    """Return a folder's digest from the SHA-256 of each file, by path relative to the folder."""
    names = sorted(files, key=os.fsencode)
    text = "".join(line(files[name], name) for name in names)
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _unescape(escape_mark: str, name: str) -> str:
    """Undo the escaping of ``line``."""
    if not escape_mark:
        return name
    return re.sub(r"\\[\\nr]", lambda found: _ESCAPED[found[0]], name)


def _of_algorithm(label: str, text: str) -> Hash | None:
    """Return the hash in ``text`` if its length fits the algorithm that ``label`` names."""
    name = _ALGORITHMS.get(label.lower().replace("-", ""), "")
    digest = _digest(text.strip().strip("\"':"))
    if not name or not digest:
        return None
    fits = hashlib.new(name, usedforsecurity=False).digest_size == len(digest)
    return Hash(name, digest) if fits else None


def _digest(text: str) -> bytes | None:
    """Return the bytes of a digest in hex or base64, None if their length is unknown."""
    if found := _HEX.fullmatch(text):
        digest = bytes.fromhex(re.sub("[ :-]", "", found[1]))
        if len(digest) in _BY_SIZE:
            return digest
    # Hex comes first: 32 hexadecimal digits are valid base64, too, of another length.
    joined = re.sub(r"\r?\n", "", text).translate(_STANDARD)
    if "=" not in joined:
        joined += "=" * (-len(joined) % 4)
    try:
        digest = base64.b64decode(joined, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) in _BY_SIZE else None


def _text(data: bytes) -> str:
    """Return the text of a file in an unknown encoding."""
    # Without a mark a zero byte reveals UTF-16: its ASCII characters have one each.
    marked = (name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark))
    guessed = {b"\0": "utf-16-le"}.get(data[1:2], {b"\0": "utf-16-be"}.get(data[:1], "utf-8"))
    encoding = next(marked, guessed)
    try:
        return data.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError:
        return data.decode("latin-1")
