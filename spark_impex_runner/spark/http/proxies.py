"""Find the proxies that the environment names."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy

from spark_impex_runner.spark.tenant import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping


def proxies_of(url: str) -> dict[str, str]:
    """Return the environment's proxies for a URL; none for a loopback host."""
    if is_loopback(urlsplit(url).hostname or ""):
        return {}
    return dict(get_environ_proxies(url, no_proxy=None))


def proxy_host(url: str, proxies: Mapping[str, str]) -> str:
    """Return host and port of the proxy for a URL, without its credentials."""
    proxy = select_proxy(url, proxies) or ""
    return proxy.rpartition("@")[2].rpartition("//")[2].rstrip("/")
