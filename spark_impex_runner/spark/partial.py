"""The part of a file that is here already, and what proves that the rest belongs to it."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from spark_impex_runner import atomic
from spark_impex_runner.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# What may travel in a header again: a folded or foreign one would break the next request.
_SENDABLE = re.compile(r"[!-~]([ -~]*[!-~])?")


@dataclass(frozen=True, slots=True)
class Mark:
    """What identifies the bytes of a partial file, kept beside it. It holds no link.

    ``validator`` is what If-Range sends: a strong ETag, else Last-Modified. ``length`` is that of
    the whole file in bytes, ``file_hash`` the tenant's hash of it, if it gave one.
    """

    validator: str
    length: int
    file_hash: str | None

    def fits(self, headers: Mapping[str, str], begin: int) -> bool:
        """Tell whether a part goes from ``begin`` to the end of these very bytes.

        A server that ignores If-Range betrays itself by the validator, which a part has to repeat.
        """
        name = "ETag" if self.validator.startswith('"') else "Last-Modified"
        span = f"bytes {begin}-{self.length - 1}/{self.length}"
        same = headers.get(name, self.validator) == self.validator
        return same and headers.get("Content-Range") == span


def read(path: Path, file_hash: str | None) -> Mark | None:
    """Return the mark of a partial file, None where the rest cannot be asked for."""
    try:
        mark = Mark(**json.loads(_beside(path).read_text(encoding="utf-8")))
        sound = _SENDABLE.fullmatch(mark.validator) and mark.file_hash == file_hash
        return mark if sound and 0 < path.stat().st_size <= mark.length else None
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def write(path: Path, headers: Mapping[str, str], file_hash: str | None) -> None:
    """Mark a partial file before its first byte, or remove the mark of what it held before."""
    etag, length = headers.get("ETag", ""), length_of(headers)
    validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    if length is None or not validator:
        forget(path)
        return
    mark = json.dumps(asdict(Mark(validator, length, file_hash)))
    with disk(_beside(path)):
        atomic.write_text(_beside(path), mark)


def length_of(headers: Mapping[str, str]) -> int | None:
    """Return the length of a body in bytes, None where the server does not say."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() else None


def discard(path: Path) -> None:
    """Remove a partial file and its mark, if they are there; raises ``DeliveryError``."""
    with disk(path):
        path.unlink(missing_ok=True)
    forget(path)


def forget(path: Path) -> None:
    """Remove the mark of a file that is no longer partial; raises ``DeliveryError``."""
    with disk(_beside(path)):
        _beside(path).unlink(missing_ok=True)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into one line, a ``DeliveryError``."""
    try:
        yield
    except OSError as error:
        raise DeliveryError(f"{path}: {error.strerror or error}; check space and rights") from None


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
