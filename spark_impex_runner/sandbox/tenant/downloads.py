"""The download server: packages behind short-lived URLs that need no credentials."""

from __future__ import annotations

import base64
import re
import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from spark_impex_runner.sandbox.http.body import CHUNK
from spark_impex_runner.sandbox.http.messages import Reply, v4_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.sandbox.http.messages import Request
    from spark_impex_runner.sandbox.settings import Settings

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Package:
    """A file to download: its path, its name for the client, its ETag and content type."""

    path: Path
    name: str
    etag: str
    kind: str = "application/zip"


@dataclass(frozen=True, slots=True)
class _Link:
    package: Package
    path: str
    expires: float


class Downloads:
    """Issues download URLs, and answers them. Paths are compared raw, never decoded."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._life = settings.url_seconds
        self._ranges = settings.ranges
        self._clock = clock
        self._links: dict[str, _Link] = {}
        self._current: dict[Package, _Link] = {}
        self._lock = threading.Lock()

    def path_of(self, package: Package) -> str:
        """Return the path of the package's URL, a new one if the last has expired."""
        now = self._clock()
        with self._lock:
            link = self._current.get(package)
            # Every status has the same link until that expires (assumed).
            if link is None or link.expires <= now:
                link = _Link(package, _new_path(package.name), now + self._life)
                self._links[link.path] = self._current[package] = link
        return link.path

    def __call__(self, request: Request) -> Reply:
        """Answer a request on the download server."""
        with self._lock:
            link = self._links.get(request.path) if request.method == "GET" else None
        if link is None:
            return v4_error(404, "NOT_FOUND", "there is no such document").reply
        if link.expires <= self._clock():
            return v4_error(403, "TOKEN_EXPIRED", "the download URL has expired").reply
        return self._send(request, link.package)

    def _send(self, request: Request, package: Package) -> Reply:
        size = package.path.stat().st_size
        if not self._ranges:
            return _reply(package, 200, range(size), {})
        headers = {"ETag": package.etag, "Accept-Ranges": "bytes"}
        span = _span(request, package.etag, size)
        if span is None:
            return _reply(package, 200, range(size), headers)
        if not span:
            return Reply(416, (), 0, {**headers, "Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        return _reply(package, 206, span, headers)


def _new_path(name: str) -> str:
    # The first bytes give "+/+/" and the number of bytes gives "==": a genuine token has all
    # three characters that must travel percent-encoded, so a client meets them every time.
    token = base64.b64encode(b"\xfb\xff\xbf" + secrets.token_bytes(46)).decode()
    folder = "/docstore/api/v1/documents/versions/tokens"
    return f"{folder}/{quote(token, safe='')}/{quote(name, safe='')}.zip"


def _span(request: Request, etag: str, size: int) -> range | None:
    """Return the requested bytes: None means all, an empty range cannot be satisfied."""
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or not any(found.groups()) or request.headers.get("if-range", etag) != etag:
        return None
    first, last = found.groups()
    if not first:
        return range(max(size - int(last), 0), size)
    if last and int(last) < int(first):
        return None
    end = min(int(last) + 1, size) if last else size
    return range(int(first), end) if int(first) < size else range(0)


def _reply(package: Package, status: int, span: range, headers: dict[str, str]) -> Reply:
    headers = {"Content-Type": package.kind, **headers}
    return Reply(status, _pieces(package.path, span), len(span), headers)


def _pieces(path: Path, span: range) -> Iterator[bytes]:
    left = len(span)
    with path.open("rb") as file:
        file.seek(span.start)
        while left and (piece := file.read(min(left, CHUNK))):
            left -= len(piece)
            yield piece
