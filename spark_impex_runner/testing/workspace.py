"""Folders for a test, what a plugin writes to them, and a blocked network."""

from __future__ import annotations

import socket
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Every file and folder below a folder: its bytes, or None for a folder.
Content = dict[str, "bytes | None"]


def content(folder: Path) -> Content:
    """Return all files and folders below a folder by their relative paths."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def difference(before: Content, after: Content) -> str:
    """Return the paths that differ, on one line."""
    names = sorted(
        name
        for name in before.keys() | after.keys()
        if name not in before or name not in after or before[name] != after[name]
    )
    return ", ".join(names)


@dataclass(frozen=True)
class IsolatedFolders:
    """Replacements of a plugin's working, home and temporary folder."""

    folder: Path

    def written(self) -> list[str]:
        """Return the paths that were written."""
        return sorted(name for name, data in content(self.folder).items() if "/" in name or data)


@contextmanager
def isolated_folders(folder: Path, *, home: bool = True) -> Iterator[IsolatedFolders]:
    """Replace the working, the temporary and, with ``home``, the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("working", "home", "temporary"):
            (folder / name).mkdir(parents=True)
        patch.chdir(folder / "working")
        if home:
            patch.setenv("HOME", str(folder / "home"))
        patch.setenv("TMPDIR", str(folder / "temporary"))
        # tempfile reads TMPDIR only once, and remembers the folder.
        patch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        yield IsolatedFolders(folder)


@contextmanager
def blocked_network() -> Iterator[list[str]]:
    """Refuse every connection, and yield the list of addresses that were tried."""
    tried: list[str] = []

    def refuse(_: socket.socket, address: Any) -> None:
        tried.append(str(address))
        raise OSError("nothing may be sent here")

    with pytest.MonkeyPatch.context() as patch:
        # Every Python library connects by these two methods, except native ones.
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket.socket, "connect_ex", refuse)
        yield tried


def outputs(log: str, capfd: pytest.CaptureFixture[str], folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each output of a run."""
    printed = capfd.readouterr()
    yield from (("the log", log), ("stdout", printed.out), ("stderr", printed.err))
    for name, data in content(folder).items():
        yield f"the name of {name}", name
        if data:
            yield name, data.decode("utf-8", "replace")
