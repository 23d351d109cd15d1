"""List the services of a tenant once for all plugins of a run."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spark_impex_runner.models import ServiceVersion

    Result = Future[tuple[ServiceVersion, ...]]


class CachedListing:
    """Caches the services of one tenant and their versions; safe to share by threads.

    Calls for the same list wait for one request. Its result, even an error, stays for the run.
    ``uncompiled`` are the versions of which the tenant has said that they have no compiled module.
    """

    def __init__(
        self,
        list_services: Callable[[], Iterable[ServiceVersion]],
        list_versions: Callable[[str, str], Iterable[ServiceVersion]],
    ) -> None:
        self._list_services = list_services
        self._list_versions = list_versions
        self.uncompiled: set[ServiceVersion] = set()
        self._results: dict[tuple[str, ...], Result] = {}
        self._lock = threading.Lock()

    def services(self) -> tuple[ServiceVersion, ...]:
        """Return every service that the credentials may see, each with its latest version."""
        return self._once(self._list_services)

    def versions(self, folder: str, service: str) -> tuple[ServiceVersion, ...]:
        """Return every version of a service, newest first."""
        return self._once(self._list_versions, folder, service)

    def services_at_hand(
        self, first_page: Callable[[], Iterable[ServiceVersion]]
    ) -> tuple[ServiceVersion, ...]:
        """Return the services if they were listed already, else those of one request."""
        known = self.known_services()
        return self._once(lambda _: first_page(), "first page") if known is None else known

    def known_services(self) -> tuple[ServiceVersion, ...] | None:
        """Return the services if they were listed already, without a request; else None."""
        with self._lock:
            listed = self._results.get(())
        if listed and listed.done() and not listed.exception():
            return listed.result()
        return None

    def _once(
        self, load: Callable[..., Iterable[ServiceVersion]], *key: str
    ) -> tuple[ServiceVersion, ...]:
        with self._lock:
            is_new = key not in self._results
            future = self._results.setdefault(key, Future())
        if is_new:
            try:
                future.set_result(tuple(load(*key)))
            except BaseException as error:  # noqa: BLE001 - every waiting thread raises it
                future.set_exception(error)
        return future.result()
