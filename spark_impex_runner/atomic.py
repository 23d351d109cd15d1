"""Write text files atomically, and let one process at a time change a file."""

from __future__ import annotations

import os
import re
import secrets
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

fcntl: Any = None
with suppress(ImportError):  # Windows has none
    import fcntl

# A change takes milliseconds; a process that holds the lock this long hangs.
_LOCK_SECONDS = 60.0
# Threads wait for each other here: FileLock would poll.
_threads = threading.Lock()

# A temporary file's name must not exceed 255 bytes if the name of its file has as many.
_SHORT = 50


def write_text(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` as ``write_pieces`` does."""
    write_pieces(path, (text,))


def write_pieces(path: Path, pieces: Iterable[str]) -> None:
    """Write a text (UTF-8) to ``path`` through a temporary file in the same folder.

    Creates missing folders. A reader sees the old content or the new, never a part. Raises
    ``OSError`` and leaves ``path`` unchanged if the disk refuses, and so for any error of
    ``pieces``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, handle = _temporary(path)
    try:
        with os.fdopen(handle, "wb") as stream:
            for piece in pieces:
                # A lone surrogate, which a file's name may contain, is escaped as in JSON.
                stream.write(piece.encode("utf-8", "backslashreplace"))
            stream.flush()
            os.fsync(stream.fileno())
            if fcntl:  # before close unlocks it: another writer must not remove it as a leftover
                temporary.replace(path)
        if not fcntl:  # Windows cannot rename an open file
            temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not error.filename:
            error.filename = str(path)  # that of a write names none
        raise
    _clear_leftovers(path)


def _temporary(path: Path) -> tuple[Path, int]:
    """Return a new file beside ``path``, and a handle that keeps it locked until it is closed."""
    while True:
        temporary = path.with_name(f".{path.name[:_SHORT]}.{secrets.token_hex(4)}")
        # The kernel applies the umask: os.umask would change it for all threads to read it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        handle = os.open(temporary, flags, 0o666)
        if not fcntl:
            return temporary, handle
        with suppress(OSError):  # on a file system without locks no leftover is ever removed
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return temporary, handle
        os.close(handle)  # another writer removed it as a leftover before it was locked


def _clear_leftovers(path: Path) -> None:
    """Remove temporary files of killed writers of ``path``: those that are not locked."""
    if not fcntl:
        return
    leftover = re.compile(rf"\.{re.escape(path.name[:_SHORT])}\.[0-9a-f]{{8}}")
    for each in [each for each in path.parent.iterdir() if leftover.fullmatch(each.name)]:
        with suppress(OSError):
            handle = os.open(each, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                each.unlink()
            finally:
                os.close(handle)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Lock ``path`` against other processes and threads for the block.

    The lock is the kernel's, on an empty file ``.NAME.lock`` beside ``path``: that of a killed
    process is free at once. Raises ``OSError`` if it cannot be locked.
    """
    # Imported on use, here and in ``state.lease``: a plan locks nothing.
    from filelock import FileLock, Timeout  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    with _threads:
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout:
            message = f"another process has locked it for {_LOCK_SECONDS:g} s"
            raise OSError(message) from None
        except NotImplementedError as error:
            message = "this file system has no locks; put the file on a local disk"
            raise OSError(message) from error
        try:
            yield
        finally:
            lock.release()
