"""Forecast what an import does with each service, from the destination's listing.

Documented: a service that is absent is added with all versions of the package; one that exists ends
the import (``abort``), is replaced with its versions, or gets versions numbered by the upgrade;
folders must exist; an import keeps the ids of versions where it can. Inferred: added versions
count on from the latest, one by one, and a service that ends the import ends all of it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from spark_impex_runner.models import ServiceForecast
from spark_impex_runner.spark.uri import Uri, version_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spark_impex_runner.models import ExportedVersions, ListedService, ServiceVersion

    Pair = tuple[ServiceVersion, ServiceVersion]

_UPGRADE = "minor"


def forecast_import(
    exported: ExportedVersions,
    mappings: Sequence[Mapping[str, str]],
    if_present: str,
    listed: Mapping[str, ListedService],
) -> tuple[ServiceForecast, ...]:
    """Return what an import would do with each service, in the order of ``mappings``.

    A pure function. ``mappings`` are those of ``Imports.initiate``: ``source``, ``target``
    (default: the source's service) and ``upgrade``. ``if_present`` is ``abort``, ``replace`` or
    ``add_version``. ``listed`` has the destination's services by ``folder/service``, as
    ``list_destination`` returns them.
    """
    targets = Counter(map(target_of, mappings))
    return tuple(
        _shared(each) if targets[target_of(each)] > 1 else _forecast(exported, each, if_present, at)
        for each in mappings
        for at in [listed[target_of(each)]]
    )


def target_of(mapping: Mapping[str, str]) -> str:
    """Return the service that a mapping leads to, as ``folder/service``."""
    target = mapping.get("target") or mapping["source"]
    return target.partition("[")[0]


def versions_of(exported: ExportedVersions, mapping: Mapping[str, str]) -> list[ServiceVersion]:
    """Return the versions of the package that a mapping takes, oldest first."""
    source = Uri.of_wire(mapping["source"])
    found = [each for each in exported.versions if source.delivers(each)]
    return sorted(found, key=lambda each: version_order(each.version))


def latest_pairs(
    exported: ExportedVersions, mapping: Mapping[str, str], at: ListedService
) -> list[Pair]:
    """Return the versions of the package with as many of the latest at the destination."""
    ours = versions_of(exported, mapping)
    theirs = list(reversed(at.versions[: len(ours)]))
    return list(zip(ours, theirs, strict=True)) if len(ours) == len(theirs) else []


def may_be_same(ours: ServiceVersion, theirs: ServiceVersion) -> bool:
    """Return whether id or number suggest that two versions are the same."""
    return _same_id(ours, theirs) or ours.version == theirs.version


def _shared(mapping: Mapping[str, str]) -> ServiceForecast:
    reason = "another service of this import goes there, too"
    return ServiceForecast(mapping["source"], target_of(mapping), "unknown", reason=reason)


def _forecast(
    exported: ExportedVersions, mapping: Mapping[str, str], if_present: str, at: ListedService
) -> ServiceForecast:
    source, target = mapping["source"], target_of(mapping)
    numbers = tuple(each.version for each in versions_of(exported, mapping))
    if at.problem:
        return ServiceForecast(source, target, "unknown", reason=at.problem)
    if not at.versions:
        outcome = "new" if at.has_folder else "folder_missing"
        return ServiceForecast(source, target, outcome, numbers if at.has_folder else ())
    now = at.versions[0].version
    if evidence := _identical(exported, mapping, if_present, at):
        there = tuple(theirs.version for _, theirs in latest_pairs(exported, mapping, at))
        return ServiceForecast(source, target, "identical", there, now, reason=evidence)
    if if_present == "abort":
        return ServiceForecast(source, target, "would_abort", now=now)
    if if_present == "replace":
        return ServiceForecast(source, target, "replaces", numbers, now, len(at.versions))
    added = _added(at, len(numbers), mapping.get("upgrade") or _UPGRADE)
    return ServiceForecast(source, target, "adds", added, now)


def _identical(
    exported: ExportedVersions, mapping: Mapping[str, str], if_present: str, at: ListedService
) -> str:
    """Return what shows that the destination has these versions as its latest; else nothing.

    For ``replace`` it must have no others, and these under their own numbers. An older version that
    equals the package's does not count: to add that again makes it the latest.
    """
    pairs = latest_pairs(exported, mapping, at)
    exact = if_present == "replace"
    if exact and (len(pairs) != len(at.versions) or any(a.version != b.version for a, b in pairs)):
        return ""
    found = {_evidence(exported, mapping, at, pair) for pair in pairs}
    return "" if not found or "" in found else ", or ".join(sorted(found))


def _evidence(
    exported: ExportedVersions, mapping: Mapping[str, str], at: ListedService, pair: Pair
) -> str:
    """Return what shows that two versions are the same, nothing if they differ or may differ."""
    ours, theirs = pair
    stated = exported.hashes.get(ours.version_id.lower(), {})
    there = at.hashes.get(theirs.version_id.lower(), {})
    # The module holds files with the service's name.
    renamed = Uri.of_wire(mapping["source"]).service != target_of(mapping).partition("/")[2]
    names = [each for each in ("module", "workbook") if not (renamed and each == "module")]
    known = [name for name in names if stated.get(name) and there.get(name)]
    if any(stated[name] != there[name] for name in known):
        return ""
    if _same_id(ours, theirs):
        return f"same version id{''.join(f', {name}' for name in known)}"
    # Two versions may have one workbook and module but other settings, so the numbers count, too.
    complete = known == ["module", "workbook"]
    return "same number, module, workbook" if complete and ours.version == theirs.version else ""


def _same_id(ours: ServiceVersion, theirs: ServiceVersion) -> bool:
    return bool(ours.version_id) and ours.version_id.lower() == theirs.version_id.lower()


def _added(at: ListedService, count: int, upgrade: str) -> tuple[str, ...]:
    """Return the numbers of added versions; none if the latest or its next number is uncertain."""
    latest = at.versions[0].version
    highest = max((each.version for each in at.versions), key=version_order)
    parts = latest.split(".")
    if highest != latest or len(parts) != 3 or not all(_is_number(each) for each in parts):
        return ()
    major, minor, patch = map(int, parts)
    return tuple(
        {
            "major": f"{major + step}.0.0",
            "minor": f"{major}.{minor + step}.0",
            "patch": f"{major}.{minor}.{patch + step}",
        }[upgrade]
        for step in range(1, count + 1)
    )


def _is_number(part: str) -> bool:
    # `int` refuses numbers of thousands of digits; no version has as many as 18.
    return part.isascii() and part.isdecimal() and len(part) <= 18
