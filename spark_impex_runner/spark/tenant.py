"""Locate a tenant: its base URL, its paths and its token endpoint."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, quote, unquote, urlsplit

from spark_impex_runner.errors import SparkSdkError, UsageError

_DOMAIN = ".coherent.global"
# One or two labels are documented; more do no harm.
_LABELS = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")


@dataclass(frozen=True, slots=True)
class TenantUrl:
    """A tenant's address: ``origin`` is scheme, host and port, ``tenant`` the decoded name."""

    origin: str
    tenant: str

    @classmethod
    def parse(cls, base_url: str, tenant: str | None = None) -> TenantUrl:
        """Read ``https://excel.{env}.coherent.global/{tenant}``, or any other origin with a tenant.

        The first path segment is the tenant and wins over the argument; the rest of the URL is
        dropped, as the official SDK does. The host of the web interface (``spark.{env}``) becomes
        that of the API (seen in the SDK). Raises ``UsageError`` for any other text.
        """
        parts = _split(base_url)
        named = [unquote(segment) for segment in parts.path.split("/") if segment]
        name = (named[0] if named else tenant or "").strip()
        if not _is_segment(name):
            raise UsageError(
                "base_url names no tenant; write it as the first part of the path, "
                "https://excel.ENV.coherent.global/TENANT"
            )
        return cls(f"{parts.scheme}://{_api_host(parts)}", name)

    @classmethod
    def of(cls, env: str, tenant: str) -> TenantUrl:
        """Return the address for an environment such as ``uat.us``; raise ``UsageError``."""
        env, tenant = env.strip().lower(), tenant.strip().lower()
        if not _LABELS.fullmatch(env):
            raise UsageError(f"env {env!r} is invalid; write it like 'sit' or 'uat.us'")
        if not _is_segment(tenant):
            raise UsageError(f"tenant {tenant!r} is invalid; it is one segment of the URL's path")
        return cls(f"https://excel.{env}{_DOMAIN}", tenant)

    @property
    def base(self) -> str:
        """``{origin}/{tenant}``, where the v3 and v4 paths begin."""
        return f"{self.origin}/{_quoted(self.tenant)}"

    def at(self, *segments: str) -> str:
        """Return the URL of an API path; each segment is quoted by itself.

        Documented: v3 and v4 paths contain the tenant, v1 paths do not.
        """
        for segment in segments:
            # HTTP clients resolve these as relative steps, quoted or not.
            if segment in {"", ".", ".."}:
                raise SparkSdkError(f"{segment!r} is invalid as a segment of an API path")
        root = self.origin if segments[:2] == ("api", "v1") else self.base
        return "/".join((root, *map(_quoted, segments)))

    @property
    def token_endpoint(self) -> str:
        """The URL that returns a token for client credentials.

        On Coherent's hosts it is at ``keycloak.{env}`` (documented), otherwise at the origin,
        as in the official SDK.
        """
        origin = self.origin
        if origin.endswith(_DOMAIN):
            origin = origin.replace("https://excel.", "https://keycloak.", 1)
        realm = _quoted(self.tenant)
        return f"{origin}/auth/realms/{realm}/protocol/openid-connect/token"


@lru_cache(maxsize=1024)
def _quoted(segment: str) -> str:
    return quote(segment, safe="")


def is_safe_to_call(url: str) -> bool:
    """Return whether a URL may carry a secret: https, or http on the loopback interface."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    )


def _split(base_url: str) -> SplitResult:
    """Split a base URL; errors show no part of it, since it may hold a password."""
    try:
        parts = urlsplit(base_url.strip())
        _ = parts.port
    except ValueError:
        raise UsageError("base_url is not a URL; check its host and port") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError("base_url holds a user name or password; give credentials as auth")
    if not is_safe_to_call(base_url.strip()):
        raise UsageError("base_url must begin with https:// (http:// is for loopback hosts only)")
    return parts


def _api_host(parts: SplitResult) -> str:
    """Return host and port in lower case, with the API's host for the web interface's."""
    host = parts.hostname or ""
    if host.startswith("spark.") and host.endswith(_DOMAIN):
        host = "excel." + host.removeprefix("spark.")
    # urlsplit removes the brackets of an IPv6 address.
    if ":" in host:
        host = f"[{host}]"
    is_usual = parts.port in (None, {"https": 443, "http": 80}[parts.scheme])
    return host if is_usual else f"{host}:{parts.port}"


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is that of this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_segment(name: str) -> bool:
    """Return whether a tenant's name fits into a path and, as ``x-tenant-name``, into a header."""
    plain = name.isascii() and name.isprintable() and "/" not in name
    return plain and name not in {"", ".", ".."}
