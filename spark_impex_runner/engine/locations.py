"""Every path that a run reads or writes, checked against all others before anything is sent."""

from __future__ import annotations

import os
import re
import stat
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.engine.attempt import key_of
from spark_impex_runner.engine.placed import PlacedFiles
from spark_impex_runner.errors import ManifestError, UsageError
from spark_impex_runner.manifest.document import Finding
from spark_impex_runner.models import RECEIPT, Memory
from spark_impex_runner.ownership import Ownership
from spark_impex_runner.paths import Guarded, Identities, folded, url_problem
from spark_impex_runner.spark.tenant import TenantUrl
from spark_impex_runner.state.store import State, exists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from spark_impex_runner.engine.prepare import Loaded
    from spark_impex_runner.manifest.document import Document, KeyPath
    from spark_impex_runner.models import Manifest, RunOptions, Step, Target
    from spark_impex_runner.registry import Registry

# What a file system takes, and what of it is left where a temporary name adds to it.
_LONGEST_FOLDER = 255
_LONGEST_FILE = 240
_FILE = re.compile(r"\$\{file:([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Use:
    """A path that a run reads or writes, and where it was given: at a key, or by an option."""

    path: Path
    what: str
    key: KeyPath = ()
    option: str = ""


@dataclass(frozen=True, slots=True)
class Uses:
    """All paths of a run: files that are read, files that are written, folders that are its own."""

    read: tuple[Use, ...]
    written: tuple[Use, ...]
    folders: tuple[Use, ...]

    def guarded(self, targets: Iterable[Target]) -> Guarded:
        """Return what no package and no step may replace."""
        outputs = ((each.output, f"the output of target {each.name!r}") for each in targets)
        every = ((each.path, each.what) for each in (*self.read, *self.written, *self.folders))
        return Guarded((*outputs, *every))


def uses_of(
    document: Document, manifest: Manifest, options: RunOptions, registry: Registry, state: Path
) -> Uses:
    """Return all paths that the manifest and the command line determine."""
    folder = manifest.path.absolute().parent
    read = [Use(path, f"{path}, a file of this manifest") for path in document.files]
    read += [Use(path, f"the plugin {path}") for path in options.plugin_files]
    read += [Use(path, f"the plugin {path}") for path in (folder / "plugins").glob("*.py")]
    read += [Use(path, f"{path}, which a reference reads") for path in _referred(document, folder)]
    folders = [Use(state, f"the state in {state}", option="--state")]
    written = [
        Use(folder / path, f"the report {name!r}", ("report", name))
        for name, path in manifest.reports.items()
        if name not in options.reports
    ]
    written += [
        Use(path, f"the report {name!r}", option=f"--report {name}={path}")
        for name, path in options.reports.items()
    ]
    for name, each in manifest.connections.items():
        if each.sandbox:
            folders.append(Use(each.sandbox, f"the tenant of the connection {name!r}"))
        if isinstance(each.verify_tls, str):
            read.append(Use(Path(each.verify_tls), "the CA bundle"))
    for target in manifest.targets:
        for place, step in _steps(target):
            for key, kind in _path_options(step, registry).items():
                path = folder / str(step.options[key])
                what = f"{path} of a step {step.uses!r}"
                use = Use(path, what, (*place, "with", key))
                (written if kind == "write" else read).append(use)
    return Uses(tuple(read), tuple(written), tuple(folders))


def check_options(path: Path, options: RunOptions) -> None:
    """Raise ``UsageError`` if a path that was given beside the manifest is a URL."""
    given = [("the manifest", path), ("output", options.output), ("state", options.state)]
    given += [("overlay", each) for each in options.overlays]
    given += [("plugin", each) for each in options.plugin_files]
    given += [(f"report {name}", each) for name, each in options.reports.items()]
    for name, each in given:
        if each is not None and (problem := url_problem(str(each))):
            raise UsageError(f"{name}: {problem}; give a local path")


def check_conflicts(
    document: Document, targets: Iterable[Target], registry: Registry, uses: Uses
) -> None:
    """Raise ``ManifestError`` or ``UsageError`` if a run would write to a path of another use."""
    every = list(targets)
    guarded = replace(uses, written=()).guarded(every)
    conflicts = [
        *_Written(uses, every, registry).conflicts(),
        *(found for target in every for found in _outputs(target, uses)),
        *(found for target in every for found in _step_places(target, registry, guarded)),
    ]
    _raise(document, conflicts)


def check_disk(loaded: Loaded, options: RunOptions) -> None:
    """Raise ``ManifestError`` or ``UsageError`` for what cannot be written, or is another's.

    It depends on what lies on the disk now, and speaks of the chosen targets only.
    """
    if options.run_id:
        return
    [state] = (each.path for each in loaded.uses.folders if each.option == "--state")
    found = [(use, reason) for use in loaded.uses.written if (reason := _unwritable(use.path))]
    registry, manifest = loaded.plugins.registry, loaded.manifest
    steps = [
        (target, place, step, name)
        for target in loaded.targets
        for place, step in _steps(target)
        for name in _names(step, registry)
        if os.path.lexists(target.output / name)
    ]
    if steps:
        with closing(State(state)) if exists(state) else nullcontext() as opened:
            for target, place, step, name in steps:
                placed = PlacedFiles(opened, key_of(manifest, target), target)
                owned = Ownership(target.output, placed, Guarded())
                path = target.output / name
                # What was added to a folder of ours is the target's failure alone.
                if owned.record(path) is None and (reason := owned.stranger(path)):
                    found.append((Use(path, "", _at(place, step, name)), reason))
    _raise(loaded.document, found)


class _Written:
    """The files that a run writes, each held against all that it reads or writes besides."""

    def __init__(self, uses: Uses, targets: Iterable[Target], registry: Registry) -> None:
        self._uses = uses
        self._identities = Identities()
        self._outputs = {self._identities.of(each.output): each for each in targets}
        self._above = {above for place in self._outputs for above in _parents(place)}
        self._read = {self._identities.of(each.path): each for each in uses.read}
        self._inodes = {node: each for each in uses.read if (node := _inode(each.path))}
        self._registry = registry

    def conflicts(self) -> Iterator[tuple[Use, str]]:
        """Yield each file that may not be written, and why."""
        seen: dict[str, Use] = {}
        for use in self._uses.written:
            place = self._identities.of(use.path)
            other = seen.setdefault(place, use)
            if reason := self._reason(use, place):
                yield use, reason
            elif other is not use and not _is_shared(other, use):
                yield use, f"{use.what} would replace {other.what}"

    def _reason(self, use: Use, place: str) -> str:
        if reason := _too_long(use.path, _LONGEST_FILE):
            return reason
        if use.path.name == "-":
            return "'-' is not a file; only files can be written"
        lost = self._read.get(place) or self._inodes.get(_inode(use.path) or (0, 0))
        lost = lost or next((e for e in self._uses.folders if self._is_in(place, e.path)), None)
        if lost:
            return f"{use.what} would replace {lost.what}; choose another path"
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
        names = {RECEIPT, *(n for _, step in _steps(target) for n in _names(step, self._registry))}
        return any(_nested(inner, folded(name)) for name in names)


def _is_shared(one: Use, other: Use) -> bool:
    """Tell whether two steps write to one file that belongs to steps."""
    return bool(one.key and other.key) and one.key[0] != "report" != other.key[0]


def _outputs(target: Target, uses: Uses) -> Iterator[tuple[Use, str]]:
    """Yield why a target's output may not be where it is."""
    identities = Identities()
    place = f"{identities.of(target.output)}{os.sep}"
    use = Use(target.output, "", target.written.get("output", ()))
    if reason := _too_long(target.output, _LONGEST_FOLDER):
        yield use, reason
    for folder in uses.folders:
        if place.startswith(f"{identities.of(folder.path)}{os.sep}"):
            yield use, f"the output would lie in {folder.what}; choose another folder"


def _step_places(target: Target, registry: Registry, guarded: Guarded) -> Iterator[tuple[Use, str]]:
    """Yield why a step may not write where it is to, whatever is there."""
    owned = Ownership(target.output, Memory(), guarded)
    earlier: list[str] = []
    for place, step in _steps(target):
        mine = [folded(name) for name in _names(step, registry)]
        for name in _names(step, registry):
            use = Use(target.output / name, "", _at(place, step, name))
            if reason := _too_long(Path(name), _LONGEST_FILE) or owned.forbidden(use.path):
                yield use, reason
            elif any(_nested(folded(name), other) for other in earlier):
                yield use, f"two steps of target {target.name!r} would write to {name}"
        earlier += mine


def _too_long(path: Path, most: int) -> str:
    """Return that a file system does not take a path with such a long part; else nothing."""
    longest = max(path.parts, key=lambda part: len(os.fsencode(part)), default="")
    size = len(os.fsencode(longest))
    return f"'{longest[:20]}…' has {size} bytes, a name may have {most}" if size > most else ""


def _nested(one: str, other: str) -> bool:
    """Tell whether one of two paths is the other, or lies in it."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _steps(target: Target) -> Iterator[tuple[KeyPath, Step]]:
    """Yield each step of a target with the place at which it is written."""
    for index, step in enumerate(target.steps):
        yield (*target.written.get("steps", ()), index), step


def _names(step: Step, registry: Registry) -> list[str]:
    """Return what a step writes below the output."""
    offer = registry.steps.get(step.uses)
    return list(offer.writes(step.options)) if offer else []


def _at(place: KeyPath, step: Step, name: str) -> KeyPath:
    """Return where the name of a step's file or folder is written."""
    keys = [key for key, value in step.options.items() if str(value).rstrip("/") == name]
    return (*place, "with", *keys[:1])


def _path_options(step: Step, registry: Registry) -> dict[str, str]:
    """Return those of a step's options that name a file: whether it is read or written."""
    offer = registry.steps.get(step.uses)
    properties: Any = offer.options.get("properties", {}) if offer else {}
    kinds = {key: part.get("x-path") for key, part in properties.items() if isinstance(part, dict)}
    return {
        key: kind
        for key, kind in kinds.items()
        if kind in {"read", "write"} and isinstance(step.options.get(key), str)
    }


def _referred(document: Document, folder: Path) -> Iterator[Path]:
    """Yield the files that ``${file:}`` reads."""
    texts = {spot.text for spot in document.spots.values() if spot.text and "${file:" in spot.text}
    for text in sorted(texts):
        yield from (folder / name for name in _FILE.findall(text))


def _parents(place: str) -> list[str]:
    return [str(each) for each in Path(place).parents]


def place_faults(folder: Path, connection: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key of a connection that leads nowhere, and why; its paths begin at ``folder``."""
    values = {key: value for key, value in connection.items() if isinstance(value, str)}
    try:
        if "base_url" in values:
            TenantUrl.parse(values["base_url"], values.get("tenant"))
        elif {"env", "tenant"} <= values.keys():
            TenantUrl.of(values["env"], values["tenant"])
    except UsageError as error:
        # The first word of each such message is the key that it speaks of.
        yield str(error).split(" ", 1)[0], str(error)
    if "sandbox" in values and not _is_there(folder, values["sandbox"], Path.is_dir):
        yield "sandbox", f"there is no folder {values['sandbox']!r}"
    if "verify_tls" in values and not _is_there(folder, values["verify_tls"], Path.is_file):
        yield "verify_tls", f"there is no file {values['verify_tls']!r}"


def _is_there(folder: Path, name: str, kind: Callable[[Path], bool]) -> bool:
    """Tell whether a path leads to a thing of a kind; a name may be one that no disk takes."""
    try:
        return kind(folder / name)
    except (OSError, ValueError):
        return False


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _unwritable(path: Path) -> str:
    """Return why a file cannot be written, empty if it can."""
    try:
        if os.path.lexists(path) and not stat.S_ISREG(path.stat().st_mode):
            return f"cannot write to {path}: it is not a file"
        nearest = next(each for each in path.parents if os.path.lexists(each))
        if not nearest.is_dir():
            return f"cannot write to {path}: {nearest} is not a folder"
    except OSError as error:
        return f"cannot write to {path}: {error.strerror or error}"
    allowed = os.access(nearest, os.W_OK | os.X_OK)
    return "" if allowed else f"cannot write to {path}: {nearest} is not writable"


def _raise(document: Document, conflicts: Iterable[tuple[Use, str]]) -> None:
    """Raise the error for conflicts: those of the manifest with their places."""
    every = list(conflicts)
    findings = [Finding(use.key, reason) for use, reason in every if use.key or not use.option]
    if findings:
        raise ManifestError(list(map(document.problem, dict.fromkeys(findings))))
    for use, reason in every:
        raise UsageError(f"{use.option}: {reason}")
