"""Prepare requests: what ``requests`` computes for a URL, computed once for all requests to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import requests

from spark_impex_runner.spark.http.proxies import proxies_of, proxy_host
from spark_impex_runner.spark.http.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.spark.http.exchange import Exchange
    from spark_impex_runner.spark.http.message import HttpRequest


# The URLs of a tenant that are requested again and again: the statuses of its jobs, the listing.
_MOST = 8
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class Host:
    """The way to a host: ``proxy`` is host and port; the adapter stores ``pool``."""

    proxies: dict[str, str]
    proxy: str
    pool: Any = None

    @classmethod
    def of(cls, url: str) -> Host:
        """Return the way to a URL's host; raise ``ValueError`` if there is none."""
        proxies = proxies_of(url)
        return cls(proxies, proxy_host(url, proxies))


@dataclass(slots=True)
class Route:
    """The way to a URL, which is normalized; the adapter stores ``target``.

    ``headers`` are those that user and password in the URL require.
    """

    url: str
    headers: Mapping[str, Any]
    host: Host
    target: str = ""


class Routes:
    """The routes to the URLs that were requested last; safe for threads.

    The proxies are those that the environment names at the first request to a host.
    """

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}
        self._routes: dict[str, Route] = {}

    def to(self, url: str, exchange: Exchange) -> Route:
        """Return the route to a URL; raise ``ValueError`` if it is none, or as ``apart`` does."""
        route = self._routes.get(url)
        if route is None:
            prepared = requests.Request("GET", url).prepare()
            host = self._hosts.get(origin_of(url))
            if host is None:
                # Some systems resolve names to find a proxy.
                host = self._hosts[origin_of(url)] = exchange.apart(partial(Host.of, url))
            # One object for each of thousands of routes that need none.
            headers = prepared.headers or _NONE
            route = self._routes[url] = Route(prepared.url or "", headers, host)
            for old in list(self._routes)[:-_MOST]:
                self._routes.pop(old, None)
        return route


class PreparedRequest(requests.PreparedRequest):
    """A request on a route, without cookies; ``headers`` are added to its own."""

    def __init__(self, request: HttpRequest, route: Route, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.route = route
        self.url = route.url
        self.prepare_method(request.method)
        self.prepare_headers({**headers, **request.headers, **route.headers})
        self.prepare_body(request.body, None)
