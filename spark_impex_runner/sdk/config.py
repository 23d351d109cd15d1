"""The SDK's ``Config`` and ``BaseUrl``: where a tenant is, and how its client is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypedDict

from spark_impex_runner.sdk.logger import LIBRARY, LoggerOptions, get_logger, silence
from spark_impex_runner.sdk.outside import Partial
from spark_impex_runner.sdk.translate import sdk_errors
from spark_impex_runner.spark.client import Spark
from spark_impex_runner.spark.tenant import TenantUrl

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENV: Final = re.compile(r"https://[^.]+\.((?:[^.]+\.)?[^.]+)\.coherent\.global")
DEFAULT_TIMEOUT_IN_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class BaseUrl(Partial):
    """A tenant's address: any origin, with the tenant's name."""

    OUTSIDE = frozenset({"service", "oauth2", "to"})
    url: str
    tenant: str

    @staticmethod
    def of(*, url: str | None = None, tenant: str | None = None, env: str | None = None) -> BaseUrl:
        """Return the address of ``url``, whose path names the tenant, or of ``env`` and tenant."""
        with sdk_errors():
            found = TenantUrl.parse(url, tenant) if url else TenantUrl.of(env or "", tenant or "")
        return BaseUrl(found.origin, found.tenant)

    @staticmethod
    def at(location: str, separator: str = "/") -> BaseUrl:
        """Return the address of a text such as ``uat.us/my-tenant``."""
        env, _, tenant = location.strip().partition(separator)
        return BaseUrl.of(env=env, tenant=tenant)

    @property
    def value(self) -> str:
        """The origin, without the tenant."""
        return self.url.rstrip("/")

    @property
    def full(self) -> str:
        """The origin with the tenant."""
        return f"{self.value}/{self.tenant}"

    @property
    def env(self) -> str | None:
        """The environment, such as ``uat.us``; None on another host than Coherent's."""
        found = _ENV.match(self.url)
        return found[1] if found else None

    def copy_with(
        self, *, url: str | None = None, tenant: str | None = None, env: str | None = None
    ) -> BaseUrl:
        """Return the same address with other parts."""
        if url:
            return BaseUrl.of(url=url, tenant=tenant or self.tenant)
        if env:
            return BaseUrl.of(env=env, tenant=tenant or self.tenant)
        return BaseUrl(self.url, tenant or self.tenant)


class Options(TypedDict, total=False):
    """The arguments of a configuration, and of a client."""

    base_url: str | BaseUrl | None
    tenant: str | None
    env: str | None
    oauth: Mapping[str, str] | str | None
    api_key: str | None
    token: str | None
    timeout: float | None
    max_retries: int | None
    retry_interval: float | None
    logger: bool | Mapping[str, Any] | LoggerOptions
    verify_tls: bool | str


class Config(Partial):
    """The arguments of a client. ``repr`` and ``str`` show the address only.

    Raises ``SparkError`` for arguments that no client can have. ``max_retries`` is the number of
    status requests of a wait; without it a wait lasts half an hour at most.
    """

    OUTSIDE = frozenset({"auth", "extra_headers", "has_headers", "get", "aget"})

    def __init__(  # noqa: PLR0913 - the official SDK's signature, and verify_tls
        self,
        *,
        base_url: str | BaseUrl | None = None,
        tenant: str | None = None,
        env: str | None = None,
        oauth: Mapping[str, str] | str | None = None,
        api_key: str | None = None,
        token: str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        retry_interval: float | None = None,
        logger: bool | Mapping[str, Any] | LoggerOptions = True,
        verify_tls: bool | str = True,
    ) -> None:
        self._options: dict[str, Any] = {
            "base_url": base_url.full if isinstance(base_url, BaseUrl) else base_url,
            "tenant": tenant,
            "env": env,
            "oauth": oauth,
            "api_key": api_key,
            "token": token,
            "timeout": DEFAULT_TIMEOUT_IN_MS if timeout is None else timeout,
            "max_retries": max_retries,
            "retry_interval": retry_interval,
            "verify_tls": verify_tls,
        }
        self.logger = LoggerOptions.when(logger)
        if self.logger.disabled:
            silence()
        else:
            get_logger(**{**vars(self.logger), "context": LIBRARY})
        with self.open() as spark:
            url = spark.session.url
            self.base_url = BaseUrl(url.origin, url.tenant)

    @property
    def timeout(self) -> float:
        """The timeout of a request in milliseconds."""
        found: float = self._options["timeout"]
        return found

    @property
    def timeout_in_sec(self) -> float:
        """The same in seconds."""
        return self.timeout / 1000

    @property
    def max_retries(self) -> int | None:
        """The number of status requests of a wait, None without a limit of them."""
        found: int | None = self._options["max_retries"]
        return found

    @property
    def retry_interval(self) -> float | None:
        """The seconds between two status requests, None for the default."""
        found: float | None = self._options["retry_interval"]
        return found

    def copy_with(self, **options: Any) -> Config:
        """Return a configuration with other arguments; credentials replace all credentials."""
        given = {name: value for name, value in options.items() if value is not None}
        kept = dict(self._options)
        if given.keys() & {"oauth", "api_key", "token"}:
            kept |= dict.fromkeys(("oauth", "api_key", "token"))
        if given.keys() & {"base_url", "tenant", "env"}:
            url, tenant, env = (given.pop(name, None) for name in ("base_url", "tenant", "env"))
            full = url.full if isinstance(url, BaseUrl) else url
            base_url = self.base_url.copy_with(url=full, tenant=tenant, env=env)
            kept |= {"base_url": base_url.full, "tenant": None, "env": None}
        return Config(**{"logger": self.logger, **kept, **given})

    def open(self) -> Spark:
        """Return a client of the tenant; it sends nothing yet."""
        with sdk_errors():
            return Spark(**self._options)

    @cached_property
    def _first(self) -> Spark:
        return self.open()

    def open_another(self) -> Spark:
        """Return a client that shares its token with all others that this method has returned.

        So a token is requested once for many, and a refused secret is not sent again.
        """
        first = self._first.session
        with sdk_errors():
            return Spark(**self._options, masker=first.http.masker, scheme=first.scheme)

    def __repr__(self) -> str:
        return f"Config({self.base_url.full!r})"
