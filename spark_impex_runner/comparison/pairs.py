"""Find what to compare: the versions of a service in both contents."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from spark_impex_runner.spark.uri import version_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spark_impex_runner.models.comparison import Contents, VersionContents

    Services = Mapping[str, list[VersionContents]]


def pair_services(
    old: Contents, new: Contents
) -> Iterator[tuple[Sequence[VersionContents], Sequence[VersionContents]]]:
    """Yield the versions of each service in both, oldest first, in the order of the names.

    Those of a service that is not there are empty.
    """
    before, after = _by_service(old), _by_service(new)
    moved = _moved(
        {name: before[name] for name in before.keys() - after.keys()},
        {name: after[name] for name in after.keys() - before.keys()},
    )
    for name in sorted((before.keys() | after.keys()) - set(moved.values())):
        yield before.get(name, ()), after.get(moved.get(name, name), ())


def pair_versions(
    old: Mapping[str, VersionContents], new: Mapping[str, VersionContents]
) -> Iterator[tuple[VersionContents, VersionContents]]:
    """Yield the versions of one number, and the latest with the latest at the end."""
    for number in old:
        if number in new:
            yield old[number], new[number]
    if old and new and (last := (list(old)[-1], list(new)[-1])) and last[0] != last[1]:
        yield old[last[0]], new[last[1]]


def _by_service(contents: Contents) -> Services:
    """Return the versions of each service, by ``folder/service``, oldest first."""
    found: dict[str, list[VersionContents]] = {}
    for each in sorted(contents.versions, key=lambda each: version_order(each.version)):
        found.setdefault(f"{each.folder}/{each.service}", []).append(each)
    return found


def _moved(removed: Services, added: Services) -> dict[str, str]:
    """Return the new name of each removed service that was added under another one."""
    found: dict[str, str] = {}
    for marks in (_ids, _modules):
        before, after = (
            _unambiguous(
                {name: marks(versions) for name, versions in services.items() if name not in done}
            )
            for services, done in ((removed, found.keys()), (added, set(found.values())))
        )
        found |= {before[mark]: after[mark] for mark in before.keys() & after.keys()}
    return found


def _ids(versions: Sequence[VersionContents]) -> str:
    return versions[-1].service_id.lower()


def _modules(versions: Sequence[VersionContents]) -> str:
    return versions[-1].sections.get("module", {}).get("module", {}).get("sha256", "")


def _unambiguous(marks: Mapping[str, str]) -> dict[str, str]:
    """Return the name by each mark that only one of the services has."""
    times = Counter(marks.values())
    return {mark: name for name, mark in marks.items() if mark and times[mark] == 1}
