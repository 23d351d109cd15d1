"""Which plugins may take part in a run, and how each is loaded."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from spark_impex_runner.errors import PluginError, UsageError
from spark_impex_runner.hooks.distributions import installed
from spark_impex_runner.spelling import did_you_mean
from spark_impex_runner.version import DISTRIBUTION, __version__

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from importlib.metadata import EntryPoint

BUILT_IN = (
    "checksum",
    "executor_processes",
    "notify",
    "import_to",
    "package_check",
    "poll_adaptive",
    "resolve_file",
    "resolve_glob",
    "runner_upload",
    "skip_unchanged",
    "sources",
    "split",
    "unzip",
    "upload",
)
# What the runner cannot do without. Last, because of equals the first registered is asked first.
ESSENTIAL = ("defaults", "spark_impex_runner.engine.defaults")
# The environment's lists of plugins: the only ones that may come in, and those that may not.
ALLOWED = "IMPEX_PLUGINS"
DISABLED = "IMPEX_DISABLE_PLUGINS"


def _listed(variable: str) -> frozenset[str] | None:
    """Return the names in an environment variable, which commas part; None where it is not set."""
    text = os.environ.get(variable)
    if text is None:
        return None
    return frozenset(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True, slots=True)
class PluginChoice:
    """What manifest, command line and environment say about plugins; the strictest wins.

    ``required`` None lets every installed plugin in; a sequence of requirements
    (``impex-upload>=0.1``) lets only those distributions in. ``blocked`` are the names of
    ``-p no:NAME``, ``files`` the one-file plugins of ``-p FILE``, and ``local`` those that lie
    beside the manifest. ``environment`` and ``disabled`` are ``IMPEX_PLUGINS`` and
    ``IMPEX_DISABLE_PLUGINS``; they are read here, so that no command can forget them. A name is
    a plugin's or its distribution's.
    """

    required: Sequence[str] | None = None
    blocked: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()
    local: tuple[Path, ...] = ()
    environment: frozenset[str] | None = field(default_factory=lambda: _listed(ALLOWED))
    disabled: frozenset[str] = field(default_factory=lambda: _listed(DISABLED) or frozenset())

    def bar(self, info: PluginInfo) -> str:
        """Return what keeps a plugin out, whatever the manifest says of it; nothing if nothing."""
        if found := _named(self.blocked, info):
            return f"-p no:{found} blocks it"
        if _named(self.disabled, info):
            return f"{DISABLED} blocks it"
        # A file of -p was named by whoever set the environment; one beside a manifest was not.
        theirs = info.origin in {"pip", "unreadable"} or info.origin in map(str, self.local)
        if theirs and self.environment is not None and not _named(self.environment, info):
            return f"{ALLOWED} does not name it"
        return ""

    def sayings(self) -> Iterator[tuple[str, str]]:
        """Yield every name that command line and environment give, and how it was said."""
        for name in sorted(self.blocked):
            yield name, f"-p no:{name}"
        for variable, names in ((DISABLED, self.disabled), (ALLOWED, self.environment or ())):
            for name in sorted(names):
                yield name, f"{variable}: '{name}'"


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One plugin as ``impex plugins`` lists it; ``error`` says why it was left out.

    ``origin`` is ``essential``, ``built-in``, ``pip``, the path of a one-file plugin, or
    ``unreadable`` for a distribution of which it is not known whether it has a plugin.
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
    place: str | EntryPoint | Path | None

    def load(self) -> object:
        """Import the plugin; whatever its import raises comes through."""
        if self.place is None:
            raise PluginError(self.info.error)
        if isinstance(self.place, str):
            return importlib.import_module(self.place)
        if isinstance(self.place, Path):
            return _load_file(self.place)
        # Not of the standard library's class where importlib_metadata is loaded, which takes over.
        return self.place.load()


def candidates(choice: PluginChoice) -> Iterator[Candidate]:
    """Yield the plugins that ``choice`` lets in, in an order that never changes."""
    wanted = required_names(choice)
    for candidate in _everybody(choice):
        info = candidate.info
        theirs = info.origin in {"pip", "unreadable"}
        stranger = theirs and wanted is not None and info.distribution not in wanted
        if not stranger and (info.origin == "essential" or not choice.bar(info)):
            yield candidate


def barred(choice: PluginChoice) -> Iterator[PluginInfo]:
    """Yield the plugins that command line and environment keep out, with what does as error."""
    for candidate in _everybody(choice):
        if candidate.info.origin != "essential" and (reason := choice.bar(candidate.info)):
            yield replace(candidate.info, error=reason)


def _everybody(choice: PluginChoice) -> Iterator[Candidate]:
    """Yield every plugin that there is."""
    for name in BUILT_IN:
        info = PluginInfo(name, DISTRIBUTION, __version__, "built-in")
        yield Candidate(info, f"spark_impex_runner.plugins.{name}")
    for point, info in _installed():
        yield Candidate(info, point)
    for path in (*choice.files, *choice.local):
        yield Candidate(PluginInfo(path.stem, "", "", str(path)), path)
    name, module = ESSENTIAL
    yield Candidate(PluginInfo(name, DISTRIBUTION, __version__, "essential"), module)


def required_names(choice: PluginChoice) -> frozenset[str] | None:
    """Return the normalised names of the distributions that ``choice`` requires, if it does."""
    if choice.required is None:
        return None
    return frozenset(canonicalize_name(_requirement(text).name) for text in choice.required)


def check_choice(choice: PluginChoice) -> None:
    """Refuse what cannot be: a requirement that is not met, or no essential plugin."""
    for _, fault in unmet(choice):
        raise PluginError(fault)
    if by := choice.bar(PluginInfo(ESSENTIAL[0], DISTRIBUTION, __version__, "essential")):
        raise UsageError(f"the runner cannot do without its plugin {ESSENTIAL[0]}, but {by}")


def unmet(choice: PluginChoice) -> Iterator[tuple[int, str]]:
    """Yield which required distribution is missing, too old or kept out, and the cure."""
    if not choice.required:
        return  # To look through all that is installed takes its time.
    infos = [info for _, info in _installed()]
    for index, text in enumerate(choice.required):
        wanted = _requirement(text)
        name = canonicalize_name(wanted.name)
        found = [info for info in infos if info.distribution == name]
        bars = [by for by in map(choice.bar, found) if by]
        cure = f"pip install '{text}'"
        if not found:
            yield index, f"plugin {wanted.name} is not installed; {cure}"
        elif found[0].error:
            yield index, f"plugin {wanted.name} cannot be used: {found[0].error}"
        elif not _fits(found[0], wanted):
            has = f"plugin {wanted.name} {found[0].version} is installed"
            yield index, f"{has} but the manifest requires {text}; {cure}"
        elif bars:
            yield index, f"the manifest requires plugin {wanted.name}, but {bars[0]}"


def unknown_names(choice: PluginChoice) -> Iterator[str]:
    """Yield a warning for each name that is no plugin's, with the nearest that is.

    Raises ``UsageError`` where the command line blocks one: what was meant would run.
    """
    sayings = list(choice.sayings())
    if not sayings:
        return
    infos = [candidate.info for candidate in _everybody(choice)]
    known = {name for info in infos for name in (info.name, info.distribution) if name}
    for name, said in sayings:
        if not any(_named({name}, info) for info in infos):
            fault = f"{said} names no plugin{did_you_mean(name, sorted(known))}"
            if name in choice.blocked:
                raise UsageError(fault)
            yield fault


def _named(names: Collection[str], info: PluginInfo) -> str:
    """Return which of ``names`` is the plugin's or its distribution's, however it is spelt."""
    own = {canonicalize_name(info.name), canonicalize_name(info.distribution)} - {""}
    return next((name for name in sorted(names) if canonicalize_name(name) in own), "")


def _installed() -> list[tuple[EntryPoint | None, PluginInfo]]:
    """Return each installed entry point, and whose it is."""
    return [
        (
            each.point,
            PluginInfo(
                each.name,
                each.distribution,
                each.version,
                "pip" if each.certain else "unreadable",
                error=each.error,
            ),
        )
        for each in installed()
    ]


def _fits(info: PluginInfo, wanted: Requirement) -> bool:
    try:
        return wanted.specifier.contains(info.version, prereleases=True)
    except InvalidVersion:
        return not wanted.specifier


def _requirement(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise PluginError(f"requires.plugins: '{text}' is not a requirement: {reason}") from error


def _load_file(path: Path) -> object:
    if not path.exists():
        raise PluginError(f"there is no file {path}")
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
