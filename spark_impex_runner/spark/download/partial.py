"""The part of a file that is here already, and what proves that the rest belongs to it."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from spark_impex_runner import atomic, fields
from spark_impex_runner.errors import DeliveryError
from spark_impex_runner.spark.http.response import compression

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from pathlib import Path

_WORTH_RESUMING = 1 << 20
# What may travel in a header again: a folded or foreign one would break the next request.
# No file has more bytes than 18 digits say.
_DIGITS = 18
_SENDABLE = re.compile(r"[!-~]([ -~]*[!-~])?")


@dataclass(frozen=True, slots=True)
class ResumeInfo:
    """What identifies the bytes of a partial file, kept beside it. It holds no link.

    ``validator`` is what If-Range sends: a strong ETag, else Last-Modified. ``length`` is that of
    the whole file in bytes, ``file_hash`` the tenant's hash of it, if it gave one. ``coding`` is
    the compression that its reply named.
    """

    validator: str
    length: int
    file_hash: str | None
    coding: str = ""

    def range_headers(self, begin: int, end: int | None = None) -> dict[str, str]:
        """Return the headers that ask for the bytes from ``begin`` to before ``end``."""
        last = "" if end is None else end - 1
        return {"Range": f"bytes={begin}-{last}", "If-Range": self.validator}

    def matches(self, headers: Mapping[str, str], begin: int, end: int | None = None) -> bool:
        """Tell whether a part of these very bytes goes from ``begin`` to before ``end``.

        Without ``end`` it must go to the end of the file. A server that ignores If-Range betrays
        itself by the validator, which a part has to repeat.
        """
        name = "ETag" if self.validator.startswith('"') else "Last-Modified"
        last = (self.length if end is None else end) - 1
        span = f"bytes {begin}-{last}/{self.length}"
        same = headers.get(name, self.validator) == self.validator
        same = same and compression(headers) == self.coding
        return same and headers.get("Content-Range") == span


def read(path: Path, file_hash: str | None) -> ResumeInfo | None:
    """Return what a partial file can be resumed by, None where it cannot."""
    try:
        info = ResumeInfo(**fields.parse(_info_path(path).read_bytes()))
        usable = _SENDABLE.fullmatch(info.validator) and info.file_hash == file_hash
        return info if usable and 0 < path.stat().st_size <= info.length else None
    except (OSError, ValueError, TypeError):
        return None


def resume_info_of(headers: Mapping[str, str], file_hash: str | None) -> ResumeInfo | None:
    """Return what identifies the whole file that a reply brings, None where nothing does."""
    etag, length = headers.get("ETag", ""), length_of(headers)
    validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    if length is None or not _SENDABLE.fullmatch(validator):
        return None
    return ResumeInfo(validator, length, file_hash, compression(headers))


def write(path: Path, info: ResumeInfo) -> None:
    """Keep the resume info of a partial file, which holds nothing but bytes of that file."""
    with disk_errors(_info_path(path)):
        atomic.write_text(_info_path(path), json.dumps(asdict(info)))


def with_resume_info(
    path: Path, info: ResumeInfo, chunks: Iterable[bytes]
) -> Generator[bytes, None, None]:
    """Pass on the chunks of a fresh file; keep its info when it has grown or is left unfinished.

    A small file that is soon whole needs none: there is little to resume.
    """
    size = 0
    try:
        for chunk in chunks:
            yield chunk
            if size < _WORTH_RESUMING <= size + len(chunk):
                write(path, info)
            size += len(chunk)
    finally:
        if 0 < size < min(_WORTH_RESUMING, info.length):
            with suppress(DeliveryError):  # without it the file is only begun anew
                write(path, info)


def length_of(headers: Mapping[str, str]) -> int | None:
    """Return the length of a body in bytes, None where the server does not say."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None


def discard(path: Path) -> None:
    """Remove a partial file and its resume info, if any; raises ``DeliveryError``."""
    with disk_errors(path):
        path.unlink(missing_ok=True)
    forget(path)


def forget(path: Path) -> None:
    """Remove the resume info of a file that is complete; raises ``DeliveryError``."""
    with disk_errors(_info_path(path)):
        _info_path(path).unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into one line, a ``DeliveryError``."""
    try:
        yield
    except OSError as error:
        raise DeliveryError(f"{path}: {error.strerror or error}; check space and rights") from None


def _info_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
