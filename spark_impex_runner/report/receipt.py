"""Write the receipt of delivered packages, and verify a folder against it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner import digests, fields
from spark_impex_runner.models import RECEIPT
from spark_impex_runner.report.data import delivery
from spark_impex_runner.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.models import TargetResult

VERSION = 1
# A package, or what has come of one so far.
_PACKAGE = re.compile(r"\.(zip|part)$")


def render(
    result: TargetResult, run_id: str, runner_version: str, manifest: str | None = None
) -> str:
    """Return the receipt of one target as JSON in plain ASCII (schemas/receipt.schema.json).

    ``manifest`` is the name of the target's manifest.
    """
    head = {"version": VERSION, "run_id": run_id, "runner_version": runner_version}
    head |= {"manifest": manifest} if manifest else {}
    return json.dumps(head | delivery(result), indent=2) + "\n"


def read(folder: Path) -> dict[str, Any]:
    """Return the receipt of a delivered folder; raise ``OSError`` or ``ValueError`` without one."""
    data = fields.parse((folder / RECEIPT).read_bytes())
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise ValueError(folder)
    return data


def verify(folder: Path) -> list[str]:
    """Check a delivered folder against its receipt; return one line for each problem.

    Each file must have its size and SHA-256, each extracted folder exactly its files. Other files
    beside them are ignored.
    """
    if folder.is_file():
        return ["is a file; give the folder that a run delivered"]
    try:
        listed = _listed(fields.parse((folder / RECEIPT).read_bytes()))
    except FileNotFoundError:
        missing = f"{RECEIPT}: missing; was this folder delivered by a run?"
        return [missing if folder.exists() else "there is no such folder"]
    except OSError as error:
        return [f"{RECEIPT}: cannot be read: {error.strerror}"]
    except (ValueError, TypeError, LookupError):
        return [f"{RECEIPT}: not a receipt of version {VERSION}"]
    problems = ((each.name, _problem(folder, each)) for each in listed)
    return [f"{plain(name)}: {problem}" for name, problem in problems if problem]


def delivered_folders(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield the delivered folders in a folder, itself included, with the problems of each.

    A folder with packages and no receipt is a delivery that did not end. Folders below a delivered
    one are not looked at. Raises ``OSError`` for a folder that cannot be read.
    """
    for base, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        if RECEIPT in files:
            folders.clear()
            yield Path(base), verify(Path(base))
        elif packages := sorted(name for name in files if _PACKAGE.search(name)):
            yield (
                Path(base),
                [
                    f"{plain(name)}: no receipt beside it: its delivery did not end"
                    for name in packages
                ],
            )


@dataclass(frozen=True, slots=True)
class _ReceiptEntry:
    """One artifact of a receipt; ``size`` is in bytes."""

    name: str
    size: int
    sha256: str | None

    def __post_init__(self) -> None:
        kinds = isinstance(self.name, str), isinstance(self.size, int)
        if not all(kinds) or not isinstance(self.sha256, str | None) or "\0" in self.name:
            raise ValueError(self)


class _UnexpectedEntryError(Exception):
    """A folder contains a link or a special file, which no package has."""


def _listed(receipt: Any) -> list[_ReceiptEntry]:
    """Return the artifacts of a receipt; raise if it is not one."""
    if receipt["version"] != VERSION:
        raise ValueError(receipt["version"])
    return [
        _ReceiptEntry(each["name"], each["size"], each["sha256"]) for each in receipt["artifacts"]
    ]


def _problem(folder: Path, entry: _ReceiptEntry) -> str:
    """Return how a file or folder differs from the receipt, an empty text if it does not."""
    try:
        size, sha256 = _measure(folder, entry.name)
    except FileNotFoundError:
        return "missing"
    except (OSError, RuntimeError) as error:
        return f"cannot be read: {getattr(error, 'strerror', error)}"
    except _UnexpectedEntryError as error:
        return str(error)
    if size != entry.size:
        return f"has {size} bytes, the receipt says {entry.size}"
    if entry.sha256 and sha256 != entry.sha256:
        return f"has sha256 {sha256}, the receipt says {entry.sha256}"
    return ""


def _measure(folder: Path, name: str) -> tuple[int, str]:
    """Return size and digest of a file or folder; refuse names that lead out of ``folder``."""
    path = folder / name
    # A receipt is foreign data: a name such as `../x`, or a link, must not lead out of the folder.
    if not path.resolve().is_relative_to(folder.resolve()):
        raise _UnexpectedEntryError("leads outside of the folder")
    return _tree(path) if path.is_dir() else _file(path)


def _file(path: Path) -> tuple[int, str]:
    """Return the size in bytes and the SHA-256 of a file."""
    digest = digests.sha256(path)
    return path.stat().st_size, digest


def _tree(folder: Path) -> tuple[int, str]:
    """Return the size of all files in a folder, and the folder's digest."""
    sizes, found = {}, {}
    for base, folders, files in os.walk(folder, onerror=_raise):
        for path in (Path(base, name) for name in folders + files):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise _UnexpectedEntryError(f"holds {plain(name)}, a link or another special file")
            if path.is_file():
                sizes[name], found[name] = _file(path)
    return sum(sizes.values()), digests.of_tree(found)


def _raise(error: OSError) -> None:
    """Raise the error of ``os.walk``, which skips unreadable folders by default."""
    raise error
