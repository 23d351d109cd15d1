"""``Spark``: the client of one tenant, with the names of the official SDK."""

from __future__ import annotations

import os
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import UsageError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import Auth, ServiceVersion
from spark_impex_runner.spark.cached_listing import CachedListing
from spark_impex_runner.spark.execute import execute
from spark_impex_runner.spark.http.auth import ApiKey, Bearer, ClientCredentials
from spark_impex_runner.spark.http.credentials import from_arguments, from_environment
from spark_impex_runner.spark.http.message import check_settings
from spark_impex_runner.spark.http.retry import RetryPolicy
from spark_impex_runner.spark.http.session import (
    HttpClient,
    Origin,
    RateLimiter,
    Session,
    request_token,
)
from spark_impex_runner.spark.impex import ImpEx
from spark_impex_runner.spark.listing import (
    PAGE_SIZE,
    folder_rows,
    services,
    transforms,
    versions,
)
from spark_impex_runner.spark.tenant import TenantUrl
from spark_impex_runner.spark.transforms import transform_document
from spark_impex_runner.spark.waiting import INTERVAL, require_limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from spark_impex_runner.models import Connection
    from spark_impex_runner.spark.http.auth import Scheme
    from spark_impex_runner.spark.http.transport import Transport


class Spark:
    """A client of one tenant; a context manager. Arguments are those of the official SDK.

    ``base_url``, or ``env`` with ``tenant``, is the tenant's address; the default is
    ``CSPARK_BASE_URL``. ``oauth`` (a mapping or the path of a JSON file), ``api_key`` or ``token``
    are the credentials; the default is the other ``CSPARK_*`` variables. ``timeout`` is in
    milliseconds. ``max_retries`` (status requests) and ``retry_interval`` (seconds) are the
    defaults of every wait for a job; without the first, a wait lasts at most half an hour.

    The SDK does not have the other arguments: ``verify_tls`` (False, or the path of a CA bundle),
    ``requests_per_second``, the ``clock`` and ``masker`` of a run, and the ``scheme`` of another
    client with the same credentials and masker, whose token is shared.

    ``session`` sends the requests, ``impex`` exports and imports, ``catalogue`` lists services and
    versions once and caches the result, ``clock.now()`` is the time in UTC, and
    ``clock.wait(seconds)`` ends at once when the run is interrupted. The constructor sends nothing.

    Raises:
        UsageError: an argument is invalid, or there are no credentials.
    """

    def __init__(  # noqa: PLR0913 - the official SDK's signature
        self,
        *,
        base_url: str | None = None,
        tenant: str | None = None,
        env: str | None = None,
        oauth: Mapping[str, str] | str | None = None,
        api_key: str | None = None,
        token: str | None = None,
        timeout: float = 60_000.0,
        max_retries: int | None = None,
        retry_interval: float | None = None,
        verify_tls: bool | str = True,
        requests_per_second: float | None = None,
        clock: Clock | None = None,
        masker: Masker | None = None,
        origin: Origin | None = None,
        scheme: Scheme | None = None,
    ) -> None:
        require_limits(max_retries, retry_interval)
        self.clock = clock = clock or Clock()
        masker = masker or Masker()
        auth = from_arguments(oauth, api_key, token) or from_environment(os.environ)
        url = _locate(base_url, env, tenant)
        seconds = timeout / 1000
        check_settings(seconds, verify_tls)

        def open_transport() -> Transport:
            # Imported on use: see ``HttpClient.transport``.
            from spark_impex_runner.spark.http.transport import Transport  # noqa: PLC0415

            return Transport(masker, timeout=seconds, verify=verify_tls, clock=clock)

        limiter = RateLimiter(clock, requests_per_second)
        http = HttpClient(open_transport, clock, masker, limiter, RetryPolicy())
        self.session = Session(url, http, scheme or _scheme(auth, url, http), origin or Origin())
        interval = INTERVAL if retry_interval is None else retry_interval
        self.impex = ImpEx(self.session, max_retries, interval)
        self.catalogue = CachedListing(self.list_services, self.list_versions)

    @classmethod
    def connect(cls, connection: Connection, clock: Clock, masker: Masker) -> Spark:
        """Return the client of a manifest's connection.

        A sandbox connection must have its ``base_url`` already. The ``CSPARK_*`` environment
        fills in what the connection leaves open.
        """
        auth = connection.auth or Auth()
        client = {"client_id": auth.client_id or "", "client_secret": auth.client_secret or ""}
        return cls(
            base_url=connection.base_url,
            env=connection.env,
            tenant=connection.tenant,
            oauth=client if auth.client_id else None,
            api_key=auth.api_key,
            token=auth.token,
            timeout=connection.timeout * 1000,
            verify_tls=connection.verify_tls,
            requests_per_second=connection.requests_per_second,
            clock=clock,
            masker=masker,
            origin=_origin(connection),
        )

    @property
    def tenant(self) -> str:
        """The tenant's name."""
        return self.session.url.tenant

    @property
    def url(self) -> str:
        """The tenant's base URL, which holds no secret."""
        return self.session.url.base

    @property
    def identity(self) -> str:
        """The text by which state and approvals know the tenant: its URL, or a sandbox's folder.

        A sandbox that lives as long as the run has another port in each. Not in the official SDK.
        """
        folder = self.session.origin.sandbox
        return f"sandbox:{folder}" if folder else self.url

    def list_services(self) -> list[ServiceVersion]:
        """Return every service that the credentials may see, each with its latest version.

        Each call requests all pages again. Not in the official SDK.
        """
        return list(services(self.session))

    def services_at_hand(self) -> tuple[ServiceVersion, ...]:
        """Return the services that are known by now, else those of the listing's first page.

        Sends one request at most, which is not retried. Not in the official SDK.
        """
        found = services(self.session, once=True)
        return self.catalogue.services_at_hand(lambda: islice(found, PAGE_SIZE))

    def list_versions(self, folder: str, service: str) -> list[ServiceVersion]:
        """Return every version of a service, newest first. Not in the official SDK."""
        return list(versions(self.session, folder, service))

    def list_folders(self) -> list[Mapping[str, Any]]:
        """Return what the tenant lists of each folder that the credentials may see.

        ``name``, ``category``, ``description``, ``status`` and more (documented). Not in the
        official SDK.
        """
        return list(folder_rows(self.session))

    def list_transforms(self, folder: str) -> list[str]:
        """Return the names of a folder's transform documents, which some tenants do not have.

        Not in the official SDK under this name.
        """
        return list(transforms(self.session, folder))

    def transform(self, folder: str, name: str) -> Mapping[str, Any]:
        """Return a transform document, an object with ``transform_type``.

        Not in the official SDK under this name. Raises ``SparkSdkError`` for a reply without one.
        """
        return transform_document(self.session, folder, name)

    def execute(
        self, folder: str, service: str, inputs: Mapping[str, Any], meta: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """Execute a service on the tenant, and return ``response_data`` of its reply.

        ``meta`` is ``request_meta``: it may choose a ``version``, and label the call. The tenant
        saves every call in its history (documented). Not in the official SDK's client.

        Raises:
            SparkError: the tenant could not be reached, or refused the call.
        """
        return execute(self.session, ServiceVersion(folder, service), inputs, meta)

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self.session.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Spark({self.url!r})"


def tenant_identity(connection: Connection) -> str:
    """Return the ``Spark.identity`` of a connection; raise ``UsageError`` if it has no address."""
    if connection.sandbox:
        return f"sandbox:{connection.sandbox}"
    return _locate(connection.base_url, connection.env, connection.tenant).base


def _locate(base_url: str | None, env: str | None, tenant: str | None) -> TenantUrl:
    if base_url:
        return TenantUrl.parse(base_url, tenant)
    if env:
        return TenantUrl.of(env, tenant or "")
    if inherited := os.environ.get("CSPARK_BASE_URL"):
        return TenantUrl.parse(inherited, tenant)
    raise UsageError("no tenant given; pass base_url, or env and tenant, or set CSPARK_BASE_URL")


def _origin(connection: Connection) -> Origin:
    folder = str(connection.sandbox or "")
    return Origin(connection.name, connection.place, _setting(connection), folder)


def _setting(connection: Connection) -> str:
    """Return the name of the setting that a tenant's address comes from."""
    if connection.base_url:
        return "base_url"
    return "env" if connection.env else "CSPARK_BASE_URL"


def _scheme(auth: Auth, url: TenantUrl, http: HttpClient) -> Scheme:
    """Return the scheme of the credentials; mask their secret before its first use."""
    if auth.client_id and auth.client_secret:
        http.masker.add(auth.client_secret)
        get_token = partial(request_token, http, url, auth.client_id, auth.client_secret)
        return ClientCredentials(url.token_endpoint, get_token, http.clock, http.masker)
    if auth.api_key:
        return ApiKey(auth.api_key, http.masker)
    return Bearer(auth.token or "", http.masker)
