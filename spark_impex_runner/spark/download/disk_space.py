"""Check disk space before a file is written."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_impex_runner.errors import DeliveryError
from spark_impex_runner.spark.download.partial import discard, disk_errors
from spark_impex_runner.spark.http import limits

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

# The files that this process is writing, and the final length of each in bytes.
_growing: dict[Path, int] = {}
_lock = threading.Lock()
# Bytes between two checks of the disk: asking after every chunk would slow a download down.
_CHECK_EVERY = 16 << 20


@contextmanager
def reserved(path: Path, length: int) -> Iterator[None]:
    """Reserve space for a file of ``length`` bytes while the block runs.

    Space that other downloads to the same disk still need does not count as free. Raises
    ``DeliveryError`` if the rest does not suffice.
    """
    with _lock, disk_errors(path):
        needed, free = _missing(path, length), _free_beside(path)
        if needed and needed > free:
            raise DeliveryError(
                f"{path}: needs {needed:,} bytes, {max(free, 0):,} are free at {path.parent}; "
                "free space there or choose another folder, then run again"
            )
        _growing[path] = length
    try:
        yield
    finally:
        with _lock:
            _growing.pop(path, None)


def without_length(path: Path, chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    """Yield the chunks of a file of unknown length; raise before the disk is full.

    Raises ``DeliveryError``, and removes the file, if it is longer than ``limits.UNANNOUNCED``
    or would leave less free than ``limits.RESERVE``.
    """
    size, checked = 0, -limits.RESERVE
    for chunk in chunks:
        if size - checked >= _CHECK_EVERY:
            checked = size
            free = shutil.disk_usage(path.parent).free
            if size > limits.UNANNOUNCED or free < limits.RESERVE:
                discard(path)
                most = limits.size(limits.UNANNOUNCED)
                raise DeliveryError(
                    f"{path}: the server sends no Content-Length; after {size:,} bytes "
                    f"{free:,} are free (limits: {most} of unknown length, "
                    f"{limits.size(limits.RESERVE)} stay free)"
                )
        yield chunk
        size += len(chunk)


def _free_beside(path: Path) -> int:
    """Return the free bytes of a file's disk that are not reserved for other files."""
    device = _device(path.parent)
    other_files = [each for each in _growing if each != path and _device(each.parent) == device]
    reserved_bytes = sum(_missing(each, _growing[each]) for each in other_files)
    return shutil.disk_usage(path.parent).free - reserved_bytes


def _missing(path: Path, length: int) -> int:
    try:
        return max(length - path.stat().st_size, 0)
    except FileNotFoundError:
        return length


def _device(folder: Path) -> int:
    """Return the device number of a folder, 0 if it is gone."""
    try:
        return folder.stat().st_dev
    except FileNotFoundError:
        return 0
