"""The plugins of installed distributions, each of which may be damaged or unrelated."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "impex_runner"
_FILE = "entry_points.txt"
_OURS = re.compile(rf"^\s*\[\s*{ENTRY_POINT_GROUP}\s*\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Installed:
    """One plugin of a distribution, or, with ``error``, why the distribution cannot be read.

    ``certain`` is False where it is not even known whether the distribution has a plugin.
    """

    name: str
    distribution: str
    version: str
    point: EntryPoint | None = None
    error: str = ""
    certain: bool = True


def installed() -> list[Installed]:
    """Return all plugins on the path; of two distributions of one name the first one's count."""
    found: dict[str, list[Installed]] = {}
    for each in _distributions():
        plugins = _plugins(each)
        if plugins and plugins[0].distribution not in found:
            found[plugins[0].distribution] = plugins
    every = [plugin for plugins in found.values() for plugin in plugins]
    return sorted(every, key=lambda each: (each.name, each.distribution))


def _distributions() -> Iterator[Distribution]:
    """Yield what is installed; a finder of somebody else's may fail at any point."""
    try:
        yield from distributions()
    except Exception:  # noqa: BLE001 - what was found before it can be used
        return


def _plugins(each: Distribution) -> list[Installed]:
    """Return the plugins of a distribution; none for one that has nothing to do with us."""
    place = Path(str(getattr(each, "_path", "")))  # the one way to name a damaged one
    try:
        text = each.read_text(_FILE)
        if text is None and _is_refused(place / _FILE):
            return [_damaged(place, f"{place / _FILE} cannot be read", certain=False)]
    except Exception as error:  # noqa: BLE001 - any finder may be behind it
        reason = f"{place / _FILE} cannot be read: {_words(error)}"
        return [_damaged(place, reason, certain=False)]
    if not text or not _OURS.search(text):
        return []
    try:
        name = canonicalize_name(each.metadata["Name"])
        # Of two on the path, only the first one can be imported.
        first = distribution(name)
        points = [point for point in first.entry_points if point.group == ENTRY_POINT_GROUP]
        version = str(first.version or "")
    except Exception as error:  # noqa: BLE001 - it is named where it matters
        return [_damaged(place, f"the metadata in {place} cannot be read: {_words(error)}")]
    return [Installed(point.name, name, version, point) for point in points]


def _damaged(place: Path, error: str, *, certain: bool = True) -> Installed:
    """Return what is known of a distribution whose metadata cannot be read."""
    name = str(canonicalize_name(place.stem.partition("-")[0] or "unknown"))
    return Installed(name, name, "", error=error, certain=certain)


def _is_refused(file: Path) -> bool:
    return os.path.lexists(file) and not os.access(file, os.R_OK)


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
