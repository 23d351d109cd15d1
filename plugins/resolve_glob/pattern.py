"""Parse patterns of services and match names and versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from spark_impex_runner import errors, models, tools

if TYPE_CHECKING:
    from collections.abc import Iterable


# A "?" before a number that ends the entry gives a version, as in service URIs.
_FORM = re.compile(r"(?P<path>[^\[\]]*?)(?:\[(?P<bracket>[^\[\]]*)\]|\?(?P<query>\d+(?:\.\d+)*))?")
_VERSION = re.compile(r"[^\s./*?]+(?:\.[^\s./*?]+)*(?:\.\*)?")
# Keywords of service URIs, ambiguous as a folder's name in the short form.
_RESERVED = frozenset({"service", "version", "services", "folders"})
# A full version has three components; one with fewer is partial.
_FULL_LENGTH = 3


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of names, in which ``*`` is any text and ``?`` any character.

    ``version`` has the leading components of the wanted version, none for the latest. One
    that ``excludes`` removes services from the results of the others.
    """

    folder: str
    service: str
    version: tuple[str, ...] = ()
    excludes: bool = False

    @classmethod
    def parse(cls, entry: str) -> Pattern:
        """Parse ``F/S``, ``F/S[V]`` or ``*``, optionally after ``!``; raise ``UriError``."""
        text = entry.strip()
        match = _FORM.fullmatch(text.removeprefix("!"))
        if match is None:
            raise _invalid(entry, "has a bracket too many or too few")
        folder, service = _names(entry, match["path"])
        version = match["query"] if match["bracket"] is None else match["bracket"].strip()
        excludes = is_exclusion(text)
        if excludes and version is not None:
            raise _invalid(entry, "gives a version, and an exclusion has none")
        return cls(folder, service, _components(entry, version), excludes)

    @property
    def is_wild(self) -> bool:
        """Whether the pattern needs a listing to find the services."""
        return any(sign in self.folder + self.service for sign in "*?")

    def matches(self, folder: str, service: str) -> bool:
        """Return True if a service matches; case-sensitive, as on the tenant."""
        return fnmatchcase(folder, self.folder) and fnmatchcase(service, self.service)

    def latest(self, versions: Iterable[models.ServiceVersion]) -> str:
        """Return the latest version with the wanted leading components, empty if there is none."""
        wanted = list(self.version)
        numbers = [each.version for each in versions]
        fitting = [each for each in numbers if each.split(".")[: len(wanted)] == wanted]
        return max(fitting, key=tools.version_order, default="")


def is_exclusion(entry: str) -> bool:
    """Return True if an entry is meant as an exclusion, well formed or not."""
    return entry.lstrip().startswith("!")


def is_pattern(entry: str) -> bool:
    """Return True if an entry is meant as a pattern, well formed or not."""
    text = entry.strip()
    match = _FORM.fullmatch(text)
    path = match["path"] if match else text
    return is_exclusion(text) or "*" in text or "?" in path


def parse_entry(entry: str) -> Pattern | None:
    """Return an entry as a pattern, None if it is sent unchanged."""
    # A partial version is resolved here: whether a tenant takes 1.2 for 1.20 is not documented.
    if is_pattern(entry):
        return Pattern.parse(entry)
    try:
        uri = tools.Uri.parse(entry)
    except errors.UriError:
        return None
    components = tuple(uri.version.split(".")) if uri.version else ()
    part = 0 < len(components) < _FULL_LENGTH
    return Pattern(uri.folder, uri.service, components) if part else None


def _names(entry: str, path: str) -> tuple[str, str]:
    """Return the patterns of folder and service."""
    names = [name.strip() for name in path.split("/") if name.strip()]
    if names == ["*"]:
        return "*", "*"
    if len(names) == 4 and (names[0], names[2]) == ("folders", "services"):
        names = [names[1], names[3]]
    elif len(names) == 2 and names[0] in _RESERVED:
        raise _invalid(entry, f"is ambiguous: '{names[0]}' is a keyword of service URIs")
    if len(names) != 2 or not all(name.isprintable() for name in names):
        raise _invalid(entry, "is in no known form")
    return names[0], names[1]


def _components(entry: str, version: str | None) -> tuple[str, ...]:
    """Return the leading components of a version."""
    if version is None:
        return ()
    if not _VERSION.fullmatch(version) or not version.isprintable():
        raise _invalid(entry, f"has no valid version in '{version}'")
    return tuple(version.removesuffix(".*").split("."))


def _invalid(entry: str, reason: str) -> errors.UriError:
    """Return the error of an entry and the valid forms."""
    # !r keeps control characters out of terminals.
    shown = entry if len(entry) <= 200 else f"{entry[:200]}..."
    return errors.UriError(
        f"pattern {shown!r} {reason}; use folder/service with * and ?, folder/service[1.*], "
        "!folder/service, or * for everything"
    )
