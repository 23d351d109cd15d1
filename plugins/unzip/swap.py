"""A folder is replaced whole or not at all, and only if earlier runs have put it there."""

from __future__ import annotations

import os
import re
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner import errors, tools

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(folder: Path, owned: tools.Ownership) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``folder`` when the block succeeds.

    When it fails, ``folder`` is as it was. What a killed run left behind is cleared or, where
    it was killed between the two renames, put back first. An old folder that cannot be removed
    stays beside the new one, and every later run tries again. Raises ``StepError`` if a file in
    ``folder`` is not from an earlier run.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    _recover(folder, fresh, owned)
    owned.check(folder)
    owned.claim(folder)
    owned.claim(fresh)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        names = tools.files_below(fresh)
        owned.check(folder)
        owned.claim(folder, names)
        old = _swap(folder, fresh, owned)
        owned.settle(folder, names)
    except BaseException:
        with suppress(OSError):
            _clear(fresh, owned)
        raise
    owned.forget(fresh)
    if old:
        with suppress(OSError):
            _clear(old, owned)


def _recover(folder: Path, fresh: Path, owned: tools.Ownership) -> None:
    """Clear what an earlier run left beside ``folder``, or put it back.

    Raises ``StepError`` for a folder that has such a name and is not known to be ours, or that
    cannot be removed but has to.
    """
    aside = set_aside(folder)
    for path in (*aside, *([fresh] if _exists(fresh) else [])):
        if owned.record(path) is None:
            raise errors.StepError(f"{path} is not known to be from an earlier run; move it away")
    if aside and not _exists(folder):
        last = aside.pop()
        last.rename(folder)
        owned.forget(last)
    for path in aside:
        with suppress(OSError):
            _clear(path, owned)
    try:
        _clear(fresh, owned)
    except OSError as error:
        raise errors.StepError(
            f"{_blocked(fresh, error)}, left by an earlier run; remove it"
        ) from error


def _clear(path: Path, owned: tools.Ownership) -> None:
    """Remove a folder of ours and its record."""
    _remove(path)
    owned.forget(path)


def set_aside(folder: Path) -> list[Path]:
    """Return the old folders beside ``folder`` that no run could remove yet, in order."""
    pattern = re.compile(rf"\.{re.escape(folder.name)}\.old([0-9]*)")
    with suppress(FileNotFoundError):
        found = [(pattern.fullmatch(each.name), each) for each in folder.parent.iterdir()]
        ordered = sorted((int(match[1] or 0), path) for match, path in found if match)
        return [path for _, path in ordered]
    return []


def _swap(folder: Path, fresh: Path, owned: tools.Ownership) -> Path | None:
    """Move the old folder aside and the new one in, or put the old one back; return the old."""
    old = None
    if _exists(folder):
        aside = set_aside(folder)
        last = int(aside[-1].name.rpartition(".old")[2] or 0) + 1 if aside else ""
        old = folder.with_name(f".{folder.name}.old{last}")
        owned.claim(old)
        folder.rename(old)
    try:
        fresh.rename(folder)
    except BaseException:
        if old:
            old.rename(folder)
        raise
    return old


def _blocked(path: Path, error: OSError) -> str:
    """Return that a path cannot be removed, and why."""
    return f"cannot remove {path} ({error.strerror or error})"


def _exists(path: Path) -> bool:
    """Tell whether there is something by that name, a broken link included."""
    return path.is_symlink() or path.exists()


def _remove(path: Path) -> None:
    """Remove a folder with all in it, or the link or file in its place.

    Folders in it that are read-only are made writable first. The error names the whole path.
    """
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        _make_writable(path)
        for base, folders, _ in os.walk(path):
            for name in folders:
                _make_writable(Path(base, name))
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error


def _make_writable(folder: Path) -> None:
    """Let this user remove what is in a folder, if it is this user's."""
    mode = folder.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
        with suppress(OSError):
            folder.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)
