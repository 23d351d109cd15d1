"""What a worker must have in common with the run that sends it a unit."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner import digests
from spark_impex_runner.errors import PluginError, StateError, UsageError
from spark_impex_runner.machine import machine_id
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spark_impex_runner.hooks.discovery import PluginInfo
    from spark_impex_runner.models import RunOptions

_BUILT_IN = {"built-in", "essential"}


@dataclass(frozen=True, slots=True)
class Origin:
    """The versions, files and machine of a run, which a worker compares with its own.

    Attributes:
        runner: The runner's version: the first field can be read whatever the versions are.
        plugins: Name, distribution and version of each installed plugin that is loaded.
        files: The manifest, overlays and one-file plugins, with their digests.
        machine: The run's machine; empty if its state may be used on several.
    """

    runner: str
    plugins: tuple[tuple[str, str, str], ...]
    files: tuple[tuple[Path, str], ...]
    machine: str

    @classmethod
    def of(cls, path: Path, options: RunOptions, infos: Iterable[PluginInfo]) -> Origin:
        """Return the origin of all units of a run, with the options of its units."""
        loaded = _foreign(infos)
        installed = tuple((each.name, each.distribution, each.version) for each in loaded)
        paths = [path, *options.overlays]
        paths += [Path(each.origin) for each in loaded if not each.distribution]
        return cls(
            runner=__version__,
            plugins=tuple(each for each in installed if each[1]),
            files=tuple((each.absolute(), _digest(each)) for each in paths),
            machine="" if isinstance(options.state, str) else machine_id(),
        )

    def check(self) -> None:
        """Raise ``ImpexError`` if this process differs from the run, before it loads anything."""
        if self.runner != __version__:
            raise PluginError(
                f"runner {__version__} here, the run has {self.runner}; install that version here"
            )
        if self.machine and self.machine != machine_id():
            raise StateError(
                "this is another machine than the run's, and its state is a local folder; "
                "give both the same state with --state s3://BUCKET/PREFIX, az:// or gs://"
            )
        for path, digest in self.files:
            if not path.is_file():
                raise UsageError(f"{path}: no such file here; workers read it at the run's path")
            if _digest(path) != digest:
                raise UsageError(f"{path}: differs from the run's; copy that to the same path here")
        for name, distribution, wanted in self.plugins:
            if (here := _version(distribution)) != wanted:
                raise PluginError(
                    f"plugin {name} {here or 'is not installed'} here, the run has {wanted}; "
                    f"pip install '{distribution}=={wanted}' here"
                )

    def check_loaded(self, infos: Iterable[PluginInfo]) -> None:
        """Raise ``PluginError`` if this process has loaded a plugin that the run has not."""
        known = {name for name, _, _ in self.plugins}
        for each in _foreign(infos):
            if each.distribution and each.name not in known:
                raise PluginError(
                    f"plugin {each.name} {each.version} here, the run has none; uninstall it here, "
                    "or list the run's plugins in the manifest (requires.plugins)"
                )


def _foreign(infos: Iterable[PluginInfo]) -> list[PluginInfo]:
    """Return the plugins that were loaded and are not part of the runner."""
    return [each for each in infos if each.origin not in _BUILT_IN and not each.error]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _digest(path: Path) -> str:
    """Return the digest of a file; empty for a pipe, which only one process can read."""
    return digests.sha256(path) if path.is_file() else ""
