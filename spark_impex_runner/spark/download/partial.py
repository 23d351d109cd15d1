"""Keep partial files, with the validator that proves that the rest belongs to them."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from spark_impex_runner import atomic, fields
from spark_impex_runner.disk import full_disk
from spark_impex_runner.errors import DeliveryError
from spark_impex_runner.spark.http.response import compression

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from pathlib import Path

# The resume info is written at this size, in bytes, or when a smaller file stays unfinished: most
# packages are smaller, and complete before a second file beside them is worth its write.
_WORTH_RESUMING = 1 << 20
# The most digits of a length: a larger number is a mistake, and slow to convert.
_DIGITS = 18
# A validator with other characters, such as a folded header's, would break the next request.
_SENDABLE = re.compile(r"[!-~]([ -~]*[!-~])?")


@dataclass(frozen=True, slots=True)
class ResumeInfo:
    """Identifies the bytes of a partial file; stored beside it, without the link.

    ``validator`` is the value of If-Range: a strong ETag, otherwise Last-Modified. ``length`` is
    that of the whole file in bytes, ``file_hash`` the tenant's hash of it, ``coding`` its reply's
    compression.
    """

    validator: str
    length: int
    file_hash: str | None
    coding: str = ""

    def range_headers(self, begin: int, end: int | None = None) -> dict[str, str]:
        """Return the headers that request the bytes from ``begin`` to before ``end``."""
        last = "" if end is None else end - 1
        return {"Range": f"bytes={begin}-{last}", "If-Range": self.validator}

    def matches(self, headers: Mapping[str, str], begin: int, end: int | None = None) -> bool:
        """Return whether a 206 reply holds these very bytes from ``begin`` to before ``end``.

        Without ``end`` it must reach the end of the file. The reply must repeat the validator,
        which reveals a server that ignores If-Range.
        """
        name = "ETag" if self.validator.startswith('"') else "Last-Modified"
        last = (self.length if end is None else end) - 1
        span = f"bytes {begin}-{last}/{self.length}"
        same = headers.get(name, self.validator) == self.validator
        same = same and compression(headers) == self.coding
        return same and headers.get("Content-Range") == span


def read(path: Path, file_hash: str | None) -> ResumeInfo | None:
    """Return the resume info of a partial file, None if it cannot be resumed."""
    try:
        info = ResumeInfo(**fields.parse(_info_path(path).read_bytes()))
        usable = _SENDABLE.fullmatch(info.validator) and info.file_hash == file_hash
        return info if usable and 0 < path.stat().st_size <= info.length else None
    except (OSError, ValueError, TypeError):
        return None


def resume_info_of(headers: Mapping[str, str], file_hash: str | None) -> ResumeInfo | None:
    """Return what identifies the whole file that a reply brings, None if nothing does."""
    etag, length = headers.get("ETag", ""), length_of(headers)
    validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    if length is None or not _SENDABLE.fullmatch(validator):
        return None
    return ResumeInfo(validator, length, file_hash, compression(headers))


def write(path: Path, info: ResumeInfo) -> None:
    """Store the resume info of a partial file, which must hold only bytes of that file."""
    with disk_errors(_info_path(path)):
        atomic.write_text(_info_path(path), json.dumps(asdict(info)))


def with_resume_info(
    path: Path, info: ResumeInfo, chunks: Iterable[bytes]
) -> Generator[bytes, None, None]:
    """Yield the chunks of a new file; store its info once it is worth resuming or stays unfinished.

    A small file that is soon complete needs none.
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
            with suppress(
                DeliveryError
            ):  # without it the next attempt only starts from the beginning
                write(path, info)


def length_of(headers: Mapping[str, str]) -> int | None:
    """Return the length of a body in bytes, None if the server does not say."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None


def discard(path: Path) -> None:
    """Remove a partial file and its resume info, if any; raise ``DeliveryError`` if that fails."""
    with disk_errors(path):
        path.unlink(missing_ok=True)
    forget(path)


def forget(path: Path) -> None:
    """Remove the resume info of a complete file; raise ``DeliveryError`` if that fails."""
    with disk_errors(_info_path(path)):
        _info_path(path).unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn ``OSError`` into ``DeliveryError``, one line with the path."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        error.filename = error.filename or str(path)  # that of a write names none
        hint = full_disk(error) or "; check space and rights"
        raise DeliveryError(f"{path}: {reason}{hint}") from None


def _info_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
