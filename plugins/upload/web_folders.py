"""Create and list the folders of a WebDAV server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree as ET

from spark_impex_runner import errors

from .store import MAX_TEXT, TransientError, first_bytes
from .web_client import error_of

if TYPE_CHECKING:
    from spark_impex_runner.tools.http import HttpStream

    from .web_client import WebClient

_COLLECTION = "{DAV:}propstat/{DAV:}prop/{DAV:}resourcetype/{DAV:}collection"


class WebFolders:
    """Creates and lists folders, by their paths below the destination."""

    def __init__(self, client: WebClient) -> None:
        self._client = client
        parts = urlsplit(client.root)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._root = unquote(parts.path).strip("/")
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def ensure(self, folder: str) -> None:
        """Create a folder and its missing parents, one thread at a time."""
        with self._lock:
            self._ensure(f"{self._root}/{folder}".strip("/"))

    def forget(self) -> None:
        """Forget the created folders: another client may have removed one."""
        with self._lock:
            self._made.clear()

    def _ensure(self, path: str) -> None:
        """Create the folder at a path of the server, and its parents if needed."""
        # The folder itself first: the user may have no permission to create its parents.
        if not path or path in self._made:
            return
        if not self._make(path):
            self._ensure(path.rpartition("/")[0])
            if not self._make(path):  # Another client has removed a parent meanwhile.
                place = unquote(self._url(path))
                raise TransientError(f"{place}: the server replies 409 Conflict to MKCOL")
        self._made.add(path)

    def _make(self, path: str) -> bool:
        """Send MKCOL; return False if the parent is missing, raise if the folder is, too."""
        accept = {301, 302, 307, 308, 403, 405, 409}
        with self._client.request("MKCOL", self._url(path), accept=accept) as reply:
            if reply.status == 409 and "/" in path:
                return False
            if reply.status < 300 or self._is_there(path, reply):
                return True
            raise error_of("MKCOL", reply)

    def _is_there(self, path: str, reply: HttpStream) -> bool:
        """Return True if a folder exists although MKCOL failed.

        405 means that it exists (RFC 4918, 9.3.1), or that the server does not support MKCOL.
        """
        answers = (
            self._status("PROPFIND", path),
            self._status("HEAD", path) if reply.status == 405 else 404,
        )
        if answers[0] in {207, 404, 410}:
            return answers[0] == 207
        return answers[1] not in {404, 410}

    def _status(self, method: str, path: str) -> int:
        with self._client.request(
            method, self._url(path), {"Depth": "0"}, accept=range(300, 600)
        ) as reply:
            return reply.status

    def _url(self, path: str) -> str:
        return f"{self._origin}/{quote(path)}/"

    def names(self, folder: str, *, folders: bool) -> list[str]:
        """Return the names of the folders, or of the files, in a folder."""
        url = self._client.url(f"{folder}/" if folder else "")
        with self._client.request("PROPFIND", url, {"Depth": "1"}, accept={404, 410}) as reply:
            if reply.status != 207:
                return []
            text = first_bytes(reply.chunks(), MAX_TEXT)
        if len(text) == MAX_TEXT:
            raise errors.StepError(f"{unquote(url)}: the listing of the folder is too large")
        try:
            return _names(text, unquote(urlsplit(url).path).strip("/"), folders=folders)
        except (ET.ParseError, ValueError) as error:
            raise errors.StepError(
                f"{unquote(url)}: the server's listing is not WebDAV XML"
            ) from error


def _names(text: bytes, own: str, *, folders: bool) -> list[str]:
    """Parse the names of the folders, or of the files, from a server's listing."""
    tree = ET.fromstring(text)  # noqa: S314 - expat limits the expansion of entities
    found = (
        unquote(urlsplit(each.findtext("{DAV:}href", "").strip()).path).strip("/")
        for each in tree.iter("{DAV:}response")
        if (each.find(_COLLECTION) is not None) == folders
    )
    return sorted(each.rpartition("/")[2] for each in found if each != own)
