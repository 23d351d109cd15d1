"""Warn before an export of what would make it fail, by the listings that the plan asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.spark.uri import Uri
from spark_impex_runner.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.models import Request
    from spark_impex_runner.spark.client import Spark


def export_warnings(request: Request, spark: Spark) -> tuple[str, ...]:
    """Return a line for each reason for which an export would fail, and what to do; send nothing.

    Documented: every folder must contain a service, and every service have a compiled module.
    """
    uris = [Uri.of_wire(each) for each in request.services]
    return (*_absent(request, uris, spark), *_uncompiled(request, uris, spark))


def _absent(request: Request, uris: list[Uri], spark: Spark) -> Iterator[str]:
    """Yield the folders and services that are not listed, if the tenant was asked for them."""
    listed = spark.catalogue.known_services()
    if listed is None:
        return
    folders = dict.fromkeys(each.folder for each in listed)
    services = dict.fromkeys(f"{each.folder}/{each.service}" for each in listed)
    for folder in request.folders:
        if folder not in folders:
            hint = did_you_mean(folder, folders)
            yield (
                f"folder {folder} has no service that the credentials see{hint}: the export would "
                "fail; check the name and permissions, or remove it from folders"
            )
    for name in (f"{each.folder}/{each.service}" for each in uris if each.service):
        if name not in services:
            hint = did_you_mean(name, services)
            yield (
                f"{name} is no service that the credentials see{hint}: the export would fail; "
                "check the name and permissions"
            )


def _uncompiled(request: Request, uris: list[Uri], spark: Spark) -> Iterator[str]:
    """Yield the versions of which the tenant has said that they have no compiled module."""
    for each in sorted(spark.catalogue.uncompiled, key=lambda each: each.uri):
        if each.folder in request.folders or any(uri.delivers(each) for uri in uris):
            yield f"{each.uri} has no compiled module: the export would fail; compile it first"
