"""The emulated tenant: two loopback servers, one for the API and one for downloads."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from spark_impex_runner.sandbox.endpoints import Endpoints, table
from spark_impex_runner.sandbox.faults import FaultInjector
from spark_impex_runner.sandbox.http.auth import Authenticator
from spark_impex_runner.sandbox.http.routing import Router
from spark_impex_runner.sandbox.http.server import HttpServer
from spark_impex_runner.sandbox.settings import Settings
from spark_impex_runner.sandbox.tenant.details import Details
from spark_impex_runner.sandbox.tenant.downloads import Downloads
from spark_impex_runner.sandbox.tenant.environment import Environment
from spark_impex_runner.sandbox.tenant.execution import Execution
from spark_impex_runner.sandbox.tenant.exports import Exports, Locations
from spark_impex_runner.sandbox.tenant.imports import Imports, UploadSettings
from spark_impex_runner.sandbox.tenant.jobs import Jobs, Limits
from spark_impex_runner.sandbox.tenant.listings import Listings
from spark_impex_runner.sandbox.tenant.transforms import Transforms
from spark_impex_runner.sandbox.tenant.tree import Tenant
from spark_impex_runner.sandbox.tenant.version_files import VersionFiles
from spark_impex_runner.sandbox.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spark_impex_runner.sandbox.http.messages import Request

__all__ = ["Recorded", "Sandbox", "Settings"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request: ``path`` is raw and without the query, header names are in lower case.

    ``body`` is empty for multipart uploads; ``status`` is that of the reply; ``origin`` is ``api``
    or ``download``.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int
    origin: str


class Sandbox:
    """An emulated tenant that serves the tree below ``root``, described in ``tenant/tree.py``.

    A context manager. Credentials are random for each instance. Nothing is written to ``root``:
    packages and imports are in a temporary directory that ``close`` removes. ``clock`` returns
    seconds, by which jobs, tokens and URLs end. ``faults`` injects ``settings.faults``, and
    ``faults.hits`` counts the requests that each of them affected.

    Raises ValueError if the tree has no service version or a damaged ``service.json``, OSError if
    it cannot be read.
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
        # A damaged description is an error now, not in the middle of an export.
        for version in self._tree.all_versions():
            VersionFiles(version).check()
        self._authenticator = Authenticator(self.tenant, settings.token_seconds, clock)
        self._opened: ExitStack | None = None
        self._docstore: HttpServer | None = None
        self._exporting: Jobs | None = None
        self.faults = FaultInjector(settings.faults)

    @property
    def jobs_created(self) -> int:
        """How many export jobs were created, including those whose reply was lost."""
        return len(self._exporting) if self._exporting else 0

    @property
    def weather(self) -> FaultInjector:
        """The former name of ``faults``."""
        warnings.warn("Sandbox.weather is now Sandbox.faults", DeprecationWarning, stacklevel=2)
        return self.faults

    @property
    def bytes_downloaded(self) -> int:
        """How many bytes of packages were sent."""
        return self._docstore.sent if self._docstore else 0

    @property
    def token(self) -> str:
        """A bearer token that never expires."""
        return self._authenticator.token

    @property
    def api_key(self) -> str:
        """The accepted synthetic key."""
        return self._authenticator.api_key

    @property
    def client_id(self) -> str:
        """The OAuth client."""
        return self._authenticator.client_id

    @property
    def client_secret(self) -> str:
        """The OAuth client's secret."""
        return self._authenticator.client_secret

    def start(self) -> Sandbox:
        """Bind both ports and start answering, once. Raises OSError if the port is taken."""
        if self._opened is None:
            with ExitStack() as opening:
                # If the second port cannot be bound, the stack releases the first.
                self._open(opening)
                self._opened = opening.pop_all()
        return self

    def close(self) -> None:
        """Stop answering, close open connections and remove all temporary files."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def __enter__(self) -> Sandbox:  # noqa: PYI034 - Python 3.10 has no typing.Self
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, opening: ExitStack) -> None:
        folder = opening.enter_context(tempfile.TemporaryDirectory(prefix="spark-sandbox-"))
        api = HttpServer(self._settings.port, self._journal("api"))
        opening.callback(api.close)
        docstore = HttpServer(0, self._journal("download"))
        opening.callback(docstore.close)
        self.base_url = f"{api.url}/{quote(self.tenant, safe='')}"
        self.download_origin = docstore.url
        downloads = Downloads(self._settings, self._clock)
        # Registered after the servers, so called before they close: requests that hang get a reset.
        opening.callback(self.faults.close)
        self._docstore = docstore
        webhook = self._settings.webhook and Webhook(
            self._settings.webhook, self._settings.webhook_key
        )
        if webhook:
            opening.callback(webhook.close)
        execution = Execution(self._tree)
        opening.callback(execution.close)
        docstore.start(self.faults.wrap(downloads))
        api.start(self.faults.wrap(self._api(downloads, Path(folder), execution, webhook or None)))

    def _journal(self, origin: str) -> Callable[[Request, int], None]:
        def note(request: Request, status: int) -> None:
            self.requests.append(
                Recorded(
                    request.method, request.path, request.headers, request.body, status, origin
                )
            )

        return note

    def _api(
        self, downloads: Downloads, directory: Path, execution: Execution, webhook: Webhook | None
    ) -> Router:
        settings = self._settings
        limits = Limits(
            settings.job_limit,
            settings.job_seconds,
            settings.busy_status,
            self._clock,
            settings.hide_jobs,
            settings.listed_labels,
        )
        user_of = self._authenticator.user
        locations = Locations(self.base_url, self.download_origin, directory)
        exporting = self._exporting = Jobs("export", self.base_url, limits, user_of)
        importing = Jobs("import", self.base_url, limits, user_of)
        endpoints = Endpoints(
            self._authenticator,
            Exports(self._tree, exporting, downloads, settings, locations),
            Imports(self._tree, importing, UploadSettings(directory, settings.size_limit, webhook)),
            Listings(self._tree),
            Details(self._tree),
            Environment(settings),
            execution,
            Transforms(self._tree, settings.transforms),
        )
        return Router(table(self.tenant, endpoints), self._authenticator.check)
