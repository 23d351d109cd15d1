"""A folder to work in, and what is written outside of where a plugin may write."""

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
    """Return all that lies below a folder, by its path there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def difference(before: Content, after: Content) -> str:
    """Return which files differ, in one line; nothing where none does."""
    names = sorted(
        name
        for name in before.keys() | after.keys()
        if name not in before or name not in after or before[name] != after[name]
    )
    return ", ".join(names)


@dataclass(frozen=True)
class Elsewhere:
    """The folders that a plugin finds as its working, home and temporary folder."""

    folder: Path

    def left(self) -> list[str]:
        """Return what was left there."""
        return sorted(name for name, data in content(self.folder).items() if "/" in name or data)


@contextmanager
def elsewhere(folder: Path, *, home: bool = True) -> Iterator[Elsewhere]:
    """Move working, temporary and, unless ``home`` is False, home folder below ``folder``."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("working", "home", "temporary"):
            (folder / name).mkdir(parents=True)
        patch.chdir(folder / "working")
        if home:
            patch.setenv("HOME", str(folder / "home"))
        patch.setenv("TMPDIR", str(folder / "temporary"))
        patch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        yield Elsewhere(folder)


@contextmanager
def silence() -> Iterator[list[str]]:
    """Refuse every connection meanwhile; yield the addresses that were tried."""
    tried: list[str] = []

    def refuse(_: socket.socket, address: Any) -> None:
        tried.append(str(address))
        raise OSError("nothing may be sent here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket.socket, "connect_ex", refuse)
        yield tried


def outputs(log: str, capfd: pytest.CaptureFixture[str], folder: Path) -> Iterator[tuple[str, str]]:
    """Yield all that a run left, as text, with its name."""
    printed = capfd.readouterr()
    yield from (("the log", log), ("stdout", printed.out), ("stderr", printed.err))
    for name, data in content(folder).items():
        yield f"the name of {name}", name
        if data:
            yield name, data.decode("utf-8", "replace")
