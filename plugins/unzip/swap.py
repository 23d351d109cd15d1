"""A folder is replaced whole or not at all."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``folder`` when the block succeeds.

    When it fails, ``folder`` is as it was. What a killed run left behind is cleared or, where
    it was killed between the two renames, put back first. The names of the temporary folders
    are fixed for that reason.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    old = folder.with_name(f".{folder.name}.old")
    if _exists(old) and not _exists(folder):
        old.rename(folder)
    _remove(fresh)
    _remove(old)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        _swap(folder, fresh, old)
    except BaseException:
        _remove(fresh)
        raise
    _remove(old)


def _swap(folder: Path, fresh: Path, old: Path) -> None:
    """Move the old folder aside and the new one in, or put the old one back."""
    if _exists(folder):
        folder.rename(old)
    try:
        fresh.rename(folder)
    except BaseException:
        if _exists(old):
            old.rename(folder)
        raise


def _exists(path: Path) -> bool:
    """Tell whether there is something by that name, a broken link included."""
    return path.is_symlink() or path.exists()


def _remove(path: Path) -> None:
    """Remove a folder with all in it, or the link or file in its place."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
