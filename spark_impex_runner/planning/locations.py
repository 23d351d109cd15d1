"""Collect every path that a run reads or writes, and check them against one another."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import ManifestError, UsageError
from spark_impex_runner.manifest.yaml.document import Finding
from spark_impex_runner.models import EVIDENCE, RECEIPT, KeyValueStore
from spark_impex_runner.ownership import Ownership
from spark_impex_runner.paths import Identities, ProtectedPaths, folded, url_problem
from spark_impex_runner.planning.entries import files_read
from spark_impex_runner.state.place import STATE_FOLDER, StatePlace, parse_place
from spark_impex_runner.user import user_cache

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from spark_impex_runner.hooks.registry import Offer, Registry
    from spark_impex_runner.manifest.yaml.document import Document, KeyPath
    from spark_impex_runner.models import Manifest, RunOptions, Step, Target

# Bytes in a name that common file systems allow; a file is first written under a temporary name,
# which is longer.
_MAX_FOLDER_NAME = 255
_MAX_FILE_NAME = 240
_FILE_REFERENCE = re.compile(r"\$\{file:([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class PathUse:
    """A path that a run reads or writes, with the key or the option that gives it."""

    path: Path
    what: str
    key: KeyPath = ()
    option: str = ""


@dataclass(frozen=True, slots=True)
class PathUses:
    """All paths of a run: files that it reads or writes, and folders that belong to it alone."""

    read: tuple[PathUse, ...]
    written: tuple[PathUse, ...]
    folders: tuple[PathUse, ...]

    def guarded(self, targets: Iterable[Target]) -> ProtectedPaths:
        """Return the paths that no package and no step may replace."""
        outputs = ((each.output, f"the output of target {each.name!r}") for each in targets)
        every = ((each.path, each.what) for each in (*self.read, *self.written, *self.folders))
        return ProtectedPaths((*outputs, *every))


def path_uses(
    document: Document,
    manifest: Manifest,
    options: RunOptions,
    registry: Registry,
    place: StatePlace,
) -> PathUses:
    """Return all paths that a manifest and its options determine; ``place`` is the state's."""
    folder = manifest.path.absolute().parent
    read = [PathUse(path, f"{path}, a file of this manifest") for path in document.files]
    read += [PathUse(path, f"the plugin {path}") for path in options.plugin_files]
    read += [PathUse(path, f"the plugin {path}") for path in (folder / "plugins").glob("*.py")]
    read += [
        PathUse(path, f"{path}, which a reference reads")
        for path in _referenced_files(document, folder)
    ]
    read += _service_and_notification_files(manifest, registry)
    folders = [] if isinstance(place, str) else list(_state_paths(place, manifest.path))
    written = [
        PathUse(folder / path, f"the report {name!r}", ("report", name))
        for name, path in manifest.reports.items()
        if name not in options.reports
    ]
    written += [
        PathUse(path, f"the report {name!r}", option=f"--report {name}={path}")
        for name, path in options.reports.items()
    ]
    for name, each in manifest.connections.items():
        if each.sandbox and not manifest.path.resolve().is_relative_to(each.sandbox.resolve()):
            folders.append(PathUse(each.sandbox, f"the tenant of the connection {name!r}"))
        if isinstance(each.verify_tls, str):
            read.append(PathUse(Path(each.verify_tls), "the CA bundle"))
    if manifest.sign and manifest.sign.ssh_key:
        read.append(PathUse(manifest.sign.ssh_key, "the key that signs"))
    for target in manifest.targets:
        for step_key, step in steps_of(target):
            for key, kind in path_options(registry.steps.get(step.uses), step.options).items():
                path = folder / step.options[key]
                what = f"{path} of a step {step.uses!r}"
                use = PathUse(path, what, (*step_key, "with", key))
                (written if kind == "write" else read).append(use)
    return PathUses(tuple(read), tuple(written), tuple(folders))


def _service_and_notification_files(manifest: Manifest, registry: Registry) -> Iterator[PathUse]:
    """Yield the files that entries of `services` and options of notifications name."""
    folder = manifest.path.absolute().parent
    entries = (entry for target in manifest.targets for entry in target.services)
    for name in files_read(registry, entries):
        yield PathUse(folder / name, f"{folder / name}, a list of services")
    for each in manifest.notify:
        for key in path_options(registry.notifiers.get(each.uses), each.options):
            path = folder / each.options[key]
            yield PathUse(path, f"{path}, which a notification reads")


