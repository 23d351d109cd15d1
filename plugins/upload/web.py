"""A server that takes files by PUT, with WebDAV or without."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree as ET

import requests

from spark_impex_runner.digests import CHUNK
from spark_impex_runner.errors import StepError

from .store import Found, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from .destination import Destination
    from .store import Source

_SCHEMES = {"webdav": "http", "webdavs": "https", "http": "http", "https": "https"}
# Seconds to connect, and between two bytes of an answer: a server may check a whole file first.
_TIMEOUT = (30, 300)
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_COLLECTION = "{DAV:}propstat/{DAV:}prop/{DAV:}resourcetype/{DAV:}collection"


class WebStore:
    """Files are put under their own name and read back.

    Those of a WebDAV server are put beside their place, read back, and then moved.
    """

    def __init__(self, root: str, auth: Any, options: Mapping[str, Any], *, dav: bool) -> None:
        self._root = root
        self._auth = auth
        self._kind = options.get("content_type")
        self._dav = dav
        self._sessions = threading.local()

    def find(self, path: str) -> Found | None:
        """Return what lies there, or None."""
        with self._ask("HEAD", path, missing=True) as reply:
            if reply.status_code in {404, 410}:
                return None
            size = reply.headers.get("Content-Length", "")
            if not size.isdigit():
                raise StepError(f"{path}: the server does not tell how long the file is")
            mark = reply.headers.get("ETag") or reply.headers.get("Last-Modified", "")
        return Found(int(size), mark)

    def send(self, path: str, source: Source) -> None:
        """Put a file, and read it back."""
        if not self._dav:
            self._put(path, source)
            source.prove(self.read(path))
            return
        folder, slash, name = path.rpartition("/")
        part = f"{folder}{slash}.{name}.{source.sha256[:12]}.part"
        self._make_folders(folder)
        try:
            self._put(part, source)
            source.prove(self.read(part))
            with self._ask("MOVE", part, {"Destination": self._url(path), "Overwrite": "T"}):
                pass
        except BaseException:
            with suppress(StepError):
                self.remove(part)
            raise

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file that is there."""
        with self._ask("GET", path) as reply:
            yield from reply.iter_content(CHUNK)

    def folders(self) -> list[str]:
        """Return the names of the folders directly in it."""
        with self._ask("PROPFIND", "", {"Depth": "1"}, missing=True) as reply:
            if reply.status_code == 404:
                return []
            tree = ET.fromstring(reply.content)  # noqa: S314 - expat limits what entities unfold to
        own = unquote(urlsplit(self._root).path).strip("/")
        found = (
            unquote(urlsplit(each.findtext("{DAV:}href", "")).path).strip("/")
            for each in tree.iter("{DAV:}response")
            if each.find(_COLLECTION) is not None
        )
        return sorted(each.rpartition("/")[2] for each in found if each != own)

    def remove(self, path: str) -> None:
        """Remove a file; folders stay, as a server removes them with all that is in them."""
        with self._ask("DELETE", path):
            pass

    def close(self) -> None:
        """Do nothing: connections end with their threads."""

    def _put(self, path: str, source: Source) -> None:
        headers = {"Content-Type": self._kind or source.kind}
        with self._ask("PUT", path, headers, data=_Body(source)):
            pass

    def _make_folders(self, folder: str) -> None:
        """Make the destination's folder, and those below it on the way."""
        parts = folder.split("/") if folder else []
        for length in range(len(parts) + 1):
            # 405 says that it is there; what is missing around it, PUT will tell.
            with self._ask("MKCOL", "/".join(parts[:length]), missing=True):
                pass

    def _url(self, path: str) -> str:
        return f"{self._root}/{quote(path)}" if path else f"{self._root}/"

    @contextmanager
    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        data: Any = None,
        missing: bool = False,
    ) -> Iterator[requests.Response]:
        """Send a request and give the reply, which may tell that something is ``missing``.

        Redirects are not followed: they would take credentials and files to another place.
        """
        if not hasattr(self._sessions, "own"):
            self._sessions.own = requests.Session()
        try:
            with self._sessions.own.request(
                method,
                self._url(path),
                headers={"Accept-Encoding": "identity", **(headers or {})},
                data=data,
                auth=self._auth,
                timeout=_TIMEOUT,
                allow_redirects=False,
                stream=True,
            ) as reply:
                if not reply.ok and not (missing and reply.status_code in {404, 405, 409, 410}):
                    raise _refusal(reply, path)
                if reply.is_redirect:
                    raise StepError(f"{path}: the server sends us elsewhere; put that URL into to")
                yield reply
        except requests.exceptions.SSLError as error:
            raise StepError(f"the server's certificate is not trusted: {error}") from error
        except requests.RequestException as error:
            raise TransientError(f"{path}: {error}") from error


class _Body:
    """A file on its way, whose length is known before it is read."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return self._source.size

    def __iter__(self) -> Iterator[bytes]:
        return self._source.pieces()


def _refusal(reply: requests.Response, path: str) -> StepError:
    """Return what a status of 400 and more means."""
    words = (
        f"{path}: the server answers {reply.status_code} {reply.reason} to {reply.request.method}"
    )
    return TransientError(words) if reply.status_code in _PASSING else StepError(words)


def _auth(options: Mapping[str, Any]) -> Any:
    """Return how a request is signed; without credentials, ~/.netrc is not asked either."""
    if "user" in options:
        return requests.auth.HTTPBasicAuth(options["user"].encode(), options["password"].encode())

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if "token" in options:
            request.headers["Authorization"] = f"Bearer {options['token']}"
        return request

    return sign


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> WebStore:
    """Open a folder of a server; nothing is sent yet."""
    del folder
    address = f"{_SCHEMES[destination.scheme]}://{destination.host}"
    root = f"{address}/{quote(destination.path)}".rstrip("/")
    dav = destination.scheme.startswith("webdav")
    return WebStore(root, _auth(options), options, dav=dav)
