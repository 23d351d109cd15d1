"""Prepare requests: what ``requests`` computes for a URL, computed once for all requests to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import requests

from spark_impex_runner.spark.http.proxies import proxies_of, proxy_host

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.spark.http.exchange import Exchange
    from spark_impex_runner.spark.http.message import HttpRequest


# The URLs of a tenant that are requested again and again: the statuses of its jobs, the listing.
_MOST = 8


@dataclass(slots=True)
class Route:
    """The way to a URL, with the proxies that the environment named at the first request to it.

    ``url`` is normalized, ``headers`` are those that user and password in it require, ``proxy`` is
    the proxy's host and port. The adapter stores ``pool`` and ``target`` at the first request.
    """

    url: str
    headers: Mapping[str, Any]
    proxies: dict[str, str]
    proxy: str
    pool: Any = None
    target: str = ""

    @classmethod
    def to(cls, url: str) -> Route:
        """Return the route to a URL; raise ``ValueError`` if it is none."""
        proxies = proxies_of(url)
        prepared = requests.Request("GET", url).prepare()
        return cls(prepared.url or "", prepared.headers, proxies, proxy_host(url, proxies))


class Routes:
    """The routes to the URLs that were requested last; safe for threads."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}

    def to(self, url: str, exchange: Exchange) -> Route:
        """Return the route to a URL; raise ``ValueError`` if it is none, or as ``apart`` does."""
        route = self._routes.get(url)
        if route is None:
            # Some systems resolve names to find a proxy.
            route = self._routes[url] = exchange.apart(partial(Route.to, url))
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
