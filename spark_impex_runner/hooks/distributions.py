"""Find the plugins of installed distributions, some of which may be damaged."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "impex_runner"
_FILE = "entry_points.txt"
_OUR_GROUP = re.compile(rf"^\s*\[\s*{ENTRY_POINT_GROUP}\s*\]", re.MULTILINE)


def normalized_name(name: str) -> str:
    """Return a distribution's name as PEP 503 compares it: ``Impex_Upload`` is ``impex-upload``.

    ``packaging.utils`` has this function, too, but imports the tags of wheels with it.
    """
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True, slots=True)
class Installed:
    """A plugin of a distribution, or, with ``error``, why the distribution cannot be read.

    ``certain`` is False if the distribution may have no plugin at all.
    """

    name: str
    distribution: str
    version: str
    point: EntryPoint | None = None
    error: str = ""
    certain: bool = True


def installed() -> list[Installed]:
    """Return all plugins on the path; of distributions with one name, those of the first."""
    found: dict[str, list[Installed]] = {}
    for each in _distributions():
        plugins = _plugins(each)
        if plugins and plugins[0].distribution not in found:
            found[plugins[0].distribution] = plugins
    every = [plugin for plugins in found.values() for plugin in plugins]
    return sorted(every, key=lambda each: (each.name, each.distribution))


def _distributions() -> Iterator[Distribution]:
    """Yield the installed distributions, up to the first error of a metadata finder."""
    try:
        yield from distributions()
    except Exception:  # noqa: BLE001 - a third-party finder; keep what was found so far
        return


def _plugins(each: Distribution) -> list[Installed]:
    """Return the plugins that a distribution offers to this runner."""
    folder = str(getattr(each, "_path", ""))  # A damaged one has no name but its folder's.
    # Text: of hundreds of distributions hardly one needs a path.
    file = os.path.join(folder, _FILE)  # noqa: PTH118
    try:
        text = each.read_text(_FILE)
        if text is None and _is_refused(file):
            return [_unreadable(folder, f"{file} cannot be read", certain=False)]
    except Exception as error:  # noqa: BLE001 - a third-party finder may raise anything
        return [_unreadable(folder, f"{file} cannot be read: {_describe(error)}", certain=False)]
    if not text or not _OUR_GROUP.search(text):
        return []
    try:
        name = normalized_name(each.metadata["Name"])
        # Of two installations on the path, Python imports the first.
        first = distribution(name)
        points = [point for point in first.entry_points if point.group == ENTRY_POINT_GROUP]
        version = str(first.version or "")
    except Exception as error:  # noqa: BLE001 - the error is reported if a manifest needs it
        return [_unreadable(folder, f"the metadata in {folder} cannot be read: {_describe(error)}")]
    return [Installed(point.name, name, version, point) for point in points]


def _unreadable(folder: str, error: str, *, certain: bool = True) -> Installed:
    """Return an entry for a distribution whose metadata cannot be read."""
    name = normalized_name(Path(folder).stem.partition("-")[0] or "unknown")
    return Installed(name, name, "", error=error, certain=certain)


def _is_refused(file: str) -> bool:
    return os.path.lexists(file) and not os.access(file, os.R_OK)


def _describe(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
