"""Patterns of services: how they are written, and what they match."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from spark_impex_runner import errors, models, tools

if TYPE_CHECKING:
    from collections.abc import Iterable


# A "?" before a number that ends the entry gives a version, as in service URIs.
_FORM = re.compile(r"(?P<path>[^\[\]]*?)(?:\[(?P<bracket>[^\[\]]*)\]|\?(?P<mark>\d+(?:\.\d+)*))?")
_VERSION = re.compile(r"[^\s./*?]+(?:\.[^\s./*?]+)*(?:\.\*)?")
# Words of the notation of service URIs, which a folder's name cannot be in the short form.
_WORDS = frozenset({"service", "version", "services", "folders"})
# The tenant's versions have so many components; one with fewer is a part of one.
_WHOLE = 3


@dataclass(frozen=True, slots=True)
class Pattern:
    """Services by their names, in which ``*`` is any text and ``?`` any character.

    ``version`` holds the leading components of the wanted version, nothing for the latest. One
    that ``excludes`` takes away from what the others gave.
    """

    folder: str
    service: str
    version: tuple[str, ...] = ()
    excludes: bool = False

    @classmethod
    def parse(cls, entry: str) -> Pattern:
        """Read a pattern: ``F/S``, ``F/S[V]`` or ``*``, and all of them after a ``!``.

        Raises ``UriError`` where it is none.
        """
        text = entry.strip()
        match = _FORM.fullmatch(text.removeprefix("!"))
        if match is None:
            raise _unreadable(entry, "has a bracket too many or too few")
        folder, service = _names(entry, match["path"])
        version = match["mark"] if match["bracket"] is None else match["bracket"].strip()
        excludes = is_exclusion(text)
        if excludes and version is not None:
            raise _unreadable(entry, "gives a version, and an exclusion has none")
        return cls(folder, service, _components(entry, version), excludes)

    @property
    def wild(self) -> bool:
        """Whether only a listing tells which services are meant."""
        return any(sign in self.folder + self.service for sign in "*?")

    def matches(self, folder: str, service: str) -> bool:
        """Tell whether the names of a service are meant; case counts, as it does on a tenant."""
        return fnmatchcase(folder, self.folder) and fnmatchcase(service, self.service)

    def latest(self, versions: Iterable[models.ServiceVersion]) -> str:
        """Return the latest version that begins as wanted, by component; empty if there is none."""
        wanted = list(self.version)
        numbers = [each.version for each in versions]
        fitting = [each for each in numbers if each.split(".")[: len(wanted)] == wanted]
        return max(fitting, key=tools.version_order, default="")


def is_exclusion(entry: str) -> bool:
    """Tell whether an entry is meant to take away from others, well formed or not."""
    return entry.lstrip().startswith("!")


def is_pattern(entry: str) -> bool:
    """Tell whether an entry is meant as a pattern, well formed or not."""
    text = entry.strip()
    match = _FORM.fullmatch(text)
    path = match["path"] if match else text
    return is_exclusion(text) or "*" in text or "?" in path


def read(entry: str) -> Pattern | None:
    """Return an entry as a pattern, None where it is sent as it stands.

    A part of a version is resolved like a pattern: what a tenant takes ``1.2`` for, where there
    is a ``1.20``, is not known.
    """
    if is_pattern(entry):
        return Pattern.parse(entry)
    try:
        uri = tools.Uri.parse(entry)
    except errors.UriError:
        return None
    components = tuple(uri.version.split(".")) if uri.version else ()
    part = 0 < len(components) < _WHOLE
    return Pattern(uri.folder, uri.service, components) if part else None


def _names(entry: str, path: str) -> tuple[str, str]:
    """Return the patterns of the folder's and of the service's name."""
    names = [name.strip() for name in path.split("/") if name.strip()]
    if names == ["*"]:
        return "*", "*"
    if len(names) == 4 and (names[0], names[2]) == ("folders", "services"):
        names = [names[1], names[3]]
    elif len(names) == 2 and names[0] in _WORDS:
        raise _unreadable(entry, f"is ambiguous, as '{names[0]}' is a word of the notation")
    if len(names) != 2 or not all(name.isprintable() for name in names):
        raise _unreadable(entry, "is in no known form")
    return names[0], names[1]


def _components(entry: str, version: str | None) -> tuple[str, ...]:
    """Return the components that a version must begin with."""
    if version is None:
        return ()
    if not _VERSION.fullmatch(version) or not version.isprintable():
        raise _unreadable(entry, f"has no readable version in '{version}'")
    return tuple(version.removesuffix(".*").split("."))


def _unreadable(entry: str, reason: str) -> errors.UriError:
    """Word the one line; ``!r`` keeps control characters out of terminals."""
    shown = entry if len(entry) <= 200 else f"{entry[:200]}..."
    return errors.UriError(
        f"pattern {shown!r} {reason}; use folder/service with * and ?, folder/service[1.*], "
        "!folder/service, or * for everything"
    )
