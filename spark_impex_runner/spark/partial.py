"""The part of a file that is here already, and what proves that the rest belongs to it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from spark_impex_runner import atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mark:
    """What identifies the bytes of a partial file, kept beside it. It holds no link.

    ``validator`` is what If-Range sends: a strong ETag, else Last-Modified. ``length`` is that of
    the whole file in bytes, ``file_hash`` the tenant's hash of it, if it gave one.
    """

    validator: str
    length: int
    file_hash: str | None


def read(path: Path, file_hash: str | None) -> Mark | None:
    """Return the mark of a partial file, None where the rest cannot be asked for."""
    try:
        mark = Mark(**json.loads(_beside(path).read_text(encoding="utf-8")))
        size = path.stat().st_size
    except (OSError, ValueError, TypeError):
        return None
    sound = isinstance(mark.validator, str) and isinstance(mark.length, int)
    return mark if sound and mark.file_hash == file_hash and 0 < size <= mark.length else None


def write(path: Path, headers: Mapping[str, str], file_hash: str | None) -> None:
    """Mark a partial file before its first byte, or remove the mark of what it held before."""
    etag, length = headers.get("ETag", ""), headers.get("Content-Length", "")
    validator = headers.get("Last-Modified", "") if not etag or etag.startswith("W/") else etag
    if validator and length.isdecimal():
        mark = Mark(validator, int(length), file_hash)
        atomic.write_text(_beside(path), json.dumps(asdict(mark)))
    else:
        _beside(path).unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove a partial file and its mark."""
    path.unlink(missing_ok=True)
    forget(path)


def forget(path: Path) -> None:
    """Remove the mark of a file that is no longer partial."""
    _beside(path).unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
