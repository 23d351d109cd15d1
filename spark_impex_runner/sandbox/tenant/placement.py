"""Imports into the tree: new services, replaced services and added versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.tenant.tree import Version, id_of, version_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.sandbox.tenant.tree import Tenant
    from spark_impex_runner.sandbox.tenant.unpack import UnpackedVersion


class ImportRejected(Exception):  # noqa: N818 - how a job ends, not a fault of the sandbox
    """The import is rejected with ``code`` (invented)."""

    code = "SERVICE_ALREADY_EXISTS"


@dataclass(frozen=True, slots=True)
class Placement:
    """Versions to import into ``folder/service``; ``step`` is major, minor or patch."""

    versions: list[UnpackedVersion]
    folder: str
    service: str
    step: str


def arrange(
    tenant: Tenant, placements: Sequence[Placement], existing: str, job_id: str
) -> dict[str, Any]:
    """Apply all placements to the tree, or none, and return the outputs of the job.

    ``existing`` applies to services that exist: ``abort`` (raise ImportRejected), ``replace``
    or ``add_version``. The status words other than ``added`` are assumed.
    """
    # All checks come first, so that a rejected job has changed nothing.
    for placement in placements:
        if existing == "abort" and tenant.versions(placement.folder, placement.service):
            raise ImportRejected(f"service exists already: {placement.folder}/{placement.service}")
    outputs: dict[str, list[dict[str, str]]] = {"services": [], "service_versions": []}
    for placement in placements:
        _put(tenant, placement, existing, job_id, outputs)
    return outputs


def _put(
    tenant: Tenant,
    placement: Placement,
    existing: str,
    job_id: str,
    outputs: dict[str, list[dict[str, str]]],
) -> None:
    before = tenant.versions(placement.folder, placement.service)
    kept = before if existing == "add_version" else ()
    arrived = _arrived(tenant, placement, kept, job_id)
    tenant.put(placement.folder, placement.service, (*kept, *arrived))
    status = "added" if not before else "updated" if kept else "replaced"
    outputs["services"].append(_service(placement, arrived[0], status))
    outputs["service_versions"] += [
        _version(source, version)
        for source, version in zip(_ordered(placement), arrived, strict=True)
    ]


def _ordered(placement: Placement) -> list[UnpackedVersion]:
    return sorted(placement.versions, key=lambda version: version_key(version.number))


def _arrived(
    tenant: Tenant, placement: Placement, kept: tuple[Version, ...], job_id: str
) -> list[Version]:
    going = set(tenant.versions(placement.folder, placement.service)) - set(kept)
    # An import keeps the ids of the package where they are free (documented).
    taken = {version.id for version in tenant.all_versions() if version not in going}
    service_id = (
        kept[0].service_id if kept else id_of(tenant.name, placement.folder, placement.service)
    )
    number = kept[-1].number if kept else ""
    arrived = []
    for source in _ordered(placement):
        number = _next(number, placement.step) if kept else source.number
        names = (tenant.name, placement.folder, placement.service, number, job_id)
        version_id = id_of(*names) if source.version_id in taken else source.version_id
        arrived.append(
            Version(
                placement.folder, placement.service, number, version_id, service_id, source.path
            )
        )
    return arrived


def _next(number: str, step: str) -> str:
    """Return the next version number: ``1.4.2`` becomes 2.0.0, 1.5.0 or 1.4.3."""
    parts = [int(part) if part.isdecimal() else 0 for part in number.split(".")]
    major, minor, patch, *_ = [*parts, 0, 0, 0]
    if step == "major":
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if step == "minor" else f"{major}.{minor}.{patch + 1}"


def _service(placement: Placement, version: Version, status: str) -> dict[str, str]:
    source = placement.versions[0]
    return {
        "service_uri_source": f"{source.folder}/{source.service}",
        "folder_source": source.folder,
        "service_source": source.service,
        "folder_destination": placement.folder,
        "service_destination": placement.service,
        "service_uri_destination": version.service_uri,
        "service_id_destination": version.service_id,
        "status": status,
    }


def _version(source: UnpackedVersion, version: Version) -> dict[str, str]:
    return {
        "service_uri_source": f"{source.folder}/{source.service}[{source.number}]",
        "folder_source": source.folder,
        "service_source": source.service,
        "version_source": source.number,
        "version_id_source": source.version_id,
        "folder_destination": version.folder,
        "service_destination": version.service,
        "version_destination": version.number,
        "service_uri_destination": version.uri,
        "service_id_destination": version.service_id,
        "version_id_destination": version.id,
        "status": "added",
    }
