"""Read which versions a package holds, and the hashes that their metadata state."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from spark_impex_runner import fields
from spark_impex_runner.archive_reader import MANIFEST, DamagedFileError
from spark_impex_runner.errors import SparkSdkError
from spark_impex_runner.models import ExportedVersions
from spark_impex_runner.spark.listing import stated_hashes
from spark_impex_runner.spark.status import parse_status

if TYPE_CHECKING:
    from spark_impex_runner.archive_reader import FileReader

_METADATA = "ModelMetaData.json"


def read_exported(package: FileReader) -> ExportedVersions:
    """Return the versions that the manifest of a package lists, none without a manifest.

    The layout of a ``migrate`` package is not published, so it may have no manifest, and no
    metadata. Raises ``ValueError`` for a manifest that is no JSON, and ``DamagedFileError``.
    """
    manifest = package.manifest
    if manifest is None:
        return ExportedVersions()
    data = fields.parse(package.text(manifest))
    try:
        versions = parse_status(data).service_versions
    except SparkSdkError:  # JSON, but not a manifest in the documented form.
        return ExportedVersions()
    root = manifest.removesuffix(MANIFEST)
    hashes = {}
    for each in versions:
        path = f"{root}{each.folder}/{each.service}/{each.version}/{_METADATA}"
        # The step package_check reports damage; here the version is without hashes.
        with suppress(ValueError, DamagedFileError):
            if path in package.names and each.version_id:
                metadata = fields.mapping(fields.parse(package.text(path)))
                hashes[each.version_id.lower()] = stated_hashes(metadata)
    return ExportedVersions(versions, hashes)
