"""The emulated tenant: two loopback origins, one for the API and one for downloads."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from spark_impex_runner.sandbox.auth import Gate
from spark_impex_runner.sandbox.downloads import Downloads
from spark_impex_runner.sandbox.endpoints import Desks, table
from spark_impex_runner.sandbox.environment import Environment
from spark_impex_runner.sandbox.exports import Exports, Place
from spark_impex_runner.sandbox.faults import Weather
from spark_impex_runner.sandbox.httpd import Origin
from spark_impex_runner.sandbox.imports import Imports, Store
from spark_impex_runner.sandbox.jobs import Jobs, Limits
from spark_impex_runner.sandbox.listing import Listings
from spark_impex_runner.sandbox.routing import Router
from spark_impex_runner.sandbox.settings import Settings
from spark_impex_runner.sandbox.source import Source
from spark_impex_runner.sandbox.tenant import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spark_impex_runner.sandbox.wire import Request

__all__ = ["Recorded", "Sandbox", "Settings"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request in the journal: ``path`` raw and without its query, header names in lower case.

    ``body`` is empty for multipart uploads; ``status`` is the answer; ``origin`` is ``api`` or
    ``download``.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int
    origin: str


class Sandbox:
    """An emulated tenant that serves the tree below ``root`` (see ``tenant.py`` for its form).

    A context manager. Credentials are random for each instance. Nothing is written into
    ``root``: packages and imports live in a temporary directory that ``close`` removes.
    ``clock`` counts seconds and rules job times, token life and URL life. ``weather`` disturbs the
    traffic as ``settings.faults`` say, and ``weather.met`` counts what it did.

    Raises ValueError where the tree holds no service version or a damaged ``service.json``,
    OSError where it cannot be read.
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
        for version in self._tree.everything():
            Source(version).check()
        self._gate = Gate(self.tenant, settings.token_seconds, clock)
        self._opened: ExitStack | None = None
        self._docstore: Origin | None = None
        self._exporting: Jobs | None = None
        self.weather = Weather(settings.faults)

    @property
    def jobs_created(self) -> int:
        """How many export jobs there are, whatever the replies that told of them."""
        return len(self._exporting) if self._exporting else 0

    @property
    def bytes_downloaded(self) -> int:
        """How many bytes of packages were sent."""
        return self._docstore.sent if self._docstore else 0

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
        """Bind both ports and answer; no more than once. OSError where the port is taken."""
        if self._opened is None:
            with ExitStack() as opening:
                self._open(opening)
                self._opened = opening.pop_all()
        return self

    def close(self) -> None:
        """Stop answering, break open connections, remove all temporary files."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def __enter__(self) -> Sandbox:  # noqa: PYI034 - Python 3.10 has no typing.Self
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, opening: ExitStack) -> None:
        folder = opening.enter_context(tempfile.TemporaryDirectory(prefix="spark-sandbox-"))
        api = Origin(self._settings.port, self._journal("api"))
        opening.callback(api.close)
        docstore = Origin(0, self._journal("download"))
        opening.callback(docstore.close)
        self.base_url = f"{api.url}/{quote(self.tenant, safe='')}"
        self.download_origin = docstore.url
        downloads = Downloads(self._settings, self._clock)
        opening.callback(self.weather.close)
        self._docstore = docstore
        docstore.start(self.weather.around(downloads))
        api.start(self.weather.around(self._api(downloads, Path(folder))))

    def _journal(self, origin: str) -> Callable[[Request, int], None]:
        def note(request: Request, status: int) -> None:
            self.requests.append(
                Recorded(
                    request.method, request.path, request.headers, request.body, status, origin
                )
            )

        return note

    def _api(self, downloads: Downloads, directory: Path) -> Router:
        settings = self._settings
        limits = Limits(settings.job_limit, settings.job_seconds, settings.busy_status, self._clock)
        place = Place(self.base_url, self.download_origin, directory)
        exporting = self._exporting = Jobs("export", self.base_url, limits)
        importing = Jobs("import", self.base_url, limits)
        desks = Desks(
            self._gate,
            Exports(self._tree, exporting, downloads, settings, place),
            Imports(self._tree, importing, Store(directory, settings.size_limit)),
            Listings(self._tree),
            Environment(settings),
        )
        return Router(table(self.tenant, desks), self._gate.check)
