"""Ask what an import would do: the versions of a package, and the destination's listing.

Imported on use, for plugins load the tools at the start: what reads packages, and HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spark_impex_runner.archive_reader import FileReader
    from spark_impex_runner.models import Delivery, ExportedVersions, ListedService, Request
    from spark_impex_runner.spark.client import Spark


def read_exported(package: FileReader) -> ExportedVersions:
    """Return the versions that the manifest of a package lists, none without a manifest.

    Raises ``ValueError`` for a manifest that is no JSON, and ``DamagedFileError``.
    """
    from spark_impex_runner.comparison import exported  # noqa: PLC0415

    return exported.read_exported(package)


def exported_now(spark: Spark, request: Request, last: Delivery | None = None) -> ExportedVersions:
    """Return what an export would hold now, with the hashes that the tenant states.

    ``last``, the last delivery, tells what the ids in the request name. Sends one request for each
    version, up to 100 versions. Raises ``UnknownVersionsError``, and ``SparkError`` if the listing
    cannot be read.
    """
    from spark_impex_runner.spark import destination  # noqa: PLC0415

    return destination.exported_now(spark, request, last)


def list_destination(
    spark: Spark, exported: ExportedVersions, mappings: Sequence[Mapping[str, str]]
) -> Mapping[str, ListedService]:
    """Return the services that an import would change, by ``folder/service``, for its forecast.

    Only these are asked for. Raises no ``SparkError``: what could not be asked has a ``problem``.
    """
    from spark_impex_runner.spark import destination  # noqa: PLC0415

    return destination.list_destination(spark, exported, mappings)
