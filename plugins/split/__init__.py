"""Requests whose package is too large are divided: between services, and within one by version.

How large a package becomes is not known before the tenant has tried to make it. So a request is
halved, and a half that is still too large is halved again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner import errors, hookimpl, models, tools

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner import Spark


_BY_NAME = "name it as folder/service: the versions of a service given by its id cannot be listed"
_ALONE = "nothing smaller can be exported: ask for a higher limit, or leave it out of the target"


@dataclass(frozen=True, slots=True)
class _Item:
    """What is not divided any further: a version, by its service's name or by an id.

    With ``every`` it stands for all versions of a service, as no listing tells which these are.
    """

    uri: tools.Uri
    every: bool = False


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
            f"{error}; to divide the request its services were to be listed: {failure}"
        ) from failure
    if len(items) < 2:
        raise errors.TooLargeError(_undividable(items, spark, error))
    middle = _middle(items)
    return [_request(items[:middle]), _request(items[middle:])]


def _items(request: models.Request, spark: Spark) -> list[_Item]:
    """Return what a request asks for, each once, and the versions of a service side by side."""
    every = request.version_filter == "all"
    uris = [tools.Uri(*names) for names in _in_folders(request.folders, spark)]
    uris += [tools.Uri.of_wire(text) for text in request.services]
    whole = {(uri.folder, uri.service) for uri in uris if every and not uri.version}
    items = []
    for uri in dict.fromkeys(uris):
        if every and not uri.version:
            items += _versions(uri, spark)
        elif (uri.folder, uri.service) not in whole:
            # Which version is the latest, the export itself says best.
            items.append(_Item(uri))
    items += [_Item(tools.Uri(version_id=each)) for each in request.version_ids]
    once = {item.uri.wire.lower() if item.uri.version_id else item.uri.wire: item for item in items}
    return sorted(once.values(), key=lambda item: (item.uri.folder, item.uri.service))


def _in_folders(folders: Sequence[str], spark: Spark) -> Iterator[tuple[str, str]]:
    """Yield folder and name of each service in some folders."""
    if folders:
        names = {(each.folder, each.service) for each in spark.list_services()}
        yield from sorted(pair for pair in names if pair[0] in folders)


def _versions(service: tools.Uri, spark: Spark) -> list[_Item]:
    """Return every version of a service, the oldest first, as the tenant lists them.

    By their ids: what a tenant takes 1.2.3 for, where there is a 1.2.30, is not known.
    """
    if service.service_id:
        return [_Item(service, every=True)]
    names = (service.folder, service.service)
    found = [
        _Item(
            tools.Uri(*names, version_id=each.version_id)
            if each.version_id
            else tools.Uri.of_wire(each.uri)
        )
        for each in reversed(spark.list_versions(*names))
    ]
    return found or [_Item(service, every=True)]


def _middle(items: Sequence[_Item]) -> int:
    """Return where to cut: between two services, as near to the middle as that is possible."""
    places = range(1, len(items))
    names = [(item.uri.folder, item.uri.service, item.uri.service_id) for item in items]
    between = [place for place in places if names[place - 1] != names[place]]
    return min(between or places, key=lambda place: abs(2 * place - len(items)))


def _request(items: Sequence[_Item]) -> models.Request:
    """Return the request for some items; only the filter ``latest`` is known to add no version."""
    uris = [item.uri for item in items]
    return models.Request(
        services=tuple(uri.wire for uri in uris if not uri.version_id),
        version_ids=tuple(uri.version_id for uri in uris if uri.version_id),
        version_filter="all" if any(item.every for item in items) else "latest",
    )


def _undividable(items: Sequence[_Item], spark: Spark, error: errors.ImpexError) -> str:
    """Say which version is too large by itself, in the tenant's words, and what to do."""
    if not items:
        return f"{error}; the request cannot be divided, as the tenant lists none of its services"
    uri = items[0].uri
    what = _named(uri, spark) if uri.version_id else str(uri)
    return f"{what} alone is too large: {error}; {_BY_NAME if items[0].every else _ALONE}"


def _named(version: tools.Uri, spark: Spark) -> str:
    """Return a version that is known by its id as a person knows it, if it can be found."""
    try:
        for service in spark.list_services():
            for each in spark.list_versions(service.folder, service.service):
                if version.delivers(each):
                    return each.uri
    except errors.Interrupted:
        raise
    except errors.ImpexError:
        pass  # what matters is the error that is being told
    return str(version)
