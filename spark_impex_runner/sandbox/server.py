"""The emulated tenant: two loopback origins, one for the API and one for downloads."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from spark_impex_runner.sandbox.auth import Gate
from spark_impex_runner.sandbox.downloads import Downloads
from spark_impex_runner.sandbox.exports import Exports, Place
from spark_impex_runner.sandbox.httpd import Origin
from spark_impex_runner.sandbox.jobs import Jobs, Limits
from spark_impex_runner.sandbox.routing import Route, Router
from spark_impex_runner.sandbox.settings import Settings
from spark_impex_runner.sandbox.tenant import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spark_impex_runner.sandbox.wire import Request

__all__ = ["Recorded", "Sandbox", "Settings"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request in the journal: ``path`` raw with its query, header names in lower case.

    ``body`` is empty for multipart uploads; ``status`` is the answer; ``origin`` is ``api`` or
    ``download``.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    origin: str


class Sandbox:
    """An emulated tenant that serves the tree below ``root`` (see ``tenant.py`` for its form).

    A context manager. Credentials are random for each instance. Nothing is written into
    ``root``: packages and imports live in a temporary directory that ``close`` removes.
    ``clock`` counts seconds and rules job times, token life and URL life.

    Raises ValueError where the tree holds no service version, OSError where it cannot be read.
    """

    def __init__(
        self,
        root: Path,
        settings: Settings = Settings(),  # noqa: B008 - frozen
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tenant = settings.tenant or root.resolve().name
        self.requests: deque[Recorded] = deque(maxlen=1000)
        self.base_url = ""
        self.download_origin = ""
        self._settings = settings
        self._clock = clock
        self._tree = Tenant(self.tenant, root)
        self._gate = Gate(self.tenant, settings.token_seconds, clock)
        self._origins: list[Origin] = []

    @property
    def token(self) -> str:
        """A bearer token that never expires."""
        return self._gate.token

    @property
    def api_key(self) -> str:
        """The accepted synthetic key."""
        return self._gate.api_key

    @property
    def client_id(self) -> str:
        """The OAuth client."""
        return self._gate.client_id

    @property
    def client_secret(self) -> str:
        """The OAuth client's secret."""
        return self._gate.client_secret

    def start(self) -> Sandbox:
        """Bind both ports and answer. OSError where a port is taken."""
        self._directory = tempfile.TemporaryDirectory(prefix="spark-sandbox-")
        api = Origin(self._settings.port, self._journal("api"))
        self._origins.append(api)
        docstore = Origin(0, self._journal("download"))
        self._origins.append(docstore)
        self.base_url = f"{api.url}/{quote(self.tenant, safe='')}"
        self.download_origin = docstore.url
        downloads = Downloads(self._settings, self._clock)
        docstore.start(downloads)
        api.start(Router(self._routes(downloads), self._gate.check))
        return self

    def close(self) -> None:
        """Stop answering, break open connections, remove all temporary files."""
        while self._origins:
            self._origins.pop().close()
        self._directory.cleanup()

    def __enter__(self) -> Sandbox:  # noqa: PYI034 - Python 3.10 has no typing.Self
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _journal(self, origin: str) -> Callable[[Request, int], None]:
        def note(request: Request, status: int) -> None:
            self.requests.append(
                Recorded(
                    request.method, request.path, request.headers, request.body, status, origin
                )
            )

        return note

    def _routes(self, downloads: Downloads) -> list[Route]:
        settings = self._settings
        limits = Limits(settings.job_limit, settings.job_seconds, settings.busy_status, self._clock)
        place = Place(self.base_url, self.download_origin, Path(self._directory.name))
        jobs = Jobs("export", self.base_url, limits)
        exports = Exports(self._tree, jobs, downloads, settings, place)
        v4 = f"/{quote(self.tenant, safe='')}/api/v4"
        return [
            Route(
                "POST", "/auth/realms/{}/protocol/openid-connect/token", self._gate.issue, "none"
            ),
            Route("POST", f"{v4}/export", exports.create),
            Route("GET", f"{v4}/export/status", exports.describe),
            Route("GET", f"{v4}/export/{{}}/status", exports.status),
            Route("PATCH", f"{v4}/export/{{}}", exports.cancel),
        ]
