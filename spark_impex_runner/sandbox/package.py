"""Export packages with the structure that was seen in a genuine ``onpremises`` package.

A ``migrate`` package has never been published. Here it is the same package with the original
workbook beside the other files; its name and place are an invention of the sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from spark_impex_runner.sandbox import bundle
from spark_impex_runner.sandbox.archive import Writer, compact, file_hash
from spark_impex_runner.sandbox.metadata import model_metadata
from spark_impex_runner.sandbox.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spark_impex_runner.sandbox.tenant import Version


@dataclass(frozen=True, slots=True)
class Order:
    """What to pack: ``versions`` of ``tenant`` for job ``job_id``, with workbooks or without."""

    tenant: str
    base_url: str
    job_id: str
    versions: Sequence[Version]
    workbooks: bool


def listing(versions: Sequence[Version]) -> dict[str, Any]:
    """Return ``services`` and ``service_versions`` as status and manifest tell them."""
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


def build(order: Order, target: Path) -> None:
    """Write the package of ``order`` to ``target``, a new file; memory use is constant."""
    outputs = {"files": None, **listing(order.versions)}
    manifest = {"object": "export", "id": order.job_id, "outputs": outputs}
    with ZipFile(target, "w") as archive:
        writer = Writer(archive)
        writer.directory(f"{order.tenant}/")
        for version in order.versions:
            _add_version(writer, order, version, target.with_suffix(".module"))
        writer.text(f"{order.tenant}/manifest.json", compact(manifest))


def _add_version(writer: Writer, order: Order, version: Version, module: Path) -> None:
    source = Source(version)
    bundle.build(source, module)
    service = f"{order.tenant}/{version.folder}/{version.service}/"
    home = f"{service}{version.number}/"
    origin = {"Tenant": order.tenant, "BaseUrl": order.base_url}
    metadata = model_metadata(source, origin, file_hash(module, "sha256").hex())
    writer.directory(service)
    writer.directory(home)
    writer.text(f"{home}DefaultValidations.json", source.validations())
    writer.directory(home)
    writer.text(f"{home}ModelMetaData.json", compact(metadata))
    writer.directory(home)
    with module.open("rb") as file:
        writer.stream(f"{home}{version.id}.zip", file, "sha256")
    writer.text(f"{home}WASMMetaData.json", compact({"Revision": version.number}))
    if order.workbooks:
        writer.text(f"{home}{source.workbook_name()}", source.workbook())
    module.unlink()
