"""The receipt that lies beside the packages: what was delivered, and the proof that it still is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner import digests
from spark_impex_runner.report.data import delivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.models import TargetResult

VERSION = 1
NAME = "impex-receipt.json"


def render(result: TargetResult, run_id: str, runner_version: str) -> str:
    """Return the receipt of one target as JSON in plain ASCII (schemas/receipt.schema.json)."""
    head = {"version": VERSION, "run_id": run_id, "runner_version": runner_version}
    return json.dumps(head | delivery(result), indent=2) + "\n"


def verify(folder: Path) -> list[str]:
    """Check a delivered folder against its receipt; return one line for each problem.

    Each file must have its size and SHA-256; each extracted folder exactly its files. Files
    beside them that the receipt does not name are nobody's business.
    """
    try:
        receipt = json.loads((folder / NAME).read_text(encoding="utf-8"))
        listed = [(each["name"], each["size"], each["sha256"]) for each in _artifacts(receipt)]
    except FileNotFoundError:
        return [f"{folder / NAME}: there is no receipt; was this folder delivered by a run?"]
    except OSError as error:
        return [f"{folder / NAME}: cannot be read: {error.strerror}"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return [f"{folder / NAME}: not a receipt of version {VERSION}"]
    return [
        f"{name}: {text}" for name, *proof in listed for text in _problems(folder, name, *proof)
    ]


def _artifacts(receipt: Any) -> Any:
    """Return the receipt's artifacts."""
    if receipt["version"] != VERSION:
        raise ValueError(receipt["version"])
    return receipt["artifacts"]


def _problems(folder: Path, name: str, size: int, sha256: str | None) -> Iterator[str]:
    """Compare one artifact with what lies there."""
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            yield "leads outside of the folder"
            return
        found = _tree(path) if path.is_dir() else _file(path)
    except FileNotFoundError:
        yield "missing"
    except OSError as error:
        yield f"cannot be read: {error.strerror}"
    except _NotAFile as error:
        yield str(error)
    else:
        if found[0] != size:
            yield f"has {found[0]} bytes, the receipt says {size}"
        elif sha256 and found[1] != sha256:
            yield f"has sha256 {found[1]}, the receipt says {sha256}"


class _NotAFile(Exception):
    """A link or a special file where only files belong."""


def _file(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a file."""
    digest = digests.of_file(path, ["sha256"], lambda: None)["sha256"]
    return path.stat().st_size, digest


def _tree(folder: Path) -> tuple[int, str]:
    """Return the bytes of all files in a folder, and the folder's digest."""
    total, found = 0, {}
    for base, folders, files in os.walk(folder):
        for path in (Path(base, name) for name in folders + files):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise _NotAFile(f"holds {name}, a link or special file that no package brings")
            if path.is_file():
                size, found[name] = _file(path)
                total += size
    return total, digests.of_tree(found)
