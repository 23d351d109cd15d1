"""Export packages with the structure of a genuine ``onpremises`` package.

The structure of ``migrate`` packages is not published. Here they have the original workbook beside
the other files; its name and path are an invention of the sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from spark_impex_runner.sandbox.tenant import bundle
from spark_impex_runner.sandbox.tenant.archive import Writer, compact, file_hash
from spark_impex_runner.sandbox.tenant.metadata import model_metadata
from spark_impex_runner.sandbox.tenant.version_files import VersionFiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spark_impex_runner.sandbox.tenant.tree import Version


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """The contents of a package: ``versions`` of ``tenant``, with or without workbooks."""

    tenant: str
    base_url: str
    job_id: str
    versions: Sequence[Version]
    workbooks: bool


def listing(versions: Sequence[Version]) -> dict[str, Any]:
    """Return ``services`` and ``service_versions`` of a job's status and a package's manifest."""
    services = {version.service_uri: _service(version) for version in versions}
    return {
        "services": list(services.values()),
        "service_versions": [_version(version) for version in versions],
    }


def _service(version: Version) -> dict[str, str]:
    return {
        "service_uri_source": version.service_uri,
        "folder_source": version.folder,
        "service_source": version.service,
        "service_id_source": version.service_id,
    }


def _version(version: Version) -> dict[str, str]:
    return {
        "service_uri_source": version.uri,
        "folder_source": version.folder,
        "service_source": version.service,
        "version_source": version.number,
        "service_id_source": version.service_id,
        "version_id_source": version.id,
    }


def build(request: PackageRequest, target: Path) -> None:
    """Write the package of ``request`` to ``target``, a new file; memory use is constant."""
    outputs = {"files": None, **listing(request.versions)}
    manifest = {"object": "export", "id": request.job_id, "outputs": outputs}
    with ZipFile(target, "w") as archive:
        writer = Writer(archive)
        writer.directory(f"{request.tenant}/")
        for version in request.versions:
            _add_version(writer, request, version, target.with_suffix(".module"))
        writer.text(f"{request.tenant}/manifest.json", compact(manifest))


def _add_version(writer: Writer, request: PackageRequest, version: Version, module: Path) -> None:
    source = VersionFiles(version)
    bundle.build(source, module)
    service = f"{request.tenant}/{version.folder}/{version.service}/"
    folder = f"{service}{version.number}/"
    origin = {"Tenant": request.tenant, "BaseUrl": request.base_url}
    metadata = model_metadata(source, origin, file_hash(module, "sha256").hex())
    writer.directory(service)
    writer.directory(folder)
    writer.text(f"{folder}DefaultValidations.json", source.validations())
    writer.directory(folder)
    writer.text(f"{folder}ModelMetaData.json", compact(metadata))
    writer.directory(folder)
    with module.open("rb") as file:
        writer.stream(f"{folder}{version.id}.zip", file, "sha256")
    writer.text(f"{folder}WASMMetaData.json", compact({"Revision": version.number}))
    if request.workbooks:
        writer.text(f"{folder}{source.workbook_name()}", source.workbook())
    module.unlink()
