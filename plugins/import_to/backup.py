"""Export what an import is about to change, so that a rollback can bring it back."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, models, tools

from .mapping import contents_of, mappings_for
from .prediction import predict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .importer import Import

_FIELDS = ("folder", "service", "service_id", "version", "version_id")


@dataclass(frozen=True, slots=True)
class Backup:
    """The backup of one import; ``services`` exist on the destination, ``new`` do not.

    ``folder`` is the path in the target's output; nothing is exported if there are no ``services``.
    """

    folder: str
    services: list[str]
    new: list[str]

    def path(self, job: models.Job) -> Path:
        """Return the folder of the backup."""
        return job.target.output / self.folder

    def entry(self, job: models.Job, lock: Path) -> dict[str, Any]:
        """Return what the lock file says about it: the receipt, relative to the lock file."""
        if not self.services:
            return {"receipt": None, "sha256": None, "new": self.new}
        receipt = self.path(job) / models.RECEIPT
        sha256 = tools.file_digests(receipt, ["sha256"], tools.stop_check(job))["sha256"]
        try:
            path = os.path.relpath(receipt, lock.parent)
        except ValueError:  # on another drive of Windows
            path = str(receipt)
        return {"receipt": path.replace(os.sep, "/"), "sha256": sha256, "new": self.new}

    def artifact(self, job: models.Job) -> list[models.Artifact]:
        """Return the folder as an artifact of the step, none if nothing was exported."""
        if not self.services:
            return []
        path, check = self.path(job), tools.stop_check(job)
        files = {each: path / each for each in tools.files_below(path)}
        sums = {
            name: tools.file_digests(file, ["sha256"], check)["sha256"]
            for name, file in files.items()
        }
        size = sum(file.stat().st_size for file in files.values())
        digest = tools.folder_digest(sums)
        return [models.Artifact(path, f"{self.folder}/", size, digest)]


def before_import(
    job: models.Job, imported: Import, forecasts: Sequence[models.ServiceForecast]
) -> Backup | None:
    """Return the backup of what an import changes, made now unless the import was sent already.

    ``forecasts`` tell which services exist. None if an import was sent before the manifest asked
    for a backup.

    A run that is killed at any moment exports once: what is exported, and to where, is stored
    before, and the export is resumed by its folder. If the destination has changed since, so that
    the backup is not what the import replaces, another one is made.
    """
    known = _read(job, imported)
    if imported.record.correlation_id:
        return known
    planned = _planned(job, imported, forecasts)
    if known and (known.services, known.new) == (planned.services, planned.new):
        _export(job, imported, known)
        if _is_current(job, imported, known):
            return known
    job.memory.put(_key(imported), json.dumps(asdict(planned)))
    _export(job, imported, planned)
    return planned


def _export(job: models.Job, imported: Import, backup: Backup) -> None:
    """Export what a backup holds, unless its folder is complete."""
    if not backup.services:
        return
    owned, path = tools.Ownership.of(job), backup.path(job)
    # Its files are those of an export of its own, whose records protect them.
    if reason := owned.forbidden(path):
        raise errors.StepError(reason)
    owned.claim(path, ["package.zip", models.RECEIPT, models.EVIDENCE])
    job.backup(imported.request.to, backup.services, backup.folder)
    owned.claim(path, tools.files_below(path))


def _is_current(job: models.Job, imported: Import, backup: Backup) -> bool:
    """Return whether the destination still has what a backup holds, and no other versions.

    As a rollback decides that there is nothing to restore: by ids, numbers and stated hashes.
    """
    if not backup.services:
        return True
    path, found = backup.path(job), set[str]()
    receipt = tools.parse_json((path / models.RECEIPT).read_bytes())
    reported = tuple(
        models.ServiceVersion(**{name: each[name] or "" for name in _FIELDS})
        for each in receipt["service_versions"]
    )
    job = replace(job, status=models.Status("", "", service_versions=reported))
    for each in receipt["artifacts"]:
        if each["made_by"] == "download":
            package = models.Artifact(path / each["name"], each["name"], each["size"])
            exported = contents_of(job, package)
            mappings = mappings_for(None, exported.versions, ())
            forecasts = predict(imported.spark, exported, mappings, "replace")
            if not all(one.is_identical for one in forecasts):
                return False
            found |= {one.target for one in forecasts}
    return found == {*backup.services}


def forget(job: models.Job, imported: Import) -> None:
    """Forget the backup of an import that was not sent: the next run makes one of what is there."""
    if not imported.record.correlation_id:
        job.memory.put(_key(imported), "")


def _key(imported: Import) -> str:
    return f"backup {imported.key}"


def _read(job: models.Job, imported: Import) -> Backup | None:
    text = job.memory.get(_key(imported))
    return Backup(**json.loads(text)) if text else None


def _planned(
    job: models.Job, imported: Import, forecasts: Sequence[models.ServiceForecast]
) -> Backup:
    """Return what has to be exported, by the destination's answer about each service.

    The listing is asked only for those of which that is unknown: it may lack a service that was
    added just now, which would then be changed without a backup.
    """
    there = {each.target for each in forecasts if each.now}
    if any(each.outcome == "unknown" for each in forecasts):
        there |= {f"{each.folder}/{each.service}" for each in imported.spark.list_services()}
    targets = dict.fromkeys(each["target"] for each in imported.request.sent)
    # The run in the name: a later import of the same bytes must not replace this backup.
    folder = f"backup/{imported.request.to}-{job.run.id}-{imported.key[:8]}"
    services = [each for each in targets if each in there]
    new = [each for each in targets if each not in there]
    return Backup(folder, services, new)
