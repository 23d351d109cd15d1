"""A server that takes files by PUT, with WebDAV or without."""

from __future__ import annotations

import os
from base64 import b64encode
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from spark_impex_runner import errors
from spark_impex_runner.tools.http import HttpClient

from .store import Found, Store, TransientError, part_of, part_path
from .web_client import Body, WebClient
from .web_folders import WebFolders

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from .destination import Destination
    from .store import Source

# Seconds of silence: a server may check a whole file before it answers.
_TIMEOUT = 300.0
_SCHEMES = {"webdav": "http", "webdavs": "https", "http": "http", "https": "https"}


class WebStore(Store):
    """Files are put under their own name and read back.

    Those of a WebDAV server are put beside their place, read back, and then moved.
    """

    def __init__(self, client: WebClient, options: Mapping[str, Any], *, dav: bool) -> None:
        self._client = client
        self._folders = WebFolders(client)
        self._kind = options.get("content_type")
        self._dav = dav

    def find(self, path: str) -> Found | None:
        """Return what lies there, or None."""
        with self._client.ask("HEAD", self._client.url(path), also={404, 410}) as reply:
            if reply.status in {404, 410}:
                return None
            size = reply.headers.get("Content-Length", "")
            if not size.isdigit():
                raise errors.StepError(f"{path}: the server does not tell how long the file is")
            mark = reply.headers.get("ETag") or reply.headers.get("Last-Modified", "")
        return Found(int(size), mark)

    def send(self, path: str, source: Source) -> None:
        """Put a file, and read it back."""
        if not self._dav:
            self._put(path, source)
            source.prove(self.read(path))
            return
        with self._cleaned(path, source):
            self.stage(path, source)
            self.commit(path, source)

    def create(self, path: str, source: Source) -> bool:
        """Put a file under a name that nothing has; the server decides between several callers.

        A server that ignores the condition is asked for the file first: two callers at the same
        instant may then both succeed, and find that out when they read the file.
        """
        if self.find(path) is not None:
            return False
        if not self._dav:
            return self._put(path, source, {"If-None-Match": "*"})
        with self._cleaned(path, source):
            self.stage(path, source)
            created = self._move(path, source, "F")
        if not created:
            self.remove(part_path(path, source))
        return created

    @contextmanager
    def _cleaned(self, path: str, source: Source) -> Iterator[None]:
        """Remove a staged file that does not get into its place, and know no folder any more."""
        try:
            yield
        except BaseException:
            self._folders.forget()
            with suppress(errors.StepError):
                self.remove(part_path(path, source))
            raise

    def stage(self, path: str, source: Source) -> None:
        """Put a file beside its place and read it back; plain PUT has no such place."""
        if not self._dav:
            return
        self._folders.ensure(path.rpartition("/")[0])
        part = part_path(path, source)
        self._put(part, source)
        source.prove(self.read(part))

    def commit(self, path: str, source: Source) -> None:
        """Move what was staged into its place."""
        if self._dav:
            self._move(path, source, "T")
        else:
            self.send(path, source)

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file that is there."""
        with self._client.ask("GET", self._client.url(path)) as reply:
            yield from reply.chunks()

    def folders(self) -> list[str]:
        """Return the names of the folders directly in it."""
        try:
            return self._folders.names("", folders=True)
        except TransientError:
            raise
        except errors.StepError as error:
            raise errors.StepError(f"{error}; keep needs a server that lists folders") from error

    def temporary(self, folder: str, likely: Collection[str]) -> list[str]:
        """Return the names of the temporary files directly in a folder.

        Where the server lists no folders, as nginx does not, only the likely names are looked for.
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
        """Remove a file; folders stay, as a server removes them with all that is in them."""
        with self._client.ask("DELETE", self._client.url(path), also={404, 410}):
            pass

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _put(self, path: str, source: Source, condition: Mapping[str, str] | None = None) -> bool:
        """Send a file; return False where the condition does not hold."""
        body = Body(source)
        headers = {"Content-Type": self._kind or source.kind, **(condition or {})}
        also = {412} if condition else set()
        with self._client.ask(
            "PUT", self._client.url(path), headers, body=body, also=also
        ) as reply:
            done = reply.status != 412
        if body.error:
            raise body.error
        return done

    def _move(self, path: str, source: Source, overwrite: str) -> bool:
        """Move what was staged; return False where the place is taken."""
        part = self._client.url(part_path(path, source))
        headers = {"Destination": self._client.url(path), "Overwrite": overwrite}
        also = {412} if overwrite == "F" else set()
        with self._client.ask("MOVE", part, headers, also=also) as reply:
            return reply.status != 412


def connect(destination: Destination, options: Mapping[str, Any], folder: Path) -> WebStore:
    """Open a folder of a server; nothing is sent yet."""
    del folder
    address = f"{_SCHEMES[destination.scheme]}://{destination.host}"
    root = f"{address}/{quote(destination.path)}".rstrip("/")
    # The variables of other programs that put files.
    bundles = filter(None, map(os.environ.get, ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")))
    secrets = [options[name] for name in ("password", "token") if name in options]
    http = HttpClient(secrets=secrets, timeout=_TIMEOUT, verify=next(bundles, True))
    dav = destination.scheme.startswith("webdav")
    return WebStore(WebClient(root, http, _authorization(options)), options, dav=dav)


def _authorization(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that authorize a request."""
    if "user" in options:
        pair = f"{options['user']}:{options['password']}".encode()
        return {"Authorization": f"Basic {b64encode(pair).decode()}"}
    return {"Authorization": f"Bearer {options['token']}"} if "token" in options else {}
