"""Check before a run that its files can be written and replace nothing foreign."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import closing, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.errors import UsageError
from spark_impex_runner.ownership import Ownership
from spark_impex_runner.paths import ProtectedPaths
from spark_impex_runner.planning.locations import (
    PathUse,
    key_of_name,
    raise_conflicts,
    steps_of,
    written_by,
)
from spark_impex_runner.planning.placed import PlacedFiles
from spark_impex_runner.spark.tenant import TenantUrl
from spark_impex_runner.state.keys import target_key_for
from spark_impex_runner.state.opening import existing_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from spark_impex_runner.models import RunOptions
    from spark_impex_runner.planning.stages import Loaded
    from spark_impex_runner.state.place import StatePlace


# Bytes that a folder must have room for: most reports are smaller.
_PROBE_SIZE = 65_536


def check_disk(loaded: Loaded, options: RunOptions, place: StatePlace) -> None:
    """Raise ``ManifestError`` or ``UsageError`` if a file of the chosen targets cannot be written.

    Files that no earlier run of the target has written may not be replaced. With a state on an
    object store only the target itself finds that out.
    """
    if options.run_id:  # the run has checked its work units
        return
    probe = cache(_write_probe)  # many targets may write to one folder
    written = loaded.uses.written
    conflicts = [(use, reason) for use in written if (reason := unwritable(use.path, probe))]
    registry, manifest = loaded.opened.plugins.registry, loaded.manifest
    steps = [
        (target, key, step, name)
        for target in (() if isinstance(place, str) else loaded.targets)
        for key, step in steps_of(target)
        for name in written_by(step, registry)
        if os.path.lexists(target.output / name)
    ]
    if steps:
        found = existing_state(place)
        with closing(found) if found else nullcontext() as opened:
            for target, key, step, name in steps:
                placed = PlacedFiles(opened, target_key_for(manifest, target), target)
                owned = Ownership(target.output, placed, ProtectedPaths())
                path = target.output / name
                # A folder of ours that was changed since fails its target, not the whole run.
                if owned.record(path) is None and (reason := owned.foreign_file(path)):
                    conflicts.append((PathUse(path, "", key_of_name(key, step, name)), reason))
    raise_conflicts(loaded.opened.document, conflicts)


def invalid_locations(folder: Path, connection: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key of a connection with an unusable address or path, and the reason."""
    values = {key: value for key, value in connection.items() if isinstance(value, str)}
    try:
        if "base_url" in values:
            TenantUrl.parse(values["base_url"], values.get("tenant"))
        elif {"env", "tenant"} <= values.keys():
            TenantUrl.of(values["env"], values["tenant"])
    except UsageError as error:
        # Each of these messages begins with the key that is wrong.
        yield str(error).split(" ", 1)[0], str(error)
    if "sandbox" in values and not _exists(folder, values["sandbox"], Path.is_dir):
        yield "sandbox", f"there is no folder {values['sandbox']!r}"
    if "verify_tls" in values and not _exists(folder, values["verify_tls"], Path.is_file):
        yield "verify_tls", f"there is no file {values['verify_tls']!r}"


def _exists(folder: Path, name: str, kind: Callable[[Path], bool]) -> bool:
    """Return whether a path is of a kind; False for names that the file system refuses."""
    try:
        return kind(folder / name)
    except (OSError, ValueError):
        return False


def _write_probe(folder: Path) -> str:
    """Return why a new file in a folder cannot hold data, such as on a full disk."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_SIZE))
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def unwritable(path: Path, probe: Callable[[Path], str] = _write_probe) -> str:
    """Return why a file cannot be written, an empty text if it can.

    Neither the file nor a missing folder is created; a temporary file in the nearest folder is.
    """
    try:
        if path.is_symlink():  # os.replace would replace the link, not its target
            return f"cannot write to {path}: it is a symbolic link; give the path that it leads to"
        if os.path.lexists(path) and not stat.S_ISREG(path.stat().st_mode):
            return f"cannot write to {path}: it is not a file"
        nearest = next(each for each in path.parents if os.path.lexists(each))
        if not nearest.is_dir():
            return f"cannot write to {path}: {nearest} is not a folder"
    except OSError as error:
        return f"cannot write to {path}: {error.strerror or error}"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"cannot write to {path}: {nearest} is not writable"
    reason = probe(nearest)
    return f"cannot write to {path}: {nearest}: {reason}" if reason else ""
