"""Which versions a request would deliver now, as far as the tenant's listing tells for certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner import models, tools

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner import Spark


class DoubtError(Exception):
    """The listing does not tell what a request would deliver."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A request, held against the listing.

    The listing of services has an ``id``, of which it is not known whether it is the service's or
    that of its latest version. So ids are taken from the listing of versions, and the service of
    an id in the request from the last delivery.
    """

    request: models.Request
    last: models.Delivery
    spark: Spark

    def versions(self) -> dict[str, str]:
        """Return the versions: what each is called, by its id in lower case.

        Raises ``DoubtError``, and ``SparkError`` where the listing cannot be read.
        """
        return {each.version_id.lower(): each.uri for each in self._all()}

    def _all(self) -> Iterator[models.ServiceVersion]:
        for folder in self.request.folders:
            yield from self._of_folder(folder)
        for text in self.request.services:
            uri = tools.Uri.parse(text)
            yield from self._of_service(self._named(uri) if uri.service_id else uri)
        for version_id in self.request.version_ids:
            yield self._by_id(version_id.lower())

    def _of_folder(self, folder: str) -> Iterator[models.ServiceVersion]:
        services = [each for each in self.spark.catalogue.services() if each.folder == folder]
        if not services:
            raise DoubtError(f"the listing has no service in the folder {folder}")
        for each in services:
            yield from self._of_service(tools.Uri(each.folder, each.service))

    def _of_service(self, uri: tools.Uri) -> Sequence[models.ServiceVersion]:
        """Return all versions, or the latest of those that begin as wanted."""
        found = self._listed(uri.folder, uri.service)
        if self.request.version_filter == "all" and not uri.version:
            return found
        fitting = [each for each in found if uri.delivers(each)]
        if not fitting:
            raise DoubtError(f"the listing has no {uri}")
        return [_latest(fitting)]

    def _named(self, uri: tools.Uri) -> tools.Uri:
        """Return a service that the request names by its id, as the last delivery named it."""
        for each in self.last.services:
            if uri.delivers(each):
                return tools.Uri(each.folder, each.service)
        raise DoubtError(f"the last delivery does not tell which service {uri.service_id} is")

    def _by_id(self, version_id: str) -> models.ServiceVersion:
        """Return the version that the request names by its id, if it is still there."""
        for each in self.last.service_versions:
            if each.version_id.lower() == version_id:
                listed = self._listed(each.folder, each.service)
                if found := [one for one in listed if one.version_id.lower() == version_id]:
                    return found[0]
        raise DoubtError(f"the listing has no version {version_id}")

    def _listed(self, folder: str, service: str) -> Sequence[models.ServiceVersion]:
        """Return the versions of a service, each of which has an id."""
        found = self.spark.catalogue.versions(folder, service)
        if not found:
            raise DoubtError(f"the listing has no version of {folder}/{service}")
        for each in found:
            if not each.version_id:
                raise DoubtError(f"the listing gives no id for {each.uri}")
        return found


def _latest(versions: Sequence[models.ServiceVersion]) -> models.ServiceVersion:
    """Return the latest version, where the tenant's order and the numbers agree on it.

    What a tenant takes for the latest, the newest or that with the highest number, is not known.
    """
    newest, highest = versions[0], max(versions, key=lambda each: tools.version_order(each.version))
    if newest.version_id != highest.version_id:
        raise DoubtError(
            f"the newest version of {newest.folder}/{newest.service} is {newest.version}, the "
            f"highest is {highest.version}"
        )
    return newest
