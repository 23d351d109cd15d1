"""Requests to one folder of a web server, and what its refusals mean."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import requests

from spark_impex_runner.errors import StepError

from .store import TransientError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .store import Source

# Seconds to connect, and between two bytes of an answer: a server may check a whole file first.
_TIMEOUT = (30, 300)
# Refusals that pass: also a lock of another client (423), and a folder that another client makes
# or removes at this moment (409). A full disk (507) does not empty itself.
_FAILED = re.compile(rb"HTTP/[0-9.]+ ([45][0-9]{2})([^<\r\n]*)")
_PASSING = {408, 409, 423, 425, 429, 500, 502, 503, 504}


class WebClient:
    """Sends requests for paths below ``root``; each thread has a connection of its own."""

    def __init__(self, root: str, auth: Any) -> None:
        self.root = root
        self._auth = auth
        self._sessions = threading.local()

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
    ) -> Iterator[requests.Response]:
        """Send a request and give the reply: a success, or one of the statuses in ``also``.

        Redirects are not followed: they would take credentials and files to another place.
        """
        if not hasattr(self._sessions, "own"):
            self._sessions.own = requests.Session()
        place = unquote(url)
        try:
            with self._sessions.own.request(
                method,
                url,
                headers={"Accept-Encoding": "identity", **(headers or {})},
                data=body or None,  # An empty one has no length to announce otherwise.
                auth=self._auth,
                timeout=_TIMEOUT,
                allow_redirects=False,
                stream=True,
            ) as reply:
                if not _is_success(reply) and reply.status_code not in also:
                    raise refusal(reply, place)
                yield reply
        except requests.exceptions.SSLError as error:
            raise StepError(f"the server's certificate is not trusted: {error}") from error
        except requests.RequestException as error:
            raise TransientError(f"{place}: {error}") from error


class Body:
    """A file on its way, whose length is known before it is read.

    ``error`` is what was found wrong with the file when all its bytes had been sent. It is kept
    until the server has answered: after a request that is cut off, the server may store the bytes
    at any later moment, and nothing could remove them.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.error: StepError | None = None

    def __len__(self) -> int:
        return self._source.size

    def __iter__(self) -> Iterator[bytes]:
        left = self._source.size
        try:
            for piece in self._source.pieces():
                left -= len(piece)
                yield piece
        except StepError as error:
            if left:
                raise
            self.error = error


def _is_success(reply: requests.Response) -> bool:
    """Return whether a server did what it was asked for, all of it."""
    if reply.status_code == 207:  # To other methods, a list of what failed.
        return reply.request.method == "PROPFIND"
    return 200 <= reply.status_code < 300


def start_of(reply: requests.Response, limit: int) -> bytes:
    """Return the first bytes of a reply, at most ``limit`` of them."""
    data = bytearray()
    for piece in reply.iter_content(1 << 16):
        data += piece
        if len(data) >= limit:
            break
    return bytes(data[:limit])


def refusal(reply: requests.Response, place: str) -> StepError:
    """Return what a status other than a success means."""
    status, reason, method = reply.status_code, reply.reason, reply.request.method
    if status == 207 and (inner := _FAILED.search(start_of(reply, 1 << 16))):
        status, reason = int(inner[1]), inner[2].decode("latin-1").strip()
    if reply.is_redirect:
        there = _redirected(reply)
        return StepError(
            f"{place}: the server redirects {method} to {there}; put the right URL into to"
        )
    message = f"{place}: the server answers {status} {reason} to {method}"
    return TransientError(message) if status in _PASSING else StepError(message)


def _redirected(reply: requests.Response) -> str:
    """Return where a redirect leads, without user and query."""
    try:
        parts = urlsplit(urljoin(reply.url, reply.headers["Location"]))
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
