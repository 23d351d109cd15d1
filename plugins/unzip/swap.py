"""Replace a folder atomically, and only if earlier runs created it."""

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
def atomic_folder(folder: Path, owned: tools.Ownership) -> Iterator[Path]:
    """Yield an empty folder that replaces ``folder`` if the block succeeds.

    If it fails, ``folder`` is unchanged. Leftovers of a killed run are removed first, or restored
    if it was killed between the two renames. An old folder that cannot be removed stays beside
    the new one, and every later run retries. Raises ``StepError`` if a file in ``folder`` is not
    from an earlier run.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    _recover(folder, fresh, owned)
    owned.check(folder)
    owned.claim(fresh)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        names = tools.files_below(fresh)
        # Checked again: the user may have changed the folder during the extraction.
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
    """Remove or restore what an earlier run left beside ``folder``.

    Raises ``StepError`` for a folder of such a name that is not from an earlier run, or that
    cannot be removed but has to be.
    """
    aside = set_aside(folder)
    for path in (*aside, *([fresh] if os.path.lexists(fresh) else [])):
        if owned.record(path) is None:
            raise errors.StepError(f"{path} is not from an earlier run; move it away")
    # Killed between the two renames: the old folder is still the valid one.
    if aside and not os.path.lexists(folder):
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
            f"cannot remove {fresh}, left by an earlier run ({error.strerror or error}); remove it"
        ) from error


def _clear(path: Path, owned: tools.Ownership) -> None:
    """Remove a folder and its ownership record."""
    _remove(path)
    owned.forget(path)


def set_aside(folder: Path) -> list[Path]:
    """Return the old folders beside ``folder`` that no run could remove yet, oldest first."""
    pattern = re.compile(rf"\.{re.escape(folder.name)}\.old([0-9]*)")
    with suppress(FileNotFoundError):
        found = [(pattern.fullmatch(each.name), each) for each in folder.parent.iterdir()]
        ordered = sorted((int(match[1] or 0), path) for match, path in found if match)
        return [path for _, path in ordered]
    return []


def _swap(folder: Path, fresh: Path, owned: tools.Ownership) -> Path | None:
    """Rename the old folder aside and the new one in; return the old one, restored on failure."""
    old = None
    if os.path.lexists(folder):
        aside = set_aside(folder)
        last = int(aside[-1].name.rpartition(".old")[2] or 0) + 1 if aside else ""
        old = folder.with_name(f".{folder.name}.old{last}")
        # Claimed before the rename, so that a killed run leaves a folder known as ours.
        owned.claim(old)
        folder.rename(old)
    try:
        fresh.rename(folder)
    except BaseException:
        if old:
            old.rename(folder)
        raise
    return old


def _remove(path: Path) -> None:
    """Remove a folder with its contents, or the link or file in its place."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        _make_writable(path)
        for base, folders, _ in os.walk(path):
            for name in folders:
                _make_writable(Path(base, name))
        try:
            shutil.rmtree(path)
        except OSError as error:  # rmtree names only the last part of the path.
            raise OSError(error.errno, error.strerror, str(path)) from error


def _make_writable(folder: Path) -> None:
    """Add the owner's rights to a folder; read-only folders cannot be emptied."""
    mode = folder.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
        with suppress(OSError):
            folder.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)
