"""The bytes of files that a manifest's user names: only so many, and without waiting for none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Windows, which does not know this flag, does not know pipes with a path in a folder either.
_AT_ONCE: int = getattr(os, "O_NONBLOCK", 0)


def read_most(path: Path, limit: int) -> bytes:
    """Return at most ``limit`` bytes of a file. Raises ``OSError``.

    A pipe is read to its end, so that a program may write the file; one to which nobody writes is
    empty, where opening it as usual would wait for ever.
    """
    with open(path, "rb", opener=_at_once) as stream:
        if _AT_ONCE:
            os.set_blocking(stream.fileno(), True)
        return stream.read(limit)


def _at_once(path: str, flags: int) -> int:
    """Open a file without waiting for one who writes to it."""
    return os.open(path, flags | _AT_ONCE)
