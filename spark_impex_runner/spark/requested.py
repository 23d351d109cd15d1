"""Determine the versions that a request would deliver now, from the tenant's listing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.spark.uri import Uri, version_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.models import Delivery, Request, ServiceVersion
    from spark_impex_runner.spark.client import Spark


class UnknownVersionsError(Exception):
    """The listing is ambiguous about what a request would deliver."""


def requested_versions(
    spark: Spark, request: Request, last: Delivery | None = None
) -> tuple[ServiceVersion, ...]:
    """Return the versions that an export would deliver now, each once, with its id.

    ``last``, the last delivery, tells which services and versions the ids of the request name; the
    listing does not. Raises ``UnknownVersionsError``, and ``SparkError`` if the listing cannot be
    read.
    """
    found = _Resolution(request, last, spark).versions()
    return tuple({each.version_id.lower(): each for each in found}.values())


def requested_services(spark: Spark, request: Request) -> Iterator[tuple[str, str]]:
    """Yield folder and name of each service whose versions ``requested_versions`` lists.

    Those that the request names by an id are left out. Raises ``SparkError`` if the listing cannot
    be read.
    """
    if request.folders:
        for each in spark.catalogue.services():
            if each.folder in request.folders:
                yield each.folder, each.service
    for uri in map(Uri.parse, request.services):
        if not uri.service_id:
            yield uri.folder, uri.service


@dataclass(frozen=True, slots=True)
class _Resolution:
    """Resolves a request by the listing, and by the last delivery for services given by id."""

    # The listing of services has an ``id``; whether it is the service's or its latest version's is
    # not documented. So ids come from the listing of versions and from the last delivery only.

    request: Request
    last: Delivery | None
    spark: Spark

    def versions(self) -> Iterator[ServiceVersion]:
        """Yield the versions in the order of the request, some perhaps twice."""
        for folder in self.request.folders:
            yield from self._in_folder(folder)
        for text in self.request.services:
            uri = Uri.parse(text)
            yield from self._of_service(self._by_service_id(uri) if uri.service_id else uri)
        for version_id in self.request.version_ids:
            yield self._by_version_id(version_id.lower())

    def _in_folder(self, folder: str) -> Iterator[ServiceVersion]:
        services = [each for each in self.spark.catalogue.services() if each.folder == folder]
        if not services:
            raise UnknownVersionsError(f"the listing has no service in the folder {folder}")
        for each in services:
            yield from self._of_service(Uri(each.folder, each.service))

    def _of_service(self, uri: Uri) -> Sequence[ServiceVersion]:
        """Return all versions, or the latest with the requested leading components."""
        found = self._listed(uri.folder, uri.service)
        if self.request.version_filter == "all" and not uri.version:
            return found
        fitting = [each for each in found if uri.delivers(each)]
        if not fitting:
            raise UnknownVersionsError(f"the listing has no {uri}")
        return [_latest(fitting)]

    def _by_service_id(self, uri: Uri) -> Uri:
        """Return the URI of a service given by id, from the last delivery."""
        for each in self.last.services if self.last else ():
            if uri.delivers(each):
                return Uri(each.folder, each.service)
        if not self.last:
            raise UnknownVersionsError(f"the listing does not tell which service has an id ({uri})")
        raise UnknownVersionsError(f"the last delivery has no service with the id {uri.service_id}")

    def _by_version_id(self, version_id: str) -> ServiceVersion:
        """Return a version given by id, if the tenant still lists it."""
        for each in self.last.service_versions if self.last else ():
            if each.version_id.lower() == version_id:
                listed = self._listed(each.folder, each.service)
                if found := [one for one in listed if one.version_id.lower() == version_id]:
                    return found[0]
        raise UnknownVersionsError(f"the listing has no version {version_id}")

    def _listed(self, folder: str, service: str) -> Sequence[ServiceVersion]:
        """Return the versions of a service; raise ``UnknownVersionsError`` if any has no id."""
        found = self.spark.catalogue.versions(folder, service)
        if not found:
            raise UnknownVersionsError(f"the listing has no version of {folder}/{service}")
        for each in found:
            if not each.version_id:
                raise UnknownVersionsError(f"the listing gives no id for {each.uri}")
        return found


def _latest(versions: Sequence[ServiceVersion]) -> ServiceVersion:
    """Return the latest version; raise ``UnknownVersionsError`` if order and numbers disagree."""
    # Whether a tenant's latest is the newest or the one with the highest number is not documented.
    newest, highest = versions[0], max(versions, key=lambda each: version_order(each.version))
    if newest.version_id != highest.version_id:
        raise UnknownVersionsError(
            f"the newest version of {newest.folder}/{newest.service} is {newest.version}, the "
            f"highest is {highest.version}"
        )
    return newest
