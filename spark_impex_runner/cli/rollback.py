"""``impex rollback``."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from spark_impex_runner.cli import restore, selection

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from spark_impex_runner.cli.console import CommandContext
    from spark_impex_runner.engine.restore_plan import Backup
    from spark_impex_runner.models import Manifest

_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the lock file, and which of its imports are taken back."""
    parser.add_argument(
        "lock", metavar="LOCKFILE", type=selection.local_path, help="the lock file of the import"
    )
    group = restore.add_shared_arguments(parser)
    group.add_argument(
        "--to",
        default="",
        metavar="CONNECTION",
        help="the connection, if the lock file names several",
    )
    group.add_argument(
        "--job",
        action="append",
        default=[],
        metavar="ID",
        help="take back the import of this job (repeatable)",
    )
    group.add_argument(
        "--all", action="store_true", help="take back every import that the lock file names"
    )


@dataclass(frozen=True, slots=True)
class _Import:
    """An import in a lock file, with its backup."""

    to: str
    tenant: str
    job_id: str
    at: str
    receipt: str
    sha256: str
    new: tuple[str, ...]


def execute(arguments: argparse.Namespace, context: CommandContext) -> int:
    """Show what restoring the backups of imports would do, ask, and import them."""
    from spark_impex_runner.errors import StepError

    chosen = _chosen(list(_imports(arguments.lock)), arguments)
    arguments.to = chosen[0].to
    with restore.opened(arguments, context, lambda _: ()) as command:
        _check_tenant(chosen, command.manifest, command.prepared.run.connect(arguments.to).url)
        notes = [
            f"  {each}: was new there, and stays: the API cannot delete a service; remove it in "
            "Spark if nothing uses it"
            for each in dict.fromkeys(name for one in chosen for name in one.new)
        ]
        backups: list[Backup] = []
        # The oldest first: what several imports changed is restored as it was before all of them.
        for each in chosen:
            if each.receipt:
                # Resolved: the import wrote the path of the receipt from where the file itself is.
                folder = (arguments.lock.resolve().parent / each.receipt).parent
                if not folder.exists():
                    raise StepError(
                        f"{folder}: missing, the lock file names it as the backup; bring it back, "
                        f"or restore a copy: impex restore COPY --to {each.to} "
                        f"-m {arguments.manifest} --if-present replace"
                    )
                with command.working(f"fetching {folder}"):
                    backups.append(command.fetch(str(folder.absolute()), {}, each.sha256))
        if not backups:
            return _nothing(notes, arguments, context)
        backup = _joined(backups, str(arguments.lock))
        return command.restore(backup, "replace", notes, first_only=True)


def _nothing(notes: list[str], arguments: argparse.Namespace, context: CommandContext) -> int:
    """Say that nothing was there before the import; return the exit code."""
    if arguments.format == "json":
        from spark_impex_runner.cli.restore_output import VERSION

        about = {"source": str(arguments.lock), "to": arguments.to, "outcome": "nothing_to_do"}
        context.console.data({"version": VERSION, **about, "notes": notes})
        return 0
    context.console.result("nothing to restore: nothing was there before the import")
    for note in notes:
        context.console.result(note)
    return 0


def _joined(backups: Sequence[Backup], lock: str) -> Backup:
    """Return several backups as one, in which a package is named with its backup's folder."""
    if len(backups) == 1:
        return backups[0]
    first, *others = (each.within(PurePath(each.place).name) for each in backups)
    for each in others:
        first = first.joined(each, lock)
    return first


def _imports(file: Path) -> Iterator[_Import]:
    """Yield the imports of a lock file that have a backup, oldest first."""
    from spark_impex_runner.errors import UsageError

    lock = import_module("spark_impex_runner.plugins.import_to.lock").Lock(file)
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "there is no such file"
        raise UsageError(f"{file}: {what}; name the lock file that the step import has written")
    found = []
    for package in lock.read():
        for each in package["imports"]:
            try:
                found += [_import(each)] if each.get("backup") else []
            except (LookupError, TypeError, AttributeError, ValueError):
                raise UsageError(
                    f"{file}: an import of {package['sha256']} is not as the runner wrote it"
                ) from None
    if not found:
        raise UsageError(
            f"{file}: names no import with a backup; the option before: backup of the step import "
            "makes one"
        )
    yield from sorted(found, key=lambda each: each.at)


def _import(entry: Any) -> _Import:
    """Return an import of a lock file; raise for one in another form."""
    backup = entry["backup"]
    to, tenant, job_id, at = (entry[name] for name in ("connection", "tenant", "job_id", "at"))
    receipt, sha256 = (backup[name] or "" for name in ("receipt", "sha256"))
    new = tuple(backup["new"])
    if not all(isinstance(each, str) for each in (to, tenant, job_id, at, receipt, sha256, *new)):
        raise ValueError(entry)
    if bool(receipt) != bool(sha256):
        raise ValueError(entry)
    return _Import(to, tenant, job_id, at, receipt, sha256, new)


def _chosen(found: list[_Import], arguments: argparse.Namespace) -> list[_Import]:
    """Return the imports to take back, oldest first; raise ``UsageError`` if that is not clear."""
    from spark_impex_runner.errors import UsageError
    from spark_impex_runner.text import first_of

    there = [each for each in found if arguments.to in {"", each.to}]
    if not there:
        known = ", ".join(dict.fromkeys(each.to for each in found))
        raise UsageError(
            f"--to {arguments.to}: the lock file names no import there with a backup, "
            f"but to {known}"
        )
    found = there
    if arguments.job:
        found = [each for each in there if each.job_id in arguments.job]
        if unknown := {*arguments.job} - {each.job_id for each in found}:
            known = first_of([each.job_id for each in there], _SHOWN)
            raise UsageError(
                f"--job {min(unknown)}: the lock file names no such import, but {known}"
            )
    connections = dict.fromkeys(each.to for each in found)
    if len(connections) > 1:
        raise UsageError(f"the lock file names {', '.join(connections)}; choose one with --to")
    if len(found) > 1 and not (arguments.all or arguments.job):
        lines = [f"--job {each.job_id} ({each.at})" for each in found]
        raise UsageError(
            f"the lock file names {len(found)} imports to {found[0].to}: "
            f"{first_of(lines, _SHOWN)}; choose some, or --all"
        )
    return found


def _check_tenant(chosen: Sequence[_Import], manifest: Manifest, url: str) -> None:
    """Raise ``UsageError`` if a connection leads to another tenant than at the import."""
    from spark_impex_runner.errors import UsageError

    to = chosen[0].to
    # A sandbox that the runner starts has another port each time.
    if manifest.connections[to].sandbox is None:
        for each in chosen:
            if each.tenant != url:
                raise UsageError(
                    f"the lock file names {to} at {each.tenant}, {manifest.path} names {url}; "
                    "restore the backup with impex restore if that is meant"
                )
