r"""File digests in the form that ``sha256sum`` and its relatives write and check.

A folder has a digest, too: the SHA-256 over its files' lines, sorted by path. GNU tools give
the same answer, run inside the folder::

    find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

CHUNK = 1 << 20
_LINE = re.compile(r"(\\?)([0-9a-f]+) [ *](.+)")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_ESCAPED = {escape: character for character, escape in _ESCAPES.items()}


def line(digest: str, name: str) -> str:
    r"""Return one line of a sums file, newline included.

    A name with a backslash or a line break is escaped, which a leading ``\`` announces.
    """
    escaped = re.sub(r"[\\\n\r]", lambda found: _ESCAPES[found[0]], name)
    mark = "\\" if escaped != name else ""
    return f"{mark}{digest}  {escaped}\n"


def read_lines(text: str) -> dict[str, str]:
    """Return the digest of each name in a sums file; lines in another form are left out."""
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


def of_tree(files: Mapping[str, str]) -> str:
    """Return a folder's digest from the SHA-256 of each file, by path relative to the folder."""
    names = sorted(files, key=os.fsencode)
    text = "".join(line(files[name], name) for name in names)
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _unescape(mark: str, name: str) -> str:
    """Undo the escaping of ``line``."""
    if not mark:
        return name
    return re.sub(r"\\[\\nr]", lambda found: _ESCAPED[found[0]], name)
