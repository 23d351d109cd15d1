"""Store files on an HTTP server by PUT, with or without WebDAV."""

from __future__ import annotations

import os
from base64 import b64encode
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from spark_impex_runner import errors
from spark_impex_runner.tools.http import HttpClient

from .store import RemoteFile, Store, TransientError, part_of, part_path
from .web_client import UploadBody, WebClient
from .web_folders import WebFolders

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from .destination import Destination
    from .store import UploadFile

# Read timeout in seconds: a server may verify a whole file before it replies.
_TIMEOUT = 300.0
_SCHEMES = {"webdav": "http", "webdavs": "https", "http": "http", "https": "https"}


class WebStore(Store):
    """Puts a file under its own name and reads it back.

    With WebDAV, puts it beside its path, reads it back, and moves it.
    """

    def __init__(self, client: WebClient, options: Mapping[str, Any], *, dav: bool) -> None:
        self._client = client
        self._folders = WebFolders(client)
        self._kind = options.get("content_type")
        self._dav = dav

    def find(self, path: str) -> RemoteFile | None:
        """Return size and mark of a file, None if there is none."""
        with self._client.request("HEAD", self._client.url(path), accept={404, 410}) as reply:
            if reply.status in {404, 410}:
                return None
            size = reply.headers.get("Content-Length", "")
            if not size.isdigit():
                raise errors.StepError(f"{path}: the server sends no Content-Length")
            mark = reply.headers.get("ETag") or reply.headers.get("Last-Modified", "")
        return RemoteFile(int(size), mark)

    def send(self, path: str, source: UploadFile) -> None:
        """Put a file and read it back."""
        if not self._dav:
            self._put(path, source)
            source.verify(self.read(path))
            return
        with self._removing_part_on_error(path, source):
            self.stage(path, source)
            self.commit(path, source)

    def create(self, path: str, source: UploadFile) -> bool:
        """Put a file if there is none; the server decides between several callers."""
        # For servers that ignore the condition: there, two callers at the same instant may both
        # succeed, and notice it when they read the file.
        if self.find(path) is not None:
            return False
        if not self._dav:
            return self._put(path, source, {"If-None-Match": "*"})
        with self._removing_part_on_error(path, source):
            self.stage(path, source)
            created = self._move(path, source, "F")
        if not created:
            self.remove(part_path(path, source.sha256))
        return created

    @contextmanager
    def _removing_part_on_error(self, path: str, source: UploadFile) -> Iterator[None]:
        """Remove the staged file on failure, and forget the folders: one may have been removed."""
        try:
            yield
        except BaseException:
            self._folders.forget()
            with suppress(errors.StepError):
                self.remove(part_path(path, source.sha256))
            raise

    def stage(self, path: str, source: UploadFile) -> None:
        """Put a file beside its path and read it back; do nothing without WebDAV."""
        if not self._dav:
            return
        self._folders.ensure(path.rpartition("/")[0])
        part = part_path(path, source.sha256)
        self._put(part, source)
        source.verify(self.read(part))

    def commit(self, path: str, source: UploadFile) -> None:
        """Move the staged file to its path."""
        if self._dav:
            self._move(path, source, "T")
        else:
            self.send(path, source)

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        with self._client.request("GET", self._client.url(path)) as reply:
            yield from reply.chunks()

    def folders(self) -> list[str]:
        """Return the names of the folders in the root."""
        try:
            return self._folders.names("", folders=True)
        except TransientError:
            raise
        except errors.StepError as error:
            raise errors.StepError(f"{error}; keep requires a server that lists folders") from error

    def temporary(self, folder: str, likely: Collection[str]) -> list[str]:
        """Return the names of the temporary files in a folder.

        If the server does not list folders, as nginx, only the likely names are checked.
        """
        if not self._dav:
            return []
        try:
            return [each for each in self._folders.names(folder, folders=False) if part_of(each)]
        except TransientError:
            raise
        except errors.StepError:
            return super().temporary(folder, likely)

    def remove(self, path: str) -> None:
        """Remove a file; folders stay, as DELETE would remove them with their contents."""
        with self._client.request("DELETE", self._client.url(path), accept={404, 410}):
            pass

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _put(
        self, path: str, source: UploadFile, condition: Mapping[str, str] | None = None
    ) -> bool:
        """Send a file; return False if the condition fails."""
        body = UploadBody(source)
        headers = {"Content-Type": self._kind or source.kind, **(condition or {})}
        accept = {412} if condition else set()
        with self._client.request(
            "PUT", self._client.url(path), headers, body=body, accept=accept
        ) as reply:
            done = reply.status != 412
        if body.error:
            raise body.error
        return done

    def _move(self, path: str, source: UploadFile, overwrite: str) -> bool:
        """Move the staged file; return False if the path is taken."""
        part = self._client.url(part_path(path, source.sha256))
        headers = {"Destination": self._client.url(path), "Overwrite": overwrite}
        accept = {412} if overwrite == "F" else set()
        with self._client.request("MOVE", part, headers, accept=accept) as reply:
            return reply.status != 412


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> WebStore:
    """Open a folder of a server, without a request."""
    del folder
    address = f"{_SCHEMES[destination.scheme]}://{destination.host}"
    root = f"{address}/{quote(destination.path)}".rstrip("/")
    # The variables that curl and requests use, too.
    bundles = filter(None, map(os.environ.get, ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")))
    secrets = [options[name] for name in ("password", "token") if name in options]
    http = HttpClient(secrets=secrets, timeout=_TIMEOUT, verify=next(bundles, True))
    dav = destination.scheme.startswith("webdav")
    return WebStore(WebClient(root, http, _authorization(options)), options, dav=dav)


def _authorization(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the Authorization header, if there are credentials."""
    if "user" in options:
        pair = f"{options['user']}:{options['password']}".encode()
        return {"Authorization": f"Basic {b64encode(pair).decode()}"}
    return {"Authorization": f"Bearer {options['token']}"} if "token" in options else {}
