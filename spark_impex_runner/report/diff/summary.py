"""Say in one line what differs in a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_impex_runner.models.comparison import OUTPUT_TYPES
from spark_impex_runner.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spark_impex_runner.models.comparison import Change, Diff, ServiceDiff, VersionDiff

NOUNS = {
    "inputs": "input",
    "defaults": "input",
    "outputs": "output",
    "settings": "setting",
    "files": "file",
}


def headline(diff: Diff) -> str:
    """Return in one sentence how many services differ."""
    parts = []
    for word, services in (
        ("changed", [each for each in diff.services if each.differs and each.old and each.new]),
        ("added", [each for each in diff.services if not each.old]),
        ("removed", [each for each in diff.services if not each.new]),
    ):
        if services:
            parts.append(f"{counted(len(services), 'service')} {word}")
    if diff.files:
        parts.append(f"{counted(len(diff.files), 'other file')} changed")
    sentence = ", ".join(parts) or "Nothing differs"
    return sentence if diff.complete else f"{sentence}; not everything was compared"


def summary(service: ServiceDiff) -> str:
    """Return the line of a service: ``motor/pricing 1.4.1 -> 1.4.2: 1 input added``."""
    return f"{title(service)}: {', '.join(_parts(service))}"


def title(service: ServiceDiff) -> str:
    """Return the names of a service, and the versions of its last comparison."""
    names = " -> ".join(dict.fromkeys(filter(None, (service.old, service.new))))
    if service.versions:
        return f"{names} {versions(service.versions[-1])}"
    return f"{names} {_only_version(service)}".rstrip()


def versions(diff: VersionDiff) -> str:
    """Return the version numbers of a comparison, one if both are the same."""
    return " -> ".join(dict.fromkeys((diff.old.version, diff.new.version)))


def lists_versions(service: ServiceDiff) -> bool:
    """Return whether versions came or went that the title does not name."""
    if not service.versions:
        return not _only_version(service)
    last = service.versions[-1]
    return (service.removed, service.added) not in (
        ((), ()),
        ((last.old.version,), (last.new.version,)),
    )


def _only_version(service: ServiceDiff) -> str:
    """Return the version of a service that came or went with one, else an empty text."""
    numbers = (*service.added, *service.removed)
    return numbers[0] if len(numbers) == 1 and not (service.old and service.new) else ""


def _parts(service: ServiceDiff) -> Iterator[str]:
    if not service.old or not service.new:
        yield "added" if service.new else "removed"
    elif service.old != service.new:
        yield "moved"
    if lists_versions(service):
        for numbers, word in ((service.added, "added"), (service.removed, "removed")):
            if numbers:
                yield f"{counted(len(numbers), 'version')} {word}"
    if service.versions:
        yield from _compared(service)


def _compared(service: ServiceDiff) -> Iterator[str]:
    """Yield what differs between the last versions, and how many others differ."""
    *others, last = service.versions
    yield from count_changes(last.changes)
    # No package states the types of outputs: a line below says so, not every summary.
    if unknown := [each.what for each in last.unknown if each.what != OUTPUT_TYPES]:
        yield f"{', '.join(unknown)} not compared"
    elif not last.changes and service.old == service.new:
        yield "nothing else differs"
    if differing := sum(bool(each.changes) for each in others):
        yield f"{counted(differing, 'other version')} changed"


def count_changes(changes: Sequence[Change]) -> Iterator[str]:
    """Yield how many things of each kind were added, removed or changed."""
    for noun in ("input", "output"):
        yield from _count(noun, [each for each in changes if NOUNS.get(each.section) == noun])
    for section in ("settings", "files"):
        if number := len({each.name for each in changes if each.section == section}):
            yield f"{counted(number, NOUNS[section])} changed"
    sections = {each.section for each in changes}
    if whole := [section for section in ("module", "workbook") if section in sections]:
        yield f"{' and '.join(whole)} changed"


def _count(noun: str, changes: Sequence[Change]) -> Iterator[str]:
    """Yield how many inputs or outputs came, went, or changed type, default or something else."""
    for kind in ("added", "removed"):
        if number := sum(change_kind(each) == kind for each in changes):
            yield f"{counted(number, noun)} {kind}"
    for name in ("type", "default"):
        if number := sum(each.property == name for each in changes):
            yield f"{counted(number, noun)} changed {name}"
    rest = [each for each in changes if each.property not in {"", "type", "default"}]
    if rest:
        number, names = len({each.name for each in rest}), sorted({e.property for e in rest})
        yield f"{counted(number, noun)} changed {_joined(names)}"


def _joined(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else "other properties"


def change_kind(change: Change) -> str:
    """Return ``added``, ``removed`` or ``changed``."""
    if change.property:
        return "changed"
    return "added" if change.old is None else "removed"
