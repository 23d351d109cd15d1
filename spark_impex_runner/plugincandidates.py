"""Which plugins may take part in a run, and how each is loaded."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from spark_impex_runner.errors import PluginError
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ENTRY_POINT_GROUP = "impex_runner"
BUILT_IN = (
    "checksum",
    "package_check",
    "poll_adaptive",
    "resolve_file",
    "resolve_glob",
    "unzip",
)
# What the runner cannot do without. Last, because of equals the first registered is asked first.
ESSENTIAL = ("defaults", "spark_impex_runner.engine.defaults")
_OURS = "spark-impex-runner"


@dataclass(frozen=True, slots=True)
class PluginChoice:
    """What the manifest and the command line say about plugins.

    ``required`` None lets every installed plugin in; a sequence of requirements
    (``impex-upload>=0.1``) lets only those distributions in. ``files`` are one-file plugins.
    """

    required: Sequence[str] | None = None
    blocked: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One plugin as ``impex plugins`` lists it; ``error`` says why it was left out.

    ``origin`` is ``essential``, ``built-in``, ``pip`` or the path of a one-file plugin.
    """

    name: str
    distribution: str
    version: str
    origin: str
    hooks: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin before it is loaded; ``place`` is a module name, an entry point or a file."""

    info: PluginInfo
    place: str | EntryPoint | Path

    def load(self) -> object:
        """Import the plugin; whatever its import raises comes through."""
        if isinstance(self.place, str):
            return importlib.import_module(self.place)
        if isinstance(self.place, EntryPoint):
            return self.place.load()
        return _load_file(self.place)


def candidates(choice: PluginChoice) -> Iterator[Candidate]:
    """Yield the plugins that ``choice`` lets in, in an order that never changes."""
    for name in BUILT_IN:
        info = PluginInfo(name, _OURS, __version__, "built-in")
        yield Candidate(info, f"spark_impex_runner.plugins.{name}")
    for point, name, version in _installed():
        if choice.required is None or name in allowed(choice):
            yield Candidate(PluginInfo(point.name, name, version, "pip"), point)
    for path in choice.files:
        yield Candidate(PluginInfo(path.stem, "", "", str(path)), path)
    name, module = ESSENTIAL
    yield Candidate(PluginInfo(name, _OURS, __version__, "essential"), module)


def allowed(choice: PluginChoice) -> frozenset[str]:
    """Return the normalised names of the distributions that ``choice`` requires."""
    return frozenset(canonicalize_name(_requirement(text).name) for text in choice.required or ())


def check_required(choice: PluginChoice) -> None:
    """Raise ``PluginError`` unless every required distribution is installed as required."""
    for _, fault in unmet(choice):
        raise PluginError(fault)


def unmet(choice: PluginChoice) -> Iterator[tuple[int, str]]:
    """Yield which of the required distributions is missing or too old, and what installs it."""
    if not choice.required:
        return  # To look through all that is installed takes its time.
    versions = {name: version for _, name, version in _installed()}
    for index, text in enumerate(choice.required):
        wanted = _requirement(text)
        found = versions.get(canonicalize_name(wanted.name))
        cure = f"pip install '{text}'"
        if found is None:
            yield index, f"plugin {wanted.name} is not installed; {cure}"
        elif not wanted.specifier.contains(found, prereleases=True):
            has = f"plugin {wanted.name} {found} is installed"
            yield index, f"{has} but the manifest requires {text}; {cure}"


def _installed() -> list[tuple[EntryPoint, str, str]]:
    """Return each installed entry point with its distribution's normalised name and version."""
    return [
        (point, canonicalize_name(point.dist.name), point.dist.version)
        for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)
        if point.dist
    ]


def _requirement(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise PluginError(f"requires.plugins: '{text}' is not a requirement: {reason}") from error


def _load_file(path: Path) -> object:
    spec = importlib.util.spec_from_file_location(f"impex_plugin_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
