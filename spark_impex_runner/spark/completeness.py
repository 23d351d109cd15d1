"""What was asked for, held against what the tenant says it delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.spark.uri import Uri

if TYPE_CHECKING:
    from spark_impex_runner.models import Request, Status


def missing(request: Request, status: Status) -> list[str]:
    """Return every folder, service and version id that was asked for and not delivered.

    A tenant that names nothing at all (its lists may be null) is taken to have said nothing:
    see ``is_unspecified``.
    """
    delivered = [*status.service_versions, *status.services]
    folders = {item.folder for item in delivered}
    version_ids = {item.version_id.lower() for item in delivered}
    lost = [f"folder {folder}" for folder in request.folders if folder not in folders]
    lost += [
        f"service {text}"
        for text in request.services
        if not any(Uri.of_wire(text).delivers(item) for item in delivered)
    ]
    lost += [f"version {id_}" for id_ in request.version_ids if id_.lower() not in version_ids]
    return lost


def is_unspecified(status: Status) -> bool:
    """Tell whether the tenant did not say what it delivered."""
    return not status.services and not status.service_versions