def _state_paths(folder: Path, manifest: Path) -> Iterator[PathUse]:
    """Yield the state directory, or the files in it if the manifest is in there, too."""
    if not manifest.resolve().is_relative_to(folder.resolve()):
        yield PathUse(folder, f"the state in {folder}")
        return
    for name in ("state.db", "state.db-wal", "state.db-shm", "leases", "cache"):
        yield PathUse(folder / name, f"the state in {folder}")


def state_place(path: Path, options: RunOptions) -> StatePlace:
    """Return the place of a manifest's state."""
    return parse_place(options.state) if options.state else path.parent / STATE_FOLDER


def cache_folder(path: Path, options: RunOptions) -> Path | None:
    """Return the folder for what steps can make again; it may be removed at any time.

    It is in the state directory, or in the user's cache folder if the state is elsewhere.
    """
    place = state_place(path, options)
    return place / "cache" if isinstance(place, Path) else user_cache()


def check_options(path: Path, options: RunOptions) -> None:
    """Raise ``UsageError`` if a path of the command line is a URL that may not be one."""
    state_place(path, options)
    paths = [
        ("the manifest", path, "read"),
        ("output", options.output, "output"),
        *(("overlay", each, "read") for each in options.overlays),
        *(("plugin", each, "read") for each in options.plugin_files),
        *((f"report {name}", each, "write") for name, each in options.reports.items()),
    ]
    for name, each, purpose in paths:
        if each is not None and (problem := url_problem(str(each), purpose)):
            raise UsageError(f"{name}: {problem}")


def check_conflicts(
    document: Document, targets: Iterable[Target], registry: Registry, uses: PathUses
) -> None:
    """Raise ``ManifestError`` or ``UsageError`` if a run would write to a path in use."""
    every = list(targets)
    guarded = replace(uses, written=()).guarded(every)
    conflicts = [
        *_WrittenFiles(uses, every, registry).conflicts(),
        *_output_conflicts(every, uses),
        *(each for target in every for each in _step_conflicts(target, registry, guarded)),
    ]
    raise_conflicts(document, conflicts)


class _WrittenFiles:
    """The files that a run writes, checked against all that it reads and writes besides."""

    def __init__(self, uses: PathUses, targets: Iterable[Target], registry: Registry) -> None:
        self._uses = uses
        self._identities = Identities()
        self._outputs = {self._identities.of(each.output): each for each in targets}
        self._above = {above for output in self._outputs for above in _parents(output)}
        self._read = {self._identities.of(each.path): each for each in uses.read}
        self._inodes = {node: each for each in uses.read if (node := _inode(each.path))}
        self._registry = registry

    def conflicts(self) -> Iterator[tuple[PathUse, str]]:
        """Yield each file that may not be written, and the reason."""
        seen: dict[str, PathUse] = {}
        places = [(self._identities.of(use.path), use) for use in self._uses.written]
        inside = {above: use for place, use in places for above in _parents(place)}
        for place, use in places:
            other = seen.setdefault(place, use)
            if reason := self._reason(use, place):
                yield use, reason
            elif other is not use and not _is_shared_by_steps(other, use):
                yield use, f"{use.what} would replace {other.what}"
            elif place in inside:
                yield use, f"{use.what} would be where the folder of {inside[place].what} is"

    def _reason(self, use: PathUse, place: str) -> str:
        if reason := _length_error(use.path, _MAX_FILE_NAME):
            return reason
        if use.path.name == "-":
            return "'-' is not a file; only files can be written"
        # Hard links have different paths and one inode.
        other = self._read.get(place) or self._inodes.get(_inode(use.path) or (0, 0))
        other = other or next((e for e in self._uses.folders if self._is_in(place, e.path)), None)
        if other:
            return f"{use.what} would replace {other.what}; choose another path"
        if place in self._outputs or place in self._above:
            return f"{use.what} would be where a target's output is; choose another path"
        for above in _parents(place):
            if (target := self._outputs.get(above)) and self._is_delivered(place, above, target):
                return f"{use.what} would replace what target {target.name!r} delivers"
        return ""

    def _is_in(self, place: str, folder: Path) -> bool:
        return f"{place}{os.sep}".startswith(f"{self._identities.of(folder)}{os.sep}")

    def _is_delivered(self, place: str, output: str, target: Target) -> bool:
        inner = folded(place[len(output) + 1 :].replace(os.sep, "/"))
        names = {
            RECEIPT,
            EVIDENCE,
            *(n for _, step in steps_of(target) for n in written_by(step, self._registry)),
        }
        return any(_overlap(inner, folded(name)) for name in names)


def _is_shared_by_steps(one: PathUse, other: PathUse) -> bool:
    """Return whether two steps write to one file, such as a list that both extend."""
    return bool(one.key and other.key) and one.key[0] != "report" != other.key[0]


