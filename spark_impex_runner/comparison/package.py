"""Read what a package holds; its layout is that of a genuine ``onpremises`` package.

The layout of a ``migrate`` package is not published, so all files that are not known count as
files. A JSON file is compared without UUIDs and times, which may be those of the export.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.archive_reader import MANIFEST
from spark_impex_runner.comparison.files import FilesLeft, digest, read_object
from spark_impex_runner.comparison.metadata import NotStatedError
from spark_impex_runner.comparison.version import VersionReader
from spark_impex_runner.models.comparison import VersionContents
from spark_impex_runner.spark.status import parse_status

if TYPE_CHECKING:
    from spark_impex_runner.archive_reader import FileReader
    from spark_impex_runner.models import ServiceVersion
    from spark_impex_runner.models.comparison import Items


@dataclass(frozen=True, slots=True)
class PackageContents:
    """The versions of one package, and its files outside of any version.

    ``kind`` is inferred: a genuine ``onpremises`` package has no files besides those of the layout.
    """

    kind: str
    versions: tuple[VersionContents, ...]
    files: Items


def read_package(package: FileReader) -> PackageContents:
    """Read a package, each file once and in pieces.

    Raises ``DamagedFileError`` for a damaged file, ``NotStatedError`` if there is no manifest.
    """
    place = package.manifest
    if place is None:
        raise NotStatedError(f"it has no single {{tenant}}/{MANIFEST}, so it is no package")
    manifest = read_object(package, place)
    root = place.removesuffix(MANIFEST)
    left = FilesLeft(name for name in package.names if name != place)
    status = parse_status(manifest)
    versions: dict[str, VersionContents] = {}
    kind = "onpremises"
    for each in status.service_versions:
        if each.uri not in versions:
            folder = f"{root}{each.folder}/{each.service}/{each.version}/"
            reader = VersionReader(package, folder, each, left)
            versions[each.uri] = reader.read()
            kind = "migrate" if reader.has_others else kind
    services = {(each.folder, each.service) for each in status.service_versions}
    for each in status.services:
        if (each.folder, each.service) not in services:
            versions[each.uri] = _without_version(each)
    # The name of the tenant does not count; what is not below it keeps its full name.
    files = {
        name.removeprefix(root) if name.startswith(root) else f"/{name}": digest(package, name)
        for name in left.below("")
    }
    return PackageContents(kind, tuple(versions.values()), files)


def _without_version(service: ServiceVersion) -> VersionContents:
    reason = {"versions": f"{MANIFEST} names none"}
    return VersionContents(service.folder, service.service, "", service.service_id, {}, reason)
