"""Find the plugins that a run may use, and load them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.errors import PluginError, UsageError
from spark_impex_runner.hooks.distributions import installed, normalized_name
from spark_impex_runner.spelling import did_you_mean
from spark_impex_runner.version import DISTRIBUTION, __version__

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from importlib.metadata import EntryPoint

    from packaging.requirements import Requirement

BUILT_IN = (
    "checksum",
    "calculate",
    "executor_dask",
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
    "telemetry",
    "tenant_inventory",
    "unzip",
    "upload",
)
# The default answers of hooks. Registered last: pluggy calls ``trylast`` hooks in the order of
# their registration, so a plugin with ``trylast`` is still called before these.
ESSENTIAL = ("defaults", "spark_impex_runner.engine.defaults")
# The environment variables that list the only plugins to load, and those not to load.
ALLOWED = "IMPEX_PLUGINS"
DISABLED = "IMPEX_DISABLE_PLUGINS"


def _names_in(variable: str) -> frozenset[str] | None:
    """Return the names in a comma-separated environment variable; None if it is not set."""
    text = os.environ.get(variable)
    if text is None:
        return None
    return frozenset(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True, slots=True)
class PluginChoice:
    """The plugins that manifest, command line and environment allow; the strictest wins.

    ``required`` None allows every installed plugin; a sequence of requirements
    (``impex-upload>=0.1``) allows only those distributions. ``blocked`` are the names of
    ``-p no:NAME``, ``files`` the one-file plugins of ``-p FILE``, and ``local`` those beside the
    manifest. ``environment`` and ``disabled`` are ``IMPEX_PLUGINS`` and
    ``IMPEX_DISABLE_PLUGINS``; they are read here, so that no command can forget them. A name is
    a plugin's or its distribution's.
    """

    required: Sequence[str] | None = None
    blocked: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()
    local: tuple[Path, ...] = ()
    environment: frozenset[str] | None = field(default_factory=lambda: _names_in(ALLOWED))
    disabled: frozenset[str] = field(default_factory=lambda: _names_in(DISABLED) or frozenset())

    def blocked_by(self, info: PluginInfo) -> str:
        """Return the option or variable that blocks a plugin; an empty text if none does."""
        if found := _matching_name(self.blocked, info):
            return f"-p no:{found} blocks it"
        if _matching_name(self.disabled, info):
            return f"{DISABLED} blocks it"
        # The user who sets the environment also chooses -p FILE, but not the files beside a
        # manifest.
        third_party = info.origin in {"pip", "unreadable"} or info.origin in map(str, self.local)
        if (
            third_party
            and self.environment is not None
            and not _matching_name(self.environment, info)
        ):
            return f"{ALLOWED} does not name it"
        return ""

    def named_options(self) -> Iterator[tuple[str, str]]:
        """Yield each name that command line and environment give, with its option or variable."""
        for name in sorted(self.blocked):
            yield name, f"-p no:{name}"
        for variable, names in ((DISABLED, self.disabled), (ALLOWED, self.environment or ())):
            for name in sorted(names):
                yield name, f"{variable}: '{name}'"


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin as ``impex plugins`` lists it; ``error`` says why it was left out.

    ``origin`` is ``essential``, ``built-in``, ``pip``, the path of a one-file plugin, or
    ``unreadable`` for a distribution that may have a plugin, but cannot be read.
    """

    name: str
    distribution: str
    version: str
    origin: str
    hooks: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin before it is loaded; ``location`` is a module name, an entry point or a file."""

    info: PluginInfo
    location: str | EntryPoint | Path | None

    def load(self) -> object:
        """Import the plugin; raises whatever its import raises."""
        if self.location is None:
            raise PluginError(self.info.error)
        if isinstance(self.location, str):
            return importlib.import_module(self.location)
        if isinstance(self.location, Path):
            return _load_file(self.location)
        # Not always the standard library's EntryPoint: importlib_metadata, once imported, takes
        # over.
        return self.location.load()


def candidates(choice: PluginChoice) -> Iterator[Candidate]:
    """Yield the plugins that ``choice`` allows, in a fixed order."""
    wanted = required_names(choice)
    for candidate in all_plugins(choice):
        info = candidate.info
        third_party = info.origin in {"pip", "unreadable"}
        not_required = third_party and wanted is not None and info.distribution not in wanted
        if not not_required and (info.origin == "essential" or not choice.blocked_by(info)):
            yield candidate


def blocked_plugins(choice: PluginChoice) -> Iterator[PluginInfo]:
    """Yield the plugins that command line and environment block, with the reason as error."""
    for candidate in all_plugins(choice):
        if candidate.info.origin != "essential" and (reason := choice.blocked_by(candidate.info)):
            yield replace(candidate.info, error=reason)


def all_plugins(choice: PluginChoice) -> Iterator[Candidate]:
    """Yield each plugin, allowed or not."""
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
    """Return the normalised names of the required distributions; None if any is allowed."""
    if choice.required is None:
        return None
    return frozenset(normalized_name(_requirement(text).name) for text in choice.required)


def check_choice(choice: PluginChoice) -> None:
    """Raise an error if a requirement is not met or an essential plugin is blocked."""
    for _, fault in unmet(choice):
        raise PluginError(fault)
    if by := choice.blocked_by(PluginInfo(ESSENTIAL[0], DISTRIBUTION, __version__, "essential")):
        raise UsageError(f"the runner cannot do without its plugin {ESSENTIAL[0]}, but {by}")


def unmet(choice: PluginChoice) -> Iterator[tuple[int, str]]:
    """Yield the index of each requirement that is not met, with the reason and what to do."""
    if not choice.required:
        return  # Reading the metadata of all installed distributions takes milliseconds.
    infos = [info for _, info in _installed()]
    for index, text in enumerate(choice.required):
        wanted = _requirement(text)
        name = normalized_name(wanted.name)
        found = [info for info in infos if info.distribution == name]
        blocks = [by for by in map(choice.blocked_by, found) if by]
        how_to_install = f"pip install '{text}'"
        if not found:
            yield index, f"plugin {wanted.name} is not installed; {how_to_install}"
        elif found[0].error:
            yield index, f"plugin {wanted.name} cannot be used: {found[0].error}"
        elif not _fits(found[0], wanted):
            has = f"plugin {wanted.name} {found[0].version} is installed"
            yield index, f"{has} but the manifest requires {text}; {how_to_install}"
        elif blocks:
            yield index, f"the manifest requires plugin {wanted.name}, but {blocks[0]}"


def unknown_names(choice: PluginChoice) -> Iterator[str]:
    """Yield a warning for each name that no plugin has, with the most similar one.

    Raises ``UsageError`` if it is in ``-p no:NAME``: the plugin that was meant would run.
    """
    named_options = list(choice.named_options())
    if not named_options:
        return
    infos = [candidate.info for candidate in all_plugins(choice)]
    known = {name for info in infos for name in (info.name, info.distribution) if name}
    for name, option in named_options:
        if not any(_matching_name({name}, info) for info in infos):
            fault = f"{option} names no plugin{did_you_mean(name, sorted(known))}"
            if name in choice.blocked:
                raise UsageError(fault)
            yield fault


def _matching_name(names: Collection[str], info: PluginInfo) -> str:
    """Return the name that is the plugin's or its distribution's, compared normalised."""
    own = {normalized_name(info.name), normalized_name(info.distribution)} - {""}
    return next((name for name in sorted(names) if normalized_name(name) in own), "")


def _installed() -> list[tuple[EntryPoint | None, PluginInfo]]:
    """Return each installed entry point with its plugin's info."""
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
    from packaging.version import InvalidVersion  # noqa: PLC0415 - see ``_requirement``

    try:
        return wanted.specifier.contains(info.version, prereleases=True)
    except InvalidVersion:
        return not wanted.specifier


def _requirement(text: str) -> Requirement:
    # Imported on use: most manifests require no plugin.
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415

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
    sys.modules[spec.name] = module  # Dataclasses look their module up here.
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