def _output_conflicts(targets: Iterable[Target], uses: PathUses) -> Iterator[tuple[PathUse, str]]:
    """Yield each output that may not be where it is, and the reason."""
    identities = Identities()
    seen: dict[str, Target] = {}
    for target in targets:
        place = identities.of(target.output)
        use = PathUse(target.output, "", target.written.get("output", ()))
        if reason := _length_error(target.output, _MAX_FOLDER_NAME):
            yield use, reason
        for folder in uses.folders:
            if f"{place}{os.sep}".startswith(f"{identities.of(folder.path)}{os.sep}"):
                yield use, f"the output would lie in {folder.what}; choose another folder"
        if (other := seen.setdefault(place, target)) is not target:
            yield use, _shared_output(other, target)


def _shared_output(one: Target, other: Target) -> str:
    """Return the message for two targets with one output, and why their paths are one."""
    message = f"the targets {one.name!r} and {other.name!r} would write to one output"
    paths = one.output, other.output
    if one.output != other.output:
        # A long message is cut in its middle: what differs must stay.
        names = " and ".join(os.path.relpath(each, os.path.commonpath(paths)) for each in paths)
        message += f": {names} are one folder"
        if len({folded(str(each)) for each in paths}) == 1:
            message += ", since this file system ignores letter case"
    return f"{message}; choose another folder for one of them"


def _step_conflicts(
    target: Target, registry: Registry, guarded: ProtectedPaths
) -> Iterator[tuple[PathUse, str]]:
    """Yield each file or folder that a step may not write, and the reason."""
    owned = Ownership(target.output, KeyValueStore(), guarded)
    earlier: list[str] = []
    for key, step in steps_of(target):
        names = written_by(step, registry)
        for name in names:
            use = PathUse(target.output / name, "", key_of_name(key, step, name))
            if reason := _length_error(Path(name), _MAX_FILE_NAME) or owned.forbidden(use.path):
                yield use, reason
            elif any(_overlap(folded(name), other) for other in earlier):
                yield use, f"two steps of target {target.name!r} would write to {name}"
        earlier += map(folded, names)


def _length_error(path: Path, most: int) -> str:
    """Return the message for a path with a part that is too long, else an empty text."""
    longest = max(path.parts, key=lambda part: len(os.fsencode(part)), default="")
    size = len(os.fsencode(longest))
    return f"'{longest[:20]}…' has {size} bytes; a name may have {most}" if size > most else ""


def _overlap(one: str, other: str) -> bool:
    """Return whether one of two paths is the other or lies in it."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def steps_of(target: Target) -> Iterator[tuple[KeyPath, Step]]:
    """Yield each step of a target with its path in the manifest as written."""
    for index, step in enumerate(target.steps):
        yield (*target.written.get("steps", ()), index), step


def written_by(step: Step, registry: Registry) -> list[str]:
    """Return the names that a step writes below the output."""
    offer = registry.steps.get(step.uses)
    return list(offer.writes(step.options)) if offer else []


def key_of_name(step_key: KeyPath, step: Step, name: str) -> KeyPath:
    """Return the path in the manifest of the option that names a step's file or folder."""
    keys = [key for key, value in step.options.items() if str(value).rstrip("/") == name]
    return (*step_key, "with", *keys[:1])


def path_options(offer: Offer | None, options: Mapping[str, Any]) -> dict[str, str]:
    """Return the options that name a file, with ``read`` or ``write``."""
    properties: Any = offer.options.get("properties", {}) if offer else {}
    kinds = {key: part.get("x-path") for key, part in properties.items() if isinstance(part, dict)}
    return {
        key: kind
        for key, kind in kinds.items()
        if kind in {"read", "write"} and isinstance(options.get(key), str)
    }


def _referenced_files(document: Document, folder: Path) -> Iterator[Path]:
    """Yield the files that ``${file:…}`` reads."""
    texts = {each.text for each in document.positions.values() if each.text}
    for text in sorted(text for text in texts if "${file:" in text):
        yield from (folder / name for name in _FILE_REFERENCE.findall(text))


def _parents(place: str) -> list[str]:
    return list(map(str, Path(place).parents))


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def raise_conflicts(document: Document, conflicts: Iterable[tuple[PathUse, str]]) -> None:
    """Raise ``ManifestError`` for conflicts of the manifest, else ``UsageError`` for an option."""
    every = list(conflicts)
    findings = [Finding(use.key, reason) for use, reason in every if use.key or not use.option]
    if findings:
        raise ManifestError(list(map(document.problem, dict.fromkeys(findings))))
    for use, reason in every:
        raise UsageError(f"{use.option}: {reason}")
