"""Say which disk is full, and how many bytes are free there."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from spark_impex_runner.errors import StepError

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def full_disk(error: BaseException | None) -> str:
    """Return `` (12 bytes are free at /mnt; …)`` if a full disk caused an error, else nothing.

    The cause has to name its file: the one that was written may be on any disk.
    """
    seen: list[BaseException] = []
    while error is not None and error not in seen:  # an error may be its own cause
        seen.append(error)
        if isinstance(error, OSError) and error.errno in _FULL and error.filename:
            with suppress(OSError):
                mount = mount_point(Path(os.fsdecode(error.filename)))
                free = shutil.disk_usage(mount).free
                return f" ({free:,} bytes are free at {mount}; free space there and run again)"
        error = error.__cause__
    return ""


def require_space(folder: Path, needed: int) -> None:
    """Raise ``StepError`` if fewer than ``needed`` bytes are free on the disk of a folder.

    The folder itself may not exist yet.
    """
    mount = mount_point(folder)
    free = shutil.disk_usage(mount).free
    if needed > free:
        raise StepError(
            f"{folder}: needs {needed:,} bytes, {free:,} are free at {mount}; free space there or "
            "choose another folder, then run again"
        )


def mount_point(path: Path) -> Path:
    """Return the folder at which the disk of a path, which may not exist, is mounted."""
    place = Path(os.path.realpath(path))
    return next(each for each in (place, *place.parents) if os.path.ismount(each))
