"""Compare the requested services with those that the tenant says it delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.spark.uri import Uri

if TYPE_CHECKING:
    from spark_impex_runner.models import Request, ServiceVersion, Status


def missing(request: Request, status: Status) -> list[str]:
    """Return every requested folder, service and version id that the tenant did not deliver.

    All of them are missing if the tenant names nothing at all (its lists may
    be null): check ``is_unspecified`` first.
    """
    delivered = [*status.service_versions, *status.services]
    folders = {item.folder for item in delivered}
    version_ids = {item.version_id.lower() for item in delivered}
    missing_items = [f"folder {folder}" for folder in request.folders if folder not in folders]
    missing_items += [
        f"service {text}"
        for text in request.services
        if not any(Uri.of_wire(text).delivers(item) for item in delivered)
    ]
    missing_items += [
        f"version {id_}" for id_ in request.version_ids if id_.lower() not in version_ids
    ]
    return missing_items


def mismatch(request: Request, status: Status) -> list[str]:
    """Return what is missing, and each service or version that was not requested."""
    uris = [Uri.of_wire(text) for text in request.services]
    ids = {id_.lower() for id_ in request.version_ids}

    def is_requested(item: ServiceVersion) -> bool:
        by_id = item.version_id.lower() in ids
        return by_id or item.folder in request.folders or any(uri.delivers(item) for uri in uris)

    # Services have no version's id, so the versions decide where there are any.
    delivered = status.service_versions or (() if ids else status.services)
    return [
        *missing(request, status),
        *(f"{item.uri} besides" for item in delivered if not is_requested(item)),
    ]


def is_unspecified(status: Status) -> bool:
    """Return whether the tenant did not say what it delivered."""
    return not status.services and not status.service_versions
