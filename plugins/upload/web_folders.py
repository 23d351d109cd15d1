"""The folders of a WebDAV server: each is made once, with what is missing around it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree as ET

from spark_impex_runner import errors

from .store import MOST_TEXT, TransientError
from .web_client import refusal, start_of

if TYPE_CHECKING:
    from spark_impex_runner.tools.http import HttpStream

    from .web_client import WebClient

_COLLECTION = "{DAV:}propstat/{DAV:}prop/{DAV:}resourcetype/{DAV:}collection"


class WebFolders:
    """Makes and lists folders, by their paths below the destination."""

    def __init__(self, client: WebClient) -> None:
        self._client = client
        parts = urlsplit(client.root)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._root = unquote(parts.path).strip("/")
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def ensure(self, folder: str) -> None:
        """Make a folder and those around it, where they are missing; one thread at a time does."""
        with self._lock:
            self._ensure(f"{self._root}/{folder}".strip("/"))

    def forget(self) -> None:
        """Take no folder for granted: another client may have removed one."""
        with self._lock:
            self._made.clear()

    def _ensure(self, path: str) -> None:
        """Make the folder at a path of the server.

        The one that is asked for is tried first: those around it may not be ours to make.
        """
        if not path or path in self._made:
            return
        if not self._make(path):
            self._ensure(path.rpartition("/")[0])
            if not self._make(path):
                place = unquote(self._url(path))
                raise TransientError(f"{place}: the server answers 409 Conflict to MKCOL")
        self._made.add(path)

    def _make(self, path: str) -> bool:
        """Ask for a folder; return False where the one around it is missing.

        Raises the refusal of MKCOL, unless the folder is there.
        """
        also = {301, 302, 307, 308, 403, 405, 409}
        with self._client.ask("MKCOL", self._url(path), also=also) as reply:
            if reply.status == 409 and "/" in path:
                return False
            if reply.status < 300 or self._is_there(path, reply):
                return True
            raise refusal("MKCOL", reply)

    def _is_there(self, path: str, reply: HttpStream) -> bool:
        """Tell whether a folder is there that MKCOL was refused for.

        405 says so (RFC 4918, 9.3.1), but also that a server knows no MKCOL: then it is missing.
        """
        answers = (
            self._status("PROPFIND", path),
            self._status("HEAD", path) if reply.status == 405 else 404,
        )
        if answers[0] in {207, 404, 410}:
            return answers[0] == 207
        return answers[1] not in {404, 410}

    def _status(self, method: str, path: str) -> int:
        with self._client.ask(
            method, self._url(path), {"Depth": "0"}, also=range(300, 600)
        ) as reply:
            return reply.status

    def _url(self, path: str) -> str:
        return f"{self._origin}/{quote(path)}/"

    def names(self, folder: str, *, folders: bool) -> list[str]:
        """Return the names of the folders, or else of the files, directly in a folder."""
        url = self._client.url(f"{folder}/" if folder else "")
        with self._client.ask("PROPFIND", url, {"Depth": "1"}, also={404, 410}) as reply:
            if reply.status != 207:
                return []
            text = start_of(reply, MOST_TEXT)
        if len(text) == MOST_TEXT:
            raise errors.StepError(f"{unquote(url)}: the list of the folder is too long")
        try:
            return _names(text, unquote(urlsplit(url).path).strip("/"), folders=folders)
        except (ET.ParseError, ValueError) as error:
            raise errors.StepError(
                f"{unquote(url)}: the server's list of it is no WebDAV XML"
            ) from error


def _names(text: bytes, own: str, *, folders: bool) -> list[str]:
    """Return the names of the folders, or else of the files, that a server lists in a folder."""
    tree = ET.fromstring(text)  # noqa: S314 - expat limits what entities unfold to
    found = (
        unquote(urlsplit(each.findtext("{DAV:}href", "").strip()).path).strip("/")
        for each in tree.iter("{DAV:}response")
        if (each.find(_COLLECTION) is not None) == folders
    )
    return sorted(each.rpartition("/")[2] for each in found if each != own)
