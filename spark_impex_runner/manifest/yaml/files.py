"""Read files that a user names, with a limit on their size and without blocking."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Windows lacks the flag, and also lacks named pipes in folders, for which it is needed.
_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)


def read_limited(path: Path, limit: int) -> bytes:
    """Return at most ``limit`` bytes of a file. Raises ``OSError``.

    A pipe is read to its end. One without a writer is empty: the usual ``open`` would block
    forever.
    """
    with open(path, "rb", opener=_open_nonblocking) as stream:
        if _NONBLOCK:
            # Only opening must not block; a writer may need time for its next bytes.
            os.set_blocking(stream.fileno(), True)
        return stream.read(limit)


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | _NONBLOCK)
