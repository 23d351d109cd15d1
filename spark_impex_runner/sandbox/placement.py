"""Where imported versions go: new services, replaced ones, added versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_impex_runner.sandbox.tenant import Version, age, id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark_impex_runner.sandbox.tenant import Tenant
    from spark_impex_runner.sandbox.unpack import Incoming


class Refused(Exception):  # noqa: N818 - how a job ends, not a fault of the sandbox
    """The import cannot be done; ``code`` is the word for it (invented)."""

    code = "SERVICE_ALREADY_EXISTS"


@dataclass(frozen=True, slots=True)
class Move:
    """Versions on their way to ``folder/service``; ``step`` is major, minor or patch."""

    versions: list[Incoming]
    folder: str
    service: str
    step: str


def arrange(tenant: Tenant, moves: Sequence[Move], existing: str, job_id: str) -> dict[str, Any]:
    """Put all moves into the tree, or none of them, and return the outputs of the job.

    ``existing`` says what happens to a service that is there: ``abort`` (Refused), ``replace``
    or ``add_version``. The status words other than ``added`` are assumed.
    """
    for move in moves:
        if existing == "abort" and tenant.versions(move.folder, move.service):
            raise Refused(f"service exists already: {move.folder}/{move.service}")
    outputs: dict[str, list[dict[str, str]]] = {"services": [], "service_versions": []}
    for move in moves:
        _put(tenant, move, existing, job_id, outputs)
    return outputs


def _put(
    tenant: Tenant,
    move: Move,
    existing: str,
    job_id: str,
    outputs: dict[str, list[dict[str, str]]],
) -> None:
    before = tenant.versions(move.folder, move.service)
    kept = before if existing == "add_version" else ()
    arrived = _arrived(tenant, move, kept, job_id)
    tenant.put(move.folder, move.service, (*kept, *arrived))
    word = "added" if not before else "updated" if kept else "replaced"
    outputs["services"].append(_service(move, arrived[0], word))
    outputs["service_versions"] += [
        _version(source, version) for source, version in zip(_ordered(move), arrived, strict=True)
    ]


def _ordered(move: Move) -> list[Incoming]:
    return sorted(move.versions, key=lambda version: age(version.number))


def _arrived(tenant: Tenant, move: Move, kept: tuple[Version, ...], job_id: str) -> list[Version]:
    going = set(tenant.versions(move.folder, move.service)) - set(kept)
    taken = {version.id for version in tenant.everything() if version not in going}
    service_id = kept[0].service_id if kept else id_of(tenant.name, move.folder, move.service)
    number = kept[-1].number if kept else ""
    arrived = []
    for source in _ordered(move):
        number = _next(number, move.step) if kept else source.number
        names = (tenant.name, move.folder, move.service, number, job_id)
        version_id = id_of(*names) if source.version_id in taken else source.version_id
        arrived.append(
            Version(move.folder, move.service, number, version_id, service_id, source.path)
        )
    return arrived


def _next(number: str, step: str) -> str:
    """Return the number that follows: ``1.4.2`` becomes 2.0.0, 1.5.0 or 1.4.3."""
    parts = [int(part) if part.isdecimal() else 0 for part in number.split(".")]
    major, minor, patch, *_ = [*parts, 0, 0, 0]
    if step == "major":
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if step == "minor" else f"{major}.{minor}.{patch + 1}"


def _service(move: Move, version: Version, word: str) -> dict[str, str]:
    source = move.versions[0]
    return {
        "service_uri_source": f"{source.folder}/{source.service}",
        "folder_source": source.folder,
        "service_source": source.service,
        "folder_destination": move.folder,
        "service_destination": move.service,
        "service_uri_destination": version.service_uri,
        "service_id_destination": version.service_id,
        "status": word,
    }


def _version(source: Incoming, version: Version) -> dict[str, str]:
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
