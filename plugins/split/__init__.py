"""Split a request whose package is too large: between services, then between versions.

The size of a package is unknown until the tenant has built it. So a request is halved, and a half
that is still too large is halved again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner import errors, hookimpl, models, tools

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner import Spark


_NAME_IT = "name it as folder/service: the versions of a service given by its id cannot be listed"
_TOO_LARGE = "nothing smaller can be exported: ask for a higher limit, or remove it from the target"


@dataclass(frozen=True, slots=True)
class _Item:
    """The smallest unit of a request: a version, by its service's name or by an id.

    With ``all_versions`` it is a service whose versions no listing has.
    """

    uri: tools.Uri
    all_versions: bool = False


@hookimpl(trylast=True)
def impex_split_job(job: models.Job, error: errors.ImpexError) -> Sequence[models.Request] | None:
    """Return the two halves of a request; raise ``TooLargeError`` for a single version."""
    spark = job.run.connect(job.target.connection)
    try:
        items = _items(job.request, spark)
    except errors.Interrupted:
        raise
    except errors.ImpexError as failure:
        raise errors.SparkSdkError(
            f"{error}; cannot list the services to split the request: {failure}"
        ) from failure
    if len(items) < 2:
        raise errors.TooLargeError(_explain_single(items, spark, error))
    middle = _cut_index(items)
    return [_request(items[:middle]), _request(items[middle:])]


def _items(request: models.Request, spark: Spark) -> list[_Item]:
    """Return the items of a request without duplicates, the versions of a service adjacent."""
    all_versions = request.version_filter == "all"
    uris = [tools.Uri(*names) for names in _in_folders(request.folders, spark)]
    uris += [tools.Uri.of_wire(text) for text in request.services]
    whole = {(uri.folder, uri.service) for uri in uris if all_versions and not uri.version}
    items = []
    for uri in dict.fromkeys(uris):
        if all_versions and not uri.version:
            items += _versions(uri, spark)
        elif (uri.folder, uri.service) not in whole:
            # No version is resolved here: the export itself knows best which one is the latest.
            items.append(_Item(uri))
    items += [_Item(tools.Uri(version_id=each)) for each in request.version_ids]
    once = {item.uri.wire.lower() if item.uri.version_id else item.uri.wire: item for item in items}
    return sorted(once.values(), key=lambda item: (item.uri.folder, item.uri.service))


def _in_folders(folders: Sequence[str], spark: Spark) -> Iterator[tuple[str, str]]:
    if folders:
        names = {(each.folder, each.service) for each in spark.list_services()}
        yield from sorted(pair for pair in names if pair[0] in folders)


def _versions(service: tools.Uri, spark: Spark) -> list[_Item]:
    """Return the versions of a service, oldest first."""
    # By id where possible: whether a tenant takes 1.2.3 for 1.2.30 is not documented.
    if service.service_id:
        return [_Item(service, all_versions=True)]
    names = (service.folder, service.service)
    found = [
        _Item(
            tools.Uri(*names, version_id=each.version_id)
            if each.version_id
            else tools.Uri.of_wire(each.uri)
        )
        for each in reversed(spark.list_versions(*names))
    ]
    return found or [_Item(service, all_versions=True)]


def _cut_index(items: Sequence[_Item]) -> int:
    """Return the index to split at: between two services if possible, close to the middle."""
    places = range(1, len(items))
    names = [(item.uri.folder, item.uri.service, item.uri.service_id) for item in items]
    between = [place for place in places if names[place - 1] != names[place]]
    return min(between or places, key=lambda place: abs(2 * place - len(items)))


def _request(items: Sequence[_Item]) -> models.Request:
    """Return the request for some items."""
    uris = [item.uri for item in items]
    return models.Request(
        services=tuple(uri.wire for uri in uris if not uri.version_id),
        version_ids=tuple(uri.version_id for uri in uris if uri.version_id),
        # Of the filters, only ``latest`` is known to add no version to those given by id.
        version_filter="all" if any(item.all_versions for item in items) else "latest",
    )


def _explain_single(items: Sequence[_Item], spark: Spark, error: errors.ImpexError) -> str:
    """Return the error for a single version that is too large, with the tenant's message."""
    if not items:
        return f"{error}; cannot split the request: the tenant lists none of its services"
    uri = items[0].uri
    what = _uri_of(uri, spark) if uri.version_id else str(uri)
    return (
        f"{what} alone is too large: {error}; {_NAME_IT if items[0].all_versions else _TOO_LARGE}"
    )


def _uri_of(version: tools.Uri, spark: Spark) -> str:
    """Return the URI of a version given by id, or the id if the listing does not have it."""
    try:
        for service in spark.list_services():
            for each in spark.list_versions(service.folder, service.service):
                if version.delivers(each):
                    return each.uri
    except errors.Interrupted:
        raise
    except errors.ImpexError:
        pass  # the error being reported matters more
    return str(version)
