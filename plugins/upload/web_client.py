"""Requests to one folder of a web server, and what its refusals mean."""

from __future__ import annotations

import re
from contextlib import contextmanager
from http.client import responses
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urljoin, urlsplit

from spark_impex_runner import errors

from .store import TransientError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from spark_impex_runner.tools.http import HttpClient, HttpStream

    from .store import Source

# In the body of a 207, the status of what failed.
_FAILED = re.compile(rb"HTTP/[0-9.]+ ([45][0-9]{2})([^<\r\n]*)")
# Transient refusals: also a lock of another client (423), and a folder that another client makes
# or removes at this moment (409). A full disk (507) does not empty itself.
_TRANSIENT = {408, 409, 423, 425, 429, 500, 502, 503, 504}


class WebClient:
    """Sends requests for paths below ``root``, each with the headers that authorize it."""

    def __init__(self, root: str, http: HttpClient, headers: Mapping[str, str]) -> None:
        self.root = root
        self.close = http.close
        self._http = http
        self._headers = {"Accept-Encoding": "identity", **headers}

    def url(self, path: str) -> str:
        """Return the address of a path; one that ends with a slash is a folder's."""
        return f"{self.root}/{quote(path)}"

    @contextmanager
    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: Body | None = None,
        also: Collection[int] = (),
    ) -> Iterator[HttpStream]:
        """Send a request and give the reply: a success, or one of the statuses in ``also``."""
        # An empty body has no length to announce otherwise.
        sent = (method, url, {**self._headers, **(headers or {})}, body or None)
        try:
            with self._http.stream(*sent) as reply:
                if not _is_success(method, reply.status) and reply.status not in also:
                    raise refusal(method, reply)
                yield reply
        except errors.TransportError as error:
            kind = errors.StepError if error.permanent else TransientError
            raise kind(f"{unquote(url)}: {error}") from error


class Body:
    """A file on its way, whose length is known before it is read.

    ``error`` is what was found wrong with the file when all its bytes had been sent. It is kept
    until the server has answered: after a request that is cut off, the server may store the bytes
    at any later moment, and nothing could remove them.
    """

    def __init__(self, source: Source) -> None:
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
    """Return whether a server did what it was asked for, all of it."""
    # To other methods than PROPFIND, 207 is a list of what failed.
    return 200 <= status < 300 and (status != 207 or method == "PROPFIND")


def start_of(reply: HttpStream, limit: int) -> bytes:
    """Return the first bytes of a reply, at most ``limit`` of them."""
    data = bytearray()
    for piece in reply.chunks():
        data += piece
        if len(data) >= limit:
            break
    return bytes(data[:limit])


def refusal(method: str, reply: HttpStream) -> errors.StepError:
    """Return what a status other than a success means."""
    status, place = reply.status, unquote(reply.url)
    reason = responses.get(status, "")
    if status == 207 and (inner := _FAILED.search(start_of(reply, 1 << 16))):
        status, reason = int(inner[1]), inner[2].decode("latin-1").strip()
    if 300 <= status < 400 and "Location" in reply.headers:
        there = _redirected(reply)
        return errors.StepError(
            f"{place}: the server redirects {method} to {there}; put the right URL into to"
        )
    message = f"{place}: the server answers {status} {reason} to {method}"
    return TransientError(message) if status in _TRANSIENT else errors.StepError(message)


def _redirected(reply: HttpStream) -> str:
    """Return where a redirect leads, without user and query."""
    try:
        parts = urlsplit(urljoin(reply.url, reply.headers["Location"]))
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
