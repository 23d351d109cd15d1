"""Compare the requested services with those that the tenant says it delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.spark.uri import Uri

if TYPE_CHECKING:
    from spark_impex_runner.models import Request, Status


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


def is_unspecified(status: Status) -> bool:
    """Return whether the tenant did not say what it delivered."""
    return not status.services and not status.service_versions
