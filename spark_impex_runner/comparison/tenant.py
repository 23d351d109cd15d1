"""Read the contents of a tenant without a job: its listings, and the details of latest versions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from spark_impex_runner import fields
from spark_impex_runner.blocking import map_in_threads
from spark_impex_runner.comparison.metadata import (
    SETTINGS,
    NotStatedError,
    canonical,
    capitalized,
    hash_text,
    settings,
    table,
)
from spark_impex_runner.errors import ForbiddenError, NotFoundError
from spark_impex_runner.models.comparison import OUTPUT_TYPES, Contents, VersionContents
from spark_impex_runner.spark.listing import version_details
from spark_impex_runner.spark.uri import Uri, version_order
from spark_impex_runner.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spark_impex_runner.models import ServiceVersion
    from spark_impex_runner.models.comparison import Items
    from spark_impex_runner.spark.client import Spark

# Requests at a time; the connection's own limit of requests per second holds, too.
_THREADS = 4
_HASHES = {"module": "CompiledOutputHash", "workbook": "OriginalServiceHash"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to compare: all services of these folders, and what these URIs name; None for all."""

    folders: frozenset[str]
    uris: tuple[Uri, ...]

    def has_service(self, found: ServiceVersion) -> bool:
        """Return whether any version of a service is wanted."""
        names = ((each.folder, each.service) for each in self.uris)
        return found.folder in self.folders or (found.folder, found.service) in names

    def has_version(self, found: ServiceVersion) -> bool:
        """Return whether one version is wanted."""
        return found.folder in self.folders or any(each.delivers(found) for each in self.uris)


def read_tenant(name: str, spark: Spark, wanted: Wanted | None) -> Contents:
    """Read the versions that are ``wanted``, and the details of the latest of each service.

    Raises ``SparkError``; details that the credentials may not see are unknown.
    """
    services = [
        each for each in spark.catalogue.services() if wanted is None or wanted.has_service(each)
    ]
    found = map_in_threads(partial(_read_service, spark, wanted), services, _THREADS)
    return Contents(name, "tenant", tuple(each for versions in found for each in versions))


def _read_service(
    spark: Spark, wanted: Wanted | None, service: ServiceVersion
) -> list[VersionContents]:
    """Return the versions of one service; the latest one with its details."""
    listed = spark.catalogue.versions(service.folder, service.service)
    chosen = [each for each in listed if wanted is None or wanted.has_version(each)]
    versions = sorted(chosen, key=lambda each: version_order(each.version))
    plain = [VersionContents(each.folder, each.service, each.version) for each in versions[:-1]]
    return [*plain, *(_read_latest(spark, each) for each in versions[-1:])]


def _read_latest(spark: Spark, version: ServiceVersion) -> VersionContents:
    sections: dict[str, Items] = {}
    unknown: dict[str, str] = {}
    try:
        details = version_details(spark.session, version)
    except (ForbiddenError, NotFoundError) as error:
        reason = one_line(str(error))
        names = ("inputs", "defaults", "outputs", "settings", *_HASHES)
        unknown = dict.fromkeys(names, reason)
    else:
        _read_details(details, sections, unknown)
    return VersionContents(version.folder, version.service, version.version, "", sections, unknown)


def _read_details(
    details: Mapping[str, Any], sections: dict[str, Items], unknown: dict[str, str]
) -> None:
    """Fill in what the details state, and why the rest is unknown."""
    metadata = fields.mapping(details.get("metadata"))
    engine = capitalized(metadata.get("engineInformation"), (*SETTINGS, *_HASHES.values()))
    for section, rows, place in (
        ("inputs", _cells(details, "xlInputs"), "xlInputs"),
        ("defaults", _values(details), "xlInputs"),
        ("outputs", _cells(details, "xOutput"), "xOutput"),
    ):
        try:
            sections[section] = table(rows, "name", place)
        except NotStatedError as error:
            unknown[section] = str(error)
    if not all("type" in each for each in sections.get("outputs", {}).values()):
        unknown[OUTPUT_TYPES] = "the tenant does not state them"
    if engine:
        sections["settings"] = settings(engine)
    for section, name in _HASHES.items():
        if found := hash_text(engine.get(name)):
            sections[section] = {section: {"sha256": canonical(found)}}
        else:
            unknown[section] = "the tenant states no hash of it"
    if not engine:
        unknown["settings"] = "the tenant states none"


def _cells(details: Mapping[str, Any], key: str) -> Any:
    """Return the rows of inputs or outputs with the keys of a package's metadata."""
    rows = details.get(key)
    if not isinstance(rows, list):
        return None
    return [dict(_cell(row, typed=key == "xOutput")) for row in fields.objects(rows)]


def _cell(row: Mapping[str, Any], *, typed: bool) -> Iterator[tuple[str, Any]]:
    yield from ((key, row[key]) for key in ("name", "address", "description") if key in row)
    if typed and (kind := fields.text(row.get("dataType"))):
        yield "type", kind.lower()


def _values(details: Mapping[str, Any]) -> Any:
    """Return default, type and validation of each input."""
    rows = details.get("xlInputs")
    if not isinstance(rows, list):
        return None
    names = {"name": "name", "value": "default", "dataType": "type", "validation": "validation"}
    return [
        {names[key]: _lower(key, row[key]) for key in names if key in row}
        for row in fields.objects(rows)
    ]


def _lower(key: str, value: Any) -> Any:
    return fields.text(value).lower() if key == "dataType" else value
