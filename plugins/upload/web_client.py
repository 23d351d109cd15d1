"""Send requests to a folder of a web server, and translate its error replies."""

from __future__ import annotations

import re
from contextlib import contextmanager
from http.client import responses
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urljoin, urlsplit

from spark_impex_runner import errors

from .store import TransientError, first_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from spark_impex_runner.tools.http import HttpClient, HttpStream

    from .store import UploadFile

# The failed status in the body of a 207 (Multi-Status).
_FAILED = re.compile(rb"HTTP/[0-9.]+ ([45][0-9]{2})([^<\r\n]*)")
# Transient statuses, including a lock of another client (423), and a folder that another client is
# creating or removing (409). A full disk (507) is permanent.
_TRANSIENT = {408, 409, 423, 425, 429, 500, 502, 503, 504}


class WebClient:
    """Sends authorized requests for paths below ``root``."""

    def __init__(self, root: str, http: HttpClient, headers: Mapping[str, str]) -> None:
        self.root = root
        self.close = http.close
        self._http = http
        self._headers = {"Accept-Encoding": "identity", **headers}

    def url(self, path: str) -> str:
        """Return the URL of a path; a folder's ends with a slash."""
        return f"{self.root}/{quote(path)}"

    @contextmanager
    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: UploadBody | None = None,
        accept: Collection[int] = (),
    ) -> Iterator[HttpStream]:
        """Send a request and yield a successful reply, or one with a status in ``accept``."""
        # None for an empty body: only then the client sends Content-Length: 0.
        sent = (method, url, {**self._headers, **(headers or {})}, body or None)
        try:
            with self._http.stream(*sent) as reply:
                if not _is_success(method, reply.status) and reply.status not in accept:
                    raise error_of(method, reply)
                yield reply
        except errors.TransportError as error:
            kind = errors.StepError if error.permanent else TransientError
            raise kind(f"{unquote(url)}: {error}") from error


class UploadBody:
    """The body of a PUT, with a known length.

    ``error`` is raised only after the server has replied: after an aborted request the server may
    store the bytes at any later moment, and nothing could remove them.
    """

    def __init__(self, source: UploadFile) -> None:
        self._source = source
        self.error: errors.StepError | None = None

    def __len__(self) -> int:
        return self._source.size

    def __iter__(self) -> Iterator[bytes]:
        left = self._source.size
        try:
            for piece in self._source.pieces():
                left -= len(piece)
                yield piece
        except errors.StepError as error:
            if left:
                raise
            self.error = error


def _is_success(method: str, status: int) -> bool:
    """Return True if a request succeeded completely."""
    # For other methods than PROPFIND, a 207 lists failures.
    return 200 <= status < 300 and (status != 207 or method == "PROPFIND")


def error_of(method: str, reply: HttpStream) -> errors.StepError:
    """Return the error for an unsuccessful reply."""
    status, place = reply.status, unquote(reply.url)
    reason = responses.get(status, "")
    if status == 207 and (inner := _FAILED.search(first_bytes(reply.chunks(), 1 << 16))):
        status, reason = int(inner[1]), inner[2].decode("latin-1").strip()
    if 300 <= status < 400 and "Location" in reply.headers:
        there = _redirected(reply)
        return errors.StepError(
            f"{place}: the server redirects {method} to {there}; use that URL as to"
        )
    message = f"{place}: the server replies {status} {reason} to {method}"
    return TransientError(message) if status in _TRANSIENT else errors.StepError(message)


def _redirected(reply: HttpStream) -> str:
    """Return the target of a redirect, without user and query."""
    try:
        parts = urlsplit(urljoin(reply.url, reply.headers["Location"]))
    except ValueError:
        return "an invalid URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
