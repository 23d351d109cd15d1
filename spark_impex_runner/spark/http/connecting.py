"""Connect: find out whether a request was sent at all, and which failures are permanent.

If a host was never reached, its address, the network or a proxy is at fault: retries end after ten
seconds, or at once if no retry can help. A host that was reached before has an outage, which its
callers wait out.
"""

from __future__ import annotations

import math
import re
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import exceptions as urllib3_errors
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import ProxyManager

from spark_impex_runner.errors import TransportError
from spark_impex_runner.spark.failures import TRANSIENT
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.exchange import current
from spark_impex_runner.spark.http.message import ADDRESS_TODO
from spark_impex_runner.spark.http.urls import origin_of, split
from spark_impex_runner.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spark_impex_runner.spark.http.exchange import Exchange

# Seconds of retries for a host that was never reached: a typo must not cost minutes.
FIRST_CONTACT = 10.0
_TUNNEL = re.compile(r"Tunnel connection failed: (?P<reply>(?P<status>\d{3}).*)", re.DOTALL)
_PROXY_TODO = "check HTTPS_PROXY and NO_PROXY"


class _Thread(threading.local):
    connecting = False
    began = 0.0


_thread = _Thread()


class _Http(HTTPConnection):
    exchange: Exchange | None = None

    def connect(self) -> None:
        exchange = current()
        _thread.connecting = True
        exchange.apart(super().connect, late=lambda _: self.close())
        _thread.connecting = False
        exchange.begin(self)

    def request(self, *arguments: Any, **named: Any) -> None:
        if self.sock is not None:
            current().begin(self)
        super().request(*arguments, **named)


class _Https(_Http, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _HttpPool, "https": _HttpsPool}


