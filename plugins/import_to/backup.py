"""Export what an import is about to change, so that a rollback can bring it back."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from spark_impex_runner import errors, models, tools

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .importer import Import

# As the runner resumes no export of the night before: the destination has changed since.
_VALID = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Backup:
    """The backup of one import; ``services`` exist on the destination, ``new`` do not.

    ``folder`` is the path in the target's output; nothing is exported if there are no ``services``.
    """

    folder: str
    at: str
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
    before, and the export is resumed by its folder.
    """
    record, known = imported.record, _read(job, imported)
    if record.correlation_id:
        return known
    now = imported.spark.clock.now()
    if known is None or now - datetime.fromisoformat(known.at) > _VALID:
        known = _planned(job, imported, forecasts, now)
        job.memory.put(_key(imported), json.dumps(asdict(known)))
    if known.services:
        owned, path = tools.Ownership.of(job), known.path(job)
        # Its files are those of an export of its own, whose records protect them.
        if reason := owned.forbidden(path):
            raise errors.StepError(reason)
        owned.claim(path, ["package.zip", models.RECEIPT, models.EVIDENCE])
        job.backup(imported.request.to, known.services, known.folder)
        owned.claim(path, tools.files_below(path))
    return known


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
    job: models.Job, imported: Import, forecasts: Sequence[models.ServiceForecast], now: datetime
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
    return Backup(folder, now.isoformat(timespec="seconds"), services, new)
