"""What packages and tenants hold, and what differs between two of them.

A value is canonical JSON text: two values are equal if and only if their texts are. What could not
be read is never an empty value, but has its reason in ``unknown``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.models.calculation import CaseDiff

# The properties of one thing, such as an input; and all things of one kind, by name.
Properties = Mapping[str, str]
Items = Mapping[str, Properties]
# What is unknown of most packages; the same module has the same outputs, whatever their types are.
OUTPUT_TYPES = "types of outputs"


@dataclass(frozen=True, slots=True)
class VersionContents:
    """One version of a service.

    ``sections`` holds ``inputs``, ``defaults`` (by input), ``outputs``, ``settings``, ``module``,
    ``workbook`` and ``files``; ``unknown`` the reason by the name of what is not stated.
    ``parts`` are the files in the module with their checksums, which only explain a difference.
    """

    folder: str
    service: str
    version: str
    service_id: str = ""
    sections: Mapping[str, Items] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """``folder/service[version]``."""
        return f"{self.folder}/{self.service}[{self.version}]"


@dataclass(frozen=True, slots=True)
class Contents:
    """All versions of a package, a delivered folder or a tenant.

    ``kind`` is ``migrate``, ``onpremises`` or ``tenant``; ``files`` are those of no version.
    """

    name: str
    kind: str
    versions: tuple[VersionContents, ...]
    files: Items = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: ``old`` is None for something added, ``new`` for something removed.

    Without a ``property`` the whole thing was added or removed, and its value is the JSON object
    of its properties.
    """

    section: str
    name: str
    property: str = ""
    old: str | None = None
    new: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that was not compared, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """The differences between two versions; ``parts`` are the files of the module that differ."""

    old: VersionContents
    new: VersionContents
    changes: tuple[Change, ...]
    unknown: tuple[Unknown, ...]
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceDiff:
    """The differences of one service: ``old`` and ``new`` are its names, empty if it is not there.

    ``added`` and ``removed`` are version numbers; ``versions`` only those pairs with a difference
    or something unknown.
    """

    old: str
    new: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    versions: tuple[VersionDiff, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether there is a difference, not only something unknown."""
        if self.old != self.new or self.added or self.removed:
            return True
        return any(each.changes for each in self.versions)


@dataclass(frozen=True, slots=True)
class Diff:
    """All differences between ``old`` and ``new``, the names of what was compared.

    ``calculation`` is what moved in the results of cases, None without any.
    """

    old: str
    new: str
    services: tuple[ServiceDiff, ...] = ()
    files: tuple[Change, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    calculation: CaseDiff | None = None

    @property
    def differs(self) -> bool:
        """Whether there is a difference, not only something unknown."""
        moved = self.calculation is not None and self.calculation.moved > 0
        return moved or bool(self.files) or any(each.differs for each in self.services)

    @property
    def complete(self) -> bool:
        """Whether everything was compared."""
        versions = [version for service in self.services for version in service.versions]
        return not self.unknown and not any(version.unknown for version in versions)