def _socks_pools() -> dict[str, Any]:
    """Return the pools of connections through a SOCKS proxy, whose package is optional."""
    from urllib3.contrib import socks  # noqa: PLC0415

    class Http(_Http, socks.SOCKSConnection):
        pass

    class Https(_Http, socks.SOCKSHTTPSConnection):
        pass

    class HttpPool(socks.SOCKSHTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(socks.SOCKSHTTPSConnectionPool):
        ConnectionCls = Https

    return {"http": HttpPool, "https": HttpsPool}


class Adapter(HTTPAdapter):
    """Connections of ``requests`` that record for each thread whether one was established.

    It sends each ``PreparedRequest`` of ours on its route, and returns the reply of urllib3:
    the cookies and the encoding that ``requests`` adds are not needed.
    """

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Create the pools of direct connections."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        is_http = isinstance(manager, ProxyManager)
        manager.pool_classes_by_scheme = _POOLS if is_http else _socks_pools()
        return manager

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool of a request's host, or a new one if that was closed."""
        host = request.route.host
        if host.pool is None or host.pool.pool is None:
            host.pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return host.pool

    def request_url(self, request: Any, proxies: Any) -> Any:
        """Return what the first line of a request names."""
        route = request.route
        route.target = route.target or super().request_url(request, proxies)
        return route.target

    def build_response(self, req: Any, resp: Any) -> Any:  # noqa: ARG002 - the library's shape
        """Return the reply as it is."""
        return resp


class ReachedHosts:
    """Remembers which hosts were reached, and since when others were not; safe for threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._reached: set[str] = set()
        self._failing: dict[str, float] = {}

    def begin(self) -> None:
        """Record that this thread begins a request."""
        _thread.connecting = False
        _thread.began = self._monotonic()

    def reached(self, url: str) -> None:
        """Record that a connection to the host of ``url`` was established."""
        self._reached.add(origin_of(url))

    def connect_deadline(self, url: str, exchange: Exchange) -> float:
        """Return when a request must have its connection, by ``time.monotonic``.

        Infinite once it has one, and for a host that was reached before.
        """
        known = not url or exchange.sent or self.has_reached(url)
        return math.inf if known else exchange.last_progress + limits.CONNECT

    def has_reached(self, url: str) -> bool:
        """Return whether a connection to the host of ``url`` was ever established."""
        return origin_of(url) in self._reached

    def failure(self, error: Exception, url: str, proxy: str, timeout: float) -> TransportError:
        """Return the error for a failure to send a request or to read the head of its reply.

        ``proxy`` is the host and port of the proxy that was used, ``timeout`` is in seconds.
        """
        if isinstance(error, ValueError):
            return _invalid_address(error, url, proxy)
        if not (_thread.connecting or _has(error, urllib3_errors.ConnectTimeoutError)):
            self.reached(url)
            return broken_connection(error, timeout)
        host = urlsplit(url).netloc.rpartition("@")[2]
        since = self._failing.setdefault(host, _thread.began)
        give_up = _is_refused(error) or self._monotonic() - since >= FIRST_CONTACT
        fault, todo = _not_connected(error, host, proxy, timeout)
        reached = self.has_reached(url)
        permanent = give_up and not reached
        return TransportError(fault, todo, sent=False, permanent=permanent, reached=reached)


def connect_timed_out(url: str) -> TransportError:
    """Return the error for a first connection that took longer than ``limits.CONNECT``."""
    host = split(url).netloc.rpartition("@")[2]
    fault = f"no connection to {host} within {limits.CONNECT:g} s"
    return TransportError(fault, ADDRESS_TODO, sent=False, permanent=True, reached=False)


def broken_connection(error: Exception, timeout: float) -> TransportError:
    """Return the error for an established connection that failed."""
    if _is_timeout(error):
        return TransportError(f"no answer within {timeout:g} s")
    return TransportError(f"the connection failed ({_innermost(error)})", ADDRESS_TODO)


def _invalid_address(error: ValueError, url: str, proxy: str) -> TransportError:
    """Return the error for an address, of a host or of a proxy, to which nothing can be sent."""
    try:
        usable = bool((split(url).hostname or "").encode("idna")) and split(url).port != 0
    except ValueError:
        usable = False
    if usable and (proxy or isinstance(error, requests.exceptions.InvalidProxyURL)):
        socks = isinstance(error, requests.exceptions.InvalidSchema)
        why = "SOCKS needs the package PySocks" if socks else "its address is not valid"
        fault, todo = f"the proxy of the environment cannot be used ({why})", _PROXY_TODO
    else:
        # No part of it is shown: a text that is no URL may be a secret, pasted by mistake.
        fault, todo = "the address is not a valid URL", ADDRESS_TODO
    return TransportError(fault, todo, sent=False, permanent=True, reached=False)


def _not_connected(error: Exception, host: str, proxy: str, timeout: float) -> tuple[str, str]:
    """Return why a connection could not be made, and what to check."""
    if refusal := _tunnel_refusal(error):
        return f"the proxy {proxy} refuses to connect to {host} (HTTP {refusal})", _PROXY_TODO
    tls = isinstance(error, (requests.exceptions.SSLError, urllib3_errors.SSLError))
    todo = _PROXY_TODO if proxy and not tls else ADDRESS_TODO
    peer = f"the proxy {proxy}" if todo == _PROXY_TODO else host
    if _has(error, socket.gaierror):
        fault = f"cannot resolve {peer if proxy else urlsplit(f'//{host}').hostname}"
    elif tls:
        fault = f"TLS failed ({_innermost(error)}) with {peer}"
        todo = "see verify_tls if the CA is your own"
    elif _is_timeout(error):
        fault = f"no connection to {peer} within {timeout:g} s"
    else:
        fault = f"cannot connect to {peer} ({_innermost(error)})"
    return fault, todo


def _is_refused(error: Exception) -> bool:
    """Return whether a certificate or a proxy's reply forbids the connection."""
    status = int(_tunnel_refusal(error)[:3] or 0)
    by_proxy = 300 <= status < 500 and status not in TRANSIENT
    return by_proxy or _has(error, ssl.SSLCertVerificationError)


def _tunnel_refusal(error: Exception) -> str:
    """Return the status line with which a proxy refused a tunnel, without its version."""
    for each in _chain(error):
        if found := _TUNNEL.match(str(each)):
            return one_line(found["reply"])[:80]
    return ""


def _has(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(each, kind) for each in _chain(error))


def _is_timeout(error: Exception) -> bool:
    # The class of a refused connection derives from that of a timeout.
    timeouts = (requests.Timeout, urllib3_errors.TimeoutError, TimeoutError)
    refused = urllib3_errors.NewConnectionError
    return any(
        isinstance(each, timeouts) and not isinstance(each, refused) for each in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, which the libraries keep in several attributes."""
    inner: object = error
    # Bounded, since causes may form a circle.
    for _ in range(8):
        if not isinstance(inner, BaseException):
            return
        yield inner
        reasons = [getattr(inner, "reason", None), inner.__cause__, inner.__context__, *inner.args]
        inner = next((one for one in reasons if isinstance(one, BaseException)), None)


def _innermost(error: BaseException) -> str:
    """Return the message of the operating system or of TLS, which has no URL, or a class name."""
    found = type(error).__name__
    for inner in _chain(error):
        if isinstance(inner, OSError) and inner.strerror:
            return str(getattr(inner, "verify_message", "") or inner.strerror)
        if not isinstance(inner, requests.RequestException):
            found = type(inner).__name__
    return found
