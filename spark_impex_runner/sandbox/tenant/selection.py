"""Resolves the selection of an export request to versions of the tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spark_impex_runner.sandbox.tenant.tree import Tenant, Version

_URI = re.compile(r"(?P<folder>[^/\[\]]+)/(?P<service>[^/\[\]]+)(?:\[(?P<number>[^\[\]]*)\])?")


@dataclass(frozen=True, slots=True)
class Selection:
    """The three lists of an export request; ``every`` is ``version_filter: all``."""

    folders: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    version_ids: tuple[str, ...] = ()
    every: bool = False


def split_uri(uri: str) -> tuple[str, str, str]:
    """Return folder, service and version number (may be empty) of ``folder/service[number]``.

    Raises LookupError for any other text.
    """
    found = _URI.fullmatch(uri)
    if found is None:
        raise LookupError(f"service could not be found: {uri}")
    return found["folder"], found["service"], (found["number"] or "").strip()


def starting_with(versions: Iterable[Version], number: str) -> list[Version]:
    """Return the versions whose number is ``number`` or begins with its dotted components."""
    wanted = number.split(".")
    return [v for v in versions if v.number.split(".")[: len(wanted)] == wanted]


def select(tenant: Tenant, selection: Selection) -> list[Version]:
    """Return the selected versions in the order of the request, each once.

    A version in a URI selects the latest that begins with it (documented), with any version
    filter (assumed). Raises LookupError for the first entry that does not exist.
    """
    found: dict[str, Version] = {}
    for folder in selection.folders:
        _add(found, _in_folder(tenant, folder, selection.every))
    for service in selection.services:
        _add(found, _of_service(tenant, service, selection.every))
    for version_id in selection.version_ids:
        _add(found, [v for v in tenant.all_versions() if v.id == version_id], version_id)
    return list(found.values())


def _add(found: dict[str, Version], versions: list[Version], asked: str = "") -> None:
    if not versions:
        raise LookupError(f"service version could not be found: {asked}")
    found.update((version.id, version) for version in versions)


def _in_folder(tenant: Tenant, folder: str, every: bool) -> list[Version]:
    found = []
    for service in tenant.services(folder):
        found += _newest(tenant.versions(folder, service), every)
    if not found:
        raise LookupError(f"folder could not be found, or has no service: {folder}")
    return found


def _of_service(tenant: Tenant, asked: str, every: bool) -> list[Version]:
    if "/" not in asked:
        versions = [v for v in tenant.all_versions() if v.service_id == asked]
        number = ""
    else:
        folder, service, number = split_uri(asked)
        versions = list(tenant.versions(folder, service))
    if number:
        versions = starting_with(versions, number)
    if not versions:
        raise LookupError(f"service could not be found: {asked}")
    return _newest(versions, every and not number)


def _newest(versions: Iterable[Version], every: bool) -> list[Version]:
    ordered = list(versions)
    return ordered if every else ordered[-1:]
