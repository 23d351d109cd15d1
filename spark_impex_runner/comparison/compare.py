"""Compare two contents; a function of its arguments alone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.comparison.pairs import pair_services, pair_versions
from spark_impex_runner.models.comparison import (
    OUTPUT_TYPES,
    Change,
    Contents,
    Diff,
    ServiceDiff,
    Unknown,
    VersionContents,
    VersionDiff,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from spark_impex_runner.models.comparison import Items

SECTIONS = ("inputs", "defaults", "outputs", "settings", "module", "workbook", "files")


def compare(old: Contents, new: Contents) -> Diff:
    """Return what differs between two contents, and what could not be compared.

    The order is that of the names. Versions are compared with those of the same number, and the
    latest with the latest. A service that moved is found by its id, or by its module.
    """
    kinds = _kinds(old, new)
    services = [_compare_service(pair, with_files=not kinds) for pair in pair_services(old, new)]
    files, unknown = _compare_section("files", old.files, new.files)
    if kinds:
        files = [each for each in files if each.property]
    found = tuple(each for each in services if each.differs or each.versions)
    return Diff(old.name, new.name, found, tuple(files), (*kinds, *unknown))


def _kinds(old: Contents, new: Contents) -> tuple[Unknown, ...]:
    """Return what cannot be compared between packages of two kinds."""
    if old.kind == new.kind or not old.versions or not new.versions:
        return ()
    reason = f"OLD is {old.kind}, NEW is {new.kind}"
    return (Unknown("files that only one of them has", reason),)


def _compare_service(
    pair: tuple[Sequence[VersionContents], Sequence[VersionContents]], *, with_files: bool
) -> ServiceDiff:
    """Compare the versions of one service."""
    old, new = ({each.version: each for each in versions} for versions in pair)
    added = tuple(number for number in new if number not in old)
    removed = tuple(number for number in old if number not in new)
    diffs = [
        _compare_version(before, after, with_files=with_files)
        for before, after in pair_versions(old, new)
    ]
    kept = tuple(
        each
        for each in diffs
        if each.changes or each.unknown or each.old.version != each.new.version
    )
    return ServiceDiff(_name(pair[0]), _name(pair[1]), added, removed, kept)


def _name(versions: Sequence[VersionContents]) -> str:
    return f"{versions[0].folder}/{versions[0].service}" if versions else ""


def _compare_version(
    old: VersionContents, new: VersionContents, *, with_files: bool
) -> VersionDiff:
    """Compare two versions section by section."""
    changes: list[Change] = []
    unknown = [*_unknown(old, new)]
    for section in SECTIONS:
        before, after = old.sections.get(section), new.sections.get(section)
        if before is not None and after is not None:
            found, not_stated = _compare_section(section, before, after)
            changes += found
            unknown += not_stated
    changes = list(_with_defaults(changes, old, new))
    if not with_files:
        changes = [each for each in changes if each.section != "files" or each.property]
    if _same_module(old, new):
        unknown = [each for each in unknown if each.what != OUTPUT_TYPES]
        return VersionDiff(old, new, tuple(changes), tuple(unknown))
    return VersionDiff(old, new, tuple(changes), tuple(unknown), tuple(_differing(old, new)))


def _same_module(old: VersionContents, new: VersionContents) -> bool:
    """Return whether both modules are known and equal."""
    modules = old.sections.get("module"), new.sections.get("module")
    return None not in modules and modules[0] == modules[1]


def _with_defaults(
    changes: Sequence[Change], old: VersionContents, new: VersionContents
) -> Iterator[Change]:
    """Yield the changes, where the default of an input comes and goes with it."""
    renewed = {each.name for each in changes if each.section == "inputs" and not each.property}
    for each in changes:
        if each.name not in renewed or each.section not in {"inputs", "defaults"}:
            yield each
        elif each.section == "inputs":
            before, after = _input(old, each.name), _input(new, each.name)
            yield replace(each, old=_object(before), new=_object(after))


def _input(version: VersionContents, name: str) -> Mapping[str, str] | None:
    """Return all properties of an input, None if the version has no such input."""
    found = version.sections["inputs"].get(name)
    rules = version.sections.get("defaults", {}).get(name, {})
    return None if found is None else {**found, **rules}


def _unknown(old: VersionContents, new: VersionContents) -> Iterator[Unknown]:
    """Yield what one or both versions do not state."""
    for what in dict.fromkeys((*old.unknown, *new.unknown)):
        before, after = old.unknown.get(what), new.unknown.get(what)
        if before == after:
            yield Unknown(what, str(before))
        else:
            sides = (("OLD", before), ("NEW", after))
            yield Unknown(what, "; ".join(f"{side}: {reason}" for side, reason in sides if reason))


def _compare_section(section: str, old: Items, new: Items) -> tuple[list[Change], list[Unknown]]:
    """Compare all things of one kind; a property that one side does not state is unknown."""
    changes, one_sided = [], Counter[tuple[str, str]]()
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before is None or after is None:
            changes.append(Change(section, name, "", _object(before), _object(after)))
            continue
        for key in sorted(before.keys() | after.keys()):
            if key not in before or key not in after:
                one_sided[key, "NEW" if key not in before else "OLD"] += 1
            elif before[key] != after[key]:
                changes.append(Change(section, name, key, before[key], after[key]))
    unknown = [
        Unknown(f"{key} of {number} in {section}", f"only {side} states it")
        for (key, side), number in sorted(one_sided.items())
    ]
    return changes, unknown


def _object(properties: Mapping[str, str] | None) -> str | None:
    """Return the JSON object of a thing's properties, None if it is not there."""
    if properties is None:
        return None
    pairs = (f"{json.dumps(key)}:{properties[key]}" for key in sorted(properties))
    return "{" + ",".join(pairs) + "}"


def _differing(old: VersionContents, new: VersionContents) -> Iterable[str]:
    """Return the files of the modules that differ, none if one of the modules is not there."""
    if not old.parts or not new.parts:
        return ()
    names = old.parts.keys() | new.parts.keys()
    return (each for each in sorted(names) if old.parts.get(each) != new.parts.get(each))
